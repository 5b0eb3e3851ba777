"""Comparing pictures by several ratings of each: Thurstone's model, as in VisualQuality-R1 (Wu et al., arXiv 2505.14460)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import product

EPSILON = 1e-6

_NORMAL = statistics.NormalDist()


def comparative_probabilities(ratings: Sequence[float], others: Sequence[float]) -> tuple[float, ...]:
    """For each rating of a picture the probability that it is better than another one, by the ratings of both.

    Phi((rating - mean of the others) / sqrt(both variances + 1e-6)), variances unbiased; `statistics.StatisticsError` for a
    picture with fewer than two ratings.
    """
    spread = math.sqrt(statistics.variance(ratings) + statistics.variance(others) + EPSILON)
    mean = statistics.fmean(others)
    return tuple(_NORMAL.cdf((rating - mean) / spread) for rating in ratings)


def preference(score: float, other: float) -> float:
    """What people said: 1 where the first score is higher, 0 where it is lower, 0.5 where they are equal."""
    return 0.5 if score == other else float(score > other)


def fidelity(probability: float, label: float) -> float:
    """How well a probability agrees with a label of 1, 0.5 or 0: sqrt(p g + 1e-6) + sqrt((1 - p) (1 - g) + 1e-6)."""
    return math.sqrt(probability * label + EPSILON) + math.sqrt((1 - probability) * (1 - label) + EPSILON)


def ranking_rewards(ratings: Sequence[Sequence[float]], scores: Sequence[float]) -> list[tuple[float, ...]]:
    """For each rating of each picture the mean fidelity to its order with all the others.

    `ratings` are those of each picture, and `scores` what people gave it; raises `ValueError` for fewer than two pictures, and
    where they are not equally many.
    """
    if len(ratings) != len(scores) or len(ratings) < 2:
        raise ValueError(
            f"there are ratings of {len(ratings)} pictures and scores of {len(scores)}; both need the same, two or more"
        )
    fidelities: list[list[tuple[float, ...]]] = [[] for _ in ratings]
    for one, other in product(range(len(ratings)), repeat=2):
        if one != other:
            label = preference(scores[one], scores[other])
            probabilities = comparative_probabilities(ratings[one], ratings[other])
            fidelities[one].append(tuple(fidelity(probability, label) for probability in probabilities))
    return [tuple(statistics.fmean(each) for each in zip(*own, strict=True)) for own in fidelities]
