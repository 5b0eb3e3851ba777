"""Shipped cards on a device that is not the CPU: what it is given gets there, what it gives comes back, and is the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from curate.cards import shipped_cards
from tests.scorers.tiny.cards import makers

ELSEWHERE = "elsewhere:0"


def kinds() -> list[str]:
    """A card of each engine, and of each kind of network in it."""
    found: dict[tuple[object, ...], str] = {}
    for name in sorted(makers()):
        card = shipped_cards()[name].card
        kind = [card.args.get(field) for field in ("library", "family", "architecture", "model_type", "backbone", "head")]
        found.setdefault((card.target, *map(str, kind)), name)
    return sorted(found.values())


@pytest.mark.parametrize("part", [0, 1])
def test_raters_give_the_same_there(part: int, tmp_path: Path) -> None:
    assert_alike(kinds()[part::2], tmp_path)


@pytest.mark.soak
def test_all_raters_give_the_same_there(tmp_path: Path) -> None:
    assert_alike(sorted(makers()), tmp_path)


def assert_alike(names: list[str], folder: Path) -> None:
    command = [sys.executable, "-m", "tests.scorers.elsewhere_scores", str(folder), *names]
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert process.returncode == 0, process.stderr[-2000:]
    device, *seen = (json.loads(line) for line in process.stdout.splitlines() if line.startswith("{"))
    assert device == {
        "there": True,
        "sum": 6.0,
        "mixed": f"aten.add.Tensor: tensors are on {ELSEWHERE} and on the CPU, one of shape (3,)",
    }
    assert {one["name"]: problem for one in seen if (problem := differences(one))} == {}
    assert [one["name"] for one in seen] == names


def differences(seen: dict[str, Any]) -> str:
    """What of a card's scores is not the same in both places."""
    here, there = seen["cpu"], seen[ELSEWHERE]
    if not (isinstance(here, dict) and isinstance(there, dict) and here):
        return f"here {here}, there {there}"
    alike = {door: np.allclose(there.get(door, np.nan), expected, rtol=1e-4, atol=1e-5) for door, expected in here.items()}
    return "" if all(alike.values()) else f"{alike}: here {here}, there {there}"
