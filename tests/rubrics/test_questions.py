"""Questions with options: shuffled, answered by letter or by probability, and what is no question."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from curate.asks import Ask, Reply
from curate.errors import CardError
from curate.records import Status
from curate.rubrics.case import Candidate, Case, NoJudgementError
from curate.rubrics.loading import load_method
from tests.rubrics.talking import card, distribution, said_of, talk

KITE = {"question": "What flies?", "options": ["a kite", "a cow", "a stone"], "answer": "a kite"}
COLOUR = {"question": "Which colour?", "options": {"A": "green", "B": "red"}, "answer": "B"}


def questions(**more: Any) -> Any:
    args = {
        "rubric": "questions",
        "asked": "questions",
        "messages": [{"user": ["<text>\n{response}\n</text>\n{question}\n{options}"]}],
        **more,
    }
    return load_method(card(args, dimensions=("accuracy",), takes={"response": "text"}))


def caption(*asked: Any, text: str = "a red kite flies", key: str = "sample") -> Case:
    return Case(key=key, candidates=(Candidate(text=text),), meta={"questions": list(asked)})


def letter_of(ask: Ask, option: str) -> str:
    found = re.search(rf"^([A-Z])\. {re.escape(option)}$", said_of(ask), re.MULTILINE)
    assert found is not None
    return found[1]


def picks(*options: str) -> Any:
    """A judge that writes the letter of whichever of these options there is."""

    def judge(ask: Ask) -> Reply:
        return Reply(text=next(letter_of(ask, option) for option in options if f". {option}" in said_of(ask)))

    return judge


def test_accuracy_is_the_share_answered_right_wherever_the_options_stand() -> None:
    values, rounds = talk(questions(reads="letter"), caption(KITE, COLOUR), picks("a kite", "green"))
    assert values["accuracy"].value == 0.5
    assert len(rounds) == 1


def test_options_are_shuffled_by_sample_and_the_same_again() -> None:
    method = questions(reads="letter")
    places = {key: letter_of(talk(method, caption(KITE, key=key), picks("a kite"))[1][0][0], "a kite") for key in "abcdefghijkl"}
    assert set(places.values()) == {"A", "B", "C"}
    again = letter_of(talk(method, caption(KITE, key="a"), picks("a kite"))[1][0][0], "a kite")
    assert again == places["a"]


def test_what_cannot_be_told_is_never_right() -> None:
    values, _ = talk(questions(reads="letter", unknown="It does not say."), caption(KITE), picks("It does not say."))
    assert values["accuracy"].value == 0.0


def test_the_probability_of_the_right_option_is_read() -> None:
    def judge(ask: Ask) -> Reply:
        right = letter_of(ask, "a kite")
        return Reply(distribution=distribution({one: {one: 0.6 if one == right else 0.1} for one in "ABC"}))

    values, _ = talk(questions(), caption(KITE), judge)
    assert values["accuracy"].value == pytest.approx(0.75)
    kept = json.loads(values["accuracy"].rationale or "")
    assert kept["p_mass"] == 0.8
    ((question, _, share),) = kept["answers"]
    assert (question, share) == ("What flies?", 0.75)
    values, _ = talk(questions(reads="letter"), caption(KITE), picks("a kite"))
    assert json.loads(values["accuracy"].rationale or "").keys() == {"answers"}


def test_pairs_are_not_judged_in_one_order() -> None:
    args = {"rubric": "questions", "asked": "questions", "messages": [{"user": ["{first} {second} {question} {options}"]}]}
    with pytest.raises(CardError, match="'questions' judges samples, one by one"):
        load_method(card(args, dimensions=("accuracy",), judges="pairs", takes={"response": "text"}))


def test_fewer_questions_are_chosen_by_chance_and_the_same_again() -> None:
    many = [{**KITE, "question": f"Question {number}?"} for number in range(20)]
    asked = {said_of(ask) for ask in talk(questions(reads="letter", most=3), caption(*many), picks("a kite"))[1][0]}
    again = {said_of(ask) for ask in talk(questions(reads="letter", most=3), caption(*many), picks("a kite"))[1][0]}
    assert len(asked) == 3
    assert asked == again


@pytest.mark.parametrize("reply", ["", "I think it flies", "Z", "a cow maybe", "A kite flies", "I. think", "B or C"[2:]])
def test_what_is_no_letter_leaves_no_value(reply: str) -> None:
    with pytest.raises(NoJudgementError) as problem:
        talk(questions(reads="letter", attempts=1), caption(KITE), lambda ask: Reply(text=reply))
    assert problem.value.status is Status.PARSE_ERROR


@pytest.mark.parametrize(
    "reply", ["{}", "({})", "{}.", "**{}**", "Answer: {}", "The answer is {}.", "{}. the first", "<think>A</think>{}"]
)
def test_letters_are_read_as_models_write_them(reply: str) -> None:
    values, _ = talk(questions(reads="letter"), caption(KITE), lambda ask: Reply(text=reply.format(letter_of(ask, "a kite"))))
    assert values["accuracy"].value == 1.0


@pytest.mark.parametrize(
    "asked",
    [
        [],
        [{"question": "What?", "options": ["a"], "answer": "a"}],
        [{"question": "What?", "options": ["a", "b"], "answer": "c"}],
        [{"question": "What?", "options": ["a", "b"]}],
        [{"options": ["a", "b"], "answer": "a"}],
        [{"question": "What?", "options": ["a", 2], "answer": "a"}],
        [{"question": "What?", "options": 3, "answer": "a"}],
        [{"question": "What?", "options": ["B", "A", "C", "D"], "answer": "A"}],
        [{"question": "What?", "options": {"A": "B", "B": "A"}, "answer": "B"}],
        [{"question": "What?", "options": ["red", "red", "blue"], "answer": "red"}],
        [{"question": "What?", "options": ["red", "red", "blue"], "answer": "A"}],
        ["What?"],
        [None],
    ],
)
def test_what_is_no_question_is_not_asked(asked: list[Any]) -> None:
    with pytest.raises(NoJudgementError) as problem:
        talk(questions(reads="letter"), caption(*asked), picks("a"))
    assert problem.value.status is Status.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("options", "answer", "right"),
    [
        (["A", "B", "C"], "B", "B"),
        (["B", "A", "two"], "C", "two"),
        (["B", "A", "two"], "two", "two"),
        (["red", "red", "blue"], "blue", "blue"),
        ({"B": "one", "A": "two"}, "A", "two"),
    ],
)
def test_an_answer_that_only_one_option_can_mean(options: Any, answer: str, right: str) -> None:
    asked = {"question": "What?", "options": options, "answer": answer}
    values, _ = talk(questions(reads="letter"), caption(asked), lambda ask: Reply(text=letter_of(ask, right)))
    assert values["accuracy"].value == 1.0
