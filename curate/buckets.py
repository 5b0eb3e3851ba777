"""Batches of what belongs together, out of a stream in which it lies mixed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

HELD = 8
"""Batches' worth of items that may wait for others of their kind."""


def alike_batches(items: Iterable[T], *, kind: Callable[[T], Hashable], size: Callable[[], int]) -> Iterator[list[T]]:
    """Batches of items of one kind, of `size()` as long as there are so many; what is left comes at the end.

    Items are taken one by one as they are needed, and no more than a few batches of them are held: with more kinds than that,
    the fullest batch goes although it is not full. Within a kind, order is kept.
    """
    waiting: dict[Hashable, list[T]] = {}
    held = 0
    for item in items:
        what = kind(item)
        waiting.setdefault(what, []).append(item)
        held += 1
        if len(waiting[what]) < size():
            if held < HELD * size():
                continue
            what = max(waiting, key=lambda one: len(waiting[one]))
        batch = waiting.pop(what)
        held -= len(batch)
        yield from _slices(batch, size)
    for batch in waiting.values():
        yield from _slices(batch, size)


def _slices(batch: list[T], size: Callable[[], int]) -> Iterator[list[T]]:
    """More than one where the size has shrunk since the batch was begun."""
    while batch:
        most = size()
        yield batch[:most]
        batch = batch[most:]
