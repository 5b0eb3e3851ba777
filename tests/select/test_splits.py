"""Prompts that are one to a reader are on one side of a split, by the rule that `curate check` looks for leaks by."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import duckdb
import pytest

from curate.records import plain_prompt
from curate.select import pair, rank
from curate.select.splits import PLAIN_PROMPT, split_hash
from tests.select.views import Given, read, write_view

ALIKE = [
    "a café in 3 d",
    " a café in 3 d",
    "a  café\tin 3 d\r\n",
    unicodedata.normalize("NFD", "a café in\u00a03 d"),
    "a café in\u20033 d\u3000",
]


def by_sql(sql: str, prompts: list[str]) -> list[object]:
    with duckdb.connect(config={"threads": 1}) as connection:
        rows = connection.execute(f"SELECT {sql} FROM (SELECT unnest(?) AS prompt, '' AS \"group\")", [prompts]).fetchall()
    return [row[0] for row in rows]


def test_sql_and_python_make_the_same_of_every_character() -> None:
    characters = [chr(number) for number in range(1, 0x110000) if not 0xD800 <= number < 0xE000]
    prompts = [f"{one}a{one}{one}b{one}" for one in characters]
    assert by_sql(PLAIN_PROMPT, prompts) == [plain_prompt(prompt) for prompt in prompts]


def test_only_prompts_with_such_differences_are_assigned_otherwise_than_before() -> None:
    prompts = ["a cat", "日本", "café", "A CAT.", "", "a-b_c 'd' \"e\""]
    before = by_sql("md5_number_lower('5 ' || 'prompt ' || prompt)", prompts)
    assert by_sql(split_hash(5), prompts) == before
    assert len(set(by_sql(split_hash(5), ALIKE))) == 1
    assert len(set(by_sql(split_hash(5), [*ALIKE, *prompts]))) == 1 + len(prompts)


@pytest.mark.parametrize("seed", range(6))
def test_prompts_that_look_the_same_are_on_one_side(seed: int, tmp_path: Path) -> None:
    given = [
        Given(sample=f"{group}{place}", group=f"g{group}", ratings={"pickscore.overall": place}, fields={"prompt": prompt})
        for group, prompt in enumerate(ALIKE)
        for place in range(2)
    ]
    view = write_view(tmp_path / "view.parquet", given)
    pairs = pair(view, by="pickscore", split="test=50%", seed=seed, out=tmp_path / "pairs.parquet")
    ranking = rank(view, by="pickscore", split="test=50%", seed=seed, out=tmp_path / "ranking.parquet")
    (side,) = {row["split"] for row in read(pairs.path)}
    assert {row["split"] for row in read(ranking.path)} == {side}


def test_a_group_in_two_splits_is_not_ranked(tmp_path: Path) -> None:
    """Where it lay would hang on which of its samples are left in the end."""
    given = [
        Given(sample=f"{group}{place}", group=group, ratings={"pickscore.overall": place}, fields={"prompt": f"prompt {prompt}"})
        for group, prompts in {"mixed": range(9), "alike": [3, 3, 3]}.items()
        for place, prompt in enumerate(prompts)
    ]
    view = write_view(tmp_path / "view.parquet", given)
    split = rank(view, by="pickscore", split="test=50%", out=tmp_path / "split.parquet")
    assert {row["group"] for row in read(split.path)} == {"alike"}
    assert [funnel.dropped for funnel in split.funnels] == [{"prompts_in_two_splits": 9}, {"prompts_in_two_splits": 1}]
    assert all(funnel.adds_up for funnel in split.funnels)
    assert (split.rows, split.groups) == (3, 1)
    assert rank(view, by="pickscore", out=tmp_path / "all.parquet").rows == 12
