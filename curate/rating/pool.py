"""The decode workers: chunks in, outcomes out, and one sample lost at the most when a decoder dies.

Each worker is a process with two slots of shared memory, served by a thread of the engine: while the worker is busy with
one slot, the next chunk already lies in the other. When a worker dies or hangs, the header of its slot says on which
sample. That sample is tried once more in a fresh worker (a worker can also be killed from outside); a second death is the
sample's own and becomes its status.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from curate.errors import CurateError
from curate.rating.process import DecodeProcess
from curate.rating.tasks import IDLE, INBOX_BYTES, SLOTS, Config, Done, Job, Outcome, Slot, Span, Task
from curate.rating.worker import Worker
from curate.records import Status

SUPPLY_SECONDS = 0.02
"""How often a server with a free slot looks whether there is a chunk for it."""

WATCH_SECONDS = 0.2
"""How often a server without one looks whether its worker hangs, or the pool is closed. Each look takes time from decoding."""


@dataclass(slots=True, kw_only=True)
class Chunk:
    """Tasks that travel together, with their media by number and role."""

    tasks: list[Task]
    media: Mapping[int, Mapping[str, bytes]]
    deaths: dict[int, int] = field(default_factory=dict)
    """By task number: how many workers died on it."""
    settled: list[Outcome] = field(default_factory=list)
    """Outcomes of tasks that will not be sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A chunk with the outcomes of its tasks."""

    chunk: Chunk
    outcomes: list[Outcome]
    seconds: float


class WorkerDied(Exception):
    """The worker's end of the connection is gone, or it made no progress for too long."""

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Pool:
    """Decode workers behind two queues: put `Chunk`s with `submit`, take `Decoded`s by the callback.

    With no workers the chunks are done in the calling thread, without protection against crashes.
    """

    def __init__(
        self,
        config: Config,
        *,
        workers: int,
        seconds_per_sample: float,
        deliver: Callable[[Decoded | BaseException], None],
    ) -> None:
        self._config = config
        self._seconds = seconds_per_sample
        self._deliver = deliver
        self._waiting: queue.Queue[Chunk | None] = queue.Queue()
        self._stopping = threading.Event()
        self._inline = Worker(config) if workers == 0 else None
        self._threads = [threading.Thread(target=self._serve, name=f"decode-{n}", daemon=True) for n in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, chunk: Chunk) -> None:
        """Hand over a chunk; its outcomes come by `deliver`, in any order among chunks."""
        if self._inline is None:
            self._waiting.put(chunk)
            return
        started = time.perf_counter()
        outcomes = [_done_here(self._inline, task, chunk.media[task.number]) for task in chunk.tasks]
        self._deliver(Decoded(chunk=chunk, outcomes=outcomes, seconds=time.perf_counter() - started))

    def close(self) -> None:
        """Stop the workers; what they had not finished is forgotten."""
        self._stopping.set()
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()
        if self._inline is not None:
            for rater in self._inline.raters:
                rater.close()

    def _serve(self) -> None:
        try:
            _Server(self._config, self._seconds, self._waiting, self._deliver, self._stopping).run()
        except BaseException as problem:
            self._deliver(problem)


