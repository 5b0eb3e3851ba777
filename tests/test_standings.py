"""Win rates and strengths: what the papers publish, and what must not matter does not."""

from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.select import bradley_terry, win_rates
from curate.standings import DECIMALS

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]

NAN = float("nan")

PREF_GRPO = ([0, 0, 0, 1, 1, 2], [1, 2, 3, 2, 3, 3], [1, 1, 0.5, 0, 1, NAN])
"""Four samples: 0 > 1, 0 > 2, 0 = 3, 2 > 1, 1 > 3, and a reply about (2, 3) that could not be read."""


def arrays(first: list[int], second: list[int], chance: list[float]) -> tuple[Numbers, Numbers, Floats]:
    return np.array(first, dtype=np.int64), np.array(second, dtype=np.int64), np.array(chance, dtype=np.float64)


def columns(rows: list[tuple[int, int, float]]) -> tuple[Numbers, Numbers, Floats]:
    return arrays([one for one, _, _ in rows], [other for _, other, _ in rows], [chance for _, _, chance in rows])


def everybody_beats_the_later(samples: int) -> tuple[Numbers, Numbers, Floats]:
    return columns([(one, other, 1.0) for one, other in combinations(range(samples), 2)])


@st.composite
def records(draw: st.DrawFn) -> tuple[int, list[tuple[int, int, float]]]:
    """A few samples, and comparisons of some of them."""
    samples = draw(st.integers(2, 7))
    pairs = draw(st.lists(st.sampled_from(list(combinations(range(samples), 2))), unique=True))
    chances = st.one_of(st.sampled_from([0.0, 0.5, 1.0, NAN]), st.floats(0, 1))
    return samples, [(one, other, draw(chances)) for one, other in pairs]


def test_a_failed_comparison_is_left_out_and_no_tie_as_in_the_released_code() -> None:
    first, second, chance = arrays(*PREF_GRPO)
    assert win_rates(first, second, chance, 4).tolist() == [0.833333333333, 0.333333333333, 1 / 2, 1 / 4]
    released = win_rates(first, second, np.nan_to_num(chance, nan=0.5), 4)
    assert np.round(released, 3).tolist() == [0.833, 0.333, 0.5, 0.333]


def test_equal_win_rates_are_equal_to_the_last_bit() -> None:
    assert win_rates(*arrays([0, 1], [1, 2], [0.3, 0.7]), 3).tolist() == [0.3, 0.7, 0.3], "1 - 0.7 is another double than 0.3"
    tenths = win_rates(*arrays([0, 1, 1, 1], [2, 2, 3, 4], [0.1, 0.1, 0.1, 0.1]), 5)
    assert tenths[0] == tenths[1], "whatever the number of comparisons"


def test_a_sample_that_was_not_compared_has_no_standing() -> None:
    first, second, chance = arrays([0, 2], [1, 3], [1, NAN])
    for standing in (win_rates(first, second, chance, 5), bradley_terry(first, second, chance, 5)):
        assert np.isnan(standing).tolist() == [False, False, True, True, True]
    nothing = arrays([], [], [])
    assert win_rates(*nothing, 0).tolist() == bradley_terry(*nothing, 0).tolist() == []
    assert np.isnan(bradley_terry(*nothing, 2)).all()


def test_strengths_that_made_the_probabilities_are_found_again() -> None:
    made = np.array([1.5, 0.3, -0.2, -1.6])
    first, second = np.array(list(combinations(range(4), 2))).T
    chance = 1 / (1 + np.exp(made[second] - made[first]))
    assert bradley_terry(first, second, chance, 4, prior=1e-7) == pytest.approx(made, abs=1e-5)


