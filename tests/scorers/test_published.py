"""Numbers that authors published of their examples, met by `curate.scorers.parity` where weights and pictures are at hand."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("torch")

from curate.cards import load_card, shipped_cards
from curate.errors import MissingExtra, MissingWeights
from curate.rater_loading import load_rater
from curate.rater_settings import Settings
from curate.scorers.golden import Inputs, load_golden
from curate.scorers.parity import parity
from curate.scorers.shelf import Shelf

FOLDER = "CURATE_GOLDEN_PICTURES"
"""Environment variable with the folder of the pictures that the golden files name."""

GOLDEN = {name: golden for name, file in shipped_cards().items() if (golden := load_golden(file)) and golden.published}

BY_PARITY = sorted(name for name, golden in GOLDEN.items() if any(isinstance(case.inputs, Inputs) for case in golden.published))
"""Cards with published numbers that `curate raters parity` tries."""

IXC = "ixc-2-5-reward"
"""Its numbers are those of another question than the card's, and of long answers, which stand in the original's README."""


@pytest.fixture(scope="module")
def pictures() -> Path:
    folder = os.environ.get(FOLDER)
    if folder is None:
        pytest.skip(f"needs the pictures of tests/golden in the folder that {FOLDER} names")
    return Path(folder)


def test_every_card_with_published_numbers_is_tried_here() -> None:
    assert set(GOLDEN) == {*BY_PARITY, IXC}


@pytest.mark.weights
@pytest.mark.parametrize("name", BY_PARITY)
def test_published_numbers_are_met(name: str, pictures: Path) -> None:
    inputs = [case.inputs for case in GOLDEN[name].published if isinstance(case.inputs, Inputs)]
    missing = [one.picture for case in inputs for one in (case, *case.conditions.values()) if Shelf(pictures).find(one) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} in the folder that {FOLDER} names")
    try:
        trials = parity(shipped_cards()[name], images=pictures, offline=True)
    except (MissingWeights, MissingExtra) as problem:
        pytest.skip(str(problem))
    assert any(trial.verdict == "met" for trial in trials)
    assert [trial for trial in trials if trial.verdict == "missed"] == []


def chats_of(readme: str) -> dict[str, list[dict[str, str]]]:
    """The chats that the first example in Python defines, by name."""
    code = re.search(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    assert code is not None, "the README has no example"
    found: dict[str, list[dict[str, str]]] = {}
    for line in ast.parse(code[1]).body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name) and line.targets[0].id.startswith("chat_"):
            found[line.targets[0].id] = ast.literal_eval(line.value)
    return found


def test_chats_are_read_from_an_example() -> None:
    """Adjacent texts and quotes of both kinds; what follows is another example."""
    chat = """chat_1 = [{"role": "user", "content": 'What is it?'}, {"role": "assistant", "content": "It's " "a car."}]"""
    readme = f"# A model\n\n```python\nmodel = load('it')\n{chat}\n```\n\n```python\nchat_2 = []\n```\n"
    wanted = [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "It's a car."}]
    assert chats_of(readme) == {"chat_1": wanted}


@pytest.mark.weights
def test_published_rewards_of_ixc_are_met(pictures: Path, tmp_path: Path) -> None:
    """Needs cars1.jpg, and the README of InternLM-XComposer-2.5-Reward as README.md, in the folder of the pictures."""
    needed = [pictures / "README.md", pictures / "cars1.jpg"]
    if not all(path.is_file() for path in needed):
        pytest.skip(f"needs {' and '.join(path.name for path in needed)} in the folder that {FOLDER} names")
    chats = chats_of(needed[0].read_text(encoding="utf-8"))
    fields: dict[str, Any] = yaml.safe_load(Path(shipped_cards()[IXC].where).read_text(encoding="utf-8"))
    for number, case in enumerate(GOLDEN[IXC].published):
        told = case.inputs
        assert not isinstance(told, Inputs | str)
        asked, answered = chats[told["prompt"].split()[0]]
        assert asked["content"] == told["question"]
        card = tmp_path / f"{number}.yaml"
        args = fields["args"] | {"question": told["question"], "tiles": told["tiles"]}
        card.write_text(yaml.safe_dump(fields | {"args": args}))
        try:
            rater: Any = load_rater(load_card(str(card)), Settings(offline=True))
        except MissingWeights as problem:
            pytest.skip(str(problem))
        assert rater.score([needed[1]], [answered["content"]]).item() == pytest.approx(case.expected, abs=case.tolerance)
        rater.close()
