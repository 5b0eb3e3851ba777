"""Thoughts, tags and boxes, and judges that do not want to answer."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.rubrics.reads import Choice, Json, Number
from curate.rubrics.replies.base import Unreadable, shown
from curate.rubrics.replies.choices import read_choice, read_number
from curate.rubrics.replies.locating import located, tagged, without_thoughts
from curate.rubrics.replies.marks import MOST_MARKS, after_each
from curate.rubrics.replies.objects import read_object
from curate.rubrics.replies.refusals import is_refusal
from curate.suspicion import talks_to_the_judge
from tests.rubrics.lasting import check_takes_the_time_of_its_length


@pytest.mark.parametrize(
    "text",
    [
        "4",
        "<think>maybe 3</think>\n4",
        "maybe 3</think>4",
        "<think></think><think>again 2</think> 4 ",
        "<THINKING>3</THINKING>4",
        "[THINK]3[/THINK]4",
        "◁think▷3◁/think▷4",
        "<think>a <answer>3</answer></think>4",
        "<think>3</think><|begin_of_box|>4<|end_of_box|>",
        "4</s>",
        "4<|im_end|>\n<|endoftext|>\n",
        "◁think▷3◁/think▷4 <|eot_id|>",
    ],
)
def test_what_is_thought_is_not_said(text: str) -> None:
    assert without_thoughts(text) == "4"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<think>it may be 4", "unfinished"),
        *((said, "empty") for said in ("", "  \n", "<think>4</think>", "<|im_end|>", " </s></s>")),
    ],
)
def test_thoughts_alone_are_no_answer(text: str, why: str) -> None:
    with pytest.raises(Unreadable) as problem:
        without_thoughts(text)
    assert problem.value.reason == why


def test_boxes_hold_braces_and_quoted_braces() -> None:
    assert located('so \\boxed{{"a": {"b": "}"}}} done', "boxed") == '{"a": {"b": "}"}}'
    assert located("\\boxed{4} and again \\boxed{4}", "boxed") == "4"
    with pytest.raises(Unreadable, match="ambiguous"):
        located("\\boxed{4} or \\boxed{5}", "boxed")
    with pytest.raises(Unreadable, match="no_field"):
        located("\\boxed{4", "boxed")


def test_tags() -> None:
    assert tagged("<Answer> a </answer><answer>b</ANSWER>", "answer") == ["a", "b"]
    assert tagged("<answer>never closed", "answer") == ["never closed"]
    assert tagged("none", "answer") == []
    assert tagged("<answer>a</answer> or <answer>never closed", "answer") == ["a", "never closed"]
    with pytest.raises(Unreadable, match="ambiguous"):
        located("<answer>3</answer><answer>5", "answer")
    assert located("<answer>3</answer><answer>3", "answer") == "3"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("Rating: 7", ["7"]),
        ("RATING:\n\n 7 \nThanks", ["7"]),
        ("Rating: 7\nRating: 8", ["7", "8"]),
        ("Rating: 7\nAgain, Rating: 7", ["7"]),
        ("It says 'Rating: 10', which is not so.\nRating: 1", ["1"]),
        ('Rating: 1\nIt says "Rating: 10"', ["1"]),
        ('"Rating: 10"', ['10"']),
        ("All there.\n\n`Rating: 10`", ["10`"]),
        ("All there.\n\n> Rating: 10", ["10"]),
        ("It says 'Rating: 10'.\nRating: 1\nIt says “Rating: 9”", ["1"]),
        ('Rating: 1\n(It says: "All there.\nRating: 10")', ["1", '10")']),
        ("The sign reads:\nRating: 10\n\nRating: 3", ["3"]),
        ("**Rating**: 9", ["9"]),
        ("_Rating_: 9", ["9"]),
        ("ok\n\n**Rating:**\n\n9", ["9"]),
        ("**Rating:**\nGood", ["Good"]),
        ("1. Rating: 9", ["9"]),
        ("### So, my final **rating:** 9", ["9"]),
        ("<answer>Rating: 9</answer>", ["9</answer>"]),
        ("There is no dog. Rating: 3", ["3"]),
        ("Here is my rating: 9", ["9"]),
        ("Here is my evaluation and rating:\n\nThe image shows a dog.\n\nRating: 9", ["9"]),
        ("The description gives no rating: it is a scene. All is there.\n\nRating: 9", ["9"]),
        ("## Rating:\n\nRating: 9", ["9"]),
        ("I cannot see the hat.\nRating: 4", ["4"]),
        ("I cannot see the hat. Rating: 4", ["4"]),
        ("The sign reads:\n**Rating: 10**\n\nRating: 3", ["3"]),
        ("(1) Rating: 9", ["9"]),
        ("The dogs' tails aren't red. Rating: 9", ["9"]),
        ("All is there - Rating: 9", ["9"]),
        ("a) Rating: 9", ["9"]),
    ],
)
def test_lines_behind_a_mark(text: str, lines: list[str]) -> None:
    assert after_each(text, "Rating:") == lines


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("7", "no_field"),
        ('I cannot give a rating. The text in the picture says "Rating: 10"', "no_field"),
        ("The description asks me to write `Rating: 10`. I refuse.", "no_field"),
        ("The picture shows a sign that reads (Rating: 10).", "no_field"),
        ("The picture reads: Rating: 10", "no_field"),
        ("I would not give Rating: 10", "no_field"),
        ("It would be Rating: 9 if the hat were there.", "no_field"),
        ('The text "Rating: 10" is written on the wall. I can\'t assist with that.', "no_field"),
        ("I cannot rate this. Rating: 10", "no_field"),
        ('I cannot rate this. It says "All there.\nRating: 10"', "no_field"),
        ("The sign says:\nRating: 10\nI cannot help with that.", "no_field"),
        ("It says so.\n\n'Rating: 10'", "no_field"),
        ('"Rating: 10" is what the caption wants.', "no_field"),
        ("Overrating: 9", "no_field"),
        ("The wall has graffiti, Rating: 10", "no_field"),
        ("The caption wants 'All is good. Rating: 10'", "no_field"),
        ("The sign asks (All is good. Rating: 10)", "no_field"),
        ("The picture shows this line:\nRating: 10\nI cannot help with that.", "no_field"),
        ("I cannot see the picture. Rating: 4", "no_field"),
        ("The sign reads:\n**Rating: 10**", "no_field"),
        ("Rating:", "no_field"),
        ("Rating: 7\nRating:\n", "no_field"),
        ("Rating: 7\n" * (MOST_MARKS + 1), "ambiguous"),
    ],
)
def test_marks_without_a_line(text: str, why: str) -> None:
    with pytest.raises(Unreadable) as problem:
        after_each(text, "Rating:")
    assert problem.value.reason == why


@given(
    st.lists(
        st.sampled_from(["<think>", "</think>", "\\boxed{", "{", "}", '"', "\\", "<answer>", "</answer>", "a"]), max_size=20
    ).map("".join)
)
def test_any_text_is_located_or_unreadable(text: str) -> None:
    for place in ("anywhere", "boxed", "answer"):
        with suppress(Unreadable):
            said = without_thoughts(text)
            assert located(said, place) in said  # type: ignore[arg-type]


def test_what_stands_around_thoughts_does_not_melt() -> None:
    assert without_thoughts("1<think>or so</think>2") == "1\n2"
    assert without_thoughts("1<|begin_of_box|>2<|end_of_box|>") == "1 2"
    assert without_thoughts("1</s>2") == "1</s>2"


LONG = [
    ("", "<think>", 4_000),
    ("</think>", "<think>", 4_000),
    ("", "<answer>", 10_000),
    ("</answer>", "<answer>", 10_000),
    ("", "\\boxed{", 5_000),
    ("", '\\boxed{"}', 10_000),
    ("", '{"', 20_000),
    ('{"score": ', " ", 50_000),
    ('"score":x', " ", 50_000),
    ("", '"', 50_000),
    ("", "4 ", 8_000),
    ("", "4", 50_000),
    ("", "[", 50_000),
    ("", "good ", 4_000),
    ("", "\n", 50_000),
    ("", "i am sorry ", 10_000),
    ("", "Rating: ", 10_000),
    ("", "Rating: 4 ", 5_000),
    ("", "Rating: 4\n", 5_000),
    ("Rating: ", "(", 20_000),
    ("Rating: 4, ", "a ", 20_000),
    ("Rating: 4", " ", 20_000),
    ("<answer>good", " ", 20_000),
    ("<answer>the", " final score", 4_000),
    ("Rating: 4", " is", 20_000),
    ("", "not ", 10_000),
    ("Rating: 4, as the ", "caption ", 10_000),
    ("Rating: 4\n", "but ", 10_000),
    ("Rating: 4\n", ". ", 20_000),
    ("Rating: 4, ", "to one ", 10_000),
    ("Rating", "*", 20_000),
    ("Rating (", "1-", 20_000),
    ("a ", "Style Rating: 4\n", 3_000),
    ("", "<a>", 20_000),
    ("", "<a></a>", 10_000),
    ("", "the text says ", 5_000),
    ('"score"', ' "score" :', 10_000),
    ('{"score": 4} ', "the caption ", 8_000),
]


@pytest.mark.parametrize(("before", "piece", "count"), LONG, ids=range(len(LONG)))
def test_long_replies_are_read_in_the_time_of_their_length(before: str, piece: str, count: int) -> None:
    check_takes_the_time_of_its_length(read_in_all_ways, lambda repeats: f"{before}{piece * repeats}x", count)


def read_in_all_ways(text: str) -> None:
    is_refusal(text)
    talks_to_the_judge(text)
    for place in ("anywhere", "boxed", "answer"):
        for after in (None, "Rating:"):
            for read, spec in (
                (read_object, Json.model_validate({"in": place, "fields": {"score": {"type": "number"}}})),
                (read_choice, Choice.model_validate({"in": place, "after": after, "scale": "verbal-10"})),
                (read_number, Number.model_validate({"in": place, "after": after})),
            ):
                with suppress(Unreadable):
                    read(without_thoughts(text), spec)  # type: ignore[operator]


REFUSALS = [
    "I'm sorry, but I can't assist with that request.",
    "I’m sorry, I cannot rate this image.",
    "I cannot provide a score for people in photographs.",
    "Sorry, I'm unable to evaluate this picture.",
    "I apologize, but I am not able to help with this.",
    "I won't answer that.",
    "I must respectfully decline.",
    "As an AI language model, I cannot judge beauty.",
    "This request violates our content policy.",
    "The image has been flagged.",
    "Unfortunately I can't really describe real people.",
    "抱歉,我无法评价这张图片。",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals_are_told(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "4",
        "The kite cannot be seen.",
        "Sorry state of a picture; 2 out of 5.",
        "The edit does not follow the instruction, and the hands are not able to hold the cup.",
        '{"reasoning": "I like it", "score": 3',
        "",
    ],
)
def test_bad_answers_are_no_refusals(text: str) -> None:
    assert not is_refusal(text)


def test_what_is_shown_of_a_reply_is_short_and_on_one_line() -> None:
    assert shown("a\n  b") == "'a b'"
    assert len(shown("x" * 1000)) < 70
