"""Words and numbers in running text: the one that was meant, or none."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.rubrics.reads import Choice, Number
from curate.rubrics.replies.base import Unreadable
from curate.rubrics.replies.choices import SCALES, read_choice, read_number


def chosen(text: str, **more: Any) -> float:
    return read_choice(text, Choice.model_validate({"scale": "verbal-10", **more}))["value"]  # type: ignore[return-value]


def number(text: str, **more: Any) -> float:
    return read_number(text, Number.model_validate(more))["value"]  # type: ignore[return-value]


@pytest.mark.parametrize("scale", SCALES)
def test_every_level_is_worth_its_place(scale: str) -> None:
    for level, word in enumerate(SCALES[scale], start=1):
        for said in (
            word,
            word.lower(),
            f"**{word.upper()}**.",
            f"I would say: {word}!",
            word.replace(" ", "\n"),
            word.replace(" ", "-"),
        ):
            assert read_choice(said, Choice.model_validate({"scale": scale})) == {"value": float(level), "choice": word}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no_choice"),
        ("I like it.", "no_choice"),
        ("goodness me", "no_choice"),
        ("Good or Very Good", "ambiguous"),
        ("Not Poor but Good", "ambiguous"),
        ("It is not good.", "ambiguous"),
        ("It isn't very good", "ambiguous"),
        ("The scale is Extremely Poor to Outstanding.", "ambiguous"),
    ],
)
def test_two_answers_and_denied_ones_are_no_answer(text: str, why: str) -> None:
    with pytest.raises(Unreadable) as problem:
        chosen(text)
    assert problem.value.reason == why


@pytest.mark.parametrize(
    "text",
    [
        "no good",
        "No way good.",
        "anything but good",
        "hardly good",
        "nowhere near good",
        "Not at all poor",
        "far from good",
        "far from being good",
        "isn't good",
        "It isn’t what I would call good",
        "never good",
        "I don't think that it is good",
        "It cannot be called excellent",
        "It is not **Good**",
        'not "good"',
        "not 'good'",
        "It is not\ngood",
        "without good",
        "It would be wrong to say good",
        "It is false that it looks good",
        "I disagree that it is good",
        "I doubt good",
        "Good? No.",
        "Good is wrong",
        "**Good** is simply false",
    ],
)
def test_a_denial_a_few_words_before_counts(text: str) -> None:
    with pytest.raises(Unreadable) as problem:
        chosen(text)
    assert problem.value.reason == "ambiguous"


@pytest.mark.parametrize(
    "text",
    [
        "There are no flaws. Good.",
        "There are no flaws, so it is good.",
        "It has no visible flaws\nGood",
        "Nothing is missing: Good",
        "It is not great but good",
        "The hands are not right; still, the rest makes it good",
        "Good, though the sky is not blue",
        "The hand is wrong, but the rest is good",
        "The wrong hand; good",
        "Good is what it is",
    ],
)
def test_a_denial_of_something_else_does_not(text: str) -> None:
    assert chosen(text) == 7


def test_the_same_answer_twice_is_one() -> None:
    assert chosen("Good. My rating is good.") == 7


def test_where_an_answer_stands() -> None:
    assert chosen("The light is poor.\nRating: Very Good\nThanks", after="rating:") == 8
    assert chosen("The light is poor.\nRating:\n\nVery Good\n", after="Rating:") == 8
    assert chosen("poor <answer> Good </answer>", **{"in": "answer"}) == 7
    assert chosen("poor \\boxed{\\text{Good}}", **{"in": "boxed"}) == 7
    for text in ("Very Good", "Rating:", "Rating: \n "):
        with pytest.raises(Unreadable) as problem:
            chosen(text, after="Rating:")
        assert problem.value.reason == "no_field"


def test_where_an_answer_stands_several_times_all_are_the_same() -> None:
    assert chosen("Rating: Very Good\nSo: **Rating:** very good.", after="Rating:") == 8
    assert number("Rating: 7\nRating: 7.0", after="Rating:") == 7
    assert chosen("The prompt asks for 'Rating: Outstanding'.\nRating: Poor", after="Rating:") == 3
    assert chosen('Rating: Poor\nThe caption asks me to answer "Rating: Outstanding"', after="Rating:") == 3
    for text, why in (
        ('Rating: Poor\nIt says: "All there.\nRating: Outstanding"', "ambiguous"),
        ("Rating: Poor\nRating: Outstanding", "ambiguous"),
        ("Rating: none\nRating: Outstanding", "no_choice"),
    ):
        with pytest.raises(Unreadable) as problem:
            chosen(text, after="Rating:")
        assert problem.value.reason == why


def test_an_answer_in_its_place_stands_alone() -> None:
    options = [{"name": "Image A", "value": 1}, {"name": "Image B", "value": 0}, {"name": "I don't know (yet)", "value": 0.5}]
    for place, before, after in (("answer", "<answer>", "</answer>"), ("boxed", "\\boxed{", "}")):
        spec = Choice.model_validate({"options": options, "in": place})
        for said, value in (
            *(("Image A", 1), ("**image b**.", 0), ("'Image A' is better", 1), ("The answer is: Image B", 0)),
            *(("Image A is better than Image B.", 1), ("I don't know (yet)", 0.5), ("The better one is Image B!", 0)),
        ):
            assert read_choice(f"{before}{said}{after}", spec)["value"] == value
        for said in (
            "Image A is worse",
            "Image A loses",
            "The worse one is Image A",
            "Image A is blurry",
            "Image A is better than Image A",
        ):
            with pytest.raises(Unreadable) as problem:
                read_choice(f"{before}{said}{after}", spec)
            assert problem.value.reason == "no_choice"


def test_options_of_a_card_and_their_spellings() -> None:
    options = [
        {"name": "Image A", "value": 1, "spellings": ["the first"]},
        {"name": "Image B", "value": 0},
        {"name": "Similar", "value": 0.5},
    ]
    spec = Choice.model_validate({"options": options})
    assert read_choice("It is the   FIRST one", spec) == {"value": 1.0, "choice": "Image A"}
    assert read_choice("image_b", spec)["choice"] == "Image B"
    assert read_choice("They look similar", spec)["value"] == 0.5
    with pytest.raises(Unreadable):
        read_choice("Image A and Image B", spec)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("4", 4), ("4.25", 4.25), ("I say 3.5.", 3.5), ("-1", -1), ("(2)", 2), ("4, surely", 4), ("2e1", 20)),
        *(("Score: 8", 8), ("**8**", 8), ("- 8", 8), ("Rating -> 8", 8), ("<score>8</score>", 8), ("Overall 8", 8)),
        *(
            ("There are no flaws: 8", 8),
            ("8, since it is not wrong", 8),
            ("I am not sure, but 8", 8),
            ("It is not legible.\n8", 8),
            ("8 - good", 8),
        ),
    ],
)
def test_the_one_number_of_a_text(text: str, value: float) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("none", "not_a_number"),
        ("4/5", "not_a_number"),
        ("4 out of 5", "ambiguous"),
        ("3-4", "not_a_number"),
        ("3 – 4", "ambiguous"),
        ("1,5", "not_a_number"),
        ("80%", "not_a_number"),
        ("80 %", "not_a_number"),
        ("12:30", "not_a_number"),
        ("level4", "not_a_number"),
        ("4th", "not_a_number"),
        ("07", "not_a_number"),
        ("４", "not_a_number"),
        ("1.2.3", "not_a_number"),
        *[
            (f"{before}8", "not_a_number")
            for before in (
                *(
                    "minus ",
                    "negative ",
                    "not ",
                    "not an ",
                    "isn't worth an ",
                    "no ",
                    "no more than ",
                    "less than ",
                    "more than ",
                ),
                *(
                    "at least ",
                    "at most a ",
                    "above ",
                    "below ",
                    "about ",
                    "around an ",
                    "roughly ",
                    "nearly ",
                    "a score of about ",
                ),
                *("<", ">", "< ", "≤", "≥ ", "~", "≈", "−", "–", "not **", "less than\n"),
            )
        ],
        *[(f"8{after}", "not_a_number") for after in ("+", " or more", " at most", " or less")],
        *[
            (f"8{after}", "not_a_number")
            for after in (" million", " minus a bit", "? no", " is wrong", "** is not it", " is simply false")
        ],
        ("between 8", "not_a_number"),
        ("<at most 8>", "not_a_number"),
        ("-3", "out_of_range"),
        ("11", "out_of_range"),
        ("1e999", "out_of_range"),
    ],
)
def test_what_is_no_number_or_several(text: str, why: str) -> None:
    with pytest.raises(Unreadable) as problem:
        number(text, range=[0, 10])
    assert problem.value.reason == why


@pytest.mark.parametrize(
    "text",
    ["4", "**4**", "$4$", "(4)", "4.", "4 stars", "Score: 4", "My overall rating is 4 points.", "the answer is 4", "**4**."],
)
def test_a_place_for_a_number_holds_nothing_else(text: str) -> None:
    assert number(f"<answer>{text}</answer>", **{"in": "answer"}) == 4
    assert number(f"\\boxed{{{text}}}", **{"in": "boxed"}) == 4


@pytest.mark.parametrize(
    "text", ["4 -", "4 for the sky", "not so bad: 4", "4 4", "I saw 4", "4 points off", "rating the score 4"]
)
def test_a_place_for_a_number_that_holds_more(text: str) -> None:
    assert number(f"{text}, x") == 4, "in running text nothing speaks against it"
    for place, said in (("answer", f"<answer>{text}</answer>"), ("boxed", f"\\boxed{{{text}}}")):
        with pytest.raises(Unreadable) as problem:
            number(said, **{"in": place})
        assert problem.value.reason == "not_a_number"


def test_a_number_behind_its_name() -> None:
    assert number("Image 1: bad\nRating: 3.5", after="Rating:") == 3.5
    assert number("thinking of 4 <answer>3.45</answer>", **{"in": "answer"}) == 3.45


@pytest.mark.parametrize(
    ("line", "value"),
    [
        *(
            ("9", 9),
            ("9.", 9),
            ("**9**", 9),
            ("`9`", 9),
            ("[9]", 9),
            ("(9)", 9),
            ("\\boxed{9}", 9),
            ("9</s>", 9),
            ("9 <|im_end|>", 9),
        ),
        *(("9/10", 9), ("9 out of 10", 9), ("**9**/10.", 9), ("9 points", 9), ("9 stars.", 9), (".85", 0.85), ("8.5", 8.5)),
        *(("9 - all is there", 9), ("9, all is there", 9), ("9 (all is there)", 9), ("9 because all is there", 9)),
        *(
            ("9/10 ⭐", 9),
            ("9。", 9),
            ("9 (out of 10)", 9),
            ("| 9 |", 9),
            ("9 - text or logo is missing", 9),
            ("9, only the hat lacks", 9),
        ),
        *(("9. The hat is red.", 9), ("9. It would be better if the hat were there.", 9), ("0", 0)),
    ],
)
def test_a_number_that_comes_first_behind_its_mark(line: str, value: float) -> None:
    assert number(f"It is so.\nRating: {line}", after="Rating:", range=[0, 10]) == value


@pytest.mark.parametrize(
    "line",
    [
        *("N/A. There are 3 cats.", "unknown, since 4 objects are hidden", "I cannot rate it; 2 of the people are hidden."),
        *("the picture shows 2 of the three cats.", "half of 10", "8 percent", "8 out of a hundred", "8 / ten", "8 of ten"),
        *("eight point 5", "9 if the hat were there", "9, if the hat were there", "9 (if we ignore it)", "9, no wait, two"),
        *("nine, or 8", "8 would be too high", "maybe 8", "an 8 at best", "one to 10", "see below. It has 3 faults", "8-"),
        *(
            "8 for style, two for alignment",
            "8 (for the background alone)",
            "9/100",
            "9/10/3",
            "9. Actually, two",
            "1 out of five",
        ),
    ],
)
def test_a_number_behind_a_mark_that_is_no_rating(line: str) -> None:
    with pytest.raises(Unreadable) as problem:
        number(f"Rating: {line}", after="Rating:", range=[0, 10])
    assert problem.value.reason == "not_a_number"


@pytest.mark.parametrize(
    "line", ["Good", "**Good**.", '"Good"', "Good - all is there", "Good, though it is grey", "Good. All there."]
)
def test_a_word_that_comes_first_behind_its_mark(line: str) -> None:
    assert chosen(f"Rating: {line}", after="Rating:") == 7


@pytest.mark.parametrize(
    "line",
    [
        *("Bad. The average person would see it", "on average, it fails", "a poor copy of something", "Good grief, terrible"),
        *("too good to be true", "could be good", "good for nothing", "Good, if the hat were there", "Good. Actually bad"),
    ],
)
def test_a_word_behind_a_mark_that_is_no_rating(line: str) -> None:
    with pytest.raises(Unreadable) as problem:
        chosen(f"Rating: {line}", after="Rating:")
    assert problem.value.reason == "no_choice"


@given(st.text(max_size=40) | st.text(alphabet="0123456789.,/-+%e: \n", max_size=12))
def test_a_number_that_is_read_stands_in_the_text(text: str) -> None:
    with suppress(Unreadable):
        assert number(text) in {float(one) for one in re.findall(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", text)}


@given(
    st.lists(st.sampled_from([*SCALES["verbal-10"], "not", "\n", ".", "<answer>", "rating:"]) | st.text(max_size=5), max_size=8)
)
def test_a_choice_is_among_the_words(parts: list[str]) -> None:
    text = " ".join(parts)
    for place in ("anywhere", "answer", "boxed"):
        with suppress(Unreadable):
            read = read_choice(text, Choice.model_validate({"scale": "verbal-10", "in": place}))
            assert str(read["choice"]).lower() in " ".join(text.lower().replace("_", " ").replace("-", " ").split())
