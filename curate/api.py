"""The public verbs: what the command line does, under the same names, for notebooks and scripts.

    import curate

    curate.rate("shards/*.tar", raters=["signal"], store="store/")
    curate.pair("store/", by="signal", strategy="best-worst", format="diffusers-dpo", out="dpo/")

Every verb raises `CurateError` for what its caller can mend, and returns a report whose numbers add up.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from curate.errors import CurateError, MissingExtra
from curate.names import is_store
from curate.outputs import file_made_at, refuse_nothing, refuse_to_overwrite
from curate.progress import Progress
from curate.records import Rating
from curate.reports import CheckReport, ExportReport
from curate.selecting import Selecting

if TYPE_CHECKING:
    from curate.cards import CardFile
    from curate.checking import Finding
    from curate.rating.options import RateOptions
    from curate.rating.report import RateReport
    from curate.rating.run import Stream
    from curate.scorers.convert import Conversion
    from curate.scorers.network import NetworkRater
    from curate.scorers.parity import Trial
    from curate.scorers.scoring import PictureScorer
    from curate.serving import Serving
    from curate.showing import Shown

Watch = Callable[[Progress], None]

Names = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""Names or paths, one or several."""


def rate(
    shards: Names | Stream,
    *,
    raters: Names,
    store: str | Path,
    layout: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    readers: int = 1,
    seconds_per_sample: float | None = None,
    batch_size: int | None = None,
    max_failures: str | int | None = None,
    retry: str | Sequence[str] = (),
    trust: bool = False,
    offline: bool = False,
    serving: Serving | str | None = None,
    on_progress: Watch | None = None,
) -> RateReport:
    """Judge every sample of some shards with some raters, once, and keep the ratings in a store.

    `shards` are paths, globs, brace patterns or URLs; or a webdataset pipeline that was not decoded, whose samples then
    cannot be exported, because nobody knows where they lie. Killed at any moment, the same call goes on from there.

    `raters` are names of cards or paths of your own; `NAME=CARD` is a card under another name. A call that is refused leaves no
    empty store behind. `serving` is the server that vision-language judges ask, or its URL; without one they run on this machine.
    `readers` shards are read at the same time, and decoding a sample is given up after `seconds_per_sample`, 30 where not said.
    """
    from curate.rating.run import rate_into
    from curate.store.made_for import store_made_for

    options = _rate_options(
        layout=layout,
        workers=workers,
        readers=readers,
        seconds_per_sample=seconds_per_sample,
        max_failures=max_failures,
        retry=retry,
        device=device,
        batch_size=batch_size,
        trust=trust,
        offline=offline,
        serving=serving,
        on_progress=on_progress,
    )
    with store_made_for(store) as opened:
        return rate_into(opened, _shards(shards), _listed(raters), options)


def estimate(
    shards: Names,
    *,
    raters: Names,
    store: str | Path | None = None,
    layout: str | Path | None = None,
    workers: int | None = None,
    serving: Serving | str | None = None,
    on_progress: Watch | None = None,
) -> RateReport:
    """What `rate` would ask of vision-language judges, with nothing asked and nothing kept: `told` of the report has the numbers.

    What `store` holds already is not counted. Raters of other kinds are left out, since they cost nothing but time.
    """
    from curate.rating.estimating import estimate_into

    options = _rate_options(
        layout=layout,
        workers=workers,
        max_failures=None,
        device="cpu",
        batch_size=None,
        trust=False,
        offline=True,
        serving=serving,
        on_progress=on_progress,
    )
    return estimate_into(None if store is None else Path(store), _listed(shards), _listed(raters), options)


