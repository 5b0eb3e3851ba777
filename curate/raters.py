"""What a rater is to the rest of curate: something that takes a stream of items and gives a stream of judgements.

Three ways of judging fit the one method without special cases elsewhere:

- batches on a device: take as many items as a batch holds, give their judgements, go on (`BatchRater` does that);
- many requests in flight to a server: take items while there are free slots, give judgements as replies come, in any order;
- answers that come days later, from people: hand the items over, give what is already answered, and `pending` for the
  rest; a pending judgement is not stored, so the next run asks for it again and finds the answer.

An item holds one sample (pointwise) or two of a group (pairwise); a judgement holds one value or several dimensions.
"""

from __future__ import annotations

import gc
import importlib
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, TypeVar, cast, runtime_checkable

from curate.buckets import alike_batches
from curate.cards import CardFile
from curate.errors import CardError, MissingExtra, Option
from curate.frames import Frames
from curate.halving import in_halves
from curate.records import Sample, Status

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.serving import Serving


T = TypeVar("T")

NETWORKS = "curate.scorers."
"""What the targets of networks on this machine begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """Work on one medium that is done in a decode worker, before an item reaches the rater.

    Raters whose preparations have the same `name` and `role` share the result: it is computed once.
    """

    name: str
    """Says what it makes, completely: equal names mean equal results."""
    make: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
    """From RGB pixels (height, width, 3) to an array of any shape; a picklable function or object."""
    role: str = "response"
    """Which medium: 'response', or the role of a condition."""
    frames: Frames | None = None
    """Which frames it is made of where the medium is a video; comes from the card. Arrays of the frames are then stacked."""


@dataclass(slots=True, kw_only=True)
class Item:
    """One question to a rater, with what it needs to answer."""

    number: int
    """Names the item in its judgement; unique within a run."""
    samples: tuple[Sample, ...]
    """One, or two of a group for raters that judge pairs."""
    prepared: Sequence[Mapping[tuple[str, str], NDArray[np.uint8]]] = ()
    """For each sample: results of the rater's preparations, by (role, name). Of a video, for raters of videos, those of its
    frames: (frames, height, width, 3)."""
    pixels: Sequence[Mapping[str, NDArray[np.uint8]]] = ()
    """For each sample, by role: decoded RGB (height, width, 3). Only for raters that live in decode workers."""
    data: Sequence[Mapping[str, bytes]] = ()
    """For each sample, by role: the original bytes. Only where the rater says `wants_bytes`."""
    frames: Mapping[str, int] = field(default_factory=dict)
    """Where the sample is a video and the rater judges pictures: which frame of each role's video this item is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What a judgement says on one dimension; a value exactly when the status is ok."""

    value: float | None = None
    spread: float | None = None
    status: Status = Status.OK
    detail: str | None = None
    rationale: str | None = None
    orders_agree: bool | None = None
    """For raters of pairs: whether asking in both orders named the same winner."""
    position_bias: float | None = None
    """For raters of pairs that asked in both orders: see `curate.records.Comparison`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A rater's answer to one item, dimension by dimension, in the rater's own direction."""

    item: int
    values: Mapping[str, Value]


def failure(dimensions: Iterable[str], status: Status, detail: str | None = None) -> dict[str, Value]:
    """The same failure on every dimension."""
    return dict.fromkeys(dimensions, Value(status=status, detail=detail))


def failed(item: Item, dimensions: Iterable[str], status: Status, detail: str | None = None) -> Judgement:
    """The judgement that says the same failure on every dimension."""
    return Judgement(item=item.number, values=failure(dimensions, status, detail))


def measured(raw: float, *, spread: float | None = None, rationale: str | None = None) -> Value:
    """The value for a raw number; NaN and infinity become a status."""
    number = float(raw)
    if not math.isfinite(number):
        return Value(status=Status.NAN, detail=f"the rater returned {number}")
    return Value(value=number, spread=spread, rationale=rationale)


Place = Literal["worker", "main"]


@runtime_checkable
class Rater(Protocol):
    """Anything that judges. Built from a card by `load_rater`; loaded once per process."""

    place: Place
    """`worker`: light and pure, runs beside the decoder in every decode worker. `main`: holds a device or connections."""
    wants_bytes: bool
    """Whether items carry the original bytes (servers get these; people see them)."""
    preparations: tuple[Preparation, ...]
    dimensions: tuple[str, ...]
    batch_size: int
    """How many items it takes at once; a few times as many are kept ready for it."""

    def judge(self, items: Iterable[Item]) -> Iterator[Judgement]:
        """One judgement for each item, in any order. Pulls items lazily: what is not yet taken is not yet made."""
        ...

    def close(self) -> None:
        """Give back devices and connections."""
        ...


