"""From a store to a selection to a dataset: what `filter`, `rank`, `pair` and `export` have in common."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from curate.cards import shipped_names
from curate.errors import ExpressionError, Option, OutputError, UnknownRater
from curate.names import MANIFEST
from curate.outputs import refuse_inside, refuse_nothing, speaking_of
from curate.records import Funnel
from curate.reports import ExportReport
from curate.scratch import scratch_folder

if TYPE_CHECKING:
    from curate.exporting import Selection, Source
    from curate.exporting.selection import Kind

MEMORY = "2GB"
"""What selecting may take where nothing is said."""

GONE = "shard is gone or changed"
"""Why samples take no part in what copies their media."""

REPEATED = "same sample as in another record"
"""Why records take no part: one sample counts once."""


class Chosen(Protocol):
    """What `curate.select.filter`, `rank` and `pair` give."""

    @property
    def path(self) -> Path: ...

    @property
    def funnels(self) -> list[Funnel]: ...


class Selecting:
    """A store opened for selecting, and the way from a selection to an export."""

    def __init__(
        self, store: str | Path, *, out: str | Path, format_name: str | None, makes: Kind | None = None, memory: str | None = None
    ) -> None:
        """`format_name` is None where no dataset is made; `makes` is what will be selected, where that is known beforehand.

        Complains of the format and of `out` before any work is done. Where a format copies media, samples whose shards are gone
        take no part: a group is ranked and paired by those that can be copied.
        """
        from curate.bridge import gone_shards
        from curate.exporting import find_format, refuse_other_kind, refuse_place
        from curate.store import Store

        self.memory = memory or MEMORY
        self.store = Store.open(store)
        self._gone: dict[str, str] | None = None
        refuse_inside(self.store.path, out)
        if format_name is not None:
            refuse_place(out)
            form = find_format(format_name)
            refuse_other_kind(format_name, form.takes, makes or form.takes, "this makes")
            self._gone = gone_shards(self.store) if form.copies_media else None
        self.view = self.store.view(gone=self._gone, memory=self.memory)

    def select(
        self, choose: Callable[..., Chosen], recipe: Mapping[str, Any], out: Path, *, told_as: Path | None = None
    ) -> Chosen:
        """What `choose` (`curate.select.filter`, `rank` or `pair`) selects by a recipe, in the file `out`.

        Where that cannot be written, the error speaks of `told_as`, or, without it, of the folder for what is made on the way.
        """
        try:
            return choose(self.view, **recipe, out=out, memory=self.memory)
        except UnknownRater as problem:
            raise self._not_rated_yet(problem) from problem
        except OutputError as problem:
            raise speaking_of(told_as, problem) from problem

    def make(
        self, choose: Callable[..., Chosen], recipe: Mapping[str, Any], out: str | Path, format_name: str, verb: str
    ) -> ExportReport:
        """Select by a recipe, and write what is selected as a dataset."""
        from curate.exporting import find_format
        from curate.select.options import parse_split

        splits = [name for name, _ in parse_split(recipe.get("split"))]
        find_format(format_name).splits.refuse(splits, format_name, Option("split"), " names")
        with scratch_folder() as scratch:
            chosen = self.select(choose, recipe, scratch / "selection.parquet")
            funnels = [*self.found(), *chosen.funnels]
            behind = self.behind(chosen.path)
            with self.telling_why(behind):
                refuse_nothing(chosen.path, funnels)
                report = self._export(chosen.path, funnels, out, format_name, recipe, verb)
            report.warnings.extend(behind)
            return report

    def export(self, selection: str | Path, out: str | Path, format_name: str) -> ExportReport:
        """Write a selection that was made before as a dataset, without the samples whose media are gone since."""
        with self.telling_why():
            return self._export(selection, [], out, format_name, {"selection": str(selection)}, "export")

    def _export(
        self,
        selection: str | Path,
        funnels: list[Funnel],
        out: str | Path,
        format_name: str,
        recipe: Mapping[str, Any],
        verb: str,
    ) -> ExportReport:
        """Write the selection as a dataset. `funnels` are those of making it; none where it was made before."""
        from curate.bridge import open_source
        from curate.exporting import Options
        from curate.exporting import export as write

        told = {name: value for name, value in recipe.items() if value not in (None, (), "")}
        with open_source(self.store, self.view, selection, gone=self._gone) as source:
            remaining, dropped = (selection, funnels) if funnels else self._remaining(selection, source)
            options = Options(
                recipe={"verb": verb, "store": self.store.path.name, **told},
                command=_command(verb, self.store.path, told, format_name, out),
                funnels=dropped,
            )
            written = write(remaining, source, out, format=format_name, options=options)
        forbidden = sorted({card.name for card in source.cards() if card.commercial is False})
        warnings = [f"the licence of {name} forbids commercial use, and its ratings chose these data" for name in forbidden]
        warnings += json.loads((Path(out) / MANIFEST).read_text(encoding="utf-8"))["notes"]
        warnings += self._gone_shards()
        return ExportReport(out=str(out), format=format_name, funnels=[*dropped, *written], warnings=warnings)

    def _remaining(self, selection: str | Path, source: Source) -> tuple[str | Path | Selection, list[Funnel]]:
        """What of a selection that was made before can be copied still, and the funnels that count it as it is read."""
        from curate.exporting.remaining import Remaining

        if not self.view.left_out:
            return selection, []
        remaining = Remaining(selection, source, self._gone or {}, GONE)
        return remaining, remaining.funnels

    def behind(self, selection: str | Path) -> list[str]:
        """What to say of shards, and of raters behind a selection, that a run has yet to finish."""
        from curate.select.output import read_made
        from curate.store.behind import not_compared, rated_only_before

        cards = read_made(selection)["cards"]
        return [
            *self._unfinished_shards(),
            *(
                f"{count:,} samples were rated by an older card named '{name}', and not by the latest, whose ratings alone count;"
                f" to finish: curate rate SHARDS --rater {_spec(name)} --store {self.store.path}"
                for name, count in rated_only_before(self.store, self.view, cards).items()
            ),
            *(
                f"{count:,} pairs or more have yet to be compared by '{name}', so win rates rest on some of the pairs; to finish:"
                f" curate rate SHARDS --rater {_spec(name)} --store {self.store.path}"
                for name, count in not_compared(self.store, self.view, cards).items()
            ),
        ]

    def _unfinished_shards(self) -> list[str]:
        """What to say of shards inside which a run was stopped."""
        from curate.store import UNFINISHED

        shards = sorted(shard for shard, signature in self.store.signatures().items() if signature == UNFINISHED)
        if not shards:
            return []
        which = f"the shard {shards[0]} is" if len(shards) == 1 else f"{len(shards):,} shards ({shards[0]} …) are"
        return [f"{which} rated in part, and the rest takes no part here; the `curate rate` that was stopped goes on from there"]

    def _not_rated_yet(self, problem: UnknownRater) -> ExpressionError:
        """The same problem, or, where the name is that of a card which ships, how to rate with it."""
        meant = problem.name.replace("-", "_")
        for name in sorted(shipped_names(), key=len, reverse=True):
            dashed = "-" in name and f"{problem.dashed}-".startswith(f"{name}-")
            if dashed or name.replace("-", "_") == meant:
                remedy = f"curate rate SHARDS --rater {name} --store {self.store.path}"
                spelled = f"; here it is written {name.replace('-', '_')}" if dashed else ""
                return ExpressionError(problem.args[0], f": '{name}' is a rater, not rated in this store yet: {remedy}{spelled}")
        return problem

    def found(self) -> list[Funnel]:
        """What of the store could be selected from, where that is not all of it."""
        funnel = Funnel(step="find", unit="samples", taken=self.view.rows + self.view.repeated, kept=self.view.rows)
        funnel.drop(REPEATED, self.view.repeated)
        for count in self.view.left_out.values():
            funnel.taken += count
            funnel.drop(GONE, count)
        return [funnel] if funnel.dropped else []

    @contextmanager
    def telling_why(self, behind: Sequence[str] = ()) -> Iterator[None]:
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


def _spec(name: str) -> str:
    """How a rater of a store is named to rate with it again: one that was renamed or lay in a file needs its card."""
    return name if name in shipped_names() else f"{name}=CARD"


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