def rate_stream(
    samples: Stream,
    *,
    raters: Names,
    layout: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    batch_size: int | None = None,
    max_failures: str | int | None = None,
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
    layout: str | Path | None,
    workers: int | None,
    max_failures: str | int | None,
    device: str,
    batch_size: int | None,
    trust: bool,
    offline: bool,
    readers: int = 1,
    seconds_per_sample: float | None = None,
    retry: str | Sequence[str] = (),
    serving: Serving | str | None = None,
    on_progress: Watch | None = None,
) -> RateOptions:
    from curate.rater_settings import Settings
    from curate.rating.options import SECONDS_PER_SAMPLE, FailureLimit, RateOptions, parse_statuses
    from curate.serving import Serving

    if isinstance(serving, str):
        serving = Serving(url=serving)

    return RateOptions(
        layout=None if layout is None else os.fspath(layout),
        workers=workers,
        readers=readers,
        seconds_per_sample=SECONDS_PER_SAMPLE if seconds_per_sample is None else seconds_per_sample,
        max_failures=FailureLimit.parse(max_failures),
        retry=parse_statuses(_listed(retry)),
        settings=Settings(device=device, batch_size=batch_size, offline=offline, trust=trust, serving=serving),
        on_progress=on_progress,
    )


def _listed(value: Names) -> list[str]:
    """One name may stand where several are taken, and a path where a name is."""
    several: object = [value] if isinstance(value, str | os.PathLike) else value
    names: list[Any] = list(several) if isinstance(several, Iterable) else [several]
    if wrong := [one for one in names if not isinstance(one, str | os.PathLike)]:
        raise CurateError(f"a name or a path is a text, not {wrong[0]!r}")
    return [os.fspath(one) for one in names]


def _shards(value: Names | Stream) -> list[str] | Stream:
    """The names of shards, or the samples of a stream."""
    if not isinstance(value, str | os.PathLike | Sequence):
        return value
    several = [value] if isinstance(value, str | os.PathLike) else value
    if several and all(isinstance(one, Mapping) for one in several):
        return iter(cast("Stream", several))
    for one in several:
        if not isinstance(one, str | os.PathLike):
            raise CurateError(f"shards are paths and URLs, or samples as webdataset gives them, not {type(one).__name__}")
    return _listed(cast("Names", several))


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

    selecting = Selecting(store, out=out, format_name=format, makes="samples", memory=memory)
    return selecting.make(select.filter, {"where": where, "top": top, "by": by, "per": per}, out, format, "filter")


def rank(
    store: str | Path,
    *,
    by: str,
    out: str | Path,
    where: str | None = None,
    tie: float = 0.0,
    wins: str | Sequence[str] = (),
    split: str | None = None,
    seed: int = 0,
    format: str | None = None,  # noqa: A002  as `--format`
    memory: str | None = None,
) -> ExportReport:
    """Put every group in order, best first. Writes a Parquet file, or a dataset where `format` is given.

    `wins` are expressions, each a judge, whose pairwise wins make RankDPO's φ; without them φ is counted from the ranks.
    `split`, such as `test=5%`, shares prompts out by their hash with `seed`.
    """
    from curate import select

    selecting = Selecting(store, out=out, format_name=format, makes="rankings", memory=memory)
    recipe: dict[str, Any] = {"by": by, "where": where, "tie": tie, "wins": tuple(_listed(wins)), "split": split, "seed": seed}
    if format is not None:
        return selecting.make(select.rank, recipe, out, format, "rank")
    place = Path(out)
    refuse_to_overwrite(place)
    with file_made_at(place) as made:
        ranked = selecting.select(select.rank, recipe, made, told_as=place)
        behind = selecting.behind(made)
        with selecting.telling_why(behind):
            refuse_nothing(ranked.path, ranked.funnels)
    funnels = [*selecting.found(), *ranked.funnels]
    return ExportReport(out=str(out), format="ranking", funnels=funnels, warnings=behind)


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
    prefer: str = "margin",
    split: str | None = None,
    seed: int = 0,
    memory: str | None = None,
) -> ExportReport:
    """Pair a better with a worse response to the same request, and write the pairs for a trainer.

    `prefer` says which pairs stay where `max_per_group` or `max_per_sample` takes some: those of the largest `margin`, or
    `random` ones. `seed` decides what is left to chance: those, and which prompts `split` puts where.
    """
    from curate import select

    selecting = Selecting(store, out=out, format_name=format, makes="pairs", memory=memory)
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
        "prefer": prefer,
        "split": split,
        "seed": seed,
    }
    return selecting.make(select.pair, recipe, out, format, "pair")


