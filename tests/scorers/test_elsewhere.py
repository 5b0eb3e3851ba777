"""Every shipped card on a device that is not the CPU: what it is given gets there, what it gives comes back, and is the same."""

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


def by_folder() -> dict[str, list[str]]:
    """Names of cards by the folder of their engines; a process for each."""
    found: dict[str, list[str]] = {}
    for name in sorted(makers()):
        found.setdefault(shipped_cards()[name].card.target.split(".")[2], []).append(name)
    return found


@pytest.mark.parametrize("folder", sorted(by_folder()))
def test_raters_give_the_same_there(folder: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.scorers.elsewhere_scores", str(tmp_path), *by_folder()[folder]]
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert process.returncode == 0, process.stderr[-2000:]
    device, *seen = (json.loads(line) for line in process.stdout.splitlines() if line.startswith("{"))
    assert device == {
        "there": True,
        "sum": 6.0,
        "mixed": f"aten.add.Tensor: tensors are on {ELSEWHERE} and on the CPU, one of shape (3,)",
    }
    assert {one["name"]: problem for one in seen if (problem := differences(one))} == {}
    assert [one["name"] for one in seen] == by_folder()[folder]


def differences(seen: dict[str, Any]) -> str:
    """What of a card's scores is not the same in both places."""
    here, there = seen["cpu"], seen[ELSEWHERE]
    if not (isinstance(here, dict) and isinstance(there, dict) and here):
        return f"here {here}, there {there}"
    alike = {door: np.allclose(there.get(door, np.nan), expected, rtol=1e-4, atol=1e-5) for door, expected in here.items()}
    return "" if all(alike.values()) else f"{alike}: here {here}, there {there}"
