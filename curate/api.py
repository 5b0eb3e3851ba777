"""The public verbs: what the command line does, under the same names, for notebooks and scripts.

    import curate

    curate.rate("shards/*.tar", raters=["signal"], store="store/")
    curate.pair("store/", by="signal", strategy="best-worst", format="diffusers-dpo", out="dpo/")

Every verb raises `CurateError` for what its caller can mend, and returns a report whose numbers add up.
"""

from __future__ import annotations

import json
import shlex
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError, OutputError
from curate.progress import Progress
from curate.records import Funnel, Rating

if TYPE_CHECKING:
    from curate.checking import Finding
    from curate.rating.options import RateOptions
    from curate.rating.report import RateReport
    from curate.rating.run import Stream
    from curate.showing import Shown

Watch = Callable[[Progress], None]

MEMORY = "2GB"
"""What selecting may take where nothing is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What a selection or an export did."""

    out: str
    """The folder, or the file of a ranking, that was written."""
    format: str
    funnels: list[Funnel]
    warnings: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {
            "out": self.out,
            "format": self.format,
            "funnels": [funnel.as_dict() for funnel in self.funnels],
            "warnings": self.warnings,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What a check found."""

    dataset: str
    findings: list[Finding]
    """The first `most` of them."""
    counts: Mapping[str, int]
    """By severity and rule, over all of them: 'error: tie' …"""

    @property
    def ok(self) -> bool:
        """No errors; warnings and notes are allowed."""
        return not any(name.startswith("error: ") for name in self.counts)

    def as_dict(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "ok": self.ok,
            "counts": dict(self.counts),
            "findings": [asdict(finding) for finding in self.findings],
        }


def rate(
    shards: str | Sequence[str] | Stream,
    *,
    raters: str | Sequence[str],
    store: str | Path,
    layout: str | None = None,
    device: str = "auto",
    workers: int | None = None,
    batch_size: int | None = None,
    max_failures: str | None = None,
    retry: str | Sequence[str] = (),
    trust: bool = False,
    offline: bool = False,
    on_progress: Watch | None = None,
) -> RateReport:
    """Judge every sample of some shards with some raters, once, and keep the ratings in a store.

    `shards` are paths, globs, brace patterns or URLs; or a webdataset pipeline that was not decoded, whose samples then
    cannot be exported, because nobody knows where they lie. Killed at any moment, the same call goes on from there.
    """
    from curate.rating.run import rate_into
    from curate.store import Store

    options = _rate_options(
        layout=layout,
        workers=workers,
        max_failures=max_failures,
        retry=retry,
        device=device,
        batch_size=batch_size,
        trust=trust,
        offline=offline,
        on_progress=on_progress,
    )
    return rate_into(Store.create_or_open(store), [shards] if isinstance(shards, str) else shards, _listed(raters), options)


def rate_stream(
    samples: Stream,
    *,
    raters: str | Sequence[str],
    layout: str | None = None,
    device: str = "auto",
    workers: int | None = None,
    batch_size: int | None = None,
    max_failures: str | None = None,
    trust: bool = False,
    offline: bool = False,
) -> Iterator[Rating]:
    """The ratings of a webdataset pipeline as they come, without a store: nothing is kept, nothing found again."""
    from curate.rating.run import rate_stream as stream

    options = _rate_options(
        layout=layout,
        workers=workers,
        max_failures=max_failures,
        device=device,
        batch_size=batch_size,
        trust=trust,
        offline=offline,
    )
    return stream(samples, _listed(raters), options)


def _rate_options(
    *,
    layout: str | None,
    workers: int | None,
    max_failures: str | None,
    device: str,
    batch_size: int | None,
    trust: bool,
    offline: bool,
    retry: str | Sequence[str] = (),
    on_progress: Watch | None = None,
) -> RateOptions:
    from curate.raters import Settings
    from curate.rating.options import FailureLimit, RateOptions, parse_statuses

    return RateOptions(
        layout=layout,
        workers=workers,
        max_failures=FailureLimit.parse(max_failures),
        retry=parse_statuses(_listed(retry)),
        settings=Settings(device=device, batch_size=batch_size, offline=offline, trust=trust),
        on_progress=on_progress,
    )


def _listed(value: str | Sequence[str]) -> list[str]:
    """One name may stand where several are taken."""
    return [value] if isinstance(value, str) else list(value)


def filter(  # noqa: A001  the verb's name
    store: str | Path,
    *,
    out: str | Path,
    where: str | None = None,
    top: str | None = None,
    by: str | None = None,
    per: str | None = None,
    format: str = "shards",  # noqa: A002  as `--format`
    memory: str | None = None,
) -> ExportReport:
    """Keep the samples for which `where` holds, or the best by `by`, and write them with their original bytes."""
    from curate import select

    desk = _Selecting(store, memory)
    recipe = {"where": where, "top": top, "by": by, "per": per}
    with _scratch() as scratch:
        chosen = select.filter(desk.view, where=where, top=top, by=by, per=per, out=scratch / "kept.parquet", memory=desk.memory)
        return desk.export(chosen.path, chosen.funnels, out, format, recipe, "filter")


def rank(
    store: str | Path,
    *,
    by: str,
    out: str | Path,
    where: str | None = None,
    tie: float = 0.0,
    wins: str | Sequence[str] = (),
    format: str | None = None,  # noqa: A002  as `--format`
    memory: str | None = None,
) -> ExportReport:
    """Put every group in order, best first. Writes a Parquet file, or a dataset where `format` is given.

    `wins` are expressions, each a judge, whose pairwise wins make RankDPO's φ; without them φ is counted from `by` alone.
    """
    from curate import select
    from curate.files import atomic_file

    desk = _Selecting(store, memory)
    recipe: dict[str, Any] = {"by": by, "where": where, "tie": tie, "wins": tuple(_listed(wins))}
    if format is not None:
        with _scratch() as scratch:
            ranked = select.rank(desk.view, **recipe, out=scratch / "rankings.parquet", memory=desk.memory)
            return desk.export(ranked.path, ranked.funnels, out, format, recipe, "rank")
    place = Path(out)
    _refuse_to_overwrite(place)
    _refuse_inside(desk.store.path, place)
    place.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(place) as aside:
        ranked = select.rank(desk.view, **recipe, out=aside, memory=desk.memory)
        _refuse_nothing(ranked.path, ranked.funnels)
    return ExportReport(out=str(out), format="ranking", funnels=list(ranked.funnels))


def _refuse_inside(store: Path, out: str | Path) -> None:
    """Nothing is written into a store but by the store."""
    if Path(out).resolve().is_relative_to(store.resolve()):
        raise OutputError(f"{out} lies inside the store {store}, which keeps its folder to itself; name another place for --out")


def _refuse_to_overwrite(place: Path) -> None:
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


def _refuse_nothing(selection: str | Path, funnels: Sequence[Funnel]) -> None:
    """Raise `OutputError` where a selection is empty, with what became of the input."""
    import pyarrow.parquet as pq

    if pq.read_metadata(selection).num_rows:
        return
    told = []
    for funnel in funnels:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(funnel.dropped.items(), key=lambda one: -one[1]))
        told.append(f"of {funnel.taken:,} {funnel.unit} {funnel.kept:,} left" + (f" ({reasons})" if reasons else ""))
    raise OutputError(f"nothing is left to write: {'; '.join(told)}")


def pair(
    store: str | Path,
    *,
    by: str,
    out: str | Path,
    format: str = "diffusers-dpo",  # noqa: A002  as `--format`
    strategy: str = "best-worst",
    min_margin: str | float = "0",
    where: str | None = None,
    tie: float = 0.0,
    ties: str = "drop",
    agree: str | Sequence[str] = (),
    at_least: int | None = None,
    max_per_group: int | None = None,
    max_per_sample: int | None = None,
    split: str | None = None,
    seed: int = 0,
    memory: str | None = None,
) -> ExportReport:
    """Pair a better with a worse response to the same request, and write the pairs for a trainer."""
    from curate import select

    desk = _Selecting(store, memory)
    recipe: dict[str, Any] = {
        "by": by,
        "strategy": strategy,
        "min_margin": str(min_margin),
        "where": where,
        "tie": tie,
        "ties": ties,
        "agree": tuple(_listed(agree)),
        "at_least": at_least,
        "max_per_group": max_per_group,
        "max_per_sample": max_per_sample,
        "split": split,
        "seed": seed,
    }
    with _scratch() as scratch:
        paired = select.pair(desk.view, **recipe, out=scratch / "pairs.parquet", memory=desk.memory)
        return desk.export(paired.path, paired.funnels, out, format, recipe, "pair")


def export(store: str | Path, selection: str | Path, *, format: str, out: str | Path) -> ExportReport:  # noqa: A002
    """Write a selection (a ranking, pairs, kept samples) once more for another reader."""
    desk = _Selecting(store, None)
    return desk.export(Path(selection), [], out, format, {"selection": str(selection)}, "export")


def show(path: str | Path) -> Shown:
    """What is in a store or in an exported dataset: counts, statuses, distributions."""
    from curate import showing

    return showing.show(path)


def check(dataset: str | Path, *, format: str | None = None, most: int = 1000) -> CheckReport:  # noqa: A002
    """Read a dataset the way its trainer does, and report what would hurt."""
    from curate.checking import check as find

    counts: Counter[str] = Counter()
    findings: list[Finding] = []
    for finding in find(dataset, format=format):
        counts[f"{finding.severity}: {finding.rule}"] += 1
        if len(findings) < most:
            findings.append(finding)
    return CheckReport(dataset=str(dataset), findings=findings, counts=dict(sorted(counts.items())))


class _Selecting:
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
        _refuse_inside(self.store.path, out)
        if funnels:
            _refuse_nothing(selection, funnels)
        told = {name: value for name, value in recipe.items() if value not in (None, (), "")}
        options = Options(
            recipe={"verb": verb, "store": self.store.path.name, **told},
            command=_command(verb, self.store.path, told, format_name, out),
            funnels=list(funnels),
        )
        with open_source(self.store, self.view, selection) as source:
            written = write(selection, source, out, format=format_name, options=options)
            forbidden = sorted({card.name for card in source.cards() if card.commercial is False})
        warnings = [f"the licence of {name} forbids commercial use, and its ratings chose these data" for name in forbidden]
        warnings += json.loads((Path(out) / "curate.json").read_text(encoding="utf-8"))["notes"]
        warnings += self.gone()
        return ExportReport(out=str(out), format=format_name, funnels=[*funnels, *written], warnings=warnings)

    def gone(self) -> list[str]:
        """What to say of shards that are not where they were: their samples take part, and cannot be copied."""
        from curate.bridge import missing_shards

        missing = missing_shards(self.store)
        if not missing:
            return []
        return [
            f"{len(missing)} of the store's shards are not where they were ({missing[0]} …), so their media cannot be read; "
            "rate them where they lie now, which computes nothing again"
        ]


@contextmanager
def _scratch() -> Iterator[Path]:
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
