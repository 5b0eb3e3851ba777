"""From scores of regions to a map over the picture (WayneJin0918/SRUM, arXiv 2510.12784).

A score s from -1 to 1 weighs (s + 1) / 2; what no region covers weighs 0.5; all of it is multiplied by (layout + 1) / 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BACKGROUND = 0.5

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels; right and bottom are the first that do not belong to it."""

Mode = Literal["assign", "max"]


def reward_map(
    boxes: Sequence[Box], scores: Sequence[float], *, layout: float, width: int, height: int, mode: Mode = "assign"
) -> NDArray[np.float32]:
    """The weights of all pixels, as (height, width), 0 to 1.

    With `assign` a region has its own weight, and the highest of several; with `max`, as in the released code, it never weighs
    less than the background, so that a bad region is not told from none. Boxes are cut at the borders; one that is outside
    covers nothing. Raises `ValueError` for scores outside of -1 to 1, and where there is not one for each box.
    """
    import numpy as np

    if len(boxes) != len(scores):
        raise ValueError(f"there are {len(boxes)} boxes and {len(scores)} scores")
    if wrong := [score for score in (*scores, layout) if not -1 <= score <= 1]:
        raise ValueError(f"a score lies between -1 and 1, and is not {wrong[0]}")
    nothing = BACKGROUND if mode == "max" else -1.0
    weights = np.full((height, width), nothing, dtype=np.float32)
    for (left, top, right, bottom), score in zip(boxes, scores, strict=True):
        rows = slice(_within(top, height), _within(bottom, height))
        region = weights[rows, _within(left, width) : _within(right, width)]
        np.maximum(region, _weight(score), out=region)
    weights[weights < 0] = BACKGROUND
    return weights * np.float32(_weight(layout))


def _weight(score: float) -> float:
    return (score + 1) / 2


def _within(place: float, size: int) -> int:
    """A border in whole pixels, inside of the picture."""
    return min(max(math.floor(place), 0), size)
