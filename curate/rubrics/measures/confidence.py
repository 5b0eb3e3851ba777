"""Weights for ratings that are not sure, and rewards for judges that convince others."""

from __future__ import annotations

import math

PREFPAINT_WEIGHTS = (1.0, 2.21)
"""The smallest and the largest weight of PrefPaint."""


def uncertainty_weight(uncertainty: float) -> float:
    """exp(-u), where u is how far two ratings of one sample are apart (Ctrl-U, arXiv 2410.11236). Below 0: `ValueError`."""
    if not uncertainty >= 0:
        raise ValueError(f"two ratings cannot be {uncertainty} apart")
    return math.exp(-uncertainty)


def elliptical_weight(norm: float) -> float:
    """The weight of a sample by how far its features are from those a reward model was trained on (PrefPaint, arXiv 2410.21966).

    exp(0.7 - 0.05 norm), 1 to 2.21, where `norm` is that of V^-1 z. Below 0: `ValueError`.
    """
    if not norm >= 0:
        raise ValueError(f"a norm is not {norm}")
    least, most = PREFPAINT_WEIGHTS
    return min(max(math.exp(0.7 - 0.05 * norm), least), most)


def listener_reward(*, well_formed: float, correct: float, confidence: float) -> float:
    """The reward of a judge by its form, its choice, and a listener (arXiv 2506.22832); each from 0 to 1.

    `confidence` is the probability that another model gives to the right choice after reading the reasons without the answer.
    """
    return well_formed + 0.5 * correct + 0.5 * confidence
