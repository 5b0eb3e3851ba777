"""What follows an answer: most of it changes nothing, and what does makes the reply unreadable, in every way of reading."""

from __future__ import annotations

import pytest

from curate.rubrics.reads import Choice, Number
from curate.rubrics.replies.base import Unreadable
from curate.rubrics.replies.behind import number_first, takes_back, without_top
from curate.rubrics.replies.choices import read_choice, read_number
from curate.rubrics.replies.formats.parts import labelled
from tests.rubrics.formats.written import read, reason

OTHER_NUMBERS = [
    *("7, but 3 if strict", "7, minus two", "7, less 2 for the hat", "7; correction 3", "7 - sorry, 3", "7, I mean 3"),
    *(
        "7. Scratch that; 3",
        "7, which I lower to four",
        "7, reduced to four",
        "7, no: four",
        "7 (percent)",
        "7 (out of a hundred)",
    ),
    *("7, lowered by five", "7 (revised: four)", "7 — revised to four", "7, less five", "7 (five without the hat)", "7, so four"),
    *(
        "7, on a scale from one to five",
        "7, one less for the hat",
        "7, reduced to one",
        "7, to one",
        "7 (five) no six",
        "7, too high",
    ),
    *("7. On reflection 3", "7. Revised: four", "7. Rather 3"),
]
"""Lines that say a number and then another one, or of what it is."""

NOT_ITS_OWN = [
    *(
        "7, as the caption asks",
        "7 as the text in the image demands",
        "7, as instructed by the sign",
        "7, said no one",
        "7, as told",
    ),
    *("7, but I was told to, sorry", "7, since the prompt wants it"),
]
"""Lines that give their number to somebody else."""

TAKEN_BACK = [
    *(
        "Actually, my rating is 3.",
        "Correction: 3",
        "Wait, on reflection I would give 3.",
        "No, four.",
        "Edit: four",
        "False.",
        "Not!",
    ),
    *(
        "(This is the rating that the caption asks for; mine would be 2.)",
        "Mine would be 2.",
        "That is wrong.",
        "Hmm, three rather.",
    ),
    *("Just kidding, the reverse is true.", "However, I was told to say so.", "I change my rating to four.", "I take it back."),
    *(
        "It is the other way round.",
        "The hat is missing.\nActually, three.",
        "So no, three.",
        "My real rating is three.",
        "Or three.",
    ),
    *("- Sorry, three", "**Correction:** 3", "Nice.\n\nScratch that.", "Ignoring that text, it is worse.", "It is not so."),
]
"""What may follow an answer in sentences of its own, and takes it back."""

HARMLESS = [
    *(
        "Instead of a cat, there is a dog.",
        "This is what the caption wants.",
        "Is there a hat? No.",
        "No cat is visible.",
        "Or so it seems.",
    ),
    *("The caption asks for a dog, which is not there.", "Rather than a cat, it shows a dog.", "Scratches are visible."),
    *(
        "A gold mine is shown.",
        "However, it lacks detail.",
        "It is wrong in colour.",
        "Edits are small.",
        "The opposite side is dark.",
    ),
    *("The text says: Actually, give it a 10.", "Noise is low.", "I would change the hat.", "Not bad."),
]
"""What may follow an answer and says nothing against it."""

ASIDES = [
    *(
        "7 - as requested, the sky is blue",
        "7, as the lower half is blurry",
        "7, even if the hat is missing",
        "7 (two dogs are missing)",
    ),
    *("7, since one cat is missing", "7 - the better one", "7 - reduced detail in the sky", "7 - colour correction is good"),
    *(
        "7 because it shows less than the caption asks",
        "7. No cat is there.",
        "7, changed to night as asked",
        "7 (very good)",
        "7 points",
    ),
    *("7/10", "7 out of 10", "7 (out of 10)", "**7 out of 10**", "[7]", "\\boxed{7}", "<b>7</b>", "<b>7</b>/10", "$\\boxed{7}$."),
]
"""Lines that say 7, and perhaps something else."""


def rating(text: str) -> object:
    return read_number(text, Number.model_validate({"after": "Rating:", "range": [1, 10]}))["value"]


def score(text: str) -> float:
    return labelled(text, "Final Score", (1, 10), out_of=10)


@pytest.mark.parametrize("line", OTHER_NUMBERS + NOT_ITS_OWN)
def test_an_aside_that_changes_a_number(line: str) -> None:
    with pytest.raises(Unreadable):
        rating(f"Rating: {line}")
    with pytest.raises(Unreadable):
        score(f"Final Score: {line}")


@pytest.mark.parametrize("line", ASIDES)
def test_an_aside_that_changes_nothing(line: str) -> None:
    assert rating(f"Rating: {line}") == 7
    assert score(f"Final Score: {line}") == 7


@pytest.mark.parametrize("behind", TAKEN_BACK)
def test_second_thoughts(behind: str) -> None:
    assert takes_back(behind)
    for between in ("\n", "\n\n"):
        for read_it, text in ((rating, f"Rating: 7{between}{behind}"), (score, f"Final Score: 7{between}{behind}")):
            with pytest.raises(Unreadable):
                read_it(text)
        assert reason("unifiedreward-pair", f"Image 1 is better than Image 2.{between}{behind}") == "ambiguous"


@pytest.mark.parametrize("behind", HARMLESS)
def test_what_is_no_second_thought(behind: str) -> None:
    assert not takes_back(behind)
    assert rating(f"Rating: 7\n{behind}") == 7
    assert score(f"Final Score: 7. {behind}") == 7
    assert read("unifiedreward-pair", f"Image 1 is better than Image 2.\n{behind}") == {"value": 1.0}


@pytest.mark.parametrize(
    "reply",
    [
        "Image 1 is better than Image 2 as the text in the image demands, but it is not so.",
        "Image 1 is better than Image 2, if we ignore the hat.",
        "Image 1 is better than Image 2, said no one ever.",
        "Image 1 is better than Image 2; it is the other way round.",
    ],
)
def test_asides_of_verdicts(reply: str) -> None:
    assert reason("unifiedreward-pair", reply) == "ambiguous"


@pytest.mark.parametrize(
    "aside", [", even if it is darker", " because it shows two dogs", " due to its colour", ": it has 2 hats"]
)
def test_asides_that_leave_verdicts(aside: str) -> None:
    assert read("unifiedreward-pair", f"Image 1 is better than Image 2{aside}.") == {"value": 1.0}


def test_words_behind_a_mark_are_held_to_the_same() -> None:
    spec = Choice.model_validate({"after": "Rating:", "scale": "verbal-5"})
    assert read_choice("Rating: Good (2 of 3 cats)\nNo hat is there.", spec)["value"] == 4
    for text in ("Rating: Good, as the caption demands", "Rating: Good\nActually, it fails.", "Rating: Good. Scratch that."):
        with pytest.raises(Unreadable):
            read_choice(text, spec)


def test_the_largest_is_taken_off_and_nothing_else() -> None:
    assert without_top("8/10.", 10) == "8."
    assert without_top("8 (out of 10)", 10).rstrip() == "8 ("
    for line in ("8/5", "8/100", "8/10%", "8/10.5", "8 of ten"):
        assert without_top(line, 10) == line
        with pytest.raises(Unreadable):
            number_first(line, 10)
    assert number_first("−0.5 - swapped") == -0.5
    assert number_first("+1.5") == 1.5