@given(records())
def test_strengths_are_where_wins_equal_what_they_predict(record: tuple[int, list[tuple[int, int, float]]]) -> None:
    """At the maximum of the likelihood the slope is 0: each sample has as many wins as its strength makes one expect."""
    samples, rows = record
    prior = 0.5
    strengths = bradley_terry(*columns(rows), samples, prior=prior)
    answered = [(one, other, chance) for one, other, chance in rows if not np.isnan(chance)]
    compared = ~np.isnan(strengths)
    assert set(np.flatnonzero(compared)) == {sample for one, other, _ in answered for sample in (one, other)}
    if not answered:
        return
    assert np.abs(strengths[compared].mean()) < 10.0**-DECIMALS
    # The opponent of the prior stands at 0 before the strengths are centred, so one shift makes the slopes vanish.
    slopes = np.zeros(samples)
    for one, other, chance in answered:
        expected = 1 / (1 + np.exp(strengths[other] - strengths[one]))
        slopes[one] += chance - expected
        slopes[other] -= chance - expected
    shift = _shift(strengths[compared])
    slopes[compared] += 2 * prior * (0.5 - 1 / (1 + np.exp(-strengths[compared] - shift)))
    assert np.abs(slopes).max() < 1e-4


def _shift(strengths: Floats) -> float:
    """Where the centred strengths stood: the wins against the opponent and the losses are as many as expected, all together."""
    low, high = -20.0, 20.0
    for _ in range(80):
        middle = (low + high) / 2
        if np.sum(0.5 - 1 / (1 + np.exp(-strengths - middle))) > 0:
            low = middle
        else:
            high = middle
    return low


@given(records(), st.randoms(use_true_random=False))
def test_neither_the_order_of_comparisons_nor_that_of_a_pair_counts(
    record: tuple[int, list[tuple[int, int, float]]], dice: random.Random
) -> None:
    samples, rows = record
    rows = [row for row in rows if np.isnan(row[2]) or row[2] in (0, 0.5, 1)]
    turned = [(other, one, 1 - chance) if dice.random() < 0.5 else (one, other, chance) for one, other, chance in rows]
    dice.shuffle(turned)
    for standing in (win_rates, bradley_terry):
        straight, mixed = (standing(*columns(told), samples) for told in (rows, turned))
        np.testing.assert_array_equal(straight, mixed)


def test_groups_do_not_see_each_other() -> None:
    """To the last bit: a view must not depend on which groups are worked on together."""
    rng = np.random.default_rng(0)
    first, second = np.array(list(combinations(range(5), 2))).T
    chances = [rng.random(10) if number % 2 else rng.integers(0, 2, 10).astype(float) for number in range(50)]
    alone = [bradley_terry(first, second, chance, 5) for chance in chances]
    starts = np.repeat(np.arange(50) * 5, 10)
    groups = np.repeat(np.arange(50), 5)
    everybody = (np.tile(first, 50) + starts, np.tile(second, 50) + starts, np.concatenate(chances), 250)
    assert bradley_terry(*everybody, groups=groups).tolist() == np.concatenate(alone).tolist()
    assert win_rates(*everybody).tolist() == np.concatenate([win_rates(first, second, chance, 5) for chance in chances]).tolist()


def test_equal_records_are_ties_to_the_last_bit() -> None:
    # 0 beats 1, 2 and 3, which are alike towards it; among them 1 > 2 > 3 > 1. And sums of equal parts in another order.
    first, second, chance = arrays([0, 0, 0, 1, 2, 1], [1, 2, 3, 2, 3, 3], [0.9, 0.9, 0.9, 0.7, 0.7, 1 - 0.7])
    for standing in (win_rates(first, second, chance, 4), bradley_terry(first, second, chance, 4)):
        assert standing[0] > standing[1] == standing[2] == standing[3]


def test_one_that_won_all_has_a_finite_strength_and_more_wins_make_more() -> None:
    chain = [bradley_terry(*everybody_beats_the_later(k), k) for k in (2, 3, 8, 40)]
    for strengths in chain:
        assert np.isfinite(strengths).all()
        assert (np.diff(strengths) < 0).all()
    assert [float(one[0]) for one in chain] == sorted(float(one[0]) for one in chain)
    firm = bradley_terry(*arrays([0], [1], [1.0]), 2, prior=0.1)
    assert firm[0] > chain[0][0], "the prior draws together"


def test_a_prior_is_needed() -> None:
    with pytest.raises(ValueError, match="prior is 0; a positive number is needed"):
        bradley_terry(*arrays([0], [1], [1.0]), 2, prior=0)
