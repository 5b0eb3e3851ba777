"""Work on batches that may not fit in memory, and of which one member may be bad: halves, then one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from curate.records import Status

T = TypeVar("T")
R = TypeVar("R")


def in_halves(
    batch: Sequence[T],
    work: Callable[[Sequence[T]], Iterable[R]],
    *,
    failed: Callable[[T, Status, str], R],
    is_out_of_memory: Callable[[BaseException], bool],
    shrink: Callable[[int], None],
    most: int | None = None,
) -> Iterator[R]:
    """What `work` makes of a batch, in the order of the batch; `failed` makes what stands for a member that it fails on alone.

    A batch that does not fit in memory is halved: `shrink` is told the size of the halves before they are tried, and gives back
    what memory it can; from then on no larger part is tried, nor one of more than `most` where that is said. Of one that raises
    anything else, each member is tried alone.
    """
    waiting = [batch]
    most = most or len(batch)
    while waiting:
        part = waiting.pop()
        if len(part) > most:
            waiting.extend(_halves(part))
            continue
        try:
            done = list(work(part))
        except Exception as problem:
            # As texts: the exception itself would keep the tensors of its frames alive.
            said, kind = str(problem), None if is_out_of_memory(problem) else type(problem).__name__
        else:
            yield from done
            continue
        if len(part) == 1:
            status, detail = (Status.ERROR, f"{kind}: {said}") if kind else (Status.OOM, said or "out of memory")
            yield failed(part[0], status, detail)
        elif kind:
            waiting.extend(part[place : place + 1] for place in reversed(range(len(part))))
        else:
            waiting.extend(_halves(part))
            most = len(waiting[-1])
            shrink(most)


def _halves(part: Sequence[T]) -> list[Sequence[T]]:
    """The second half and the first, which is the larger one."""
    half = (len(part) + 1) // 2
    return [part[half:], part[:half]]
