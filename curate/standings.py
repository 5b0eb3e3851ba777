"""From the comparisons of a group to a number for each of its samples: win rates, and Bradley-Terry strengths.

Comparisons come as arrays, one entry each: the numbers of its two samples and the probability that the first of them is better.
A win rate is a mean, so it depends on whom a sample was compared with; a strength allows for that, and so is the fairer number
where not every two samples were compared (a tournament, comparisons that failed). Equal records give equal numbers to the last
bit, whatever the order of the comparisons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers: TypeAlias = NDArray[np.int64]
    Floats: TypeAlias = NDArray[np.float64]

DECIMALS = 6
"""Of a strength: fewer than it is known to, so that samples with equal records have equal strengths."""

RATE_DECIMALS = 12
"""Of a win rate: fewer than a double has, since 1 - 0.7 is not 0.3 to the last bit."""

_CLOSE = 1e-9
"""The iteration ends when no sample of the group changes by a larger share."""

_LOOK = 8
"""Iterations between two looks at what has converged."""

_MOST = 20_000
"""Iterations; with a prior, groups need some dozens."""


def win_rates(first: Numbers, second: Numbers, probability: Floats, samples: int) -> Floats:
    """Mean probability of being better, over the comparisons of each sample, as (samples,); NaN for one without any.

    Rounded to twelve decimals.

    `first` and `second` are (comparisons,) numbers below `samples`; `probability`, that the first is better, is 0.5 for a tie
    and NaN for a comparison without an answer, which is left out: the released code of Pref-GRPO (arXiv 2508.20751) counts one as
    a tie, and rounds to three decimals.
    """
    import numpy as np

    wins, counts = _totals(first, second, probability, samples)
    rates: Floats = np.divide(wins, counts, out=np.full(samples, np.nan), where=counts > 0)
    return np.round(rates, RATE_DECIMALS)


def bradley_terry(
    first: Numbers,
    second: Numbers,
    probability: Floats,
    samples: int,
    *,
    groups: Numbers | None = None,
    prior: float = 0.5,
) -> Floats:
    """Strengths s with P(i beats j) = 1 / (1 + exp(s_j - s_i)), fitted to soft wins, as (samples,); NaN without a comparison.

    The arguments are as for `win_rates`; a comparison that is NaN is left out. `groups` are (samples,) numbers of groups
    between which nothing is compared, from 0 on; None for a single one. Strengths have mean 0 in each group, and are rounded to
    six decimals.

    Every sample has won and lost `prior` comparisons against an opponent of strength 0, so one that won all has a finite
    strength, and parts of a group that were never compared with each other have a common scale. `prior` is positive.

    Iterates p_i = (wins_i + prior) / (sum_j n_ij / (p_i + p_j) + 2 prior / (p_i + 1)), the update of Zermelo (1929) as the MM
    algorithm of Hunter (2004, Annals of Statistics 32), which climbs to the only maximum.
    """
    import numpy as np

    if not prior > 0:
        raise ValueError(f"prior is {prior}; a positive number is needed, else a sample that won all has no finite strength")
    groups = np.zeros(samples, dtype=np.int64) if groups is None else groups
    wins, counts = _totals(first, second, probability, samples)
    answered = ~np.isnan(probability)
    left, right = first[answered], second[answered]
    power = np.ones(samples)
    # Groups leave as they converge, each by its own numbers alone, so what else is there changes no bit of them.
    moving = counts > 0
    for iteration in range(1, _MOST + 1):
        updated = np.where(moving, _update(power, left, right, wins, prior), power)
        change, power = np.abs(updated / power - 1), updated
        if iteration % _LOOK == 0:
            unsettled = np.zeros(int(groups.max(initial=-1)) + 1, dtype=np.bool_)
            unsettled[groups[change > _CLOSE]] = True
            moving &= unsettled[groups]
            if not moving.any():
                break
            left, right = left[moving[left]], right[moving[left]]
    logs = np.log(power)
    return _centred(logs, counts > 0, groups)


def _totals(first: Numbers, second: Numbers, probability: Floats, samples: int) -> tuple[Floats, Numbers]:
    """For each sample the sum of its soft wins, and its comparisons that have an answer.

    A sample's wins are added up by size, so samples with equal wins have equal sums.
    """
    import numpy as np

    answered = ~np.isnan(probability)
    sample = np.concatenate([first[answered], second[answered]])
    win = np.concatenate([probability[answered], 1 - probability[answered]])
    by_size = np.lexsort((win, sample))
    wins: Floats = np.bincount(sample[by_size], weights=win[by_size], minlength=samples).astype(np.float64)
    return wins, np.bincount(sample, minlength=samples).astype(np.int64)


def _update(power: Floats, left: Numbers, right: Numbers, wins: Floats, prior: float) -> Floats:
    """One iteration over all samples at once; `power` is exp of the strengths, counted from that of the opponent."""
    import numpy as np

    each = 1 / (power[left] + power[right])
    met = np.bincount(left, weights=each, minlength=len(power)) + np.bincount(right, weights=each, minlength=len(power))
    updated: Floats = (wins + prior) / (met + 2 * prior / (power + 1))
    return updated


def _centred(logs: Floats, compared: NDArray[np.bool_], groups: Numbers) -> Floats:
    """Strengths with mean 0 over the compared samples of each group, rounded; NaN for the others."""
    import numpy as np

    totals = np.bincount(groups[compared], weights=logs[compared], minlength=int(groups.max(initial=-1)) + 1)
    sizes = np.bincount(groups[compared], minlength=len(totals))
    means = totals / np.maximum(sizes, 1)
    # Adding 0 turns a rounded -0 into 0.
    return np.where(compared, np.round(logs - means[groups], DECIMALS) + 0.0, np.nan)
