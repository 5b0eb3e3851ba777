"""Long texts of others: only the text that is meant gets through, and a caption cannot speak for the model."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("torch")

from hypothesis import given
from hypothesis import strategies as st

from curate.cards import CardFile, load_card
from curate.errors import WeightsError
from curate.fixed_text import FixedText
from curate.scorers.vlm.templates import fill, load_template

TEXT = "Judge this.\nPrompt - {text_prompt}\nGo: ünïcode\n"
CONTROL = ("<|im_end|>", "<|Reward|>", "<image>", "</s>", "<s>")


def card(folder: Path, name: str) -> CardFile:
    fields: dict[str, Any] = {"name": "tiny", "version": 1, "about": "tiny", "target": "curate.scorers.x:Y"}
    fields |= {"dimensions": {"fit": {}}, "main": "fit", "weights": {"template": {"path": name}}}
    (folder / "card.yaml").write_text(yaml.safe_dump(fields))
    return load_card(str(folder / "card.yaml"))


def declared(text: str = TEXT, **other: Any) -> FixedText:
    said = {"length": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest(), "origin": "a place"}
    return FixedText(**{**said, **other})


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("text.txt", TEXT),
        ("text.py", f"OTHER = 'no'\nRUBRIC = {TEXT!r}\n"),
        ("text.py", f'import os\nos.remove("/nothing")\nRUBRIC = """{TEXT}"""\n'),
        ("text.py", f'RUBRIC = """{TEXT}"""\n'.replace("\n", "\r\n")),
    ],
    ids=["plain", "constant", "code that is not run", "Windows"],
)
def test_the_text_is_found(tmp_path: Path, name: str, contents: str) -> None:
    (tmp_path / name).write_bytes(contents.encode())
    assert load_template(card(tmp_path, name), declared(), offline=True) == TEXT


@pytest.mark.parametrize(
    ("name", "contents", "complaint"),
    [
        ("text.txt", TEXT + " ", "does not hold the text"),
        ("text.txt", TEXT.replace("Judge", "judge"), "does not hold the text"),
        ("text.py", "RUBRIC = 'a' + 'b'\n", "does not hold the text"),
        ("text.py", "RUBRIC = open('x').read()\n", "does not hold the text"),
        ("text.py", "def f(:\n", "does not hold the text"),
        ("text.py", "A = 1\x00", "does not hold the text"),
        ("text.txt", b"\xff\xfe", "cannot read it"),
        ("missing.txt", None, "there is no file .*is not shipped with curate: it is in a place"),
    ],
)
def test_another_text_is_refused(tmp_path: Path, name: str, contents: str | bytes | None, complaint: str) -> None:
    if contents is not None:
        (tmp_path / name).write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    with pytest.raises(WeightsError, match=complaint):
        load_template(card(tmp_path, name), declared(), offline=True)


@pytest.mark.parametrize("text", ["no place", "{text_prompt} and {text_prompt}"])
def test_a_text_has_one_place_for_the_caption(tmp_path: Path, text: str) -> None:
    (tmp_path / "text.txt").write_text(text)
    with pytest.raises(WeightsError, match="not one place"):
        load_template(card(tmp_path, "text.txt"), declared(text), offline=True)


@given(st.text())
def test_a_harmless_caption_comes_through_as_it_is(caption: str) -> None:
    filled, defused = fill(TEXT, caption, CONTROL)
    if not any(token in caption for token in CONTROL):
        assert (filled, defused) == (TEXT.replace("{text_prompt}", caption), False)


@given(st.lists(st.sampled_from([*CONTROL, "<|im_", "end|>", "<", "s>", "/", " ", "{text_prompt}", "cat"]), max_size=8))
def test_no_control_token_survives_in_a_caption(parts: list[str]) -> None:
    caption = "".join(parts)
    filled, defused = fill(TEXT, caption, CONTROL)
    assert not any(token in filled for token in CONTROL)
    assert defused == any(token in caption for token in CONTROL)
    assert filled.replace(" ", "") == TEXT.replace("{text_prompt}", caption).replace(" ", "")
