"""How much work the cards are: `python -m tests.scorers.speed [CARD …]` measures all or some of them and writes it.

Each card runs through its own loading and preprocessing code over a network of its true size, whose weights are random
(`tests.scorers.speed_networks`): speed does not depend on them. Two numbers are taken, of decoded
pictures of 1024 x 1024, each with a prompt and with whatever conditions the card wants:

- `gflop`: 10^9 floating point operations of the network a picture, a multiplication and an addition being two; counted, not run;
- `seconds`: of a CPU, in one thread, a picture: the preprocessing and the network, the best of a few rounds over new pictures.
  Networks of more than `MOST_BYTES` or `MOST_GFLOP` are not run.
"""

from __future__ import annotations

import gc
import json
import platform
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
import torch
import yaml

from curate.batch_raters import BatchRater
from curate.cards import Card, CardFile, load_card, shipped_cards
from curate.rater_loading import load_rater
from curate.rater_settings import Settings
from curate.raters import Item
from curate.records import Status
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs
from curate.scorers.pictures import items_of
from tests.generated import RUBRIC
from tests.scorers.speed_counting import Counter
from tests.scorers.speed_files import Place
from tests.scorers.speed_networks import Maker, maker
from tests.scorers.tiny.cards import merged

WRITTEN = Path(__file__).with_name("speed.json")

SIDE, FRAMES = 1024, 16
MOST_BYTES, MOST_GFLOP = 6_000_000_000, 800.0
BATCH, LONG_BATCH = 4, 1
LONG = 2.0
"""Seconds a picture from which on pictures are timed one by one."""
ROUNDS = 3

NOT_MEASURED = dict.fromkeys(
    ("clipiqa", "musiq", "topiq-nr"), "pyiqa, whose licence is not free, is not installed where this is measured"
)
"""Cards that have no numbers, and why."""


class Speed(TypedDict):
    """What is written of a card: numbers, or why there are none."""

    gflop: NotRequired[float]
    """A picture; of videos, one of `FRAMES` frames."""
    seconds: NotRequired[float]
    """Of one CPU thread, a picture; not there where the network is too large to be run."""
    reason: NotRequired[str]
    machine: NotRequired[str]
    date: NotRequired[str]


def measured(name: str) -> Speed:
    """Both numbers of a card, as far as they can be had."""
    if name in NOT_MEASURED:
        return Speed(reason=NOT_MEASURED[name])
    make = maker(name)
    found = Speed(machine=machine(), date=datetime.now(UTC).date().isoformat())
    weights_bytes = 0
    if make is not None:
        found["gflop"], weights_bytes = counted(name, make)
    video = shipped_cards()[name].card.takes.response == "video"
    if not video and weights_bytes <= MOST_BYTES and found.get("gflop", 0.0) <= MOST_GFLOP:
        found["seconds"] = timed(name, make)
    return found


def counted(name: str, make: Maker) -> tuple[float, int]:
    """GFLOP of one picture or video, and the size of the card's weights in bytes."""
    counter = Counter()
    with tempfile.TemporaryDirectory() as folder:
        place = Place(folder=Path(folder), filled=False)
        file = _card_over(name, make, place)
        before = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # It would hide the products that are counted.
        try:
            with torch.no_grad(), counter:
                with counter.loading():
                    rater = _load(file)
                counter.operations = 0
                _judge_one(file.card, rater)
        finally:
            torch.backends.mha.set_fastpath_enabled(before)
        return float(f"{counter.operations / 1e9:.3g}"), place.weights_bytes


