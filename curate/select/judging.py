"""What becomes of candidate pairs: identical, tied, too close, contradicted, or kept. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.select.closeness import rounding
from curate.select.slices import Places

Floats = NDArray[np.float64]


class Fate(IntEnum):
    """What became of a candidate pair; the later it failed, the larger. The first reason that holds is the one counted."""

    IDENTICAL = 0
    """Both responses have the same bytes."""
    TIE = 1
    """Not further apart than `tie`."""
    TOO_CLOSE = 2
    """Further apart than a tie, but less than `min_margin`."""
    TOO_FEW_AGREE = 3
    """Too few of the other opinions name the same winner."""
    OTHER_SPLIT = 4
    """Their prompts differ (in a group that the data names) and belong to different splits."""
    OVER_MAX_PER_SAMPLE = 5
    OVER_MAX_PER_GROUP = 6
    KEPT = 7

    @property
    def reason(self) -> str:
        """As a funnel says it."""
        return "prompts_in_two_splits" if self is Fate.OTHER_SPLIT else self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """The samples of a slice as a judge of pairs sees them; every array is (samples,)."""

    values: Floats
    digests: NDArray[np.uint64]
    """Equal for identical responses."""
    least_margins: Floats | float
    """What a pair's margin has to reach; a number, or one for each sample, the same within a group."""
    opinions: Sequence[Floats] = ()
    """Other values of the samples; NaN where there is none."""
    splits: NDArray[np.integer[Any]] | None = None
    """Number of each sample's split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """Of candidate pairs; every array is (pairs,)."""

    fates: NDArray[np.uint8]
    margins: Floats
    """0 for a tie that is kept."""
    confidences: Floats
    """Share of the opinions asked that name the same winner; NaN where there is none to ask, and for ties."""


def judge(contest: Contest, better: Places, worse: Places, *, tie: float, keep_ties: bool, votes_needed: int) -> Verdicts:
    """The fate of pairs of places, of which `better` has the larger or an equal value.

    A tie that is kept has no winner, so neither the margin nor the opinions are asked of it. Where a margin is met but for
    rounding, it is met; see `closeness`.
    """
    first, second = contest.values[better], contest.values[worse]
    with np.errstate(over="ignore"):  # infinite margins are left out by who exports them
        margins = first - second
    slack = rounding(first, second)
    tied = first <= second + (tie + slack)
    fates = np.full(len(better), Fate.KEPT, dtype=np.uint8)
    confidences = np.full(len(better), np.nan)
    if contest.splits is not None:
        fates[contest.splits[better] != contest.splits[worse]] = Fate.OTHER_SPLIT
    if contest.opinions:
        votes, asked = _votes(contest.opinions, better, worse)
        np.divide(votes, asked, out=confidences, where=(asked > 0) & ~tied)
        fates[(votes < votes_needed) & ~tied] = Fate.TOO_FEW_AGREE
    least = contest.least_margins
    fates[(margins < (least[better] if isinstance(least, np.ndarray) else least) - slack) & ~tied] = Fate.TOO_CLOSE
    if keep_ties:
        margins[tied] = 0.0
    else:
        fates[tied] = Fate.TIE
    fates[contest.digests[better] == contest.digests[worse]] = Fate.IDENTICAL
    return Verdicts(fates=fates, margins=margins, confidences=confidences)


def _votes(opinions: Sequence[Floats], better: Places, worse: Places) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each pair: how many opinions put the better strictly above, and how many have a value for both."""
    votes = np.zeros(len(better), dtype=np.int64)
    asked = np.zeros(len(better), dtype=np.int64)
    for opinion in opinions:
        first, second = opinion[better], opinion[worse]
        slack = rounding(first, second)  # NaN, which is above nothing, where one is missing
        votes += first > second + slack
        asked += ~np.isnan(slack)
    return votes, asked


def spreads_of_groups(values: Floats, starts: Places, sizes: Places) -> Floats:
    """The population standard deviation of each group's values; 0 for a group of one.

    Each group is brought near 1 by a power of two, which changes no digit, so that its squares neither overflow nor vanish.
    """
    if not len(starts):
        return np.zeros(0)
    _, exponents = np.frexp(np.maximum.reduceat(np.abs(values), starts))
    near_one = np.ldexp(values, -np.repeat(exponents, sizes))
    means = np.add.reduceat(near_one, starts) / sizes
    squares = np.add.reduceat((near_one - np.repeat(means, sizes)) ** 2, starts)
    deviations: Floats = np.ldexp(np.sqrt(squares / sizes), exponents)
    return deviations
