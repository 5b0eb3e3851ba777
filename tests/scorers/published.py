"""Numbers that authors published of their examples, met by `curate.scorers.parity` where weights and pictures are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from curate.cards import shipped_cards
from curate.errors import MissingExtra, MissingWeights
from curate.scorers.parity import parity

FOLDER = "CURATE_GOLDEN_PICTURES"
"""Environment variable with the folder of the pictures that the golden files name."""


def check_published(card: str) -> None:
    """Every number that was published of a card; skips, with the reason, where weights or pictures are not at hand."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        pytest.skip(f"needs the pictures of tests/golden/{card}.json in the folder that {FOLDER} names")
    try:
        trials = parity(shipped_cards()[card], images=Path(folder), offline=True)
    except (MissingWeights, MissingExtra) as problem:
        pytest.skip(str(problem))
    assert trials
    assert [trial for trial in trials if trial.verdict != "met"] == []
