"""How well a judge of pairs knows what people preferred, asked in both orders (OneReward, arXiv 2508.21066)."""

from __future__ import annotations

import math


def both_orders_loss(*, winner_first: float, loser_first: float) -> float:
    """-(log P(yes; winner, loser) + log P(no; loser, winner)) / 2; 0 is best.

    The first is the probability of 'yes, the first is better' where the winner is shown first, the second that of 'no' where the
    loser is. Infinite where one is 0; `ValueError` outside of 0 to 1.
    """
    for probability in (winner_first, loser_first):
        if not 0 <= probability <= 1:
            raise ValueError(f"{probability} is no probability")
    if not winner_first or not loser_first:
        return math.inf
    return -(math.log(winner_first) + math.log(loser_first)) / 2
