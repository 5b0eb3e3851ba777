"""Batches that do not fit, and members that are bad: everybody gets an answer, in order, and only the culprit a failure."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from curate.halving import in_halves
from curate.records import Status


def halved(batch: list[int], *, room: int, bad: frozenset[int]) -> tuple[list[object], list[int], list[Sequence[int]]]:
    """What comes of numbers that are doubled, at most `room` at once; some cannot be."""
    sizes: list[int] = []
    tried: list[Sequence[int]] = []

    def work(part: Sequence[int]) -> list[object]:
        tried.append(part)
        if len(part) > room:
            raise MemoryError
        if bad & set(part):
            raise ZeroDivisionError("it is bad")
        return [2 * one for one in part]

    answers = in_halves(
        batch,
        work,
        failed=lambda one, status, detail: (one, status, detail),
        is_out_of_memory=lambda problem: isinstance(problem, MemoryError),
        shrink=sizes.append,
    )
    return list(answers), sizes, tried


@given(st.lists(st.integers(0, 30), min_size=1, unique=True), st.integers(1, 8), st.frozensets(st.integers(0, 30)))
def test_everybody_is_answered_in_order_and_only_the_bad_fail(batch: list[int], room: int, bad: frozenset[int]) -> None:
    answers, sizes, _ = halved(batch, room=room, bad=bad)
    expected = [(one, Status.ERROR, "ZeroDivisionError: it is bad") if one in bad else 2 * one for one in batch]
    assert answers == expected
    assert all(size < len(batch) for size in sizes)
    assert bool(sizes) == (len(batch) > room)


def test_what_does_not_fit_even_alone_is_out_of_memory() -> None:
    answers, sizes, tried = halved([1, 2, 3], room=0, bad=frozenset())
    assert answers == [(one, Status.OOM, "out of memory") for one in (1, 2, 3)]
    assert sizes == [2, 1]
    assert tried == [[1, 2, 3], [1, 2], [1], [2], [3]]


def test_a_size_that_did_not_fit_is_not_tried_again() -> None:
    """Each try gives memory back first, which takes longest where there is none."""
    answers, sizes, tried = halved(list(range(64)), room=5, bad=frozenset())
    assert answers == [2 * one for one in range(64)]
    assert sizes == [32, 16, 8, 4]
    assert [len(part) for part in tried] == [64, 32, 16, 8] + [4] * 16
