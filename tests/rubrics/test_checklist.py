"""Checklists: questions of the card or of the sample, weights, gates, dimensions, and what is no list of questions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curate.asks import Ask, Reply, Trouble
from curate.errors import CardError
from curate.records import Status
from curate.rubrics.case import NoJudgementError
from curate.rubrics.loading import load_method
from tests.rubrics.talking import card, case, distribution, said_of, talk

CALL = {
    "messages": [{"user": [{"picture": "response"}, "{question}"]}],
    "reads": {
        "labels": {
            "labels": [{"name": "yes", "value": 1, "spellings": ["yes"]}, {"name": "no", "value": 0, "spellings": ["no"]}],
        }
    },
}


def checklist(dimensions: tuple[str, ...] = ("overall",), **more: Any) -> Any:
    return load_method(card({"rubric": "checklist", "call": CALL, **more}, dimensions=dimensions))


def certain(**by_word: float) -> Any:
    """A judge that is so sure of yes where a question holds a word."""

    def judge(ask: Ask) -> Reply:
        chance = next(chance for word, chance in by_word.items() if word in said_of(ask))
        return Reply(distribution=distribution({"yes": {"yes": chance}, "no": {"no": 1 - chance}}))

    return judge


def test_the_value_is_the_weighted_mean() -> None:
    points = [{"name": "a", "text": "Is it a kite?", "weight": 3}, {"name": "b", "text": "Is it red?"}]
    values, rounds = talk(checklist(questions=points), case(), certain(kite=0.8, red=0.4))
    assert values["overall"].value == pytest.approx((3 * 0.8 + 0.4) / 4)
    assert [len(asks) for asks in rounds] == [2]


def test_answers_and_the_least_mass_are_kept() -> None:
    def judge(ask: Ask) -> Reply:
        mass = 0.9 if "red" in said_of(ask) else 1.0
        return Reply(distribution=distribution({"yes": {"yes": mass / 4}, "no": {"no": mass * 3 / 4}}))

    points = [{"name": "a", "text": "Is it a kite?"}, {"name": "b", "text": "Is it red?"}]
    values, _ = talk(checklist(questions=points), case(), judge)
    assert json.loads(values["overall"].rationale or "") == {"answers": [["a", 0.25], ["b", 0.25]], "p_mass": 0.9}


def test_pairs_are_not_judged_in_one_order() -> None:
    call = {**CALL, "messages": [{"user": [{"picture": "first"}, {"picture": "second"}, "{question}"]}]}
    args = {"rubric": "checklist", "call": call, "questions": [{"name": "a", "text": "Is the first better?"}]}
    with pytest.raises(CardError, match="'checklist' judges samples, one by one"):
        load_method(card(args, judges="pairs"))


@pytest.mark.parametrize(("gate", "value"), [(0.4, 0.0), (0.5, 0.9)])
def test_a_gate_that_is_not_passed_makes_it_nothing(gate: float, value: float) -> None:
    points = [{"name": "safe", "text": "Is it safe?", "gate": True}, {"name": "b", "text": "Is it red?"}]
    values, _ = talk(checklist(questions=points), case(), certain(safe=gate, red=0.9))
    assert values["overall"].value == pytest.approx(value)


@pytest.mark.parametrize("weight", [1e308, 3.0, 5e-324])
def test_weights_of_any_size(weight: float) -> None:
    points = [{"name": name, "text": f"Is it {name}?", "weight": weight} for name in ("red", "blue")]
    values, _ = talk(checklist(questions=points), case(), certain(red=0.9, blue=0.4))
    assert values["overall"].value == pytest.approx(0.65)


def test_dimensions_are_those_of_their_questions() -> None:
    points = [
        {"name": "a", "text": "Are there three?", "dimension": "counting"},
        {"name": "b", "text": "Is it red?", "dimension": "colour"},
    ]
    method = checklist(("overall", "counting", "colour"), questions=points, asked="points")
    values, _ = talk(method, case(meta={"points": ["a"]}), certain(three=0.7, red=0.1))
    assert values["overall"].value == pytest.approx(0.7)
    assert values["counting"].value == pytest.approx(0.7)
    assert values["colour"].status is Status.NOT_APPLICABLE


def test_questions_of_the_sample_are_data() -> None:
    asked = ["Is it a kite? <|im_start|>", {"description": "Is it red?", "name": "colour", "more": 1}]
    values, rounds = talk(checklist(asked="points"), case(meta={"points": asked}), certain(kite=0.99, red=0.5))
    assert values["overall"].value == pytest.approx(0.745)
    assert "<|im_start|>" not in "".join(said_of(ask) for ask in rounds[0])
    assert "control tokens" in (values["overall"].detail or "")


@pytest.mark.parametrize("points", [None, [], "one", [1], [{"no": "text"}], ["x"] * 201, [["nested"]], {"a": "b"}])
def test_what_is_no_list_of_questions_is_not_asked(points: Any) -> None:
    with pytest.raises(NoJudgementError) as problem:
        talk(checklist(asked="points"), case(meta={"points": points}), certain(x=1.0))
    assert problem.value.status is Status.NOT_APPLICABLE


def test_a_question_without_an_answer_leaves_no_value() -> None:
    points = [{"name": "a", "text": "Is it a kite?"}, {"name": "b", "text": "Is it red?"}]
    trouble = Trouble(status=Status.API_ERROR, detail="timeout: too long")
    with pytest.raises(NoJudgementError) as problem:
        talk(checklist(questions=points), case(), lambda ask: trouble if "red" in said_of(ask) else certain(kite=0.99)(ask))
    assert problem.value.detail == "timeout: too long"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "say the questions"),
        ({"questions": []}, "no questions"),
        ({"questions": [{"name": "a", "text": "x"}, {"name": "a", "text": "y"}]}, "two questions are called 'a'"),
        ({"questions": [{"name": "a", "text": "x", "dimension": "other"}]}, "no dimension 'other'"),
        ({"asked": "points", "call": {**CALL, "messages": [{"user": ["Is it so?"]}]}}, "the question has no place"),
        ({"asked": "points", "call": {**CALL, "reads": {"text": {}}}}, "one value"),
    ],
)
def test_cards_that_do_not_hold_together(args: dict[str, Any], said: str) -> None:
    with pytest.raises(CardError, match=said):
        checklist(**args)
