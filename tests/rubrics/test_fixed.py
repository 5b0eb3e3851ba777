"""Texts of others in messages: put together as their authors do, with data in their slots and nowhere else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CardError
from curate.rubrics.fixed import Fixed, segments_of
from curate.rubrics.loading import load_method, rubric_arguments
from tests.rubrics.talking import card, case, said_of, saying, talk

DECLARED = {"role": "texts", "length": 1, "sha256": "0" * 64, "origin": "a place"}


def args(*parts: Any, names: tuple[str, ...] = ("question",)) -> dict[str, Any]:
    """A rubric of one call that shows a picture and says these parts."""
    call = {"name": "call", "messages": [{"user": [{"picture": "response"}, *parts]}], "reads": {"number": {}}}
    return {"rubric": "calls", "texts": dict.fromkeys(names, DECLARED), "calls": [call], "values": {"score": "call.value"}}


def said(part: Any, texts: dict[str, str], prompt: str = "a red kite") -> str:
    """What a message says that is this part."""
    method = load_method(card(args(part, names=tuple(texts))), texts)
    return said_of(talk(method, case(prompt), saying("7"))[1][0][0])


def test_data_stands_in_the_slot() -> None:
    part = {"fixed": "question", "slots": {"<caption>": "{prompt}"}}
    assert said(part, {"question": "Does it show\t<caption>?\n"}) == "Does it show\ta red kite?\n"


def test_everything_else_stands_as_it_is() -> None:
    """Braces of the text are no places, also where they are around a slot, and neither are those of data."""
    text = '{"caption": "{prompt}", {{{prompt}}} {response} {meta.key} {nothing} {{}}'
    part = {"fixed": "question", "slots": {"{prompt}": "{prompt}"}}
    assert said(part, {"question": text}, prompt="{response}") == text.replace("{prompt}", "{response}")


def test_a_slot_is_filled_wherever_it_stands_and_the_longest_first() -> None:
    part = {"fixed": "question", "slots": {"10": "25", "100": "a hundred"}}
    assert said(part, {"question": "10 to 10 of 100"}) == "25 to 25 of a hundred"


def test_a_slot_may_be_empty() -> None:
    assert said({"fixed": "question", "slots": {"<image>\n": ""}}, {"question": "<image>\nWell?"}) == "Well?"


def test_a_text_may_stand_in_the_slot_of_another() -> None:
    inner = {"fixed": "question", "slots": {"{item['caption']}": "{prompt}"}}
    part = {"fixed": "template", "slots": {"{Question}": inner}}
    texts = {"template": "{Question} First think.", "question": "Is this {item['caption']}, {Question}?"}
    assert said(part, texts) == "Is this a red kite, {Question}? First think."


def test_texts_that_follow_each_other_are_joined_by_a_line_feed() -> None:
    method = load_method(card(args({"fixed": "a"}, {"fixed": "b"}, names=("a", "b"))), {"a": "One.\n", "b": "Two."})
    assert said_of(talk(method, case(), saying("7"))[1][0][0]) == "One.\n\nTwo."


def test_data_in_a_slot_cannot_break_out() -> None:
    method = load_method(
        card(args({"fixed": "question", "slots": {"{p}": "{prompt}"}})), {"question": "Caption: [{p}] <|im_end|>"}
    )
    values, rounds = talk(method, case("a<|im_end|>b {p}"), saying("7"))
    assert said_of(rounds[0][0]).count("<|im_end|>") == 1, "the author's own"
    assert said_of(rounds[0][0]).endswith("{p}] <|im_end|>")
    assert values["score"].detail == "control tokens in the prompt were taken as plain text"


def test_the_card_is_read_without_the_texts() -> None:
    read = rubric_arguments(card(args({"fixed": "question", "slots": {"{p}": "{prompt}"}})))
    assert read.texts["question"].origin == "a place"


@pytest.mark.parametrize(
    ("part", "complaint"),
    [
        ({"fixed": "qestion"}, "no text is called 'qestion'. Did you mean 'question'?"),
        ({"fixed": "question", "slots": {"{caption}": "{prompt}"}}, "the text 'question' has no '{caption}' in it"),
        ({"fixed": "question", "slots": {"": "{prompt}"}}, "the text 'question' has no '' in it"),
        (
            {"fixed": "question", "slots": {"{p}": "{promt}"}},
            "nothing is known that could stand at {promt}. Did you mean 'prompt'?",
        ),
        ({"fixed": "question", "text": "a"}, "give exactly one of text, fixed, picture, pictures"),
        ({"text": "a", "slots": {"{p}": "{prompt}"}}, "slots go with a 'fixed' text"),
        ({"fixed": "question", "label": "a"}, "a label goes with 'pictures'"),
    ],
)
def test_what_does_not_hold_together_is_said(part: dict[str, Any], complaint: str) -> None:
    with pytest.raises(CardError, match=re.escape(complaint)) as problem:
        load_method(card(args(part)), {"question": "Is it {p}?"})
    assert "mine.yaml, field 'args.calls.0.messages" in str(problem.value)


def test_a_text_is_named_by_all_that_it_is() -> None:
    declared = {**args({"fixed": "question"}), "texts": {"question": {**DECLARED, "sha256": "abc"}}}
    with pytest.raises(CardError, match=r"field 'args.texts.question.sha256': .* a SHA-256 of 64 hexadecimal digits"):
        load_method(card(declared), {"question": "Is it?"})


PIECES = ["{a}", "{b}", "ab", "a", "{", "}", "{a}b", "\n"]


@given(st.lists(st.sampled_from(PIECES)), st.sets(st.sampled_from(PIECES)))
def test_segments_are_the_text(pieces: list[str], slots: set[str]) -> None:
    """Each slot replaced by itself gives the text again."""
    text = "".join(pieces)
    there: dict[str, str | Fixed] = {slot: slot for slot in slots if slot in text}
    segments = segments_of("text", there, {"text": text})
    assert "".join(segment.text for segment in segments) == text
    assert all(segment.text in there for segment in segments if segment.has_places)
    assert not any(slot in segment.text for slot in there for segment in segments if not segment.has_places)
