"""Tables: numbers to the right, nothing interpreted, sums that are there."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from curate.cli.session import Session
from curate.cli.tables import (
    estimate_table,
    fit,
    funnel_table,
    reasons_table,
    spell,
    status_table,
    table,
    told_table,
    turned,
    width_for_words,
)
from curate.records import Funnel
from curate.showing import counted


def printed(one: RenderableType) -> str:
    out = io.StringIO()
    Console(file=out, width=140).print(one)
    return out.getvalue()


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (True, "yes"), (False, "no"), (1_234_567, "1,234,567"), (0.123456, "0.1235"), (12.0, "12"), ("a", "a")],
)
def test_cells(value: object, text: str) -> None:
    assert spell(value) == text


def test_texts_are_not_markup() -> None:
    assert "[red]a[/red] [/] :smile:" in printed(table("", ("prompt",), [("[red]a[/red] [/] :smile:",)]))


def test_columns_without_names_have_no_head() -> None:
    lines = [line.strip() for line in printed(table("", ("", ""), [("licence", "MIT"), ("shards", 3)])).splitlines()]
    assert [line.split() for line in lines if line] == [["licence", "MIT"], ["shards", "3"]]


def test_a_column_of_numbers_stands_to_the_right() -> None:
    made = table("", ("name", "count"), [("a", 1), ("b", None), ("c", 1000)])
    assert [column.justify for column in made.columns] == ["left", "right"]


def test_a_funnel_is_one_row_that_adds_up() -> None:
    funnel = Funnel(step="pair", unit="groups", taken=10, kept=4, dropped={"one_sample": 1, "too_close": 5})
    row = next(line for line in printed(funnel_table([funnel])).splitlines() if "pair" in line)
    assert row.split() == ["pair", "groups", "10", "4", "6", "too_close", "5,", "one_sample", "1"]


def test_reasons_come_in_order_of_size_then_name() -> None:
    assert counted({"b": 1, "a": 1, "c": 7}) == "c 7, a 1, b 1"


def test_reasons_are_a_row_each_what_failed_most_first() -> None:
    lines = printed(
        reasons_table({"y": {"refused: refusal": 2}, "x": {"parse_error": 1, "parse_error: low_mass": 9}})
    ).splitlines()
    rows = [line.split() for line in lines if line.lstrip().startswith(("x ", "y "))]
    assert rows == [["x", "parse_error:", "low_mass", "9"], ["x", "parse_error", "1"], ["y", "refused:", "refusal", "2"]]


def test_statuses_stand_beside_each_other_with_their_sum() -> None:
    lines = printed(status_table({"x": {"ok": 3, "nan": 2}, "y": {"ok": 4, "oom": 1}})).splitlines()
    assert next(line for line in lines if "rater" in line).split() == ["rater", "ok", "nan", "oom", "samples"]
    assert next(line for line in lines if line.lstrip().startswith("x")).split() == ["x", "3", "2", "0", "5"]


def test_no_word_is_broken_where_there_is_no_window(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"column-number-{number}" for number in range(10)]
    rows = [[f"value-of-{number}-in-a-long-word" for number in range(10)], ["short"] * 10]
    Session(quiet=False, as_json=False).finish({}, [table("wide", names, rows)])
    shown = capsys.readouterr().out.split()
    assert {*names, *rows[0]} <= set(shown)


def test_a_table_that_fits_a_page_stays_on_it(capsys: pytest.CaptureFixture[str]) -> None:
    Session(quiet=False, as_json=False).finish({}, [table("", ("fact", "value"), [("notes", "many words " * 60)])])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 140


def test_an_estimate_of_nothing_is_a_sentence() -> None:
    assert estimate_table({}, (1.0, 2.0)) == "Nothing would be asked."
    rows = printed(estimate_table({"judge": {"requests": 0}}, None)).splitlines()
    assert ["judge", "0"] in [line.split() for line in rows], "one who has nothing to ask while others have"


def test_who_tells_less_stands_in_the_same_columns() -> None:
    told = {"a server": {"requests": 75}, "judge": {"asked": 3, "requests": 4}}
    _, _, head, _, *rows = (line.split() for line in printed(told_table(told)).splitlines())
    assert head == ["rater", "asked", "requests"]
    assert rows[:2] == [["a", "server", "-", "75"], ["judge", "3", "4"]]


@pytest.mark.parametrize("width", [40, 74, 80, 200])
def test_in_a_narrow_window_no_number_is_broken(width: int) -> None:
    """A table that needs more room is turned: a line for each of its cells."""
    columns = ("rater", "card", *(f"of {name} so far" for name in ("requests", "tokens", "replies", "seconds")))
    made = table("What was asked", columns, [("rewarddance", "543106b0965d5765", 314, 184_988, None, 0.09797)])
    shown = turned(made) if width_for_words(made) > width else made
    fit(shown, width)
    out = io.StringIO()
    Console(file=out, width=width).print(shown)
    text = out.getvalue()
    for whole in ("rewarddance", "543106b0965d5765", "314", "184,988", "0.09797", "What was asked"):
        assert whole in text
    assert ("replies" in text) == (width >= 74), "what is empty takes no line"
    assert max(map(len, text.splitlines())) <= width
