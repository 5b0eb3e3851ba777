"""Rewards for captions: how close they are to the picture and to references, and that they are not too long."""

from __future__ import annotations

CLIP_S = 2.5

WHOLE_REWARD = 2048
"""Tokens up to which a caption is not too long."""

NO_REWARD = 3072


def clip_s(cosine: float) -> float:
    """CLIP-S = 2.5 max(cosine, 0), of a picture and its caption behind 'A photo depicts' (Hessel et al., CLIPScore, 2021)."""
    return CLIP_S * max(cosine, 0.0)


def refclip_s(cosine: float, reference: float) -> float:
    """RefCLIP-S: the harmonic mean of CLIP-S and `reference`, the largest cosine of the caption with a reference, at least 0."""
    score, reference = clip_s(cosine), max(reference, 0.0)
    return 2 * score * reference / (score + reference) if score and reference else 0.0


def length_term(tokens: int) -> float:
    """1 up to 2048 tokens, falling evenly to 0 at 3072 (CapRL++, InternLM/CapRL)."""
    return min(max((NO_REWARD - tokens) / (NO_REWARD - WHOLE_REWARD), 0.0), 1.0)
