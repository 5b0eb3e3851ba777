"""Raters of batches: halved where one does not fit in memory, and loaded on several devices at once."""

from __future__ import annotations

import gc
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import ClassVar

from curate.buckets import alike_batches
from curate.halving import in_halves
from curate.raters import Item, Judgement, Place, Preparation, failed


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
