"""The engine: reads, decodes, rates and commits, all at once.

The caller's thread holds all state (the `Desk`); readers, decode workers and raters only hand it events. A unit is
committed when everything in it is answered, in whatever order units get there. What is in flight is bounded by blocks,
not by units, so that a rater may wait for the next unit's samples to fill its batch.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from curate.cards import CardFile
from curate.errors import CurateError
from curate.progress import Meter, Progress
from curate.rater_loading import load_rater
from curate.rater_settings import Settings
from curate.raters import AsksServer, Item, Preparation, Rater, Reporting
from curate.rating.admission import Seat, distinct_preparations
from curate.rating.desk import Desk, Stored
from curate.rating.lanes import Lane, LaneEnded, LaneHasRoom, Said
from curate.rating.options import RateOptions
from curate.rating.pool import Decoded, Pool
from curate.rating.reader import AllRead, Block, Reader, UnitBegun, UnitFailed, UnitRead
from curate.rating.tasks import Config
from curate.rating.units import OpenUnit, UnitSource
from curate.shards.layouts import Layout

TICK_SECONDS = 0.5

KEEP_SECONDS = 30.0
"""What was answered of units under way is committed this often: no more than that is lost by a kill."""


@contextlib.contextmanager
def loaded(files: Sequence[CardFile], settings: Settings, meter: Meter) -> Iterator[list[Rater]]:
    """The raters of some cards; each gives its devices and connections back at the end, also when a later one fails to load.

    The meter is told of the loading as of a stage.
    """
    with contextlib.ExitStack() as stack:
        raters = []
        for file in files:
            with meter.working("loading"):
                rater = load_rater(file, settings)
            stack.callback(rater.close)
            raters.append(rater)
        yield raters


EXAMINING = "examining the server"
"""Stands where the name of a rater does, for what the raters of a run ask a server besides."""


def told_by(files: Sequence[CardFile], raters: Sequence[Rater]) -> dict[str, Mapping[str, float]]:
    """What raters have to say of their own work, by name; and of the server they ask, under `EXAMINING`."""
    told = {file.card.name: rater.told() for file, rater in zip(files, raters, strict=True) if isinstance(rater, Reporting)}
    return told | told_of_server(raters)


def told_of_server(raters: Sequence[Rater]) -> dict[str, Mapping[str, float]]:
    """What raters have to say of the server that they share."""
    for rater in raters:
        if isinstance(rater, AsksServer) and (told := rater.told_of_server()):
            return {EXAMINING: told}
    return {}


def seats_for(files: Sequence[CardFile], raters: Sequence[Rater]) -> tuple[list[Seat], tuple[Preparation, ...]]:
    """A seat for each rater, and the preparations they share."""
    distinct, of_each = distinct_preparations([file.card for file in files], raters)
    seats = []
    workers = 0
    for file, rater, own in zip(files, raters, of_each, strict=True):
        in_worker = rater.place == "worker"
        seats.append(Seat(file=file, rater=rater, preparations=own, worker=workers if in_worker else None))
        workers += in_worker
    return seats, distinct


@dataclass(slots=True)
class _Held:
    """A decoded block whose items are not all given to the raters."""

    items: dict[str, deque[Item]] = field(default_factory=dict)
    """By rater, in order."""


class Engine:
    """One run: `for unit in Engine(…).run(sources)` gives each unit as it becomes complete."""

    def __init__(
        self,
        files: Sequence[CardFile],
        raters: Sequence[Rater],
        *,
        layout: Layout,
        stored: Stored,
        options: RateOptions,
        meter: Meter,
    ) -> None:
        self._seats, self._preparations = seats_for(files, raters)
        self._layout = layout
        self._options = options
        self._meter = meter
        self._events: queue.Queue[object] = queue.Queue()
        self._stop = threading.Event()
        self._held: list[_Held] = []
        self._room = threading.Semaphore(4 + 4 * max(options.processes, 1))
        self._chunks = 0
        self._all_read = False
        self._draining = False
        self._lanes: dict[str, Lane] = {}
        self._lanes_open = 0
        self.desk = Desk(self._seats, stored)
        self.unreadable: dict[str, str] = {}
        """Units that could not be read, with the reason."""

    def run(self, sources: Iterable[UnitSource]) -> Iterator[OpenUnit]:
        """Give each unit once it is read and every question about it is answered, and now and then those that are not yet.

        The latter, told by `settled`, are what has to be kept so that a long shard is not rated twice.

        Raises `TooManyFailures` when the limit is passed, and whatever ended a rater; units given before that stand.
        """
        with contextlib.ExitStack() as stack:
            self._open_lanes(stack)
            pool = open_pool(self._seats, self._preparations, self._options, self._events.put)
            stack.callback(pool.close)
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
            kept = time.monotonic()
            while not (self._all_read and not self.desk.open and self._lanes_open == 0):
                if (event := self._next_event()) is not None:
                    self._handle(event, pool)
                yield from self.desk.finished()
                if time.monotonic() - kept > KEEP_SECONDS:
                    yield from self.desk.unfinished()
                    kept = time.monotonic()
        self._options.max_failures.check(self.desk.failures, self.desk.answered, last=True)

    def _open_lanes(self, stack: contextlib.ExitStack) -> None:
        for seat in self._seats:
            if seat.worker is None:
                lane = Lane(seat, capacity=4 * seat.rater.batch_size, meter=self._meter, deliver=self._events.put)
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
        """None now and then, so that Ctrl-C is heard, and answers are kept while a rater is slow to give the next one."""
        try:
            return self._events.get(timeout=TICK_SECONDS)
        except queue.Empty:
            return None

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
            case LaneHasRoom():
                self._hand_over()
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
        held = _Held()
        for seat, item in self.desk.decoded(decoded):
            held.items.setdefault(seat.card.fingerprint, deque()).append(item)
        self._held.append(held)
        self._hand_over()

    def _hand_over(self) -> None:
        """Give raters the items that they have room for. A block makes room for another one when all of its are given.

        Nobody waits here for a rater: answers of the others, and its own, are to be counted and kept meanwhile.
        """
        full = set()
        for held in self._held:
            for lane, items in held.items.items():
                while items and lane not in full:
                    if self._lanes[lane].offer(items[0]):
                        items.popleft()
                    else:
                        full.add(lane)
        waiting = [held for held in self._held if any(held.items.values())]
        given = len(self._held) - len(waiting)
        self._held = waiting
        self._chunks -= given
        if given:
            self._room.release(given)

    def _lane_ended(self, event: LaneEnded) -> None:
        self._lanes_open -= 1
        if event.problem is not None:
            raise event.problem
        if event.early:
            raise CurateError(f"the rater '{event.seat.card.name}' ended before it was given all samples")
        self.desk.unanswered(event.seat)

    def _drain(self) -> None:
        """Once nothing more can come to the raters, tell them, so that they judge their last, unfilled batch."""
        if self._all_read and self._chunks == 0 and not self._draining:
            self._draining = True
            for lane in self._lanes.values():
                lane.finish()

    def _count(self) -> None:
        """Tell the meter what is new, and stop the run when too much of it is failures."""
        settled, failures = self.desk.news()
        if settled or failures:
            self._meter.add(samples=settled, failures=failures)
        if failures:
            self._options.max_failures.check(self.desk.failures, self.desk.answered)


def open_pool(
    seats: Sequence[Seat],
    preparations: tuple[Preparation, ...],
    options: RateOptions,
    deliver: Callable[[Decoded | BaseException], None],
) -> Pool:
    """The decode workers for some raters."""
    config = Config(
        raters=tuple(seat.file for seat in seats if seat.worker is not None),
        settings=replace(options.settings, shared=None),  # for what holds connections, none of which goes into a worker
        preparations=preparations,
        limits=options.limits,
        memory_bytes=options.memory_bytes,
        threads=max((os.cpu_count() or 1) // max(options.processes, 1), 1),
    )
    return Pool(config, workers=options.processes, seconds_per_sample=options.seconds_per_sample, deliver=deliver)


@contextlib.contextmanager
def ticking(meter: Meter, report: Callable[[Progress], None] | None) -> Iterator[None]:
    """Report progress now and then, from a thread of its own so that a slow rater does not silence it."""
    if report is None:
        yield
        return
    over = threading.Event()

    def tick() -> None:
        while not over.wait(TICK_SECONDS):
            report(meter.snapshot())

    thread = threading.Thread(target=tick, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        report(meter.snapshot())
