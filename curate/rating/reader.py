"""Reading ahead: units are read in threads and handed over in small blocks, no more than fit the run's memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from curate.errors import ShardError
from curate.progress import Meter
from curate.rating.units import UnitSource
from curate.records import Reject, Sample
from curate.shards.grouping import Record, ShardEnd
from curate.shards.layouts import Layout
from curate.shards.samples import build_samples

BLOCK_SAMPLES = 16
BLOCK_BYTES = 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some samples of a unit with their records, or the rejects between them."""

    unit: int
    samples: list[tuple[Sample, Record]]
    rejects: list[Reject]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitBegun:
    """A unit's blocks are about to come."""

    unit: int
    source: UnitSource


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRead:
    """A unit is read to its end."""

    unit: int
    end: ShardEnd


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFailed:
    """A unit cannot be read at all; nothing of it is kept."""

    unit: int
    problem: ShardError


@dataclass(frozen=True, slots=True, kw_only=True)
class AllRead:
    """No more units come."""


ReadEvent = UnitBegun | Block | UnitRead | UnitFailed | AllRead | BaseException


class Reader:
    """Reads units in `threads` threads. `admit` blocks a thread while too much is in flight; false tells it to stop."""

    def __init__(
        self,
        units: Iterable[UnitSource],
        layout: Layout,
        *,
        threads: int,
        admit: Callable[[], bool],
        deliver: Callable[[ReadEvent], None],
        meter: Meter,
    ) -> None:
        self._units = enumerate(units)
        self._layout = layout
        self._admit = admit
        self._deliver = deliver
        self._meter = meter
        self._lock = threading.Lock()
        self._running = threads
        self._threads = [threading.Thread(target=self._run, name=f"read-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        try:
            while (unit := self._next()) is not None:
                self._deliver(UnitBegun(unit=unit[0], source=unit[1]))
                if not self._read(*unit):
                    break
        except BaseException as problem:
            self._deliver(problem)
        with self._lock:
            self._running -= 1
            last = self._running == 0
        if last:
            self._deliver(AllRead())

    def _next(self) -> tuple[int, UnitSource] | None:
        with self._lock:
            return next(self._units, None)

    def _read(self, number: int, source: UnitSource) -> bool:
        """Deliver a unit's blocks and its end; false where the run is over."""
        try:
            for block in self._blocks(number, source):
                if isinstance(block, Block) and not self._admit():
                    return False
                self._deliver(block)
        except ShardError as problem:
            self._deliver(UnitFailed(unit=number, problem=problem))
        return True

    def _blocks(self, number: int, source: UnitSource) -> Iterator[Block | UnitRead]:
        samples: list[tuple[Sample, Record]] = []
        rejects: list[Reject] = []
        size = 0
        started = time.perf_counter()
        for found in source.records():
            if isinstance(found, ShardEnd):
                self._meter.busy("read", time.perf_counter() - started)
                if samples or rejects:
                    yield Block(unit=number, samples=samples, rejects=rejects)
                yield UnitRead(unit=number, end=found)
                return
            if isinstance(found, Reject):
                rejects.append(found)
                continue
            for one in build_samples(self._layout, found):
                if isinstance(one, Reject):
                    rejects.append(one)
                else:
                    samples.append((one, found))
            size += sum(len(data) for data in found.data.values())
            if len(samples) >= BLOCK_SAMPLES or size >= BLOCK_BYTES or len(rejects) >= BLOCK_SAMPLES:
                self._meter.busy("read", time.perf_counter() - started)
                yield Block(unit=number, samples=samples, rejects=rejects)
                samples, rejects, size = [], [], 0
                started = time.perf_counter()