class _Server:
    """A thread's work: keep one worker process busy, and replace it when it dies."""

    def __init__(
        self,
        config: Config,
        seconds: float,
        waiting: queue.Queue[Chunk | None],
        deliver: Callable[[Decoded | BaseException], None],
        stopping: threading.Event,
    ) -> None:
        self.config = config
        self.seconds = seconds
        self.waiting = waiting
        self.deliver = deliver
        self.stopping = stopping
        self.under_way: deque[tuple[int, Chunk]] = deque()
        self.process = self._start()

    def _start(self) -> DecodeProcess:
        process = DecodeProcess(threads=self.config.threads)
        try:
            process.begin(self.config, self.stopping)
        except BaseException:
            process.stop()
            raise
        return process

    def run(self) -> None:
        more = True
        try:
            while (more or self.under_way) and not self.stopping.is_set():
                if more and len(self.under_way) < SLOTS:
                    more = self._take(block=not self.under_way)
                if self.under_way:
                    self._collect()
        finally:
            self.process.stop()

    def _take(self, *, block: bool) -> bool:
        """Send the next chunk, if there is one; false once there will be no more."""
        try:
            chunk = self.waiting.get(block=block)
        except queue.Empty:
            return True
        if chunk is None:
            return False
        busy = {slot for slot, _ in self.under_way}
        self._send(next(slot for slot in range(SLOTS) if slot not in busy), chunk)
        return True

    def _send(self, slot: int, chunk: Chunk) -> None:
        self.under_way.append((slot, chunk))
        memory = self.process.slots[slot]
        memory.under_way = IDLE
        used = 0
        tasks = []
        for task in chunk.tasks:
            media: dict[str, Span | bytes] = {}
            for role, data in chunk.media[task.number].items():
                if used + len(data) <= INBOX_BYTES:
                    memory.write(used, data)
                    media[role] = Span(used, len(data))
                    used += len(data)
                else:
                    media[role] = data
            tasks.append(replace(task, media=media))
        try:
            self.process.connection.send(Job(slot=slot, tasks=tuple(tasks)))
        except (BrokenPipeError, ConnectionError):
            return  # The worker is dead; whoever waits for its answer finds out, and sends again.

    def _collect(self) -> None:
        """Take one answer if it is there; mend the worker if it died."""
        slot, chunk = self.under_way[0]
        try:
            done = self._answer(slot)
        except WorkerDied as death:
            self._mend(slot, chunk, death)
            return
        if done is None:
            return
        self.under_way.popleft()
        self._copy_out(done.outcomes, self.process.slots[slot])
        self.deliver(Decoded(chunk=chunk, outcomes=[*chunk.settled, *done.outcomes], seconds=done.seconds))

    def _answer(self, slot: int) -> Done | None:
        """The answer for the slot; None where it is still worked on and the other slot could be filled meanwhile."""
        memory, connection = self.process.slots[slot], self.process.connection
        position, since = memory.under_way, time.monotonic()
        try:
            while not connection.poll(WATCH_SECONDS if len(self.under_way) == SLOTS else SUPPLY_SECONDS):
                if self.stopping.is_set() or (len(self.under_way) < SLOTS and not self.waiting.empty()):
                    return None
                if memory.under_way != position:
                    position, since = memory.under_way, time.monotonic()
                elif time.monotonic() - since > self.seconds:
                    raise WorkerDied(Status.DECODE_TIMEOUT, f"no result within {self.seconds:g} seconds")
            done: Done = connection.recv()
        except (EOFError, ConnectionError) as problem:
            code = self.process.exit_code()
            raise WorkerDied(Status.DECODE_CRASH, f"the decode worker died (exit code {code})") from problem
        return done

    def _mend(self, slot: int, chunk: Chunk, death: WorkerDied) -> None:
        """Start a fresh worker and give it everything that was under way, without the sample that killed two."""
        position = self.process.slots[slot].under_way
        self.process.stop()
        number = chunk.tasks[position].number if 0 <= position < len(chunk.tasks) else IDLE
        chunk.deaths[number] = chunk.deaths.get(number, 0) + 1
        if chunk.deaths[number] > 1:
            if number == IDLE:
                raise CurateError("decode workers keep dying before they begin; is there enough memory?")
            chunk.settled.append(_fatal(chunk.tasks.pop(position), death))
        again = list(self.under_way)
        self.under_way.clear()
        self.process = self._start()
        for old_slot, old_chunk in again:
            self._send(old_slot, old_chunk)

    def _copy_out(self, outcomes: list[Outcome], slot: Slot) -> None:
        import numpy as np

        outbox = slot.outbox()
        for outcome in outcomes:
            for prepared in outcome.prepared:
                dtype = np.dtype(prepared.dtype)
                size = dtype.itemsize * int(np.prod(prepared.shape, dtype=np.int64))
                if prepared.inline is not None:
                    flat = np.frombuffer(prepared.inline, dtype=np.uint8)
                else:
                    flat = outbox[prepared.start : prepared.start + size].copy()
                outcome.arrays[prepared.preparation] = flat.view(dtype).reshape(prepared.shape)
        del outbox


def _fatal(task: Task, death: WorkerDied) -> Outcome:
    """The outcome of a task that took its worker down: every role it wanted decoded failed so."""
    roles = task.decode or {task.probe or "response"}
    return Outcome(number=task.number, failures=dict.fromkeys(roles, (death.status, death.detail)))


def _done_here(worker: Worker, task: Task, media: Mapping[str, bytes]) -> Outcome:
    outcome, arrays = worker.do(task, dict(media))
    outcome.arrays = arrays
    return outcome
