"""Raters that need no model: real raters behind real cards.

Their values come from the sample's id, so they are the same whatever the order, the batch or the process. Between them they
judge in all the ways a rater may: in batches, with many requests in flight and answers in any order, and with answers that
come later.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path

from curate.batch_raters import BatchRater
from curate.cards import CardFile
from curate.errors import CardError, Option
from curate.rater_settings import Settings
from curate.raters import Item, Judgement, Place, Preparation, Value, failed, measured
from curate.records import Status


def _own_file(file: CardFile, settings: Settings, argument: str) -> str | None:
    """The path that an argument of the card names; only a trusted card may have files of one's own read or written."""
    path = file.card.args.get(argument)
    if path is not None and not settings.trust:
        raise CardError(f"{file.where}: '{argument}' names a file of yours; pass ", Option("trust"), " if you know this card")
    return None if path is None else str(path)


def unit_interval(*parts: str) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


class HashRater(BatchRater):
    """Judges in batches by a hash of the sample's id.

    Arguments of its card: `fail` (share of samples that get the status `error`), `log` (a file to which every judged
    sample is appended), `place` (`main` or `worker`), `memory` (batches larger than this are out of memory), `seconds`
    (how long each sample takes).
    """

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = file.card.args
        self.place: Place = args.get("place", "main")
        self.dimensions = tuple(file.card.dimensions)
        self.batch_size = settings.batch_size or 64
        self._name = file.card.name
        self._fail = float(args.get("fail", 0.0))
        self._log = _own_file(file, settings, "log")
        self._memory = int(args.get("memory", 1 << 30))
        self._seconds = float(args.get("seconds", 0.0))

    def judge_batch(self, batch: Sequence[Item]) -> Sequence[Judgement]:
        if len(batch) > self._memory:
            raise MemoryError(f"a batch of {len(batch)}")
        time.sleep(self._seconds * len(batch))
        if self._log:
            with Path(self._log).open("a") as log:
                log.writelines(f"{item.samples[0].id}\n" for item in batch)
        return [self._judge(item) for item in batch]

    def _judge(self, item: Item) -> Judgement:
        sample = item.samples[0].id
        if unit_interval(self._name, "fails", sample) < self._fail:
            return failed(item, self.dimensions, Status.ERROR, "told to fail")
        values = {name: measured(unit_interval(self._name, name, sample)) for name in self.dimensions}
        return Judgement(item=item.number, values=values)


class MeanPixel:
    """A preparation for tests: one pixel, the mean of all, rounded."""

    def __call__(self, pixels: object) -> object:
        import numpy as np

        return np.asarray(pixels).mean(axis=(0, 1)).round().astype(np.uint8).reshape(1, 1, 3)


