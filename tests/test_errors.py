"""What is offered for a name that does not exist."""

from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path

import pytest

import curate
from curate.errors import CurateError, ExpressionError, Option, UnknownRater, nearest


@pytest.mark.parametrize(
    ("slip", "known", "meant"),
    [
        ("signl", ["signal", "nsfw"], "signal"),
        ("promt", ["prompt", "path"], "prompt"),
        ("best-wrst", ["best-worst", "all"], "best-worst"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(slip: str, known: list[str], meant: str) -> None:
    assert nearest(slip, known) == f"Did you mean {meant!r}?"


@pytest.mark.parametrize(("name", "known"), [("foo", ["oom", "nan"]), ("read_text", ["greatest", "least"])])
def test_a_name_that_is_like_none_is_answered_with_all(name: str, known: list[str]) -> None:
    assert nearest(name, known) == f"Known: {', '.join(sorted(known))}."
    assert nearest(name, []) == ""


def test_names_that_are_ordered_stay_so() -> None:
    assert nearest("foo", ["signal", "hpsv2", "bytes"], ordered=True, shown=2) == "Known: signal, hpsv2 …"
    assert nearest("hpsv", ["signal", "hpsv2", "bytes"], ordered=True) == "Did you mean 'hpsv2'?"


def test_options_are_spelled_as_they_are_given() -> None:
    problem = CurateError("leave out ", Option("max_per_group"), ", or change ", Option("agree[1]"))
    assert str(problem) == "leave out max_per_group, or change agree[1]"
    assert problem.as_typed() == "leave out --max-per-group, or change --agree number 2"
    assert CurateError("min_margin stands here as a word").as_typed() == "min_margin stands here as a word"


def test_errors_keep_their_options_between_processes() -> None:
    copy = pickle.loads(pickle.dumps(ExpressionError(Option("by"), " is empty")))
    assert copy.as_typed() == "--by is empty"


def test_an_unknown_rater_says_which() -> None:
    problem = UnknownRater(Option("by"), ": there is no rater 'signl'", name="signl")
    for one in (problem, pickle.loads(pickle.dumps(problem))):
        assert (one.name, str(one)) == ("signl", "by: there is no rater 'signl'")


OTHERWISE_IN_PYTHON = {"cli", "client", "judges"}
"""Parts that speak to the command line, or of the server's options, which are fields of `Serving` under other names."""


def test_errors_name_options_so_that_each_caller_reads_its_own_spelling() -> None:
    package = Path(curate.__file__).parent
    spelled = []
    for path in sorted(package.rglob("*.py")):
        if path.relative_to(package).parts[0] in OTHERWISE_IN_PYTHON:
            continue
        for raised in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(raised, ast.Raise):
                texts = [one.value for one in ast.walk(raised) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
                # A whole command line is one, whoever reads it.
                spelled += [
                    f"{path.name}: {text}" for text in texts if re.search(r"(?<![\w-])--[a-z]", text) and "curate " not in text
                ]
    assert spelled == []
