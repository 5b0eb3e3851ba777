"""Texts of others, found in the files of their repositories: strings, formatted ones, sums of them; nothing is run."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from curate.cards import CardFile, load_card
from curate.errors import MissingWeights, WeightsError
from curate.fixed_text import FixedText, load_text


def card(folder: Path, name: str) -> CardFile:
    fields: dict[str, Any] = {"name": "tiny", "version": 1, "about": "tiny", "target": "curate.judges.x:Y"}
    fields |= {"dimensions": {"fit": {}}, "main": "fit", "weights": {"question": {"path": name}}}
    (folder / "card.yaml").write_text(yaml.safe_dump(fields))
    return load_card(str(folder / "card.yaml"))


def declared(text: str) -> FixedText:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return FixedText(role="question", length=len(text), sha256=digest, origin="ask.py of https://example.org/judge")


def found(folder: Path, source: str, text: str) -> str:
    (folder / "ask.py").write_text(source)
    return load_text(card(folder, "ask.py"), declared(text), offline=True)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("q = f'Is it {prompt}?'", "Is it {prompt}?"),
        ("q = f'''Is it {item['a']}?\n{{\"score\": 0}}'''", "Is it {item['a']}?\n{\"score\": 0}"),
        ("q = ('Is it '\n     f'{prompt}' '?')", "Is it {prompt}?"),
        ("q = 'Is it ' + f'{prompt}' + '?'", "Is it {prompt}?"),
        ("send([{'text': f'Is it {prompt}?'}])", "Is it {prompt}?"),
        ("q = '<image>\\n' * n + f'Is it {prompt}?'", "Is it {prompt}?"),
        ("q = 'Is it \\” {prompt}?'", "Is it \\” {prompt}?"),
    ],
    ids=["formatted", "braces", "in pieces", "a sum", "somewhere", "beside something else", "escaped for nothing"],
)
def test_a_string_is_found_as_it_is_put_together(tmp_path: Path, source: str, text: str) -> None:
    with warnings.catch_warnings(action="error"):
        assert found(tmp_path, source, text) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("q = f'{number:.2f} of ten'", "{number} of ten"),
        ("q = f'Is it {prompt!r}?'", "Is it {prompt}?"),
        ("q = 'Is it ' + prompt + '?'", "Is it {prompt}?"),
        ("q = 'ab' * 2", "abab"),
        ("q = 1 + 2", "3"),
        ("q = " + "+".join(["'a'"] * 5000), "a" * 4999),
    ],
    ids=["a number's form", "a representation", "a name", "times", "numbers", "without an end"],
)
def test_what_would_have_to_be_run_is_not_found(tmp_path: Path, source: str, text: str) -> None:
    with pytest.raises(WeightsError, match="does not hold the text that is meant"):
        found(tmp_path, source, text)


def test_a_missing_text_is_one_sentence_with_two_ways_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights) as problem:
        load_text(card(tmp_path, "missing.py"), declared("Is it?"), offline=True)
    sentence = str(problem.value)
    for part in (
        f"there is no file {tmp_path / 'missing.py'}",
        "the text of 6 characters with the SHA-256 " + hashlib.sha256(b"Is it?").hexdigest()[:16],
        "it is in ask.py of https://example.org/judge; save that there",
        "or copy the card and set weights.question.path to where you have it",
    ):
        assert part in sentence
    assert "\n" not in sentence
