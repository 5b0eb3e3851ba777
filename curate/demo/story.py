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

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate import api
from curate.demo.ladder import candidates
from curate.demo.photos import photographs
from curate.demo.sheet import Card, Side, contact_sheet
from curate.errors import OutputError
from curate.files import atomic_file, atomic_folder
from curate.progress import Progress
from curate.records import Funnel

GOOD = "signal > 0.6"
MARGIN = 0.05
"""Differences of the rater below this are taken for noise."""
PAIRS_PER_GROUP = 8
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
    funnels: list[Funnel]
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[object]]]] = ()
    """Title, columns and rows of what there is to see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How many pairs are the right way round, by the answer key."""

    right: int
    """The chosen response is the less degraded one."""
    wrong: int
    undecided: int
    """Both are equally degraded, so either way round is right."""

    @property
    def share(self) -> float:
        """Of the pairs that have a right way round; 0 where there is none."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 0.0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """A row of the exported dataset, and what the answer key says of it."""

    prompt: str
    group: str
    sides: tuple[Side, Side]
    severities: tuple[int, int]
    margin: float


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
    pairs = _pairs(folder)
    verdict = _verdict(pairs)
    _draw(pairs, verdict, folder / "contact-sheet.png")
    return DemoReport(out=str(folder), computed=computed, steps=steps, verdict=verdict)


def _steps(folder: Path, shards: str, store: Path, on_progress: Callable[[Progress], None] | None) -> Iterator[tuple[Step, int]]:
    """Each step, done, with the number of ratings it computed."""
    rated = api.rate(shards, raters=["signal"], store=store, on_progress=on_progress)
    yield Step(command=f"curate rate '{shards}' --rater signal --store {store}", funnels=rated.funnels), rated.computed
    tables = [(one.title, one.columns, one.rows) for one in api.show(store).tables]
    yield Step(command=f"curate show {store}", funnels=[], tables=tables), 0
    kept = api.filter(store, where=GOOD, out=folder / "kept")
    yield Step(command=f"curate filter {store} --where '{GOOD}' --out {folder / 'kept'}", funnels=kept.funnels), 0
    ranking = folder / "ranking.parquet"
    ranked = api.rank(store, by="signal", out=ranking)
    yield Step(command=f"curate rank {store} --by signal --out {ranking}", funnels=ranked.funnels), 0
    dataset = folder / "pairs"
    paired = api.pair(store, by="signal", strategy="all", min_margin=MARGIN, max_per_group=PAIRS_PER_GROUP, out=dataset)
    options = f"--strategy all --min-margin {MARGIN} --max-per-group {PAIRS_PER_GROUP}"
    yield Step(command=f"curate pair {store} --by signal {options} --out {dataset}", funnels=paired.funnels), 0
    checked = api.check(dataset)
    findings = [("Findings", ("rule", "rows"), sorted(checked.counts.items()))]
    yield Step(command=f"curate check {dataset}", funnels=[], tables=findings), 0


def _make_room(folder: Path) -> None:
    """Remove what an earlier run made and this one makes anew; refuse a folder that is not the demo's own."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "shards" / "answers.json").is_file():
        raise OutputError(f"{folder} holds other things than an earlier demo; name a new or an empty folder with --out")
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
                made = {"photo": photo.name, "defect": one.defect, "severity": one.severity, "credit": photo.credit}
                members = {"jpg": one.data, "txt": photo.prompt.encode(), "json": json.dumps(made).encode()}
                writer.write(f"{photo.name}-{one.defect}-{one.severity}", members)
                answers[hashlib.sha256(one.data).hexdigest()] = made
        (aside / "answers.json").write_text(json.dumps(answers, indent=1), encoding="utf-8")


def _pairs(folder: Path) -> list[_Pair]:
    """The pairs as a trainer reads them. The answer key knows a response by its bytes, which an export keeps as they were."""
    from pyarrow import parquet

    answers = json.loads((folder / "shards" / "answers.json").read_text(encoding="utf-8"))
    pairs = []
    for file in sorted((folder / "pairs").rglob("*.parquet")):
        for row in parquet.read_table(file).to_pylist():
            made = [answers[hashlib.sha256(row[name]).hexdigest()] for name in ("jpg_0", "jpg_1")]
            values = (row["chosen_value"], row["rejected_value"])
            sides = [
                Side(data=row[name], caption=f"{_words(one)} · signal {value:.3f}")
                for name, one, value in zip(("jpg_0", "jpg_1"), made, values, strict=True)
            ]
            severities = (made[0]["severity"], made[1]["severity"])
            pairs.append(
                _Pair(
                    prompt=row["caption"],
                    group=row["group"],
                    sides=(sides[0], sides[1]),
                    severities=severities,
                    margin=row["margin"],
                )
            )
    return pairs


def _words(made: dict[str, Any]) -> str:
    return "the photograph itself" if made["severity"] == 0 else f"{made['defect']}, severity {made['severity']}"


def _verdict(pairs: Sequence[_Pair]) -> Verdict:
    differences = [pair.severities[1] - pair.severities[0] for pair in pairs]
    return Verdict(
        right=sum(difference > 0 for difference in differences),
        wrong=sum(difference < 0 for difference in differences),
        undecided=sum(difference == 0 for difference in differences),
    )


def _draw(pairs: Sequence[_Pair], verdict: Verdict, path: Path) -> None:
    """One pair from each of some groups, a different one each time, so that different defects are seen."""
    groups: dict[str, list[_Pair]] = defaultdict(list)
    for pair in pairs:
        groups[pair.group].append(pair)
    shown = [group[number % len(group)] for number, (_, group) in enumerate(sorted(groups.items()))][:SHOWN]
    cards = [Card(prompt=one.prompt, chosen=one.sides[0], rejected=one.sides[1], margin=one.margin) for one in shown]
    subtitle = f"{len(pairs)} pairs of {len(groups)} photographs; the less degraded one is chosen in {verdict.share:.1%} of them"
    sheet = contact_sheet(cards, title="Pairs that curate made with the rater 'signal'", subtitle=subtitle)
    with atomic_file(path) as aside:
        sheet.save(aside, "PNG")
