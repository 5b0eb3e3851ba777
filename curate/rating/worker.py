"""A decode worker: a process of its own, so that a decoder that crashes or hangs costs one sample, not the run.

It decodes, prepares pixels for the raters that need them elsewhere, and runs the light raters that live beside the
decoder. It is started as `python -m curate.rating.worker`, not by `multiprocessing`, so that a script or notebook that
calls `rate` needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import queue
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from curate.rater_loading import load_rater
from curate.raters import Item, Preparation, Rater, Value, failure
from curate.rating.tasks import IDLE, OUTBOX_BYTES, Config, Done, Job, Outcome, Prepared, Ready, Slot, Task
from curate.rating.watching import Viewer, combined, stacked, watch
from curate.records import Status
from curate.shards.limits import MediaLimits
from curate.shards.media import MediaError, decode_image, probe_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.raters import Made

    Pixels = NDArray[np.uint8]


class Worker:
    """The work itself, without the process around it: also what runs when no workers are wanted."""

    def __init__(self, config: Config) -> None:
        self.limits: MediaLimits = config.limits
        self.preparations: tuple[Preparation, ...] = config.preparations
        self.raters: list[Rater] = [load_rater(file, config.settings) for file in config.raters]
        self.dimensions = [tuple(file.card.dimensions) for file in config.raters]
        self.cards = [file.card for file in config.raters]
        self.roles = [file.card.takes.roles for file in config.raters]

    def do(self, task: Task, media: dict[str, bytes]) -> tuple[Outcome, dict[int, Made]]:
        """The outcome of a task, and the arrays it prepared by position of their preparation."""
        outcome = Outcome(number=task.number)
        if task.probe is not None and task.probe not in task.videos:
            self._probe(outcome, media[task.probe])
        pixels = self._decode(task, media, outcome)
        prepared: dict[int, Made] = {}
        for position in task.prepare:
            preparation = self.preparations[position]
            if preparation.role in pixels:
                self._prepare(preparation, position, pixels[preparation.role], prepared, outcome)
        by_frames = self._watch(task, media, pixels, prepared, outcome)
        for position in task.raters:
            outcome.judgements[position] = by_frames.get(position) or self._judge(position, task, pixels, outcome)
        return outcome, prepared

    def _watch(
        self,
        task: Task,
        media: dict[str, bytes],
        pixels: dict[str, Pixels],
        prepared: dict[int, Made],
        outcome: Outcome,
    ) -> dict[int, Mapping[str, Value]]:
        """Prepare the frames of videos; the judgements of the task's raters whose response is one."""
        judged: dict[int, Mapping[str, Value]] = {}
        for role in sorted(task.videos.keys() & media.keys()):
            preparing = {position: one for position in task.prepare if (one := self.preparations[position]).role == role}
            viewers = {position: Viewer(frames=one.frames, see=one.make) for position, one in preparing.items() if one.frames}
            judging = {position: self._viewer(position, task, pixels, outcome) for position in task.raters if role == "response"}
            try:
                video = watch(media[role], [*viewers.values(), *judging.values()], self.limits, key=task.videos[role])
                if role == task.probe:
                    outcome.width, outcome.height, outcome.format = video.width, video.height, video.format
                for position, viewer in viewers.items():
                    prepared[position] = stacked(viewer.seen)
                    outcome.watched[(role, viewer.frames)] = viewer.watched
            except MediaError as problem:
                outcome.failures[role] = (problem.status, problem.detail)
            except MemoryError:
                outcome.failures[role] = (Status.OOM, "decoding takes more memory than a worker may use")
            except Exception as problem:
                # A preparation that fails is this sample's trouble; it must not look like a crash of the decoder.
                outcome.failures[role] = (Status.ERROR, f"{type(problem).__name__}: {problem}")
            if role not in outcome.failures:
                judged.update(
                    (position, combined(self.cards[position], one.seen, one.watched)) for position, one in judging.items()
                )
        return judged

    def _viewer(self, position: int, task: Task, pixels: dict[str, Pixels], outcome: Outcome) -> Viewer[Mapping[str, Value]]:
        """A rater that judges the response's frames one by one."""
        frames = self.cards[position].frames
        assert frames is not None, "only such raters are asked about videos"
        return Viewer(frames=frames, see=lambda frame: self._judge(position, task, {**pixels, "response": frame}, outcome))

    def _probe(self, outcome: Outcome, data: bytes) -> None:
        try:
            outcome.width, outcome.height, outcome.format = probe_image(data)
        except MediaError:
            # Unreadable headers leave the fields empty; why the medium fails is said by whoever decodes it.
            return

    def _decode(self, task: Task, media: dict[str, bytes], outcome: Outcome) -> dict[str, Pixels]:
        pixels: dict[str, Pixels] = {}
        for role in sorted(task.decode - task.videos.keys()):
            try:
                pixels[role] = decode_image(media[role], self.limits).pixels
            except MediaError as problem:
                outcome.failures[role] = (problem.status, problem.detail)
            except MemoryError:
                outcome.failures[role] = (Status.OOM, "decoding takes more memory than a worker may use")
        return pixels

    def _prepare(
        self, preparation: Preparation, position: int, pixels: Pixels, prepared: dict[int, Made], outcome: Outcome
    ) -> None:
        try:
            prepared[position] = preparation.make(pixels)
        except MemoryError:
            outcome.failures[preparation.role] = (Status.OOM, f"{preparation.name} takes more memory than a worker may use")
        except Exception as problem:
            # Whatever it is, it is this sample's: a bug in a preparation must not look like a crash of the decoder.
            outcome.failures[preparation.role] = (Status.ERROR, f"{preparation.name}: {type(problem).__name__}: {problem}")

    def _judge(self, position: int, task: Task, pixels: dict[str, Pixels], outcome: Outcome) -> dict[str, Value]:
        assert task.sample is not None, "a task for a rater carries its sample"
        rater, dimensions = self.raters[position], self.dimensions[position]
        for role in self.roles[position]:
            if role in outcome.failures:
                return failure(dimensions, *outcome.failures[role])
        item = Item(number=task.number, samples=(task.sample,), pixels=(pixels,))
        try:
            for judgement in rater.judge([item]):
                return dict(judgement.values)
        except Exception as problem:
            return failure(dimensions, Status.ERROR, f"{type(problem).__name__}: {problem}")
        return failure(dimensions, Status.ERROR, "the rater gave no judgement")


