"""When values are equal, and margins reached, although they were rounded: 0.4 - 0.3 is not 0.1, nor is 0.1 + 0.2 the same as 0.3.

A tie that rounding made a win would be a preference learned from nothing, and a margin that is exactly met would count by chance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DIGITS = 12
"""To which values are told apart. A double has nearly 16, of which sums of some terms lose one or two."""


def rounding(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of the difference of two values, entry by entry, may be rounding; NaN where one is."""
    larger: NDArray[np.float64] = np.maximum(np.abs(first), np.abs(second))
    larger *= 10.0**-DIGITS
    return larger


def rounded(sql: str) -> str:
    """SQL for a finite number or null, to `DIGITS` digits, so that what arithmetic left a little apart is equal again.

    Numbers that have no digits to round, 0 and the smallest ones, stay as they are.
    """
    return f"coalesce(round({sql}, TRY_CAST({DIGITS - 1} - floor(log10(abs({sql}))) AS INTEGER)), {sql})"
