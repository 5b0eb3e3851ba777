"""Work on other threads: done ahead by one, so that reading, pairing and writing overlap, or drawn by several."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Iterable
from queue import Empty, Full, Queue
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_LOOK_UP = 0.1
"""Seconds after which a thread that waits for room looks whether anybody still wants its work."""

_END = object()


class _Failure:
    def __init__(self, problem: BaseException) -> None:
        self.problem = problem


def ahead(items: Iterable[T], *, depth: int = 1) -> Generator[T, None, None]:
    """The same items in the same order, made on a thread of their own, at most `depth` of them in waiting.

    An exception of the maker is raised here, after the items before it. When the stream is closed early, the maker stops at
    its next item and closes `items` on its own thread, and this one waits for it.
    """
    queue: Queue[Any] = Queue(maxsize=depth)
    unwanted = threading.Event()

    def put(item: object) -> None:
        while not unwanted.is_set():
            with contextlib.suppress(Full):
                queue.put(item, timeout=_LOOK_UP)
                return

    def make() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                put(item)
                if unwanted.is_set():
                    return
            put(_END)
        except BaseException as problem:
            put(_Failure(problem))
        finally:
            if hasattr(iterator, "close"):
                iterator.close()

    maker = threading.Thread(target=make, daemon=True)
    maker.start()
    try:
        while (item := queue.get()) is not _END:
            if isinstance(item, _Failure):
                raise item.problem
            yield item
    finally:
        unwanted.set()
        _drain(queue)
        maker.join()


def _drain(queue: Queue[Any]) -> None:
    with contextlib.suppress(Empty):
        while True:
            queue.get_nowait()


class Drawn(Generic[T]):
    """An iterator that several threads draw from; each item goes to one of them."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = iter(items)
        self._lock = threading.Lock()
        self.ended = False
        """Whether nobody is to draw any more."""

    def __iter__(self) -> Drawn[T]:
        return self

    def __next__(self) -> T:
        with self._lock:
            if self.ended:
                raise StopIteration
            return next(self._items)

    def end(self) -> None:
        """There is no next one, for nobody."""
        self.ended = True