class BrightnessRater(BatchRater):
    """Judges by the mean of the pixels that a decode worker prepared; tests the way of arrays through the engine."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        self.dimensions = tuple(file.card.dimensions)
        self.batch_size = settings.batch_size or 64
        self.preparations = (Preparation(name="mean-pixel", make=MeanPixel()),)  # type: ignore[arg-type]

    def judge_batch(self, batch: Sequence[Item]) -> Sequence[Judgement]:
        judgements = []
        for item in batch:
            value = measured(float(item.prepared[0][("response", "mean-pixel")].mean()) / 255)
            judgements.append(Judgement(item=item.number, values=dict.fromkeys(self.dimensions, value)))
        return judgements


class ServerRater:
    """Judges like a rater behind a server: `slots` requests in flight, answers in whatever order they come."""

    place: Place = "main"
    wants_bytes = True
    preparations: tuple[Preparation, ...] = ()
    batch_size = 64

    def __init__(self, file: CardFile, settings: Settings) -> None:
        self.dimensions = tuple(file.card.dimensions)
        self._slots = int(file.card.args.get("slots", 8))
        self._seconds = float(file.card.args.get("seconds", 0.001))

    def judge(self, items: Iterable[Item]) -> Iterator[Judgement]:
        in_flight: set[Future[Judgement]] = set()
        with ThreadPoolExecutor(self._slots) as pool:
            for item in items:
                in_flight.add(pool.submit(self._ask, item))
                if len(in_flight) >= self._slots:
                    done, in_flight = wait(in_flight, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            yield from (future.result() for future in in_flight)

    def close(self) -> None:
        return None

    def _ask(self, item: Item) -> Judgement:
        digest = hashlib.sha256(item.data[0]["response"]).hexdigest()
        time.sleep(self._seconds * unit_interval("delay", digest))
        return Judgement(item=item.number, values={name: measured(unit_interval(name, digest)) for name in self.dimensions})


class PeopleRater:
    """Judges like people: answers stand in a JSON file (sample id to number) once they have come; until then, pending."""

    place: Place = "main"
    wants_bytes = False
    preparations: tuple[Preparation, ...] = ()
    batch_size = 64

    def __init__(self, file: CardFile, settings: Settings) -> None:
        self.dimensions = tuple(file.card.dimensions)
        self._answers = Path(_own_file(file, settings, "answers") or "answers.json")

    def judge(self, items: Iterable[Item]) -> Iterator[Judgement]:
        answers = json.loads(self._answers.read_text()) if self._answers.exists() else {}
        pending = Value(status=Status.PENDING)
        for item in items:
            answer = answers.get(item.samples[0].id)
            value = pending if answer is None else measured(answer)
            yield Judgement(item=item.number, values=dict.fromkeys(self.dimensions, value))

    def close(self) -> None:
        return None


class FragileRater(BatchRater):
    """Lives in decode workers, and takes its process down (`crash`) or never returns (`hang`) for the prompts its card names."""

    place: Place = "worker"

    def __init__(self, file: CardFile, settings: Settings) -> None:
        self.dimensions = tuple(file.card.dimensions)
        self._crash = file.card.args.get("crash")
        self._hang = file.card.args.get("hang")
        self._once = _own_file(file, settings, "once")
        """A file: the crash happens only while it does not exist, and leaves it behind."""

    def judge_batch(self, batch: Sequence[Item]) -> Sequence[Judgement]:
        for item in batch:
            prompt = item.samples[0].prompt
            if prompt == self._crash and not (self._once and Path(self._once).exists()):
                if self._once:
                    Path(self._once).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if prompt == self._hang:
                time.sleep(3600)
        return [Judgement(item=item.number, values=dict.fromkeys(self.dimensions, measured(1.0))) for item in batch]


class HashJudge(BatchRater):
    """Compares two samples by the numbers that `HashRater` would give them, and says how sure it is."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        self.dimensions = tuple(file.card.dimensions)
        self.preparations = (Preparation(name="mean-pixel", make=MeanPixel()),)  # type: ignore[arg-type]
        self._log = _own_file(file, settings, "log")

    def judge_batch(self, batch: Sequence[Item]) -> Sequence[Judgement]:
        if self._log:
            with Path(self._log).open("a") as log:
                log.writelines("{}-{}\n".format(*(sample.id for sample in item.samples)) for item in batch)
        return [self._judge(item) for item in batch]

    def _judge(self, item: Item) -> Judgement:
        first, second = (unit_interval("hash", "overall", sample.id) for sample in item.samples)
        value = Value(value=0.5 + (first - second) / 2, orders_agree=True)
        return Judgement(item=item.number, values=dict.fromkeys(self.dimensions, value))


class Padded:
    """A preparation for tests that makes a lot of a little: pixels repeated to a square of that side, in that type."""

    def __init__(self, side: int, dtype: str) -> None:
        self._side, self._dtype = side, dtype

    def __call__(self, pixels: object) -> object:
        import numpy as np

        return np.resize(np.asarray(pixels, dtype=self._dtype), (self._side, self._side, 3))


class BulkyRater(BatchRater):
    """Takes prepared pixels of `side` x `side`, of type `dtype`: more than fits the memory shared with a decode worker."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        self.dimensions = tuple(file.card.dimensions)
        side = int(file.card.args["side"])
        dtype = str(file.card.args.get("dtype", "uint8"))
        self._name = f"padded-{side}-{dtype}"
        self.preparations = (Preparation(name=self._name, make=Padded(side, dtype)),)  # type: ignore[arg-type]

    def judge_batch(self, batch: Sequence[Item]) -> Sequence[Judgement]:
        values = [measured(float(item.prepared[0][("response", self._name)].mean())) for item in batch]
        return [
            Judgement(item=item.number, values=dict.fromkeys(self.dimensions, value))
            for item, value in zip(batch, values, strict=True)
        ]


class BuggyPreparation:
    """A preparation for tests that raises what nobody expects."""

    def __call__(self, pixels: object) -> object:
        raise KeyError("a bug")


class UnfinishedRater(BatchRater):
    """Ends after `items` items (all of them where not said); with `bug`, its preparation raises."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        self.dimensions = tuple(file.card.dimensions)
        self._items = file.card.args.get("items")
        if file.card.args.get("bug"):
            self.preparations = (Preparation(name="buggy", make=BuggyPreparation()),)  # type: ignore[arg-type]

    def judge(self, items: Iterable[Item]) -> Iterator[Judgement]:
        yield from super().judge(islice(items, self._items))

    def judge_batch(self, batch: Sequence[Item]) -> Sequence[Judgement]:
        return [Judgement(item=item.number, values=dict.fromkeys(self.dimensions, measured(1.0))) for item in batch]
