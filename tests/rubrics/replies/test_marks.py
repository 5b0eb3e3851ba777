"""Marks: their scale, headlines, what they are of, and blocks of the question that a judge writes again."""

from __future__ import annotations

import pytest

from curate.rubrics.reads import Choice, Number
from curate.rubrics.replies.base import Unreadable
from curate.rubrics.replies.choices import read_choice, read_number
from curate.rubrics.replies.formats.parts import labelled
from curate.rubrics.replies.marks import after_each
from tests.rubrics.formats.written import read, reason


def rating(text: str) -> object:
    return read_number(text, Number.model_validate({"after": "Rating:", "range": [1, 10]}))["value"]


def why(text: str) -> str:
    with pytest.raises(Unreadable) as problem:
        rating(text)
    return problem.value.reason


@pytest.mark.parametrize(
    "mark",
    [
        *(
            "Rating (1-10): ",
            "**Rating (1-10):** ",
            "**Rating** (1–10): ",
            "Rating (out of 10): ",
            "Rating (from 1 to 10): ",
            "Rating (/10): ",
        ),
        *(
            "**Rating**\n",
            "**Rating**\n\n",
            "## Rating\n",
            "### Rating (1-10)\n",
            "## Final Rating\n",
            "__Rating__\n",
            "## Rating:\n",
            "<b>Rating</b>: ",
            "<strong>Rating:</strong> ",
        ),
        *("Rating (on a scale of 1 to 10): ", "Overall Rating (1-10): ", "Image Rating: ", "The final rating: "),
    ],
)
def test_ways_to_write_a_mark(mark: str) -> None:
    assert rating(f"All is there.\n\n{mark}7") == 7
    assert labelled(mark.replace("Rating", "Final Score").replace("rating", "score") + "7", "(?:Final )?Score", (1, 10)) == 7


@pytest.mark.parametrize(
    "scale", ["1-5", "0-10", "1-100", "out of 100", "0-1", "quality", "1-10, says the sign", "10 or 100", "1-10-10"]
)
def test_a_mark_of_another_scale(scale: str) -> None:
    assert why(f"Rating ({scale}): 7") == "out_of_range"
    assert reason("unifiedreward-point", f"Final Score ({scale}): 7", elements=False) == "out_of_range"
    assert rating(f"The sign says Rating ({scale}): 9.\nRating: 7") == 7, "it is not the judge's"


def test_scales_below_nothing_and_without_limits() -> None:
    for scale in ("-1 to 1", "from -1 to 1", "-1–1", "−1 to 1"):
        assert read("srum-layout", f"Score ({scale}): 0.5") == {"score": 0.5}
    assert reason("srum-layout", "Score (0-1): 0.5") == "out_of_range"
    assert reason("unifiedreward-edit-pair", "Image 1 (1-10): 3\nImage 2: 4", asked="scores") == "out_of_range"
    acs = "Alignment Score (1-10): 2.69\nCoherence Score (1-10): 3.1\nStyle Score (1-10): 4"
    assert reason("unifiedreward-acs", acs) == "out_of_range"
    assert read("unifiedreward-acs", acs.replace("10", "5"))["style"] == 4


def test_a_headline_counts_where_no_mark_does() -> None:
    assert after_each("## Rating\n\nThe picture is nice.\nRating: 7", "Rating:") == ["7"]
    assert after_each("## Rating\n\n7", "Rating:") == ["7"]
    assert why("## Rating\nThe picture shows 7 cats.") == "not_a_number"
    assert why("The sign reads:\n## Rating\n7") == "no_field"
    assert why("I cannot give any **Rating**\n7") == "no_field"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Alignment Rating: 7\nQuality Rating: 3",
            "Prompt Rating: 9\nImage Rating: 2",
            "Text Rating: 3\nRating: 7",
            "Style Rating: 3\nRating: 7",
        ),
        *(
            "Rating: 7\nRevised Rating: 4",
            "Rating: 7\n- **Prompt-adherence** rating: 4",
            "Rating: 7\nColour & light rating (1-10): 4",
        ),
        "Alignment rating: 7\nLayout rating: 3\nOverall rating: 6",
    ],
)
def test_marks_of_several_things(text: str) -> None:
    assert why(text) in {"ambiguous", "no_field"}
    with pytest.raises(Unreadable):
        labelled(text.replace("Rating", "Score").replace("rating", "score"), "Score", (1, 10))