def timed(name: str, make: Maker | None) -> float:
    """CPU seconds a picture, the least of some rounds, since others may use the machine meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(folder=Path(folder), filled=True)
        file = shipped_cards()[name] if make is None else _card_over(name, make, place)
        rater = _load(file)
        first = min(_seconds(file.card, rater, 1, round_) for round_ in (0, 1))
        batch = BATCH if first < LONG else LONG_BATCH
        best = min(_seconds(file.card, rater, batch, round_) for round_ in range(2, 2 + ROUNDS))
        rater.close()
        return float(f"{best:.2g}")


def photographs(number: int) -> list[np.ndarray]:
    """Four of 1024 x 1024, one of them of a printed page, which differ for each number in where they begin."""
    from PIL import Image
    from skimage import data

    four = [data.astronaut(), data.coffee(), data.chelsea(), np.stack([data.page()] * 3, axis=-1)]
    large = [np.asarray(Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for one in four]
    return [np.roll(one, number, axis=1) for one in large]


def machine() -> str:
    """What is measured on."""
    model = platform.processor() or platform.machine()
    about = Path("/proc/cpuinfo")
    if about.is_file() and (found := re.search(r"^model name\s*:\s*(.+)$", about.read_text(), re.MULTILINE)):
        model = found[1]
    return f"{model}, torch {torch.__version__}"


def rewards() -> list[str]:
    """The cards that are measured: all but those of rubrics, which are as fast as the model that is asked."""
    return sorted(name for name, file in shipped_cards().items() if file.card.target != RUBRIC)


def written() -> dict[str, Speed]:
    """What is written down, by card."""
    speeds: dict[str, Speed] = json.loads(WRITTEN.read_text(encoding="utf-8")) if WRITTEN.is_file() else {}
    return speeds


def _card_over(name: str, make: Maker, place: Place) -> CardFile:
    """The shipped card over a network of its true size in `place`."""
    made = make(place)
    shipped = yaml.safe_load(Path(shipped_cards()[name].where).read_text(encoding="utf-8"))
    shipped |= {"weights": {role: dict(one) for role, one in made.weights.items()}}
    shipped |= {"args": merged(shipped.get("args", {}), made.args)}
    path = place.folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(shipped), encoding="utf-8")
    return load_card(str(path))


def _load(file: CardFile) -> BatchRater:
    rater = load_rater(file, Settings(device="cpu"))
    assert isinstance(rater, BatchRater), "as all that judge pictures are"
    return rater


def _items(card: Card, rater: BatchRater, count: int, number: int) -> Iterator[Item]:
    pictures = photographs(number)[:count]
    prompts = [f'a photograph that says "number {number} of {one}"' for one in range(count)]
    beside = {role: [picture[:, ::-1].copy() for picture in pictures] for role in card.takes.conditions}
    return items_of(card, rater.preparations, pictures, prompts, beside)


def _seconds(card: Card, rater: BatchRater, count: int, number: int) -> float:
    """CPU seconds a picture of `count` pictures that the rater has not seen, prepared and judged."""
    items = _items(card, rater, count, number)
    started = time.process_time()
    judgements = list(rater.judge(items))
    seconds = (time.process_time() - started) / count
    main = [one.values[card.main] for one in judgements]
    # Some of the photographs hold no face; the first can be judged by every card.
    if main[0].status not in (Status.OK, Status.PARSE_ERROR):
        raise RuntimeError(f"{card.name} did not judge: {main[0].status}, {main[0].detail}")
    return seconds


def _judge_one(card: Card, rater: BatchRater) -> None:
    """One picture, or one video of half as many seconds as frames: the same picture, moved."""
    if card.takes.response != "video":
        list(rater.judge(_items(card, rater, 1, 0)))
        return
    assert isinstance(rater, NetworkRater)
    frames = [rater.preparations[0].make(photographs(number)[0]) for number in range(FRAMES)]
    pixels = torch.from_numpy(np.stack(frames)).movedim(-1, 1)[None].float() / 255
    rater.forward(Inputs(pixels={"response": pixels}, prompts=["a photograph"]))


def main(names: Sequence[str]) -> None:
    """Measure and write, card by card."""
    torch.set_num_threads(1)
    for name in names or rewards():
        found = measured(name)
        WRITTEN.write_text(json.dumps({**written(), name: found}, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        gc.collect()


if __name__ == "__main__":
    main(sys.argv[1:])
