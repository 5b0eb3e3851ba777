"""The engine: reads, decodes, rates and commits, all at once.

The caller's thread holds all state (the `Desk`); readers, decode workers and raters only hand it events. A unit is
committed when everything in it is answered, in whatever order units get there. What is in flight is bounded by blocks,
not by units, so that a rater may wait for the next unit's samples to fill its batch.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from curate.cards import CardFile
from curate.errors import TooManyFailures
from curate.progress import Meter, Progress
from curate.raters import Preparation, Rater, Settings
from curate.rating.admission import Seat, distinct_preparations
from curate.rating.desk import Desk, Stored
from curate.rating.lanes import Lane, LaneEnded, Said
from curate.rating.pool import Decoded, Pool
from curate.rating.reader import AllRead, Block, Reader, UnitBegun, UnitFailed, UnitRead
from curate.rating.tasks import Config
from curate.rating.units import OpenUnit, UnitSource
from curate.shards.layouts import Layout
from curate.shards.media import Limits

TICK_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureLimit:
    """How many failed ratings end a run; no limit by default."""

    count: int | None = None
    share: float | None = None
    """Of the answers so far, looked at once there are `SHARE_AFTER`."""

    SHARE_AFTER: ClassVar[int] = 200

    def exceeded(self, failed: int, answered: int) -> bool:
        if self.count is not None and failed > self.count:
            return True
        return self.share is not None and answered >= self.SHARE_AFTER and failed > self.share * answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is carried out; none of it changes a value."""

    workers: int
    """Decode processes; 0 decodes in the engine's own thread, unprotected."""
    readers: int = 1
    """Units read at the same time; more than one helps where reading waits for a network."""
    limits: Limits = field(default_factory=Limits)
    seconds_per_sample: float = 30.0
    """A decode that takes longer is given up."""
    memory_bytes: int | None = 4 << 30
    """The most a decode worker may take."""
    max_failures: FailureLimit = field(default_factory=FailureLimit)
    settings: Settings = field(default_factory=Settings)
    on_progress: Callable[[Progress], None] | None = None


def seats_for(raters: Sequence[tuple[CardFile, Rater]]) -> tuple[list[Seat], tuple[Preparation, ...]]:
    """A seat for each rater, and the preparations they share."""
    distinct, of_each = distinct_preparations([rater for _, rater in raters])
    seats = []
    workers = 0
    for (file, rater), own in zip(raters, of_each, strict=True):
        in_worker = rater.place == "worker"
        seats.append(Seat(file=file, rater=rater, preparations=own, worker=workers if in_worker else None))
        workers += in_worker
    return seats, distinct