def run_job(worker: Worker, job: Job, slot: Slot) -> Done:
    """Do the tasks of a job, saying in the slot's header which one is under way."""
    import numpy as np

    started = time.perf_counter()
    outbox = slot.outbox()
    used = 0
    outcomes = []
    for position, task in enumerate(job.tasks):
        slot.under_way = position
        media = {role: span if isinstance(span, bytes) else slot.read(span) for role, span in task.media.items()}
        outcome, arrays = worker.do(task, media)
        for preparation, array in arrays.items():
            if used + array.nbytes <= OUTBOX_BYTES:
                outbox[used : used + array.nbytes] = array.reshape(-1).view(np.uint8)
                outcome.prepared.append(Prepared(preparation=preparation, shape=array.shape, dtype=array.dtype.str, start=used))
                used += array.nbytes
            else:
                inline = array.tobytes()
                outcome.prepared.append(
                    Prepared(preparation=preparation, shape=array.shape, dtype=array.dtype.str, inline=inline)
                )
        outcomes.append(outcome)
    slot.under_way = IDLE
    return Done(slot=job.slot, outcomes=outcomes, seconds=time.perf_counter() - started)


def _limit_memory(memory_bytes: int | None) -> None:
    if memory_bytes is None:
        return
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    except (ImportError, OSError, ValueError):
        # Not every system can; the limits on pixels and bytes still hold.
        return


def main(connection_fd: int, slot_fds: list[int]) -> None:
    """Serve jobs until the other end closes."""
    warnings.simplefilter("ignore")  # decoders warn about broken files; what matters of it is a status
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The engine decides when to stop; Ctrl-C reaches the whole group.
    connection: Connection = Connection(connection_fd)
    slots = [Slot(fd) for fd in slot_fds]
    try:
        config: Config = connection.recv()
        _limit_memory(config.memory_bytes)
        worker = Worker(config)
    except Exception:
        connection.send(Ready(problem=traceback.format_exc()))
        return
    connection.send(Ready())
    jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, jobs), daemon=True).start()
    while (job := jobs.get()) is not None:
        connection.send(run_job(worker, job, slots[job.slot]))


def _receive(connection: Connection, jobs: queue.SimpleQueue[Job | None]) -> None:
    """Take jobs off the connection as they come: left there, a large one and a large answer would wait for each other."""
    while True:
        try:
            jobs.put(connection.recv())
        except (EOFError, OSError):
            jobs.put(None)
            return


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(fd) for fd in sys.argv[2:]])