def test_a_mark_of_something_else_is_no_answer() -> None:
    for aspect in ("Quality", "Layout", "Alignment", "Text"):
        assert why(f"{aspect} Rating: 7") == "no_field"
    assert reason("unifiedreward-edit-pair", "Source image 1: 0.4\nImage 1: 0.5\nImage 2: 0.5", asked="scores") == "ambiguous"
    assert read("srum-layout", "Layout Score: 0.5") == read("srum-layout", "Composition Score: 0.5") == {"score": 0.5}
    assert reason("srum-layout", "Colour Score: 0.2\nScore: 0.5") == "ambiguous"


@pytest.mark.parametrize(
    "line",
    [
        *(
            "Style Rating: 7",
            "Style Rating: none",
            "The sign reads:\nStyle Rating: 3\n",
            "I would not give Rating: 3",
            "Style: 3",
        ),
        *(
            "The picture says Rating: 3",
            "<caption>\nStyle Rating: 3\n</caption>",
            "It deserves a high rating: 3 hats.",
            "Style rating is 3",
        ),
    ],
)
def test_what_stands_beside_a_mark_and_is_no_other_answer(line: str) -> None:
    assert rating(f"{line}\nRating: 7") == 7


def test_words_behind_marks_of_several_things() -> None:
    spec = Choice.model_validate({"after": "Rating:", "scale": "verbal-5"})
    with pytest.raises(Unreadable, match="ambiguous"):
        read_choice("Style Rating: Poor\nRating: Good", spec)
    assert read_choice("Style Rating: Good\nRating: Good", spec)["value"] == 4


@pytest.mark.parametrize("block", ["caption", "description", "user-prompt", "Instruction"])
def test_a_block_of_the_question_is_no_answer(block: str) -> None:
    echo = f"<{block}>\na cat\nRating: 10\n</{block}>"
    assert why(f"{echo}\nIt does not match.") == "no_field"
    assert rating(f"{echo}\nRating: 2") == 2
    assert reason("unifiedreward-point", echo.replace("Rating", "Final Score"), elements=False) == "no_field"
    assert reason("unifiedreward-pair", f"<{block}>\nImage 1 is better.\n</{block}>") == "no_choice"


@pytest.mark.parametrize("block", ["answer", "output", "final_answer", "p", "rating"])
def test_a_block_of_the_judge_is_one(block: str) -> None:
    assert rating(f"<{block}>\nRating: 7\n</{block}>") == 7


def test_a_block_that_is_not_closed_holds_nothing() -> None:
    assert rating("<cat>\nRating: 7") == 7


SHARES = {"Alignment": 0.5, "Coherence": 1.0, "Style": 0.0}


def test_labels_on_one_line() -> None:
    line = "Alignment Score: 2.5, Coherence Score (1-5): 3.1, Style Score: 4"
    assert read("unifiedreward-acs", line) == {"alignment": 2.5, "coherence": 3.1, "style": 4}
    assert reason("unifiedreward-acs", line.replace("Coherence Score (1-5)", "corrected score")) == "not_a_number"
    assert reason("unifiedreward-acs", line.replace("Coherence", "Alignment")) == "not_a_number"
    shares = "".join(f"{name} Score: Image 1: {share}, Image 2: {1 - share}\n" for name, share in SHARES.items())
    assert read("unifiedreward-pair-score", shares) == {name.lower(): share for name, share in SHARES.items()}
    outputs = read("unifiedreward-edit-pair", "Edited Image 1: 1.25, Edited Image 2: -0.5", asked="scores")
    assert outputs == {"first": 1.25, "second": -0.5}
