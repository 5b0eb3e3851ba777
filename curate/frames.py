"""Which frames of a video a rater of pictures sees, and how what it says of them becomes one value.

Policies: `uniform`, at equal steps of time from the first frame to the last; `segment_centre` and `segment_random`, one frame
of each of `count` segments of equal length (Yuan et al., InstructVideo, 2023: random in training, the centre is our choice for
evaluation); `rate`, one frame every 1/fps seconds; `all`. These choose frames by the times they are shown at, never by counting
on a constant rate. `strided` counts frames, for networks that were trained so: of n it takes `count`, n/count apart from the
first on, so that the last of them is not seen (He et al., VideoScore, 2024). `even_rate` is how networks built on Qwen2-VL look,
two frames to a patch (KwaiVGI/VideoAlign `vision_process.py`): as many frames as `fps` a second would be over n frames of the
video's own rate, rounded to an even number and at least 4, counted at equal steps from the first to the last.
"""

from __future__ import annotations

import hashlib
import math
import random
from bisect import bisect_right
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from curate.strict import Strict

MOST_FRAMES = 4096

_FRAMES = 8

_LEAST_OF_EVEN = 4

_ROUNDING = 5e-4
"""By which share the mean rate of a video may miss its own: containers round times, to a millisecond at worst."""


class Frames(Strict):
    """A card's `frames`: part of what decides its numbers for videos."""

    policy: Literal["uniform", "segment_centre", "segment_random", "rate", "even_rate", "strided", "all"] = "uniform"
    count: int | None = Field(default=None, ge=1, le=MOST_FRAMES)
    """Frames, or segments: 8 where it is not said. For `rate`, `even_rate` and `all` the most there may be."""
    fps: float | None = Field(default=None, gt=0)
    """Frames a second, for `rate` and `even_rate`."""
    seed: int = 0
    """For `segment_random`; the frames depend on it and on the video, on nothing else."""
    reduce: Literal["mean", "attenuated", "min", "percentile"] = "mean"
    attenuation: float = Field(default=1.0, ge=0)
    """For `attenuated`: frame g of F counts exp(-attenuation * |g - F/2|). At 1 little but the middle counts; 0 is the mean."""
    percentile: float = Field(default=10.0, ge=0, le=100)

    @model_validator(mode="after")
    def _has_a_rate(self) -> Frames:
        if (self.policy in ("rate", "even_rate")) != (self.fps is not None):
            raise ValueError("the policies 'rate' and 'even_rate' need fps, and the others take none")
        return self

    @property
    def sampling(self) -> Frames:
        """The same frames with nothing said of how they are combined: what has to be equal to look at a video once."""
        return self.model_copy(update={"reduce": "mean", "attenuation": 1.0, "percentile": 10.0})

    def choose(self, times: Sequence[float], *, key: str) -> list[int]:
        """Positions, ascending and each once, of the frames to look at, given when each is shown (seconds, ascending).

        A video with fewer frames than are asked for gives all it has. `key` names the video.
        """
        if self.policy == "all":
            return list(range(min(len(times), self._most)))
        if self.policy == "strided":
            # The stride first, as the originals have it: rounded otherwise, some positions would be their neighbours.
            stride = max(1.0, len(times) / self._most)
            return [int(step * stride) for step in range(min(self._most, len(times)))]
        if self.policy == "even_rate":
            return _spread(len(times), self._even(times))
        start, length = times[0], times[-1] - times[0]
        shown = {max(bisect_right(times, moment + 1e-9) - 1, 0) for moment in self._moments(start, length, key)}
        return sorted(shown)

    def combine(self, values: Sequence[float], positions: Sequence[int], total: int) -> float:
        """One value of those of the frames at `positions` in a video of `total` frames; values are larger-is-better.

        Attenuated values are summed by their weights and divided by the number of frames, not by the weights, as in the paper.
        """
        if self.reduce == "min":
            return min(values)
        if self.reduce == "percentile":
            return _percentile(values, self.percentile)
        weights = self.weights(positions, total) if self.reduce == "attenuated" else [1.0] * len(values)
        return math.fsum(weight * value for weight, value in zip(weights, values, strict=True)) / len(values)

    def weights(self, positions: Sequence[int], total: int) -> list[float]:
        """What each frame counts when attenuated with its distance from the middle of the video."""
        return [math.exp(-self.attenuation * abs(position - total / 2)) for position in positions]

    @property
    def _most(self) -> int:
        if self.count is not None:
            return self.count
        return MOST_FRAMES if self.policy in ("rate", "even_rate", "all") else _FRAMES

    def _even(self, times: Sequence[float]) -> int:
        """How many frames `even_rate` takes: an even number, and one of a video that has no second."""
        assert self.fps is not None, "checked when read"
        most = min(self._most, len(times)) // 2 * 2
        if most < 2:
            return 1
        wanted = len(times) / _rate_of(times) * self.fps
        return round(min(max(wanted, _LEAST_OF_EVEN), most) / 2) * 2

    def _moments(self, start: float, length: float, key: str) -> list[float]:
        if self.policy == "rate":
            assert self.fps is not None, "checked when read"
            return [start + step / self.fps for step in range(min(self._most, int(length * self.fps) + 1))]
        if self.policy == "uniform":
            return [start + length * (step / (self._most - 1) if self._most > 1 else 0.5) for step in range(self._most)]
        chance = random.Random(hashlib.sha256(f"{self.seed}:{key}".encode()).digest())
        within = (chance.random() if self.policy == "segment_random" else 0.5 for _ in range(self._most))
        return [start + length * (segment + part) / self._most for segment, part in enumerate(within)]


def _rate_of(times: Sequence[float]) -> float:
    """Frames a second, on the mean; the whole number, or the whole number over 1.001, that it is but for the rounding of times.

    The numbers of frames that come of it lie on the verge of rounding for whole seconds and a half, of which there are many.
    """
    length = times[-1] - times[0]
    if length <= 0:
        return float(len(times))  # as of one second
    mean = (len(times) - 1) / length
    usual = min(float(round(mean)), round(mean * 1.001) / 1.001, key=lambda rate: abs(rate - mean))
    return usual if abs(usual - mean) <= _ROUNDING * mean else mean


def _spread(total: int, count: int) -> list[int]:
    """`count` of `total` positions at equal steps from the first to the last, rounded to the nearest; the first for one."""
    steps = max(count - 1, 1)
    return [(2 * (total - 1) * step + steps) // (2 * steps) for step in range(count)]


def _percentile(values: Sequence[float], percent: float) -> float:
    """By linear interpolation between the two nearest."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
