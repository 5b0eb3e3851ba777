"""From a store to a selection to a dataset: what `filter`, `rank`, `pair` and `export` have in common."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curate.errors import CurateError, OutputError
from curate.records import Funnel
from curate.reports import ExportReport

MEMORY = "2GB"
"""What selecting may take where nothing is said."""

GONE = "shard is gone or changed"
"""Why samples take no part in what copies their media."""


class Selecting:
    """A store opened for selecting, and the way from a selection to an export."""

    def __init__(self, store: str | Path, *, out: str | Path, format_name: str | None, memory: str | None = None) -> None:
        """`format_name` is None where no dataset is made. Complains of it and of `out` before any work is done.

        Where a format copies media, samples whose shards are gone take no part: a group is ranked and paired by those
        that can be copied.
        """
        from curate.bridge import gone_shards
        from curate.exporting import find_format, refuse_finished
        from curate.store import Store

        self.memory = memory or MEMORY
        self.store = Store.open(store)
        self._gone: dict[str, str] | None = None
        refuse_inside(self.store.path, out)
        if format_name is not None:
            refuse_finished(Path(out))
            self._gone = gone_shards(self.store) if find_format(format_name).copies_media else None
        self.view = self.store.view(gone=self._gone, memory=self.memory)

    def export(
        self,
        selection: str | Path,
        selected: Sequence[Funnel],
        out: str | Path,
        format_name: str,
        recipe: Mapping[str, Any],
        verb: str,
    ) -> ExportReport:
        """Write the selection as a dataset. `selected` are the funnels of making it; none where it was made before."""
        from curate.bridge import open_source
        from curate.exporting import Options
        from curate.exporting import export as write

        funnels = [*self._found(), *selected] if selected else []
        told = {name: value for name, value in recipe.items() if value not in (None, (), "")}
        options = Options(
            recipe={"verb": verb, "store": self.store.path.name, **told},
            command=_command(verb, self.store.path, told, format_name, out),
            funnels=funnels,
        )
        behind = self.behind(selection) if selected else []
        with self._telling_why(behind):
            if funnels:
                refuse_nothing(selection, funnels)
            with open_source(self.store, self.view, selection, gone=self._gone) as source:
                written = write(selection, source, out, format=format_name, options=options)
        forbidden = sorted({card.name for card in source.cards() if card.commercial is False})
        warnings = [f"the licence of {name} forbids commercial use, and its ratings chose these data" for name in forbidden]
        warnings += json.loads((Path(out) / "curate.json").read_text(encoding="utf-8"))["notes"]
        warnings += [*self._gone_shards(), *behind]
        return ExportReport(out=str(out), format=format_name, funnels=[*funnels, *written], warnings=warnings)

    def behind(self, selection: str | Path) -> list[str]:
        """What to say of raters behind a selection whose latest card has not yet judged what an older one had."""
        import pyarrow.parquet as pq

        from curate.select.output import METADATA_KEY
        from curate.store.behind import rated_only_before

        made = json.loads(pq.read_metadata(selection).metadata[METADATA_KEY.encode()])
        return [
            f"{count:,} samples were rated by an older card named '{name}', and not by the latest, whose ratings alone count;"
            f" to finish: curate rate SHARDS --rater {name} --store {self.store.path}"
            for name, count in rated_only_before(self.store, self.view, made["cards"]).items()
        ]

    def _found(self) -> list[Funnel]:
        """What of the store could be selected from, where that is not all of it."""
        funnel = Funnel(step="find", unit="samples", taken=self.view.rows, kept=self.view.rows)
        for count in self.view.left_out.values():
            funnel.taken += count
            funnel.drop(GONE, count)
        return [funnel] if funnel.dropped else []

    @contextmanager
    def _telling_why(self, behind: Sequence[str]) -> Iterator[None]:
        """An export that fails says as well which shards are gone, and what is not yet rated: that is often why."""
        try:
            yield
        except OutputError as problem:
            raise OutputError("; ".join([str(problem), *self._gone_shards(), *behind])) from problem

    def _gone_shards(self) -> list[str]:
        """What to say of shards that are gone, if samples lie nowhere else."""
        gone = self.view.left_out
        if not gone:
            return []
        why = (self._gone or {}).get(min(gone), "is gone")
        told = (
            f"the shard {min(gone)} {why}" if len(gone) == 1 else f"{len(gone)} shards are gone or changed ({min(gone)} {why} …)"
        )
        told += f", so the media of {sum(gone.values()):,} samples cannot be copied"
        return [f"{told}; rate the shards as and where they are now, which computes again only what is new"]


def _command(verb: str, store: Path, recipe: Mapping[str, Any], format_name: str, out: str | Path) -> str:
    """The command line that does the same."""
    words = ["curate", verb, str(store)]
    for name, value in recipe.items():
        if name == "selection":
            words.append(str(value))
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += [f"--{name.replace('_', '-')}", str(one)]
    return shlex.join([*words, "--format", format_name, "--out", str(out)])


def refuse_inside(store: Path, out: str | Path) -> None:
    """Nothing is written into a store but by the store."""
    if Path(out).resolve().is_relative_to(store.resolve()):
        raise OutputError(f"{out} lies inside the store {store}, which keeps its folder to itself; name another place for --out")


def refuse_to_overwrite(place: Path) -> None:
    """A ranking takes the place of an older ranking, and of nothing else."""
    from curate.exporting.selection import Selection

    if place.is_dir():
        raise OutputError(f"{place} is a folder; a ranking is one file, such as {place / 'rankings.parquet'}")
    if not place.exists():
        return
    try:
        kind = Selection(place).kind
    except CurateError:
        kind = None
    if kind != "rankings":
        raise OutputError(f"{place} exists and is no ranking; name another file for --out")


def refuse_nothing(selection: str | Path, funnels: Sequence[Funnel]) -> None:
    """Raise `OutputError` where a selection is empty, with what became of the input."""
    import pyarrow.parquet as pq

    if pq.read_metadata(selection).num_rows:
        return
    told = []
    for funnel in funnels:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(funnel.dropped.items(), key=lambda one: -one[1]))
        told.append(f"of {funnel.taken:,} {funnel.unit} {funnel.kept:,} left" + (f" ({reasons})" if reasons else ""))
    raise OutputError(f"nothing is left to write: {'; '.join(told)}")
