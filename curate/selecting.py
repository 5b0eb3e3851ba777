"""From a store to a selection to a dataset: what `filter`, `rank`, `pair` and `export` have in common."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curate.errors import CurateError, OutputError
from curate.records import Funnel
from curate.reports import ExportReport

MEMORY = "2GB"
"""What selecting may take where nothing is said."""


class Selecting:
    """A store opened for selecting, and the way from a selection to an export."""

    def __init__(self, store: str | Path, memory: str | None) -> None:
        from curate.store import Store

        self.memory = memory or MEMORY
        self.store = Store.open(store)
        self.view = self.store.view(memory=self.memory)

    def export(
        self,
        selection: str | Path,
        funnels: Sequence[Funnel],
        out: str | Path,
        format_name: str,
        recipe: Mapping[str, Any],
        verb: str,
    ) -> ExportReport:
        """Write the selection as a dataset."""
        from curate.bridge import open_source
        from curate.exporting import Options, find_format
        from curate.exporting import export as write

        find_format(format_name)  # complains before the work is done
        refuse_inside(self.store.path, out)
        if funnels:
            refuse_nothing(selection, funnels)
        told = {name: value for name, value in recipe.items() if value not in (None, (), "")}
        options = Options(
            recipe={"verb": verb, "store": self.store.path.name, **told},
            command=_command(verb, self.store.path, told, format_name, out),
            funnels=list(funnels),
        )
        with open_source(self.store, self.view, selection) as source:
            written = self._written(lambda: write(selection, source, out, format=format_name, options=options))
            forbidden = sorted({card.name for card in source.cards() if card.commercial is False})
        warnings = [f"the licence of {name} forbids commercial use, and its ratings chose these data" for name in forbidden]
        warnings += json.loads((Path(out) / "curate.json").read_text(encoding="utf-8"))["notes"]
        warnings += self.gone()
        return ExportReport(out=str(out), format=format_name, funnels=[*funnels, *written], warnings=warnings)

    def _written(self, write: Callable[[], list[Funnel]]) -> list[Funnel]:
        """What an export wrote; one that fails says as well which shards are gone, since that is often why."""
        try:
            return write()
        except OutputError as problem:
            raise OutputError("; ".join([str(problem), *self.gone()])) from problem

    def gone(self) -> list[str]:
        """What to say of shards that are not where they were: their samples take part, and cannot be copied."""
        from curate.bridge import missing_shards

        missing = missing_shards(self.view)
        if not missing:
            return []
        told = f"{len(missing)} shards are not where they were ({missing[0]} …), so their media cannot be read"
        return [f"{told}; rate them where they lie now, which computes nothing again"]


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for a selection that is to be exported, gone at the end; TMPDIR says on which disk."""
    with tempfile.TemporaryDirectory(prefix="curate-") as folder:
        yield Path(folder)


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
