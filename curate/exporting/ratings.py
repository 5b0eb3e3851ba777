"""What a rater said of a sample, as the rows of exports tell it."""

from __future__ import annotations

from typing import Any

from curate.records import Rating


def rating_row(rating: Rating) -> dict[str, Any]:
    """What is short enough for a column: who said what, how far its answers lay apart, and how it ended."""
    return {
        "rater": rating.rater,
        "card": rating.card,
        "dimension": rating.dimension,
        "value": rating.value,
        "spread": rating.spread,
        "status": rating.status.value,
    }
