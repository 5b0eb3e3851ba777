"""Batches of what belongs together: full where that can be, nothing lost, nothing held without end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from curate.buckets import HELD, alike_batches

KINDS = st.lists(st.integers(0, 9), max_size=120)


def batched(kinds: list[int], size: int) -> list[list[tuple[int, int]]]:
    items = list(enumerate(kinds))
    return list(alike_batches(iter(items), kind=lambda item: item[1], size=lambda: size))


@given(kinds=KINDS, size=st.integers(1, 9))
def test_every_item_is_in_one_batch_of_its_kind_and_in_order(kinds: list[int], size: int) -> None:
    of_kind = defaultdict(list)
    for batch in batched(kinds, size):
        assert 0 < len(batch) <= size
        assert len({kind for _, kind in batch}) == 1
        of_kind[batch[0][1]] += [number for number, _ in batch]
    assert dict(of_kind) == {kind: [n for n, one in enumerate(kinds) if one == kind] for kind in set(kinds)}


@given(kinds=KINDS, size=st.integers(1, 9))
def test_no_more_than_a_few_batches_are_held(kinds: list[int], size: int) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for kind in kinds:
            taken += 1
            yield kind

    given_out = 0
    for batch in alike_batches(items(), kind=lambda kind: kind, size=lambda: size):
        assert taken - given_out <= HELD * size
        given_out += len(batch)
    assert given_out == len(kinds)


def test_few_kinds_give_full_batches() -> None:
    """Three kinds in turn, in batches of eight: as many batches as if they had been sorted."""
    assert [len(batch) for batch in batched([0, 1, 2] * 32, 8)] == [8] * 12


def test_a_size_that_shrinks_on_the_way_holds_from_then_on() -> None:
    size = 8
    kinds = [0] * 8 + [1] * 7 + [0] * 12
    batches = alike_batches(iter(enumerate(kinds)), kind=lambda item: item[1], size=lambda: size)
    assert len(next(batches)) == 8
    size = 3
    assert [len(batch) for batch in batches] == [3, 3, 3, 3, 3, 3, 1]
