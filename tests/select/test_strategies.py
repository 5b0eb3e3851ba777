"""Candidate pairs: each strategy in numbers, whole or in blocks."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.select.caps import capped, shuffled
from curate.select.judging import Fate
from curate.select.slices import Places
from curate.select.strategies import STRATEGIES, Candidates, Strategy, candidates

SIZES = st.lists(st.integers(1, 7), max_size=6)


def made(found: Candidates, begin: int, end: int) -> list[tuple[int, int]]:
    return [(int(better), int(worse)) for better, worse in zip(*found.make(begin, end), strict=True)]


def groups(sizes: list[int]) -> tuple[Places, Places, list[range]]:
    ends = np.cumsum(np.array(sizes, dtype=np.int64))
    starts = ends - np.array(sizes, dtype=np.int64)
    return starts, np.array(sizes, dtype=np.int64), [range(start, end) for start, end in zip(starts, ends, strict=True)]


@given(sizes=SIZES)
def test_each_strategy_is_what_its_name_says(sizes: list[int]) -> None:
    starts, counts, members = groups(sizes)
    several = [group for group in members if len(group) > 1]
    expected = {
        "all": [pair for group in several for pair in combinations(group, 2)],
        "adjacent": [(one, one + 1) for group in several for one in group[:-1]],
        "best-worst": [(group[0], group[-1]) for group in several],
        "top-vs-rest": [(group[0], one) for group in several for one in group[1:]],
    }
    assert set(expected) == set(STRATEGIES)
    for strategy in STRATEGIES:
        assert made(candidates(strategy, starts, counts), 0, sum(sizes)) == expected[strategy]


@given(sizes=SIZES, strategy=st.sampled_from(STRATEGIES), most=st.integers(1, 30), whole=st.booleans())
def test_blocks_are_the_whole_and_not_larger_than_they_must_be(
    sizes: list[int], strategy: Strategy, most: int, whole: bool
) -> None:
    starts, counts, members = groups(sizes)
    found = candidates(strategy, starts, counts)
    only_at = starts + counts if whole else None
    cuts = list(found.cut(most, only_at=only_at))
    blocks = [made(found, begin, end) for begin, end in cuts]
    assert [pair for block in blocks for pair in block] == made(found, 0, sum(sizes))
    assert [end for _, end in cuts[:-1]] == [begin for begin, _ in cuts[1:]]
    if whole:
        assert all(end in {group.stop for group in members} for _, end in cuts)
        units = [sum(better in group for better, _ in made(found, 0, sum(sizes))) for group in members]
    else:
        units = [int(count) for count in found.counts]
    assert all(len(block) <= max(most, *units) for block in blocks)


@pytest.mark.parametrize("limits", [(1, None), (None, 1), (2, 1), (3, 2), (None, None)])
def test_limits_are_kept_and_nothing_is_left_out_that_fits(limits: tuple[int | None, int | None]) -> None:
    per_group, per_sample = limits
    generator = np.random.default_rng(0)
    starts, sizes, members = groups([1, 2, 5, 6])
    better, worse = candidates("all", starts, sizes).make(0, int(sizes.sum()))
    group_of = np.repeat(np.arange(4), sizes)
    preference = generator.integers(0, 4, len(better)).astype(float)
    fates = capped(better, worse, group_of[better], preference, max_per_group=per_group, max_per_sample=per_sample)
    kept = np.flatnonzero(fates == Fate.KEPT)
    in_group = np.bincount(group_of[better[kept]], minlength=4)
    in_sample = np.bincount(np.concatenate([better[kept], worse[kept]]), minlength=int(sizes.sum()))
    assert in_group.max() <= (per_group or 99)
    assert in_sample.max() <= (per_sample or 99)
    for one in np.flatnonzero(fates != Fate.KEPT):
        full = in_group[group_of[better[one]]] >= (per_group or 99)
        assert full or max(in_sample[better[one]], in_sample[worse[one]]) >= (per_sample or 99)
    # What is kept of a group goes before what is not, unless a sample was full.
    if per_sample is None:
        for number in range(len(members)):
            here = group_of[better] == number
            kept_ones, others = preference[here & (fates == Fate.KEPT)], preference[here & (fates != Fate.KEPT)]
            assert kept_ones.min(initial=9) >= others.max(initial=-1)


def test_shuffling_is_even_and_the_same_for_the_same_samples() -> None:
    numbers = np.arange(2000, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    better, worse = np.arange(1999), np.arange(1, 2000)
    keys = shuffled(numbers, better, worse)
    assert len(np.unique(keys)) == 1999
    assert keys.mean() / 2**53 == pytest.approx(0.5, abs=0.03)
    assert shuffled(numbers, better[10:20], worse[10:20]).tolist() == keys[10:20].tolist()
