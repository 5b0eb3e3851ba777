"""Advantages of several tasks on one scale: OneThinker's moving moments of each task's rewards (arXiv 2512.03043)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

LARGEST = 5.0


class TaskMoments:
    """The moving first and second moment of the rewards of one task."""

    def __init__(self, *, decay: float = 0.99, corrected: bool = False) -> None:
        """`corrected` divides both moments by 1 - decay^n, so that they do not start near 0; the paper does not."""
        if not 0 <= decay < 1:
            raise ValueError(f"a decay lies between 0 and 1, and is not {decay}")
        self._decay = decay
        self._corrected = corrected
        self._batches = 0
        self._moments = (0.0, 0.0)

    def update(self, rewards: Sequence[float]) -> None:
        """Take in the rewards of a batch; `statistics.StatisticsError` where there are none."""
        fresh = (statistics.fmean(rewards), statistics.fmean(reward**2 for reward in rewards))
        first, second = (self._decay * old + (1 - self._decay) * new for old, new in zip(self._moments, fresh, strict=True))
        self._moments = (first, second)
        self._batches += 1

    @property
    def moments(self) -> tuple[float, float]:
        """The first and the second, 0 before the first batch."""
        if not self._corrected or not self._batches:
            return self._moments
        share = 1 - self._decay**self._batches
        return self._moments[0] / share, self._moments[1] / share

    @property
    def deviation(self) -> float:
        """The standard deviation by the moments."""
        first, second = self.moments
        return math.sqrt(max(second - first**2, 0.0))

    def advantages(self, rewards: Sequence[float]) -> tuple[float, ...] | None:
        """(reward - mean of the group) / deviation, -5 to 5; None for a group in which all are equal, or without a deviation."""
        deviation = self.deviation
        if not deviation or len(set(rewards)) < 2:
            return None
        mean = statistics.fmean(rewards)
        return tuple(min(max((reward - mean) / deviation, -LARGEST), LARGEST) for reward in rewards)
