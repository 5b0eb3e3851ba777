"""Formats of trained judges, as a call reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from curate.errors import CardError
from curate.records import Status
from curate.rubrics.case import NoJudgementError
from curate.rubrics.loading import load_method
from curate.rubrics.replies.base import Outputs, Unreadable
from curate.rubrics.replies.formats import FORMATS
from tests.rubrics.talking import card, case, saying, talk


class Lines:
    """A number on the first line and its reason on the second."""

    outputs = ("grade", "why")
    texts = ("why",)

    def __init__(self, params: Mapping[str, Any]) -> None:
        if params.keys() - {"most"}:
            raise ValueError("there is only 'most'")
        self._most = params.get("most", 10)

    def read(self, text: str) -> Outputs:
        grade, _, why = text.partition("\n")
        if not grade.isdecimal() or int(grade) > self._most:
            raise Unreadable("wrong_format", "the first line is no grade")
        return {"grade": float(grade), "why": why}


@pytest.fixture(autouse=True)
def _lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "lines", f"{__name__}:Lines")


def args(value: str = "call.grade", **params: Any) -> dict[str, Any]:
    reads = {"format": {"name": "lines", "params": params}}
    return {
        "rubric": "calls",
        "calls": [{"name": "call", "messages": [{"user": "Grade."}], "reads": reads}],
        "values": {"score": value},
    }


def test_a_format_gives_numbers_and_reasons() -> None:
    values, _ = talk(load_method(card(args("call.grade / 2"))), case(), saying("7\nsharp"))
    assert (values["score"].value, values["score"].rationale) == (3.5, "sharp")


def test_a_format_takes_params_and_says_when_not() -> None:
    with pytest.raises(NoJudgementError, match="^wrong_format: 'call': the first line is no grade"):
        talk(load_method(card(args(most=5))), case(), saying("7"))
    with pytest.raises(
        CardError, match="field 'args.calls.0.reads': the format 'lines' does not take its params: there is only 'most'"
    ):
        load_method(card(args(least=5)))


def counted(**more: Any) -> Any:
    arguments = args()
    arguments["calls"][0]["reads"]["format"] |= {"counted": {"most": "shown.boxes"}, **more}
    return load_method(card(arguments))


def test_a_format_is_told_how_many_things_a_sample_lists() -> None:
    for boxes in (1, 3):
        meta = {"shown": {"boxes": [[0, 0, 1, 1]] * boxes}}
        values, _ = talk(counted(), case(meta=meta), saying(str(boxes)))
        assert values["score"].value == boxes
        with pytest.raises(NoJudgementError, match="^wrong_format"):
            talk(counted(), case(meta=meta), saying(str(boxes + 1)))


@pytest.mark.parametrize(
    ("meta", "why"),
    [({}, "no_field"), ({"shown": {"boxes": []}}, "no_list"), ({"shown": {"boxes": "three"}}, "no_list")],
)
def test_a_sample_that_lists_nothing_is_not_judged(meta: dict[str, Any], why: str) -> None:
    with pytest.raises(NoJudgementError) as problem:
        talk(counted(), case(meta=meta), saying("1"))
    assert (problem.value.status, problem.value.detail.partition(":")[0]) == (Status.NOT_APPLICABLE, why)


def test_what_is_counted_is_a_param_of_the_format_and_not_given_twice() -> None:
    with pytest.raises(CardError, match="there is only 'most'"):
        counted(counted={"least": "boxes"})
    with pytest.raises(CardError, match="two params are called 'most'"):
        counted(params={"most": 3})


def test_a_text_of_a_format_is_no_number() -> None:
    with pytest.raises(CardError, match="call.why is a text"):
        load_method(card(args("call.why")))
    with pytest.raises(CardError, match="gives no 'grades'. Did you mean 'grade'"):
        load_method(card(args("call.grades")))
