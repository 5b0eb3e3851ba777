"""Filters keep what their conditions say, the best by number and share, and count the rest by reason."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CurateError, ExpressionError
from curate.select import Filtered, filter, filtering, slices  # noqa: A004
from curate.select.options import parse_top
from tests.select import oracle
from tests.select.views import Given, read, write_view
from tests.select.worlds import LAW, score_of, worlds

PICK, NSFW = score_of("pickscore.overall"), score_of("nsfw.safe")


@pytest.fixture(autouse=True)
def tiny_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "QUERY_ROWS", 14)
    monkeypatch.setattr(slices, "SLICE_ROWS", 7)
    monkeypatch.setattr(filtering, "BLOCK_ROWS", 4)


def kept(result: Filtered) -> list[str]:
    rows = read(result.path)
    assert [row["row"] for row in rows] == sorted(row["row"] for row in rows)
    assert len(rows) == result.rows
    (funnel,) = result.funnels
    assert funnel.adds_up
    assert funnel.kept == result.rows
    assert all(count > 0 for count in funnel.dropped.values())
    return [row["sample"] for row in rows]


@LAW
@given(world=worlds(), least=st.sampled_from([0.0, 0.2, 9.0]))
def test_a_condition_keeps_those_for_which_it_holds(tmp_path: Path, world: list[Given], least: float) -> None:
    view = write_view(tmp_path / "view.parquet", world)
    result = filter(view, where=f"pickscore >= {least} or nsfw < 0.1", out=tmp_path / "kept.parquet")
    both = [one for one in world if PICK(one) is not None and NSFW(one) is not None]
    expected = [one for one in both if oracle.value(PICK, one) >= least or oracle.value(NSFW, one) < 0.1]
    assert kept(result) == [one.sample for one in sorted(expected, key=lambda one: (one.group, one.sample))]
    dropped = result.funnels[0].dropped
    assert dropped.pop("vetoed", 0) == len(both) - len(expected)
    assert sum(dropped.values()) == len(world) - len(both)
    assert all(reason.startswith(("pickscore: ", "nsfw: ")) for reason in dropped)


TOPS = st.sampled_from([1, 2, 5, 100, "3", "1%", "25%", "33.3%", "100%"])


@LAW
@given(world=worlds(), top=TOPS, per=st.sampled_from([None, "group", "generator", "prompt"]), centred=st.booleans())
def test_the_best_are_kept(tmp_path: Path, world: list[Given], top: int | str, per: str | None, centred: bool) -> None:
    view = write_view(tmp_path / "view.parquet", world)
    by = "pickscore + 0 * mean_in_group(pickscore)" if centred else "pickscore"
    result = filter(view, top=top, by=by, per=per, where="pickscore > -1", out=tmp_path / "kept.parquet")
    able = [one for one in world if (PICK(one) or -1) > -1 or PICK(one) == 0]

    def stratum(one: Given) -> str:
        return "" if per is None else one.group if per == "group" else str(one.fields[per])

    expected = []
    for _, members in groupby(sorted(able, key=stratum), key=stratum):
        best = sorted(members, key=lambda one: (-oracle.value(PICK, one), one.group, one.sample))
        expected += best[: number_of(top, len(best))]
    assert kept(result) == [one.sample for one in sorted(expected, key=lambda one: (one.group, one.sample))]
    assert result.funnels[0].dropped.get("not in top", 0) == len(able) - len(expected)


def number_of(top: int | str, among: int) -> int:
    if isinstance(top, str) and top.endswith("%"):
        return math.ceil(Fraction(top[:-1]) / 100 * among)
    return int(top)


def test_a_share_is_exact(tmp_path: Path) -> None:
    """12% of 100 is 12, though 0.12 * 100 in floating point is a little more."""
    world = [Given(sample=f"s{n:03}", group="g", ratings={"nsfw.safe": float(n % 7)}) for n in range(100)]
    view = write_view(tmp_path / "view.parquet", world, rows_per_piece=50)
    for share in (7, 12, 14, 28, 29, 55, 56, 57, 58):
        for per in (None, "group", "kind"):
            assert filter(view, top=f"{share}%", by="nsfw", per=per, out=tmp_path / "kept.parquet").rows == share


def test_group_functions_in_a_condition(tmp_path: Path) -> None:
    world = [Given(sample=f"s{n:02}", group=f"g{n // 4}", ratings={"nsfw.safe": float(n)}) for n in range(24)]
    view = write_view(tmp_path / "view.parquet", world)
    result = filter(view, where="rank_in_group(nsfw) = 1 and width = 512", out=tmp_path / "kept.parquet")
    assert kept(result) == [f"s{n:02}" for n in range(3, 24, 4)]


def test_status_can_be_asked_for(tmp_path: Path) -> None:
    world = [
        Given(sample="a", group="g", ratings={"pickscore.overall": "decode_error"}),
        Given(sample="b", group="g", ratings={"pickscore.overall": 1.0}),
        Given(sample="c", group="g"),
    ]
    view = write_view(tmp_path / "view.parquet", world)
    broken = filter(view, where="pickscore.status = 'decode_error'", out=tmp_path / "kept.parquet")
    assert kept(broken) == ["a"]
    assert broken.funnels[0].dropped == {"where is null": 1, "vetoed": 1}
    assert kept(filter(view, where="pickscore is null", out=tmp_path / "kept.parquet")) == ["a", "c"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "nothing is asked of the samples"),
        ({"by": "nsfw", "where": "nsfw > 1"}, "by says how to choose the best; give top too"),
        ({"per": "group", "where": "nsfw > 1"}, "per says how to choose the best; give top too"),
        ({"top": 1}, "by is missing"),
        ({"top": 1, "by": "nsfw", "per": "grupo"}, "per is 'grupo', which is not a sample field. Did you mean 'group'?"),
        ({"top": 1, "by": "prompt"}, "by is a text, and a number is needed"),
        *(
            ({"top": top, "by": "nsfw"}, f"top is '{top}'")
            for top in (0, -1, "0%", "101%", "1.5", "many", "1 %%", "0.00000000000001%", True)
        ),
    ],
)
def test_mistakes_are_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    view = write_view(tmp_path / "view.parquet", [])
    with pytest.raises(CurateError) as problem:
        filter(view, out=tmp_path / "kept.parquet", **options)
    assert said in str(problem.value)
    assert [path.name for path in tmp_path.iterdir()] == ["view.parquet"]


def test_tops_are_read_as_written() -> None:
    assert parse_top("12.5%").share == Fraction(1, 8)
    assert parse_top(" 7 ").count == 7
    assert parse_top(7).count == 7


def test_the_condition_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(ExpressionError, match="^where is a number"):
        filter(write_view(tmp_path / "view.parquet", []), where="width", out=tmp_path / "kept.parquet")
