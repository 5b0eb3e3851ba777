"""What is left of a selection that was made before some shards went: rows of the samples whose media can still be copied.

Pairs and kept samples are left out with what is gone. A list is ranked again without it, by the rule of `curate rank`, so that
it is what ranking the remaining samples by the same values would give (win rates and strengths stay as they were earned, against
samples that are gone too); a list whose wins were counted against a sample that is gone is left out, because the wins of the
others rest on it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from curate.exporting.lookup import in_batches, with_samples
from curate.exporting.selection import Kind, RankedRow, Selection
from curate.exporting.source import SampleInfo, Source
from curate.records import Funnel, Pair
from curate.select.output import read_made
from curate.select.ranking import ranks

STEP = "find"
TOO_SHORT = "fewer than two responses"
COUNTED_WINS = "its wins count responses that are gone"

_UNITS: Mapping[Kind, tuple[str, ...]] = {"pairs": ("pairs",), "samples": ("samples",), "rankings": ("lists", "responses")}


class Remaining(Selection):
    """A selection without the samples of shards that are gone; those that no shard ever had stay, for the export to count."""

    def __init__(self, path: str | Path, source: Source, gone: Collection[str], reason: str) -> None:
        """`gone` are the shards whose samples cannot be copied; `reason` is what the funnels call that."""
        super().__init__(path)
        self.funnels = [Funnel(step=STEP, unit=unit) for unit in _UNITS[self.kind]]
        """What became of the rows, complete when they have been read; of rankings one counts lists and one their responses."""
        self._source = source
        self._shards = gone
        self._reason = reason
        self._tie = float(read_made(self.path).get("asked", {}).get("tie", 0.0))

    def pairs(self, scratch: Path) -> Iterator[list[Pair]]:
        (funnel,) = self._counted_afresh()
        for group, known in with_samples(super().pairs(scratch), lambda pair: (pair.chosen, pair.rejected), self._source):
            left = [pair for pair in group if not self._are_gone((pair.chosen, pair.rejected), known)]
            funnel.taken += len(group)
            funnel.kept += len(left)
            funnel.drop(self._reason, len(group) - len(left))
            if left:
                yield left

    def samples(self, scratch: Path) -> Iterator[str]:
        (funnel,) = self._counted_afresh()
        for batch in in_batches(super().samples(scratch)):
            found = [info is not None and info.sample.shard in self._shards for info in self._source.samples(batch)]
            funnel.taken += len(batch)
            funnel.kept += len(batch) - sum(found)
            funnel.drop(self._reason, sum(found))
            yield from (sample for sample, is_gone in zip(batch, found, strict=True) if not is_gone)

    def rankings(self, scratch: Path) -> Iterator[list[RankedRow]]:
        lists, responses = self._counted_afresh()
        for rows, known in with_samples(super().rankings(scratch), lambda row: (row.sample,), self._source):
            left = [row for row in rows if not self._are_gone((row.sample,), known)]
            lists.taken += 1
            responses.taken += len(rows)
            responses.drop(self._reason, len(rows) - len(left))
            refusal = _refusal(left) if len(left) < len(rows) else None
            if refusal is None:
                lists.kept += 1
                responses.kept += len(left)
                yield left if len(left) == len(rows) else self._ranked_again(left)
            else:
                lists.drop(refusal)
                responses.drop("its list is left out", len(left))

    def _counted_afresh(self) -> list[Funnel]:
        """The funnels at zero: some formats read a selection twice, and count it once."""
        for funnel in self.funnels:
            funnel.taken = funnel.kept = 0
            funnel.dropped.clear()
        return self.funnels

    def _are_gone(self, samples: Collection[str], known: Mapping[str, SampleInfo]) -> bool:
        return any(sample in known and known[sample].sample.shard in self._shards for sample in samples)

    def _ranked_again(self, rows: list[RankedRow]) -> list[RankedRow]:
        ordered = sorted(rows, key=lambda row: (-row.value, row.sample))
        places = ranks(np.array([row.value for row in ordered]), np.array([0]), np.array([len(ordered)]), self._tie)
        ranked = [replace(row, rank=int(place)) for row, place in zip(ordered, places, strict=True)]
        return sorted(ranked, key=lambda row: (row.rank, row.sample))


def _refusal(left: list[RankedRow]) -> str | None:
    """Why a list that lost some responses is left out as a whole; None where the rest of it stands."""
    if len(left) < 2:
        return TOO_SHORT
    return COUNTED_WINS if any(row.wins is not None for row in left) else None
