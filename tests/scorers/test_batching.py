"""Pictures of a size, and prompts of about a length, share a batch although they come mixed; and nothing of it shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import curate
from curate.scorers.network import Inputs, NetworkRater, Scores
from tests.scorers.tiny.cards import tiny_card

SIZES = ((64, 64), (64, 96), (96, 64), (96, 96))
PROMPTS = ("a cat", "a long story " * 12)


def counted(rater: NetworkRater, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many samples each forward pass has, as they come."""
    passes: list[int] = []
    forward = rater.forward

    def count(inputs: Inputs) -> Scores:
        passes.append(len(inputs.prompts))
        return forward(inputs)

    monkeypatch.setattr(rater, "forward", count)
    return passes


def mixed(count: int, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    noise = np.random.default_rng(0)
    return [noise.integers(0, 256, (*sizes[number % len(sizes)], 3), dtype=np.uint8) for number in range(count)]


@pytest.mark.parametrize(("card", "kinds"), [("lpips-alex", 4), ("yes-probability", 8), ("pickscore", 1)])
def test_what_belongs_together_is_judged_together(card: str, kinds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rater = curate.scorer(tiny_card(card, tmp_path).where, batch_size=4)
    assert isinstance(rater, NetworkRater)
    pictures = mixed(32, SIZES)
    # Sizes change with every picture, prompts with every fourth.
    prompts = [PROMPTS[number // 4 % 2] for number in range(32)] if rater.card.takes.prompt != "unused" else None
    beside = {role: [255 - picture for picture in pictures] for role in rater.card.takes.conditions}
    passes = counted(rater, monkeypatch)
    scores = rater.score(pictures, prompts, **beside)
    assert passes == [4] * 8, f"{kinds} kinds, in batches of four"
    alone = curate.scorer(tiny_card(card, tmp_path).where, batch_size=1).score(pictures, prompts, **beside)
    np.testing.assert_allclose(scores, alone, rtol=1e-5, atol=1e-5)
