"""The demo from shards to pairs, and the verdict on it.

Everything lies below one folder and stays there to play with:

    shards/             the candidates, and answers.json, which says how each was made
    store/              their ratings
    kept/               `filter`: the good ones, as shards again
    ranking.parquet     `rank`: every group in order
    pairs/              `pair`: a dataset as diffusers' DPO scripts read it
    contact-sheet.png   some of the pairs
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate import api
from curate.demo.answers import ANSWERS, Answer, JudgedPair, Verdict, digest, judge, read_pairs, worth_showing, write_answers
from curate.demo.ladder import candidates
from curate.demo.photos import PHOTOS, photographs
from curate.demo.sheet import contact_sheet
from curate.errors import Option, OutputError
from curate.files import atomic_file, atomic_folder
from curate.progress import Progress
from curate.records import Funnel

if TYPE_CHECKING:
    from curate.rating.report import RateReport
    from curate.reports import CheckReport, ExportReport
    from curate.showing import Shown

GOOD = "signal > 0.6"
MARGIN = 0.05
"""Differences of the rater below this are taken for noise."""
PAIRS_PER_SAMPLE = 2
"""So that pairs of every kind are there, not only the ones that lie furthest apart."""
SHARD_SAMPLES = 64
SHOWN = 8
"""Pairs on the contact sheet."""
OUTPUTS = ("kept", "ranking.parquet", "pairs", "contact-sheet.png")
"""What a second run makes anew; shards and store are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the demo, when it is done."""

    command: str
    """The command line that does the same."""
    report: RateReport | Shown | ExportReport | CheckReport
    """What the command prints."""

    @property
    def funnels(self) -> list[Funnel]:
        """What became of its input; none where nothing is made."""
        return list(getattr(self.report, "funnels", []))


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReport:
    """What the demo made, and how well."""

    out: str
    computed: int
    """Ratings computed in this run; 0 when all were known from an earlier one."""
    steps: list[Step]
    verdict: Verdict

    def as_dict(self) -> dict[str, Any]:
        return {
            "out": self.out,
            "computed": self.computed,
            "funnels": [funnel.as_dict() for step in self.steps for funnel in step.funnels],
            "right": self.verdict.right,
            "wrong": self.verdict.wrong,
            "undecided": self.verdict.undecided,
            "share_right": self.verdict.share,
        }


def run_demo(
    out: str | Path, *, on_step: Callable[[Step], None] | None = None, on_progress: Callable[[Progress], None] | None = None
) -> DemoReport:
    """Make shards, rate, show, filter, rank, pair and check below the folder `out`, and judge the pairs.

    A second run keeps shards and store, so it computes no rating. Raises `MissingExtra` where the photographs are not
    installed, `OutputError` where `out` holds something else.
    """
    folder = Path(out)
    steps: list[Step] = []
    _make_room(folder)
    _make_shards(folder / "shards")
    shards, store = str(folder / "shards" / "*.tar"), folder / "store"
    computed = 0
    for step, count in _steps(folder, shards, store, on_progress):
        computed += count
        steps.append(step)
        if on_step is not None:
            on_step(step)
    pairs = read_pairs(folder / "pairs", folder / "shards")
    verdict = judge(pairs)
    _draw(pairs, verdict, folder / "contact-sheet.png")
    return DemoReport(out=str(folder), computed=computed, steps=steps, verdict=verdict)


def _steps(folder: Path, shards: str, store: Path, on_progress: Callable[[Progress], None] | None) -> Iterator[tuple[Step, int]]:
    """Each step, done, with the number of ratings it computed."""
    rated = api.rate(shards, raters=["signal"], store=store, on_progress=on_progress)
    yield Step(command=f"curate rate '{shards}' --rater signal --store {store}", report=rated), rated.computed
    yield Step(command=f"curate show {store}", report=api.show(store)), 0
    kept = api.filter(store, where=GOOD, out=folder / "kept")
    yield Step(command=f"curate filter {store} --where '{GOOD}' --out {folder / 'kept'}", report=kept), 0
    ranking = folder / "ranking.parquet"
    ranked = api.rank(store, by="signal", out=ranking)
    yield Step(command=f"curate rank {store} --by signal --out {ranking}", report=ranked), 0
    dataset = folder / "pairs"
    paired = api.pair(store, by="signal", strategy="all", min_margin=MARGIN, max_per_sample=PAIRS_PER_SAMPLE, out=dataset)
    options = f"--strategy all --min-margin {MARGIN} --max-per-sample {PAIRS_PER_SAMPLE}"
    yield Step(command=f"curate pair {store} --by signal {options} --out {dataset}", report=paired), 0
    yield Step(command=f"curate check {dataset}", report=api.check(dataset)), 0


def _make_room(folder: Path) -> None:
    """Remove what an earlier run made and this one makes anew; refuse a folder that is not the demo's own."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "shards" / ANSWERS).is_file():
        raise OutputError(f"{folder} holds other things than an earlier demo; name a new or an empty folder with ", Option("out"))
    for name in OUTPUTS:
        place = folder / name
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def _make_shards(folder: Path) -> None:
    """Write every candidate into shards, and the answer key beside them, unless they are there already."""
    from curate.shards.write import ShardWriter

    if folder.is_dir():
        return
    pictures = list(photographs())  # before the folder is made, so that a missing package leaves nothing behind
    answers = {}
    with atomic_folder(folder) as aside, ShardWriter(aside, max_samples=SHARD_SAMPLES) as writer:
        for photo, picture in pictures:
            for one in candidates(picture, photo.name):
                answer = Answer(photo=photo.name, defect=one.defect, severity=one.severity, credit=photo.credit)
                metadata = json.dumps(asdict(answer), ensure_ascii=False).encode()
                members = {"jpg": one.data, "txt": photo.prompt.encode(), "json": metadata}
                writer.write(f"{photo.name}-{one.defect}-{one.severity}", members)
                answers[digest(one.data)] = answer
        write_answers(answers, aside)


def _draw(pairs: Sequence[JudgedPair], verdict: Verdict, path: Path) -> None:
    tiles = worth_showing(pairs, [photo.name for photo in PHOTOS], SHOWN)
    decided = verdict.right + verdict.wrong
    subtitle = f"{len(pairs)} pairs of {len(PHOTOS)} photographs; in {verdict.right} of {decided} the less degraded one is chosen"
    sheet = contact_sheet(tiles, title="Pairs that curate made with the rater 'signal'", subtitle=subtitle)
    with atomic_file(path) as aside:
        sheet.save(aside, "PNG")
