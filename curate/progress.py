"""How far a run is: what an engine feeds while it works, and what a person is shown.

The engine owns a `Meter` and tells it what happened; whoever shows progress asks for a `Progress` now and then. Neither
knows of terminals, so the same numbers serve a progress bar, a log line and a notebook.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A run at one moment."""

    samples_done: int
    samples_total: int | None = None
    """None until it is known or can be estimated; an estimate until the last shard is read."""
    shards_done: int = 0
    shards_total: int = 0
    samples_per_second: float = 0.0
    """Over the last seconds, not since the start."""
    seconds_left: float | None = None
    """None while there is nothing to reckon it from."""
    busy: Mapping[str, float] = field(default_factory=dict)
    """By stage, the share of the last seconds in which it worked, 0 to 1; the stage near 1 is the bottleneck."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Failed ratings by status."""


@dataclass(slots=True)
class _Slice:
    """What happened during one slice of time."""

    start: float
    samples: int = 0
    busy: dict[str, float] = field(default_factory=dict)


class Meter:
    """Counts what a run does; safe to feed from several threads, and cheap enough to feed for each batch.

    Rates and busy shares look at the last `window` seconds, so that they follow a run that slows down.
    """

    _SLICES = 30
    """Slices a window is cut into; memory stays bounded however often the meter is fed."""

    def __init__(
        self,
        *,
        shards_total: int = 0,
        samples_total: int | None = None,
        lanes: Mapping[str, int] | None = None,
        window: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`lanes` says how many workers a stage has, so that a stage is wholly busy when all of them are; 1 where unsaid."""
        self._shards_total = shards_total
        self._samples_total = samples_total
        self._lanes = dict(lanes or {})
        self._window = window
        self._clock = clock
        self._started = clock()
        self._slices: deque[_Slice] = deque()
        self._samples = 0
        self._shards = 0
        self._samples_per_shard: float | None = None
        self._failures: dict[str, int] = {}
        self._working: dict[object, tuple[str, float]] = {}
        # By block of `working` under way: its stage, and since when its time is not counted yet.
        self._lock = threading.Lock()

    def add(self, *, samples: int = 0, shards: int = 0, failures: Mapping[str, int] | None = None) -> None:
        """`samples` more are done, `shards` more are finished, and of their ratings these many failed, by status."""
        with self._lock:
            self._samples += samples
            self._slice().samples += samples
            if shards:
                self._shards += shards
                # Shards without samples, which are done first, say nothing of the others.
                self._samples_per_shard = self._samples / self._shards if self._samples else None
            for status, count in (failures or {}).items():
                self._failures[status] = self._failures.get(status, 0) + count

    def busy(self, stage: str, seconds: float) -> None:
        """One worker of `stage` has just worked for `seconds`."""
        with self._lock:
            self._work(stage, seconds)

    @contextmanager
    def working(self, stage: str) -> Iterator[None]:
        """One worker of `stage` works for the time of the block, which counts while it lasts."""
        block = object()
        with self._lock:
            self._working[block] = (stage, self._clock())
        try:
            yield
        finally:
            with self._lock:
                self._catch_up(block)
                del self._working[block]

    def snapshot(self) -> Progress:
        """The run as it stands now."""
        with self._lock:
            for block in self._working:
                self._catch_up(block)
            now = self._clock()
            self._forget(now)
            span = max(min(now - self._started, self._window), 1e-9)
            rate = sum(one.samples for one in self._slices) / span
            total = self._total()
            left = None if total is None or rate <= 0 else max(total - self._samples, 0) / rate
            return Progress(
                samples_done=self._samples,
                samples_total=total,
                shards_done=self._shards,
                shards_total=self._shards_total,
                samples_per_second=rate,
                seconds_left=left,
                busy=self._shares(span),
                failures=dict(self._failures),
            )

    def _catch_up(self, block: object) -> None:
        """Count the time that passed in a block of `working` since it was last looked at."""
        (stage, since), now = self._working[block], self._clock()
        self._working[block] = (stage, now)
        self._work(stage, now - since)

    def _work(self, stage: str, seconds: float) -> None:
        busy = self._slice().busy
        busy[stage] = busy.get(stage, 0.0) + seconds

    def _slice(self) -> _Slice:
        now = self._clock()
        if not self._slices or now - self._slices[-1].start >= self._window / self._SLICES:
            self._slices.append(_Slice(start=now))
            self._forget(now)
        return self._slices[-1]

    def _forget(self, now: float) -> None:
        while self._slices and now - self._slices[0].start > self._window:
            self._slices.popleft()

    def _total(self) -> int | None:
        """The samples of the whole run: as told, else shards times their mean size so far."""
        if self._samples_total is not None:
            return self._samples_total
        if self._samples_per_shard is None:
            return None
        return max(self._samples, round(self._samples_per_shard * self._shards_total))

    def _shares(self, span: float) -> dict[str, float]:
        seconds: dict[str, float] = {}
        for one in self._slices:
            for stage, worked in one.busy.items():
                seconds[stage] = seconds.get(stage, 0.0) + worked
        return {stage: min(worked / (span * self._lanes.get(stage, 1)), 1.0) for stage, worked in seconds.items()}
