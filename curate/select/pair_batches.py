"""How pairs come about: slice by slice, the candidates of ranked groups are made, judged, limited, counted and written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curate.ahead import ahead
from curate.errors import CurateError, Option
from curate.records import Funnel
from curate.select.caps import capped, shuffled
from curate.select.engine import Engine
from curate.select.expression import Expression
from curate.select.judging import Contest, Fate, Verdicts, judge, spreads_of_groups
from curate.select.names import quoted
from curate.select.options import PairOptions
from curate.select.output import known
from curate.select.samples import Samples
from curate.select.slices import Places, Slice, read_slices, runs
from curate.select.splits import sample_hash, split_hash, split_names, split_numbers
from curate.select.strategies import Strategy, candidates

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_PAIRS = 1 << 19
"""Candidate pairs that are judged and written together."""

MOST_TO_CHOOSE_AMONG = 1 << 25
"""Candidate pairs of one group where limits make it necessary to hold and order all of them."""

# Names of the further columns of a slice.
_DIGEST, _SPREAD, _SPLIT, _SHUFFLE = "_digest", "_spread", "_split", "_shuffle"


REPEATED: Mapping[Strategy, frozenset[str]] = {
    "best-worst": frozenset(),
    "adjacent": frozenset({"group"}),
    "top-vs-rest": frozenset({"group", "chosen", "chosen_value"}),
    "all": frozenset({"group", "chosen", "chosen_value", "rejected", "rejected_value"}),
}
"""The columns in which one value stands in several pairs of a group. Held and written once, they take half the time."""


def pair_schema(strategy: Strategy) -> pa.Schema:
    """The columns of pairs. Rows are positions in the view; a null confidence or spread is not known."""
    import pyarrow as pa

    repeated = pa.dictionary(pa.int32(), pa.string())
    ids = {name: repeated if name in REPEATED[strategy] else pa.string() for name in ("group", "chosen", "rejected")}
    columns: dict[str, pa.DataType] = {
        **ids,
        "margin": pa.float64(),
        "chosen_value": pa.float64(),
        "rejected_value": pa.float64(),
        "confidence": pa.float64(),
        "split": repeated,
        "chosen_spread": pa.float64(),
        "rejected_spread": pa.float64(),
        "chosen_row": pa.int64(),
        "rejected_row": pa.int64(),
    }
    return pa.schema(list(columns.items()))


class Pairing:
    """Makes the pairs of one selection, and counts what became of samples, groups and candidate pairs."""

    def __init__(self, samples: Samples, opinions: Sequence[Expression], options: PairOptions) -> None:
        self._samples = samples
        self._opinions = {f"_opinion_{number}": opinion for number, opinion in enumerate(opinions)}
        self._options = options
        self._groups = Funnel(step="pair", unit="groups", taken=samples.view.groups)
        self._fates = np.zeros(len(Fate), dtype=np.int64)
        self.funnels: list[Funnel] = []
        """Of samples, groups and candidate pairs; complete when all batches have been read."""

    def batches(self, engine: Engine) -> Iterator[pa.RecordBatch]:
        """All pairs, by group, then by the places of the better and the worse sample; to be read once, to the end."""
        entering = 0
        slices = read_slices(engine, self._samples, columns=self._columns(), expressions=self._opinions)
        with closing(ahead(slices)) as coming:
            for one in coming:
                entering += len(one.values)
                for batch in self._pairs_of(one):
                    engine.check_time()
                    yield batch
        self._groups.drop("no_sample", self._groups.taken - self._groups.kept - sum(self._groups.dropped.values()))
        self.funnels += [self._samples.funnel(engine, "pair", entering), self._groups, self._pairs()]

    def _pairs(self) -> Funnel:
        pairs = Funnel(step="pair", unit="candidate pairs", taken=int(self._fates.sum()), kept=int(self._fates[Fate.KEPT]))
        for fate in Fate:
            if fate is not Fate.KEPT:
                pairs.drop(fate.reason, int(self._fates[fate]))
        return pairs

    def _columns(self) -> dict[str, str]:
        """What is needed of a sample beside its value."""
        columns = {_DIGEST: "hash(coalesce(digest, sample))"}  # of 64 bits: two images in 10^19 would be taken for one
        by = self._samples.by
        if by is not None and by.spread is not None:
            columns[_SPREAD] = quoted(by.spread)
        if self._options.splits:
            columns[_SPLIT] = split_hash(self._options.seed)
        if self._options.capped and self._options.prefer == "random":
            columns[_SHUFFLE] = sample_hash(self._options.seed)
        return columns

    def _pairs_of(self, one: Slice) -> Iterator[pa.RecordBatch]:
        options = self._options
        contest = self._contest(one)
        segments = one.segments
        best_fates = np.full(len(one.sizes), -1, dtype=np.int16)  # -1: no candidate
        found = candidates(options.strategy, one.starts, one.sizes)
        if options.capped:
            self._check_sizes(one, found.counts)
        for begin, end in found.cut(BLOCK_PAIRS, only_at=one.starts + one.sizes if options.capped else None):
            better, worse = found.make(begin, end)
            verdicts = judge(
                contest,
                better,
                worse,
                tie=options.tie,
                keep_ties=options.ties == "keep",
                votes_needed=options.votes_needed,
            )
            groups = segments[better]
            if options.capped:
                self._apply_limits(one, better, worse, groups, verdicts)
            self._fates += np.bincount(verdicts.fates, minlength=len(Fate))
            firsts, _ = runs(groups)
            if len(firsts):
                in_block = np.maximum.reduceat(verdicts.fates, firsts)
                best_fates[groups[firsts]] = np.maximum(best_fates[groups[firsts]], in_block)
            kept = np.flatnonzero(verdicts.fates == Fate.KEPT)
            yield self._batch(one, contest, groups[kept], better[kept], worse[kept], _only(verdicts, kept))
        self._count_groups(best_fates)

    def _contest(self, one: Slice) -> Contest:
        options = self._options
        least: NDArray[np.float64] | float = options.margin
        if options.margin_in_spreads:
            with np.errstate(over="ignore"):  # a margin that no pair can have
                least = np.repeat(options.margin * spreads_of_groups(one.values, one.starts, one.sizes), one.sizes)
        return Contest(
            values=one.values,
            digests=one.extra[_DIGEST],
            least_margins=least,
            opinions=[one.extra[name] for name in self._opinions],
            splits=split_numbers(one.extra[_SPLIT], options.splits) if options.splits else None,
        )

    def _check_sizes(self, one: Slice, counts: Places) -> None:
        if not len(one.starts):
            return
        most = np.add.reduceat(counts, one.starts)
        largest = int(np.argmax(most))
        if most[largest] > MOST_TO_CHOOSE_AMONG:
            group = one.groups_of(np.array([largest]))[0]
            raise CurateError(
                f"the group {group} has {one.sizes[largest]} samples and {most[largest]} candidate pairs, "
                "too many to choose among; leave out ",
                Option("max_per_group"),
                " and ",
                Option("max_per_sample"),
                ", or use another ",
                Option("strategy"),
            )

    def _apply_limits(self, one: Slice, better: Places, worse: Places, groups: Places, verdicts: Verdicts) -> None:
        """Set the fate of the pairs that are one too many for their group or sample."""
        options = self._options
        kept = np.flatnonzero(verdicts.fates == Fate.KEPT)
        if options.prefer == "random":
            preference = shuffled(one.extra[_SHUFFLE], better[kept], worse[kept])
        else:
            preference = verdicts.margins[kept]
        verdicts.fates[kept] = capped(
            better[kept],
            worse[kept],
            groups[kept],
            preference,
            max_per_group=options.max_per_group,
            max_per_sample=options.max_per_sample,
        )

    def _count_groups(self, best_fates: NDArray[np.int16]) -> None:
        """Count each group by the furthest that any of its pairs came."""
        for fate, count in zip(*np.unique(best_fates, return_counts=True), strict=True):
            if fate == Fate.KEPT:
                self._groups.kept += int(count)
            else:
                self._groups.drop(_group_reason(int(fate)), int(count))

    def _batch(
        self, one: Slice, contest: Contest, groups: Places, better: Places, worse: Places, verdicts: Verdicts
    ) -> pa.RecordBatch:
        import pyarrow as pa

        options = self._options
        names = split_names(options.splits)
        numbers = np.full(len(better), len(names) - 1) if contest.splits is None else contest.splits[better]
        spreads = one.extra.get(_SPREAD)
        unknown = pa.nulls(len(better), pa.float64())
        repeated = REPEATED[options.strategy]
        columns = {
            "group": one.repeated_groups_of(groups) if "group" in repeated else one.groups_of(groups),
            "chosen": one.repeated_ids_of(better) if "chosen" in repeated else one.ids_of(better),
            "rejected": one.repeated_ids_of(worse) if "rejected" in repeated else one.ids_of(worse),
            "margin": pa.array(verdicts.margins),
            "chosen_value": pa.array(one.values[better]),
            "rejected_value": pa.array(one.values[worse]),
            "confidence": known(verdicts.confidences) if self._opinions else unknown,
            "split": pa.DictionaryArray.from_arrays(pa.array(numbers.astype(np.int32)), pa.array(names)),
            "chosen_spread": unknown if spreads is None else known(spreads[better]),
            "rejected_spread": unknown if spreads is None else known(spreads[worse]),
            "chosen_row": pa.array(one.rows[better]),
            "rejected_row": pa.array(one.rows[worse]),
        }
        return pa.RecordBatch.from_pydict(columns, schema=pair_schema(options.strategy))


def _only(verdicts: Verdicts, kept: NDArray[np.intp]) -> Verdicts:
    return Verdicts(fates=verdicts.fates[kept], margins=verdicts.margins[kept], confidences=verdicts.confidences[kept])


def _group_reason(best_fate: int) -> str:
    if best_fate < 0:
        return "one_sample"
    return {Fate.TIE: "all_tied", Fate.IDENTICAL: "all_identical"}.get(Fate(best_fate), Fate(best_fate).reason)