def export(store: str | Path, selection: str | Path, *, format: str, out: str | Path) -> ExportReport:  # noqa: A002
    """Write a selection (a ranking, pairs, kept samples) once more for another reader.

    Where shards are gone since, their samples are left out: pairs with them, and places of lists, which are ranked again.
    """
    return Selecting(store, out=out, format_name=format).export(selection, out, format)


def show(path: str | Path) -> Shown:
    """What is in a store or in an exported dataset: counts, statuses, distributions."""
    from curate import showing

    return showing.show(path)


def check(dataset: str | Path, *, format: str | None = None, most: int = 1000) -> CheckReport:  # noqa: A002
    """Read a dataset the way its trainer does, and report what would hurt; of a store, what is not as it was written."""
    from curate.checking import check as find

    whole = format is None and is_store(dataset)
    counts: Counter[str] = Counter()
    findings: list[Finding] = []
    for finding in _damage(dataset) if whole else find(dataset, format=format):
        counts[f"{finding.severity}: {finding.rule}"] += 1
        if len(findings) < most:
            findings.append(finding)
    return CheckReport(dataset=str(dataset), findings=findings, counts=dict(sorted(counts.items())))


def _damage(store: str | Path) -> Iterator[Finding]:
    """A finding for every file of a store that is not as it was written."""
    from curate.checking.findings import Place
    from curate.store import Store

    with Store.open(store) as opened:
        damaged = opened.verify()
    for damage in damaged:
        yield Place(file=damage.file).error("damaged-store", damage.what, "Put back a copy of it, or rate into a new store.")


def card(name_or_path: str | Path) -> CardFile:
    """A card by name, or one of your own by the path of its file, as `--rater` takes it.

    What can be wrong with it and shows without weights, packages and a server raises `CardError`; of a rubric that is all of its
    `args`, of others those that every card has.
    """
    from curate.cards import JUDGES, load_card

    file = load_card(str(name_or_path))
    if file.card.target.startswith(JUDGES):
        from curate.rubrics.loading import check_rubric

        check_rubric(file)
    return file


def scorer(
    name_or_path: str | Path, *, device: str = "auto", batch_size: int | None = None, offline: bool = False, trust: bool = False
) -> NetworkRater | PictureScorer:
    """The rater of a card, loaded, to be called: `.score(images, prompts)`, and `.score_tensor(pixels, prompts)` for gradients.

    pickscore = curate.scorer("pickscore")
    pickscore.score(["fox.png"], ["a fox in the snow"])   # tensor of shape (1, 1)

    Raters without a network of torch (`signal`, `ocr`, `nsfw` …) give arrays, and have no gradients. `trust` lets a card of your
    own name an engine outside curate.
    """
    from curate.scorers import doors

    return doors.scorer(str(name_or_path), device=device, batch_size=batch_size, offline=offline, trust=trust)


def convert(name_or_path: str | Path, *, offline: bool = False) -> list[Conversion]:
    """Convert the pickled weights of a card to safetensors, once, in a process that runs nothing of them."""
    from curate.cards import load_card

    with _rewards_extra("converting weights"):
        from curate.scorers.convert import convert
    return convert(load_card(str(name_or_path)), offline=offline)


def parity(
    name_or_path: str, *, images: str | Path | None = None, device: str = "cpu", offline: bool = False, trust: bool = False
) -> list[Trial]:
    """Try the published numbers of a card's original with the rater as it is on this machine.

    `images` is the folder with the original's pictures. Raises `CurateError` where nothing can be tried.
    """
    from curate.cards import load_card

    with _rewards_extra("comparing with an original"):
        from curate.scorers.parity import parity
    folder = None if images is None else Path(images)
    return parity(load_card(name_or_path), images=folder, device=device, offline=offline, trust=trust)


@contextmanager
def _rewards_extra(feature: str) -> Iterator[None]:
    """Say which packages are missing where torch is not installed."""
    try:
        yield
    except ModuleNotFoundError as problem:
        if (problem.name or "").startswith("curate"):
            raise
        raise MissingExtra(feature, "rewards", problem) from problem
