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


class Lane:
    """Feeds a rater from a bounded queue, so that items wait here and not in memory without end.

    `deliver` is called from the lane's thread.
    """

    def __init__(self, seat: Seat, *, capacity: int, meter: Meter, deliver: Callable[[Said | LaneEnded], None]) -> None:
        self.seat = seat
        self._items: queue.Queue[Item | None] = queue.Queue(maxsize=capacity)
        self._meter = meter
        self._deliver = deliver
        self._ended = threading.Event()
        self._early = True
        self._last_work = contextlib.ExitStack()
        self._thread = threading.Thread(target=self._run, name=f"rater-{seat.card.name}", daemon=True)
        self._thread.start()

    def put(self, item: Item | None) -> None:
        """Hand an item over, or None for the end, at which the rater judges what it holds. Waits while the rater is behind."""
        while not self._ended.is_set():
            try:
                self._items.put(item, timeout=0.5)
            except queue.Full:
                continue
            return

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
            if item is None:
                self._early = False
                self._last_work.enter_context(self._meter.working(self.seat.card.name))
                return
            with self._meter.working(self.seat.card.name):
                yield item