@runtime_checkable
class Reporting(Protocol):
    """A rater that has something to say of its own work: requests, tokens."""

    def told(self) -> Mapping[str, float]:
        """Numbers by name, of this run so far."""
        ...


class BatchRater(ABC):
    """A rater that scores batches; halves a batch that does not fit in memory, and keeps the smaller size."""

    place: Place = "main"
    wants_bytes: bool = False
    preparations: tuple[Preparation, ...] = ()
    dimensions: tuple[str, ...] = ()
    batch_size: int = 64
    out_of_memory: ClassVar[tuple[type[BaseException], ...]] = (MemoryError,)

    @abstractmethod
    def judge_batch(self, batch: Sequence[Item]) -> Sequence[Judgement]:
        """One judgement for each item of the batch, in order."""

    def bucket_of(self, item: Item) -> Hashable:
        """What the items of a batch have in common; engines say what they can only judge together, such as pictures of a size."""
        return None

    def judge(self, items: Iterable[Item]) -> Iterator[Judgement]:
        for batch in self._batches(items):
            yield from self._within_memory(batch, self.judge_batch)

    def _batches(self, items: Iterable[Item]) -> Iterator[list[Item]]:
        """Batches of items of one kind."""
        return alike_batches(items, kind=self.bucket_of, size=lambda: self.batch_size)

    def close(self) -> None:
        return None

    def free_memory(self) -> None:
        """Called before the halves of a batch that did not fit are tried; engines add what they can do without."""
        gc.collect()

    def is_out_of_memory(self, problem: BaseException) -> bool:
        """Whether an exception means that a smaller batch may succeed; engines add their device's own."""
        return isinstance(problem, self.out_of_memory)

    def _within_memory(
        self, batch: Sequence[Item], judge: Callable[[Sequence[Item]], Sequence[Judgement]]
    ) -> Iterator[Judgement]:
        """What `judge` makes of a batch, or of its halves where it does not fit, and of each item where one makes it fail."""
        return in_halves(
            batch,
            judge,
            failed=lambda item, status, detail: failed(item, self.dimensions, status, detail),
            is_out_of_memory=self.is_out_of_memory,
            shrink=self._shrink,
        )

    def _shrink(self, size: int) -> None:
        self.free_memory()
        self.batch_size = min(self.batch_size, size)


class Replicas:
    """One rater loaded several times, each time on a device of its own: batches go to whichever is free, in threads.

    Judgements come in any order. What ends one replica ends all.
    """

    place: Place = "main"

    def __init__(self, replicas: Sequence[BatchRater]) -> None:
        first = replicas[0]
        self.wants_bytes = first.wants_bytes
        self.preparations = first.preparations
        self.dimensions = first.dimensions
        self.batch_size = sum(one.batch_size for one in replicas)
        self._replicas = list(replicas)

    def judge(self, items: Iterable[Item]) -> Iterator[Judgement]:
        free = list(self._replicas)
        batches = alike_batches(items, kind=free[0].bucket_of, size=lambda: min(one.batch_size for one in self._replicas))
        running: dict[Future[list[Judgement]], BatchRater] = {}
        with ThreadPoolExecutor(len(free), thread_name_prefix="replica") as threads:
            while True:
                while free and (batch := next(batches, None)):
                    replica = free.pop()
                    running[threads.submit(_judged, replica, batch)] = replica
                if not running:
                    return
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    free.append(running.pop(done))
                    yield from done.result()

    def close(self) -> None:
        with ExitStack() as stack:  # closes all of them, also where one cannot be
            for replica in self._replicas:
                stack.callback(replica.close)


def _judged(replica: BatchRater, batch: list[Item]) -> list[Judgement]:
    return list(replica.judge(batch))


