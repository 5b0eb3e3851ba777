"""A lane: one rater in a thread of its own, pulling items and giving judgements whenever it has them."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from curate.errors import CurateError
from curate.progress import Meter
from curate.raters import Item, Judgement, Waiting
from curate.rating.admission import Seat

GRACE_SECONDS = 10.0
"""For answers that are on their way when a run is stopped: they were paid for, and are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A rater's judgement."""

    seat: Seat
    judgement: Judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneEnded:
    """A rater has judged all it will judge; with the exception that ended it, if one did."""

    seat: Seat
    problem: BaseException | None
    early: bool
    """Whether it ended before it was told that no more items come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneHasRoom:
    """A rater that was offered more than it had room for has caught up."""


class Lane:
    """Feeds a rater from a queue that holds so many items, and refuses more until it has caught up.

    `deliver` is called from the lane's thread.
    """

    def __init__(
        self, seat: Seat, *, capacity: int, meter: Meter, deliver: Callable[[Said | LaneEnded | LaneHasRoom], None]
    ) -> None:
        self.seat = seat
        self._items: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._capacity = capacity
        self._refused = False
        self._meter = meter
        self._deliver = deliver
        self._ended = threading.Event()
        self._early = True
        self._last_work = contextlib.ExitStack()
        self._thread = threading.Thread(target=self._run, name=f"rater-{seat.card.name}", daemon=True)
        self._thread.start()

    def offer(self, item: Item) -> bool:
        """Hand an item over, unless the rater is too far behind: then `LaneHasRoom` follows when it has caught up."""
        if self._is_full():
            self._refused = True
            if self._is_full():  # it may have caught up before it could know that somebody waits
                return False
        self._items.put(item)
        return True

    def finish(self) -> None:
        """No more items come; the rater judges what it holds."""
        self._items.put(None)

    def _is_full(self) -> bool:
        return self._items.qsize() >= self._capacity and not self._ended.is_set()

    def close(self) -> None:
        """End the lane now; what the rater still held is forgotten. Of a rater that waits for others, only so long."""
        self._ended.set()
        with contextlib.suppress(queue.Empty):  # the rater may be faster at taking them
            while True:
                self._items.get_nowait()
        self._items.put(None)
        if isinstance(self.seat.rater, Waiting):
            self._thread.join(GRACE_SECONDS)
            if self._thread.is_alive():
                self.seat.rater.give_up()
        self._thread.join()

    def _run(self) -> None:
        problem: BaseException | None = None
        try:
            with self._last_work:
                for judgement in self.seat.rater.judge(self._pull()):
                    if not isinstance(judgement, Judgement):
                        raise CurateError(f"the rater '{self.seat.card.name}' gave {type(judgement).__name__} for a judgement")
                    self._deliver(Said(seat=self.seat, judgement=judgement))
                    if self._ended.is_set() and not isinstance(self.seat.rater, Waiting):
                        break  # the batches that it holds would take their time
        except BaseException as raised:
            problem = raised
        self._ended.set()
        self._deliver(LaneEnded(seat=self.seat, problem=problem, early=self._early))

    def _pull(self) -> Iterator[Item]:
        """Items until the end; the rater works from being given one until it asks for the next, and from the end on."""
        while not self._ended.is_set():
            item = self._items.get()
            if self._refused and self._items.qsize() <= self._capacity // 2:
                self._refused = False
                self._deliver(LaneHasRoom())
            if item is None:
                self._early = False
                self._last_work.enter_context(self._meter.working(self.seat.card.name))
                return
            with self._meter.working(self.seat.card.name):
                yield item
