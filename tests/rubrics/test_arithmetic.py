"""Arithmetic of cards: what it comes to, and everything that it is not."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CardError
from curate.records import Status
from curate.rubrics.arithmetic import DEEPEST, FUNCTIONS, LONGEST, Expression
from curate.rubrics.case import NoJudgementError

KNOWN = {"semantic": {"score": 2, "text": -1, "one": 0}, "match": {"value": 0}}

GIVEN = {"semantic": {"score": (20.0, 15.0), "text": "well", "one": 4.0}, "match": {"value": 0.5}}


def of(text: str) -> float:
    return Expression(text, KNOWN, ("above",), where="card")(GIVEN, {"above": 3.0})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("semantic.score[0] / 2.5", 8.0),
        ("min(semantic.score) / 2.5", 6.0),
        ("max(semantic.score)", 20.0),
        ("mean(semantic.score)", 17.5),
        ("sum(semantic.score)", 35.0),
        ("std(semantic.score)", math.sqrt(12.5)),
        ("min(semantic.one, match.value, 3)", 0.5),
        ("sqrt(semantic.one) + -1 - 2 * 3", -5.0),
        ("exp(log(semantic.one))", 4.0),
        ("clip(semantic.one, 0, 1)", 1.0),
        ("abs(match.value - 2)", 1.5),
        ("above + 1", 4.0),
        ("  \n 1 + 1  ", 2.0),
        ("1e3", 1000.0),
    ],
)
def test_what_expressions_come_to(text: str, value: float) -> None:
    assert of(text) == pytest.approx(value)


HOSTILE = [
    "",
    "1 +",
    "semantic",
    "below",
    "semantic.scores",
    "other.score",
    "semantic.score",
    "semantic.text",
    "semantic.score[2]",
    "semantic.score[-1]",
    "semantic.score[True]",
    "semantic.score[0:1]",
    "semantic.one[0]",
    "semantic.score + 1",
    "-semantic.score",
    "min(semantic.one)",
    "min(semantic.score, 1)",
    "sqrt(1, 2)",
    "sqrt(semantic.score)",
    "clip(1, 2)",
    "min()",
    "min(*semantic.score)",
    "min(1, 2, key=abs)",
    "pow(2, 3)",
    "2 ** 9999",
    "1 // 2",
    "1 % 2",
    "1 if 1 else 2",
    "1 < 2",
    "1 and 2",
    "not 1",
    "~1",
    "+1",
    "True",
    "None",
    "1j",
    "'a' * 9",
    "f'{1}'",
    "[1, 2]",
    "(1, 2)",
    "lambda: 1",
    "[one for one in (1, 2)]",
    "(one := 1)",
    "__import__('os').system('true')",
    "semantic.__class__",
    "semantic.score.__class__",
    "semantic.score.index(1)",
    "().__class__.__bases__[0]",
    "open('/etc/passwd').read()",
    "min.__self__",
    "semantic.one; 1",
    "import os",
    "1\n2",
    "9" * 400,
    "1e999",
    "(" * 240 + "1" + ")" * 240,
    "~" * 400 + "1",
    "-" * (DEEPEST + 2) + "1",
    "1+" * LONGEST + "1",
    "semantic . one . real",
    "\x00",
    "𝓼emantic.two",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_all_else_is_refused_when_the_card_is_read(text: str) -> None:
    with pytest.raises(CardError, match="^card: "):
        of(text)


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(CardError, match="Did you mean 'semantic'"):
        of("semantics.score[0]")
    with pytest.raises(CardError, match="Did you mean 'score'"):
        of("semantic.scores[0]")


@pytest.mark.parametrize(
    "text", ["1 / 0", "log(0)", "sqrt(0 - 1)", "exp(1000)", "1e200 * 1e200", "std(semantic.score) / (1 - 1)"]
)
def test_what_has_no_value_is_a_status(text: str) -> None:
    with pytest.raises(NoJudgementError) as why:
        of(text)
    assert why.value.status is Status.NAN
    assert why.value.detail.startswith("arithmetic: ")


def test_a_text_where_a_number_was_announced_is_a_status() -> None:
    expression = Expression("format.rank + 1", {"format": {"rank": 0}}, where="card")
    with pytest.raises(NoJudgementError):
        expression({"format": {"rank": "first"}})


numbers = st.floats(-1e6, 1e6)


@given(numbers, numbers, numbers)
def test_arithmetic_is_that_of_numbers(a: float, b: float, c: float) -> None:
    given = {"x": {"a": a, "b": b, "c": c}}
    known = {"x": {"a": 0, "b": 0, "c": 0}}
    assert Expression("x.a + x.b * x.c - -x.a", known, where="card")(given) == a + b * c - -a
    assert Expression("clip(x.a, min(x.b, x.c), max(x.b, x.c))", known, where="card")(given) == sorted((a, b, c))[1]


@given(
    st.text(alphabet="abc.x[]()+-*/ 0123456789,_'\"=:{}\n", max_size=40)
    | st.sampled_from(FUNCTIONS).map(lambda name: f"{name}(x.a)")
)
def test_any_text_is_an_expression_or_a_sentence(text: str) -> None:
    try:
        expression = Expression(text, {"x": {"a": 0}}, where="card")
    except CardError:
        return
    with suppress(NoJudgementError):
        assert math.isfinite(expression({"x": {"a": 2.0}}))
