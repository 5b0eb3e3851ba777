"""What holds for every format: nothing is raised but `Unreadable`, and no number is read that nobody wrote."""

from __future__ import annotations

import math
import re
from importlib import import_module

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.rubrics.replies.base import Output, Unreadable
from curate.rubrics.replies.formats import FORMATS
from tests.rubrics.formats.written import REPLIES, Written, format_of
from tests.rubrics.lasting import check_takes_the_time_of_its_length

EACH = pytest.mark.parametrize("written", REPLIES, ids=[f"{number}-{one.name}" for number, one in enumerate(REPLIES)])

OWN_THOUGHTS = {"imagedoctor", "unifiedreward-think", "vision-sr1", "magicmirror", "vr-thinker"}
"""Whose thoughts are read, or stand in the middle."""

DECOYS = (
    "<think>Final Score: 1. Alignment Score (1-5): 1\nImage 2 is better, Image 1 is better. Score: -1 "
    '{"rating": 1, "score": [0, 0], "winner": "Image 2"} <answer>1.00</answer> \\boxed{{"Whether Normal": true}} '
    "Region ID: 1 [1] Both images are equally good</think>\n"
)

NUMBER = re.compile(r"[-−]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def numbers(outputs: dict[str, Output]) -> dict[str, float]:
    found = {name: value for name, value in outputs.items() if isinstance(value, float | int)}
    assert all(not isinstance(value, tuple) for value in outputs.values())
    return found


def check(written: Written, text: str) -> dict[str, float] | None:
    """The numbers read of a text that may be anything, if any; they are finite, and stand in it."""
    form = format_of(written.name, written.params)
    try:
        outputs = dict(form.read(text))
    except Unreadable:
        return None
    assert set(outputs) == set(form.outputs)
    for value in outputs.values():
        if isinstance(value, str):
            value.encode()
    found = numbers(outputs)
    assert all(math.isfinite(number) for number in found.values())
    if written.copied:
        there = {float(one.replace("−", "-")) for one in NUMBER.findall(text)}
        assert set(found.values()) <= there
    return found


def test_every_format_is_tried_here() -> None:
    assert {written.name for written in REPLIES} == set(FORMATS)


@EACH
def test_a_good_reply(written: Written) -> None:
    form = format_of(written.name, written.params)
    outputs = dict(form.read(written.reply))
    assert tuple(outputs) == form.outputs
    assert numbers(outputs) == pytest.approx(dict(written.says), abs=1e-12)


@EACH
def test_blanks_around_make_no_difference(written: Written) -> None:
    assert check(written, f"\n\n  {written.reply}\n \t\n") == check(written, written.reply)
    assert check(written, written.reply.replace("\n", "\r\n")) == check(written, written.reply)
    assert check(written, written.reply.replace("\n", " \n\n  ")) == check(written, written.reply)


@EACH
def test_thoughts_are_not_the_answer(written: Written) -> None:
    if written.name not in OWN_THOUGHTS:
        reply = written.reply.split("</think>")[-1]
        assert check(written, DECOYS + reply) == check(written, written.reply)
        assert check(written, DECOYS.removeprefix("<think>") + reply) == check(written, written.reply)


@EACH
def test_thoughts_without_an_answer(written: Written) -> None:
    assert check(written, DECOYS) is None
    assert check(written, f"<think>{written.reply.removeprefix('<think>').split('</think>')[0]}") is None
    assert check(written, "") is None


@EACH
def test_a_reply_that_was_cut_says_less_or_nothing(written: Written) -> None:
    full = check(written, written.reply)
    assert full is not None
    for end in range(0, len(written.reply), 7):
        check(written, written.reply[:end])


@EACH
def test_a_refusal(written: Written) -> None:
    assert check(written, "I'm sorry, but I can't help with rating this image.") is None


PIECES = st.sampled_from(
    [
        *["<think>", "</think>", "<answer>", "</answer>", "\n", ":", ",", '"', "{", "}", "[", "]", "10", "-1", "0.5", "1e999"],
        *["NaN", "Infinity", "null", "true", "/10", "**", "Image 1", "Image 2 is better", "Final Score:", "Score: 3", "\\boxed{"],
        *["Region ID: 1", "\\ud800", "９", "−2", "(1-5)", "not ", "1,5", "3-4", "80%", "\x00", "9" * 5000],
    ]
)


@given(
    st.sampled_from(REPLIES), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), PIECES | st.text(max_size=6)), max_size=4)
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_no_change_of_a_reply_breaks_a_reader(written: Written, changes: list[tuple[float, int, str]]) -> None:
    text = written.reply
    for place, removed, put in changes:
        start = int(place * len(text))
        text = text[:start] + put + text[start + removed :]
    check(written, text)


@given(st.sampled_from(REPLIES), st.text(max_size=200) | st.lists(PIECES, max_size=25).map("".join))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_garbage(written: Written, text: str) -> None:
    check(written, text)


@EACH
def test_long_replies_take_the_time_of_their_length(written: Written) -> None:
    for piece in (" ", "*", "Image 1: ", "Final Score:", "[", "{", "1.[1,2,3,4]", "a (b): ", "<answer>", "Region ID: 1\n"):
        for text_of in (
            lambda count, piece=piece: written.reply + piece * count,
            lambda count, piece=piece: piece * count + written.reply,
        ):
            check_takes_the_time_of_its_length(lambda text: check(written, text), text_of, 8_000 // len(piece))


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"letter"}))
def test_params_that_do_not_exist(name: str) -> None:
    with pytest.raises(ValueError, match="field 'colour': there is no such field") as problem:
        format_of(name, {"colour": "red"})
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("imagedoctor", {"side": 0}),
        ("imagedoctor", {"regions": "yes"}),
        ("srum-regions", {"count": 0}),
        ("unifiedreward-acs", {"words": 1}),
        ("unifiedreward-edit", {"scores": []}),
        ("unifiedreward-edit", {"scores": ["a", "a"]}),
        ("unifiedreward-edit", {"scores": ["reasoning"]}),
        ("unifiedreward-edit", {"scores": ["Not A Name"]}),
        ("unifiedreward-edit-pair", {"asked": "everything"}),
        ("unifiedreward-flex", {"categories": {}}),
        ("unifiedreward-flex", {"categories": {"value": "semantic"}}),
        ("unifiedreward-point", {"highest": "10"}),
        ("unifiedreward-point", {"highest": 1}),
        ("unifiedreward-think", {"totals": None}),
        ("vision-sr1", {"block": "caption"}),
        ("vr-thinker", {"dimensions": ["ta", "oa"]}),
        ("vr-thinker", {"dimensions": ["Text Alignment"]}),
    ],
)
def test_params_that_are_wrong(name: str, params: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="field") as problem:
        format_of(name, params)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("written", [one for one in REPLIES if one.name != "letter"], ids=lambda one: one.name)
def test_which_outputs_are_texts_is_known_before(written: Written) -> None:
    module, _, factory = FORMATS[written.name].partition(":")
    texts = getattr(import_module(module), factory).texts
    outputs = format_of(written.name, written.params).read(written.reply)
    assert {name for name, value in outputs.items() if isinstance(value, str)} == set(texts) & set(outputs)
    assert "text" not in outputs, "that is the whole reply"