class Shared:
    """What the raters of one run have together, such as a server and its limits: made once, closed at the end."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}
        self._stack = ExitStack()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T], close: Callable[[T], None]) -> T:
        """What is shared under a key; `make` makes it for the first who asks, `close` ends it with the run."""
        with self._lock:
            if key not in self._made:
                made = make()
                self._made[key] = made
                self._stack.callback(close, made)
            found: T = self._made[key]
            return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a run decides for its raters, whatever the card; nothing here may change a value."""

    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1` …; several with commas between, for a replica of the rater on each."""
    batch_size: int | None = None
    """None leaves it to the engine."""
    offline: bool = False
    trust: bool = False
    """Allow targets outside `curate.` and code from model repositories."""
    serving: Serving | None = None
    """The server that judges with rubrics ask; None has them run on this machine."""
    replies: Path | None = None
    """The file in which the replies of judges are remembered; None remembers none."""
    again: frozenset[Status] = frozenset()
    """Statuses to which remembered replies must not lead: where they do, it is asked anew."""
    estimate: bool = False
    """Judges with rubrics ask nothing, and count what they would ask."""
    shared: Shared | None = None
    """What the raters of one run have together."""


def resolved_card(file: CardFile, settings: Settings) -> CardFile:
    """The card with what only a run can say filled in, before its fingerprint is looked at: the model that a server serves.

    An engine that needs this has a class method `resolved(file, settings) -> CardFile`; most do not. Raises as `load_rater` does.
    """
    if file.card.target.startswith(NETWORKS):
        return file  # Networks never need it, and importing theirs takes seconds that a finished run should not cost.
    resolve = getattr(_engine(file, settings), "resolved", None)
    if resolve is None:
        return file
    complete: CardFile = resolve(file, settings)
    return complete


def load_rater(file: CardFile, settings: Settings | None = None) -> Rater:
    """The rater that a card declares: its target is imported and called as `factory(file, settings)`.

    Where the settings name several devices, a rater of batches is loaded on each; one that lives in decode workers, or asks a
    server, has no use for them. Raises `CardError` for a target that does not exist or is not allowed, `MissingExtra` where its
    packages are missing.
    """
    settings = settings or Settings()
    devices = settings.device.split(",")
    first = _load_one(file, replace(settings, device=devices[0]))
    if len(devices) == 1 or not isinstance(first, BatchRater) or first.place == "worker":
        return first
    with ExitStack() as stack:
        replicas = [first]
        stack.callback(first.close)
        for device in devices[1:]:
            # Of one class, since one card made them.
            replicas.append(cast(BatchRater, _load_one(file, replace(settings, device=device))))
            stack.callback(replicas[-1].close)
        stack.pop_all()  # all are there: they are closed together, later
    return Replicas(replicas)


def _load_one(file: CardFile, settings: Settings) -> Rater:
    """The rater on one device."""
    card = file.card
    factory = _engine(file, settings)
    try:
        rater = factory(file, settings)
    except ModuleNotFoundError as problem:
        raise MissingExtra(f"the rater '{card.name}'", card.extra or "all", problem) from problem
    except (TypeError, ValueError, LookupError) as problem:
        raise CardError(f"{file.where}: {card.target} does not take this card ({type(problem).__name__}: {problem})") from problem
    if not isinstance(rater, Rater):
        raise CardError(f"{file.where}: {card.target} did not make a rater (see curate.raters.Rater)")
    missing = set(card.dimensions) - set(rater.dimensions)
    if missing:
        raise CardError(f"{file.where}: the engine gives {', '.join(rater.dimensions)}, not {', '.join(sorted(missing))}")
    return rater


def _engine(file: CardFile, settings: Settings) -> Callable[[CardFile, Settings], object]:
    """What makes the raters of a card; raises `CardError` and `MissingExtra` as `load_rater` does."""
    card = file.card
    module_name, factory_name = card.target.split(":")
    if not file.shipped and not settings.trust and not _is_ours(module_name):
        raise CardError(
            f"{file.where}: the target {card.target} is no engine of curate; pass ",
            Option("trust"),
            " if you know it and want it run",
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as problem:
        if card.extra and not (problem.name or "").startswith("curate"):
            raise MissingExtra(f"the rater '{card.name}'", card.extra, problem) from problem
        raise CardError(f"{file.where}: the target module {module_name} cannot be imported ({problem})") from problem
    factory = getattr(module, factory_name, None)
    # What curate's modules import from elsewhere is code from elsewhere, and no card reaches it through them.
    borrowed = _is_ours(module_name) and not _is_ours(str(getattr(factory, "__module__", "")))
    if not callable(factory) or borrowed:
        raise CardError(f"{file.where}: {module_name} has no engine '{factory_name}'")
    return cast("Callable[[CardFile, Settings], object]", factory)


def _is_ours(module: str) -> bool:
    """Whether a module is one that cards may name freely: curate's engines and judges, and its raters for tests."""
    return module == "curate.testing" or module.startswith(("curate.scorers.", "curate.judges.", "curate.testing."))
