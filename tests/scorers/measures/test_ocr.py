"""Text in pictures: drawn, read for real, and compared."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from curate.cards import load_card
from curate.errors import CardError
from curate.rater_loading import load_rater
from curate.raters import Item
from curate.records import Status
from curate.scorers.measures.picture_text import SMALLEST, Readable
from curate.scorers.measures.quoted import agreement, edits_to_nearest, plain, quoted_texts

Make = Callable[..., Item]


def drawn(*lines: str, size: tuple[int, int] = (520, 220)) -> np.ndarray:
    """Lines of text on a coloured ground."""
    image = Image.new("RGB", size, (244, 236, 210))
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(48)
    for row, line in enumerate(lines):
        pen.text((30, 20 + 80 * row), line, fill=(30, 40, 120), font=font)
    return np.asarray(image)


@pytest.fixture(scope="module")
def rater() -> Any:
    pytest.importorskip("rapidocr")
    return load_rater(load_card("ocr"))


def judge(rater: Any, make: Make, picture: np.ndarray, prompt: str | None) -> Any:
    item = make(prompt=prompt, pixels={"response": picture}, preparations=rater.preparations)
    (judgement,) = rater.judge([item])
    return judgement.values["text"]


# Reading for real.


def test_drawn_text_is_read(rater: Any, sample_item: Make) -> None:
    value = judge(rater, sample_item, drawn("Hello World", "OPEN 24h"), 'A shop window with "hello world" and “Open 24H” on it')
    assert value.value == pytest.approx(1)
    assert value.rationale == "read: Hello World / OPEN 24h"


def test_the_more_is_wrong_the_less_it_is_worth(rater: Any, sample_item: Make) -> None:
    prompt = 'a sign that says "HELLO WORLD"'
    values = [judge(rater, sample_item, drawn(text), prompt).value for text in ("HELLO WORLD", "HELLO WORED", "HALLO WRD", "xyz")]
    assert values == sorted(values, reverse=True)
    assert values[0] == 1
    assert values[1] == pytest.approx(0.9)  # one of ten letters
    assert values[3] < 0.3


def test_a_picture_without_text_is_worth_nothing(rater: Any, sample_item: Make) -> None:
    value = judge(rater, sample_item, drawn(), 'a sign that says "STOP"')
    assert (value.value, value.rationale) == (0, "read: nothing")


def test_without_quotes_there_is_no_answer_and_without_a_prompt_neither(rater: Any, sample_item: Make) -> None:
    value = judge(rater, sample_item, drawn("STOP"), "a stop sign that isn't red")
    assert (value.status, value.value) == (Status.NOT_APPLICABLE, None)
    assert value.detail == "the prompt quotes no text to look for"
    assert judge(rater, sample_item, drawn("STOP"), None).status is Status.MISSING_PROMPT


@pytest.mark.parametrize("shape", [(1, 1), (2500, 3), (31, 33)])
def test_odd_sizes_are_read_too(shape: tuple[int, int], rater: Any, sample_item: Make) -> None:
    assert judge(rater, sample_item, np.full((*shape, 3), 200, np.uint8), 'a sign "A1"').value == 0


# An engine that fails: never a 0, which is what a picture without text is worth.

STAGES = ("text_det", "text_cls", "text_rec")


@pytest.fixture
def stage(request: pytest.FixtureRequest, rater: Any) -> Any:
    return getattr(rater._reader, request.param)


def reads_open(rater: Any, make: Make) -> Any:
    return judge(rater, make, drawn("OPEN 24h", "NO ENTRY"), 'a sign that says "OPEN 24h"')


@pytest.mark.parametrize("stage", STAGES, indirect=True)
def test_a_network_of_the_reader_that_raises_is_an_error(
    stage: Any, rater: Any, sample_item: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = stage.session._session

    def fed_wrongly(pixels: np.ndarray) -> np.ndarray:
        return real(pixels[:, :1])  # one channel for three: ONNX Runtime refuses it, in its own words

    monkeypatch.setattr(stage.session, "_session", fed_wrongly)
    value = reads_open(rater, sample_item)
    assert (value.status, value.value) == (Status.ERROR, None)
    assert "ONNXRuntimeError" in value.detail


@pytest.mark.parametrize("stage", STAGES, indirect=True)
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_network_of_the_reader_whose_numbers_are_none_is_an_error(
    number: float, stage: Any, rater: Any, sample_item: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = stage.session._session
    monkeypatch.setattr(stage.session, "_session", lambda pixels: np.full_like(real(pixels), number))
    value = reads_open(rater, sample_item)
    assert (value.status, value.value) == (Status.ERROR, None)
    assert "not finite" in value.detail


@pytest.mark.parametrize("stage", STAGES, indirect=True)
def test_a_network_of_the_reader_whose_numbers_have_another_shape_is_an_error(
    stage: Any, rater: Any, sample_item: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = stage.session._session
    monkeypatch.setattr(stage.session, "_session", lambda pixels: real(pixels).reshape(-1))
    assert reads_open(rater, sample_item).status is Status.ERROR


class Found(NamedTuple):
    """An answer of RapidOCR."""

    txts: Any
    scores: Any


@pytest.mark.parametrize(
    "found",
    [
        Found(txts="OPEN 24h", scores=(0.9,)),
        Found(txts=(None,), scores=(0.9,)),
        Found(txts=(b"OPEN 24h",), scores=(0.9,)),
        Found(txts=("OPEN 24h",), scores=()),
        Found(txts=("OPEN 24h",), scores=None),
        Found(txts=3, scores=3),
        None,
        ("OPEN 24h",),
    ],
    ids=str,
)
def test_an_answer_that_is_none_is_an_error(found: Any, rater: Any, sample_item: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rater, "_reader", lambda pixels: found)
    value = reads_open(rater, sample_item)
    assert (value.status, value.value) == (Status.ERROR, None)


def test_the_reader_is_loaded_with_the_card_and_not_at_the_first_picture(rater: Any) -> None:
    assert all(getattr(rater._reader, stage).session is not None for stage in STAGES)


def test_large_pictures_are_shrunk_and_thin_ones_padded() -> None:
    made = Readable(longest=1600)
    assert made(np.zeros((2000, 3200, 3), np.uint8)).shape == (1000, 1600, 3)
    assert made(np.zeros((1, 9000, 3), np.uint8)).shape == (200, 1600, 3)
    assert made(np.zeros((1, 1, 3), np.uint8)).shape == (SMALLEST, SMALLEST, 3)
    picture = drawn("same")
    assert made(picture) is picture
    assert pickle.loads(pickle.dumps(made)) == made


def test_a_mistake_in_the_card_is_a_sentence(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    card = yaml.safe_load(Path(load_card("ocr").where).read_text(encoding="utf-8"))
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(card | {"args": {"min_confidense": 0.2}}))
    with pytest.raises(CardError, match=r"mine\.yaml.*args\.min_confidense.*Did you mean 'min_confidence'"):
        load_rater(load_card(str(path)))


# What a prompt asks for.


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ('a sign "OPEN" and a door "24 h"', ["OPEN", "24 h"]),
        ("“Bonjour” and „Guten Tag“ and «Привет» and ‹hi›", ["Bonjour", "Guten Tag", "Привет", "hi"]),
        ("看板に「営業中」と『本日休業』", ["営業中", "本日休業"]),
        ("a shirt that reads 'LOVE' and ‘peace’", ["LOVE", "peace"]),
        ("the dogs' bones, it's the '90s, don't, rock 'n' roll", []),
        ("it's a sign that says 'don’t stop'", ["don’t stop"]),
        ('nothing in "" or "  " or in an open "quote', []),
        ('one "left" open "', ["left"]),
        ("no quotes at all", []),
    ],
)
def test_quotes_of_every_kind_are_found(prompt: str, wanted: list[str]) -> None:
    assert quoted_texts(prompt) == wanted


@pytest.mark.parametrize(
    ("wanted", "lines", "value"),
    [
        (["Open"], ["OPEN"], 1),
        (["Open 24h"], ["open", "24H"], 1),
        (["hello"], ["xx hello yy"], 1),
        (["hello"], ["helo"], 0.8),
        (["hello"], [], 0),
        (["hello"], ["zzz"], 0),
        (["STRASSE"], ["straße"], 1),
        (["ﬁne №1"], ["FINE NO1"], 1),
        (["営業中"], ["営業", "中"], 1),
        (["ab", "wxyzuvst"], ["ab"], 0.2),
    ],
)
def test_agreement(wanted: list[str], lines: list[str], value: float) -> None:
    assert agreement(wanted, lines) == pytest.approx(value)


def edit_distance(one: str, other: str) -> int:
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, start=1):
        last, row[0] = row[0], number
        for place, there in enumerate(other, start=1):
            last, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, last + (letter != there))
    return row[-1]


@given(st.text("abc", max_size=6), st.text("abc", max_size=9))
def test_the_nearest_stretch_is_the_best_of_all_stretches(text: str, within: str) -> None:
    stretches = {within[start:end] for start in range(len(within) + 1) for end in range(start, len(within) + 1)}
    assert edits_to_nearest(text, within) == min(edit_distance(text, stretch) for stretch in stretches)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=3), st.lists(st.text(), max_size=4))
def test_agreement_lies_between_0_and_1_for_any_text(wanted: list[str], lines: list[str]) -> None:
    wanted = [text for text in wanted if plain(text)]
    if wanted:
        assert 0 <= agreement(wanted, lines) <= 1
        assert agreement(wanted, [*lines, *wanted]) >= agreement(wanted, lines) - 1e-12


def test_long_texts_are_compared_in_no_time() -> None:
    assert agreement(["a" * 100_000], ["b" * 100_000]) == 0
