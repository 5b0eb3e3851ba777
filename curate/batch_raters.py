"""Raters of batches: halved where one does not fit in memory, and loaded on several devices at once."""

from __future__ import annotations

import gc
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from queue import Queue
from typing import ClassVar

from curate.ahead import Drawn
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
        batches = alike_batches(items, kind=self.bucket_of, size=lambda: self.batch_size)
        for judged in self.judge_batches(batches):
            yield from judged

    def judge_batches(self, batches: Iterable[list[Item]]) -> Generator[list[Judgement]]:
        """The judgements of each batch of items of one kind, in order; engines that can do several things at a time do."""
        for batch in batches:
            yield self._within_memory(batch, self.judge_batch)

    def close(self) -> None:
        return None

    def free_memory(self) -> None:
        """Called before the halves of a batch that did not fit are tried; engines add what they can do without."""
        gc.collect()

    def is_out_of_memory(self, problem: BaseException) -> bool:
        """Whether an exception means that a smaller batch may succeed; engines add their device's own."""
        return isinstance(problem, self.out_of_memory)

    def _within_memory(self, batch: Sequence[Item], judge: Callable[[Sequence[Item]], Sequence[Judgement]]) -> list[Judgement]:
        """What `judge` makes of a batch, or of its halves where it does not fit, and of each item where one makes it fail."""
        judgements = in_halves(
            batch,
            judge,
            failed=lambda item, status, detail: failed(item, self.dimensions, status, detail),
            is_out_of_memory=self.is_out_of_memory,
            shrink=self._shrink,
            most=self.batch_size,  # the batch may have been put together before that shrank
        )
        return list(judgements)

    def _shrink(self, size: int) -> None:
        self.free_memory()
        self.batch_size = min(self.batch_size, size)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """A replica is done; with the exception that ended it, if one did."""

    problem: BaseException | None = None


class Replicas:
    """One rater loaded several times, each time on a device of its own: a thread for each draws batches as it gets through them.

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
        kind = self._replicas[0].bucket_of
        batches = Drawn(alike_batches(items, kind=kind, size=lambda: min(one.batch_size for one in self._replicas)))
        said: Queue[list[Judgement] | _Ended] = Queue(maxsize=len(self._replicas))
        threads = [threading.Thread(target=_work, args=(one, batches, said), daemon=True) for one in self._replicas]
        for thread in threads:
            thread.start()
        running = len(threads)
        try:
            while running:
                judged = said.get()
                if not isinstance(judged, _Ended):
                    yield from judged
                    continue
                running -= 1
                if judged.problem is not None:
                    raise judged.problem
        finally:
            batches.end()
            while running:  # they may be waiting for room
                running -= isinstance(said.get(), _Ended)
            for thread in threads:
                thread.join()

    def close(self) -> None:
        with ExitStack() as stack:  # closes all of them, also where one cannot be
            for replica in self._replicas:
                stack.callback(replica.close)


def _work(replica: BatchRater, batches: Drawn[list[Item]], said: Queue[list[Judgement] | _Ended]) -> None:
    problem = None
    try:
        with closing(replica.judge_batches(batches)) as judging:
            for judged in judging:
                said.put(judged)
                if batches.ended:  # what it has drawn ahead would take its time
                    break
    except BaseException as raised:
        problem = raised
    said.put(_Ended(problem=problem))
