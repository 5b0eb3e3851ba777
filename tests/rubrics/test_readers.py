"""Formats of trained judges, as a call reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from curate.errors import CardError
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


def test_a_text_of_a_format_is_no_number() -> None:
    with pytest.raises(CardError, match="call.why is a text"):
        load_method(card(args("call.why")))
    with pytest.raises(CardError, match="gives no 'grades'. Did you mean 'grade'"):
        load_method(card(args("call.grades")))
