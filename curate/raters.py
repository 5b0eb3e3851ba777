"""What a rater is to the rest of curate: something that takes a stream of items and gives a stream of judgements.

Three ways of judging fit the one method without special cases elsewhere:

- batches on a device: take as many items as a batch holds, give their judgements, go on (`curate.batch_raters`);
- many requests in flight to a server: take items while there are free slots, give judgements as replies come, in any order;
- answers that come days later, from people: hand the items over, give what is already answered, and `pending` for the
  rest; a pending judgement is not stored, so the next run asks for it again and finds the answer.

An item holds one sample (pointwise) or two of a group (pairwise); a judgement holds one value or several dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from curate.frames import Frames
from curate.records import Sample, Status

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Made = NDArray[Any]
    """What a preparation makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """Work on one medium that is done in a decode worker, before an item reaches the rater.

    Raters whose preparations have the same `name` and `role` share the result: it is computed once.
    """

    name: str
    """Says what it makes, completely: equal names mean equal results."""
    make: Callable[[NDArray[np.uint8]], Made]
    """From RGB pixels (height, width, 3) to an array of any shape in 8 bits or float32; a picklable function or object."""
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
    prepared: Sequence[Mapping[tuple[str, str], Made]] = ()
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


@runtime_checkable
class AsksServer(Protocol):
    """A rater that asks a server, which costs something before the first sample, once for all that share it."""

    def told_of_server(self) -> Mapping[str, float]:
        """Numbers by name, of finding out about the server."""
        ...


@runtime_checkable
class Waiting(Protocol):
    """A rater that waits for what is not in its hands, such as the answers of a server."""

    def give_up(self) -> None:
        """From another thread: wait no longer. `judge` then ends or raises, soon."""
        ...


@runtime_checkable
class Noticing(Protocol):
    """A rater that has something to say of a whole run."""

    def notices(self) -> Sequence[str]:
        """A sentence for each."""
        ...