class Engine:
    """One run: `for unit in Engine(…).run(sources)` gives each unit as it becomes complete."""

    def __init__(
        self, raters: Sequence[tuple[CardFile, Rater]], *, layout: Layout, stored: Stored, options: Options, meter: Meter
    ) -> None:
        self._seats, self._preparations = seats_for(raters)
        self._layout = layout
        self._options = options
        self._meter = meter
        self._events: queue.Queue[object] = queue.Queue()
        self._stop = threading.Event()
        self._room = threading.Semaphore(4 + 4 * max(options.workers, 1))
        self._chunks = 0
        self._all_read = False
        self._draining = False
        self._lanes: dict[str, Lane] = {}
        self._lanes_open = 0
        self.desk = Desk(self._seats, stored)
        self.unreadable: dict[str, str] = {}
        """Units that could not be read, with the reason."""

    def run(self, sources: Iterable[UnitSource]) -> Iterator[OpenUnit]:
        """Give each unit once it is read and every question about it is answered.

        Raises `TooManyFailures` when the limit is passed, and whatever ended a rater; units given before that stand.
        """
        with contextlib.ExitStack() as stack:
            stack.callback(self._stop.set)
            pool = self._open_pool(stack)
            self._open_lanes(stack)
            reader = Reader(
                sources,
                self._layout,
                threads=self._options.readers,
                admit=self._admit,
                deliver=self._events.put,
                meter=self._meter,
            )
            stack.callback(reader.join)
            stack.callback(self._stop.set)
            stack.enter_context(self._ticking())
            while not (self._all_read and not self.desk.open and self._lanes_open == 0):
                self._handle(self._next_event(), pool)
                yield from self.desk.finished()

    def _open_pool(self, stack: contextlib.ExitStack) -> Pool:
        config = Config(
            raters=tuple(seat.file for seat in self._seats if seat.worker is not None),
            settings=self._options.settings,
            preparations=self._preparations,
            limits=self._options.limits,
            memory_bytes=self._options.memory_bytes,
        )
        pool = Pool(
            config,
            workers=self._options.workers,
            seconds_per_sample=self._options.seconds_per_sample,
            deliver=self._events.put,
        )
        stack.callback(pool.close)
        return pool

    def _open_lanes(self, stack: contextlib.ExitStack) -> None:
        for seat in self._seats:
            stack.callback(seat.rater.close)
            if seat.worker is None:
                capacity = 4 * getattr(seat.rater, "batch_size", 64)
                lane = Lane(seat, capacity=capacity, meter=self._meter, deliver=self._events.put)
                self._lanes[seat.card.fingerprint] = lane
                self._lanes_open += 1
                stack.callback(lane.close)

    def _admit(self) -> bool:
        """Called by readers before they hand over a block: waits for room."""
        while not self._stop.is_set():
            if self._room.acquire(timeout=TICK_SECONDS):
                return True
        return False

    def _next_event(self) -> object:
        while True:
            try:
                return self._events.get(timeout=TICK_SECONDS)
            except queue.Empty:
                continue  # Wakes now and then so that Ctrl-C is heard.

    def _handle(self, event: object, pool: Pool) -> None:
        match event:
            case UnitBegun():
                self.desk.begin(event.unit, event.source)
            case Block():
                self._submit(event, pool)
            case Decoded():
                self._decoded(event)
            case Said():
                self.desk.answer(event.seat, event.judgement.item, event.judgement.values)
            case UnitRead():
                self.desk.end(event.unit, event.end)
            case UnitFailed():
                self.unreadable[self.desk.forget(event.unit).source.name] = str(event.problem)
            case AllRead():
                self._all_read = True
            case LaneEnded():
                self._lane_ended(event)
            case BaseException():
                raise event
        self._drain()
        self._count()

    def _submit(self, block: Block, pool: Pool) -> None:
        chunk = self.desk.admit(block)
        if chunk is None:
            self._room.release()
            return
        self._chunks += 1
        pool.submit(chunk)

    def _decoded(self, decoded: Decoded) -> None:
        self._meter.busy("decode", decoded.seconds)
        for seat, item in self.desk.decoded(decoded):
            self._lanes[seat.card.fingerprint].put(item)
        self._chunks -= 1
        self._room.release()

    def _lane_ended(self, event: LaneEnded) -> None:
        self._lanes_open -= 1
        if event.problem is not None:
            raise event.problem
        self.desk.unanswered(event.seat)

    def _drain(self) -> None:
        """Once nothing more can come to the raters, tell them, so that they judge their last, unfilled batch."""
        if self._all_read and self._chunks == 0 and not self._draining:
            self._draining = True
            for lane in self._lanes.values():
                lane.put(None)

    def _count(self) -> None:
        """Tell the meter what is new, and stop the run when too much of it is failures."""
        settled, failures = self.desk.news()
        if settled or failures:
            self._meter.add(samples=settled, failures=failures)
        failed = sum(self.desk.failures.values())
        if failures and self._options.max_failures.exceeded(failed, self.desk.answered):
            shown = ", ".join(f"{n} {status}" for status, n in sorted(self.desk.failures.items()))
            raise TooManyFailures(
                f"{failed} of {self.desk.answered} ratings failed ({shown}), more than --max-failures allows; "
                "finished shards are kept, and the same command goes on from there"
            )

    @contextlib.contextmanager
    def _ticking(self) -> Iterator[None]:
        """Report progress now and then, from a thread of its own so that a slow rater does not silence it."""
        report = self._options.on_progress
        if report is None:
            yield
            return
        over = threading.Event()

        def tick() -> None:
            while not over.wait(TICK_SECONDS):
                report(self._meter.snapshot())

        thread = threading.Thread(target=tick, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            report(self._meter.snapshot())
