"""What is offered for a name that does not exist."""

from __future__ import annotations

import pytest

from curate.errors import nearest


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
