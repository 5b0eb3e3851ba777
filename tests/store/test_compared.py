"""Comparisons become columns of a view: win rates and strengths, the same whatever the order in which they came."""

from __future__ import annotations

import hashlib
import json
import math
import random
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate import select
from curate.records import Comparison, RaterColumns, Status, View
from curate.store import Store
from curate.store.behind import rated_only_before
from curate.store.compared import _whole_groups
from curate.store.feeds import UUID
from tests.store.world import SHARP, add_cards, compare, make_row, make_sample, make_store, make_unit, sample_ids

JUDGE = "9a" * 8
OK, UNREADABLE, REFUSED, UNPARSED = Status.OK, Status.UNREADABLE, Status.REFUSED, Status.PARSE_ERROR

Said = tuple[int, int, float | Status]
"""Two samples by number, and the probability that the first of them is better, or why there is none."""

PREF_GRPO: list[Said] = [(0, 1, 1.0), (0, 2, 1.0), (0, 3, 0.5), (2, 1, 1.0), (1, 3, 1.0), (2, 3, UNPARSED)]


def judge(said: Iterable[Said], dimension: str = "overall", **fields: object) -> list[Comparison]:
    made = []
    for one, other, what in said:
        ids = sample_ids([one, other])
        value = None if isinstance(what, Status) else what if ids[0] < ids[1] else 1 - what
        made.append(
            Comparison(
                **{
                    "group": make_sample(one).group,
                    "first": min(ids),
                    "second": max(ids),
                    "rater": "judge",
                    "card": JUDGE,
                    "dimension": dimension,
                    "value": value,
                    "status": what if isinstance(what, Status) else OK,
                    **fields,
                }  # type: ignore[arg-type]
            )
        )
    return made


def add_judge(store: Store, *dimensions: str) -> None:
    declared: dict[str, object] = {name: {} for name in dimensions or ("overall",)}
    store.add_card(JUDGE, "judge", json.dumps({"judges": "pairs", "main": next(iter(declared)), "dimensions": declared}))


def store_of(path: Path, numbers: range, comparisons: list[Comparison], *dimensions: str) -> Store:
    store = Store.create_or_open(path)
    with store.writing():
        add_judge(store, *dimensions)
        store.commit(make_unit("a.tar", numbers, cards=[], comparisons=comparisons))
    return store


def standing(view: View, column: str = "judge.overall") -> dict[int, object]:
    table = pq.read_table(view.path, columns=["key", column]).to_pylist()
    return {int(row["key"]): row[column] for row in table}


def test_a_win_rate_is_a_mean_over_the_comparisons_that_are_ok(tmp_path: Path) -> None:
    view = store_of(tmp_path / "s", range(4), judge(PREF_GRPO)).view()
    assert view.raters["judge"] == RaterColumns(card=JUDGE, main="overall", dimensions=("overall", "overall_strength"))
    assert standing(view) == {0: 0.833333333333, 1: 0.333333333333, 2: 1 / 2, 3: 1 / 4}
    assert set(standing(view, "judge.status").values()) == {"ok"}
    strengths = standing(view, "judge.overall_strength")
    assert strengths == {0: 0.895611, 1: -0.439844, 2: 0.143313, 3: -0.59908}


def test_a_sample_without_any_that_is_ok_has_the_worst_status_and_no_value(tmp_path: Path) -> None:
    said: list[Said] = [(0, 1, REFUSED), (0, 2, UNREADABLE), (1, 2, 0.25)]
    view = store_of(tmp_path / "s", range(4), judge(said)).view()
    assert standing(view) == {0: None, 1: 0.25, 2: 0.75, 3: None}
    assert standing(view, "judge.status") == {0: "refused", 1: "ok", 2: "ok", 3: None}
    assert standing(view, "judge.overall_strength")[0] is None


def test_each_dimension_has_its_own_standing_and_the_status_is_the_worst(tmp_path: Path) -> None:
    rows = [*judge([(0, 1, 1.0), (1, 2, 0.5)], "style"), *judge([(0, 1, REFUSED), (1, 2, 0.0)], "detail")]
    rows += judge([(0, 1, 0.5)], "unheard_of")
    view = store_of(tmp_path / "s", range(3), rows, "style", "detail").view()
    names = ("style", "detail", "unheard_of")
    assert view.raters["judge"].dimensions == (*names, *(f"{name}_strength" for name in names))
    assert view.raters["judge"].main == "style"
    assert standing(view, "judge.style") == {0: 1.0, 1: 0.25, 2: 0.5}
    assert standing(view, "judge.detail") == {0: None, 1: 0.0, 2: 1.0}
    assert standing(view, "judge.status") == {0: "refused", 1: "ok", 2: "ok"}


@pytest.mark.parametrize("dimensions", [("line", "line_strength"), ("line_strength", "line")])
def test_a_dimension_of_the_card_goes_before_a_strength_of_its_name(tmp_path: Path, dimensions: tuple[str, str]) -> None:
    rows = [*judge([(0, 1, 1.0)], "line"), *judge([(0, 1, 0.25)], "line_strength")]
    view = store_of(tmp_path / "s", range(2), rows, *dimensions).view()
    assert view.raters["judge"].dimensions == (*dimensions, "line_strength_strength")
    assert standing(view, "judge.line") == {0: 1.0, 1: 0.0}
    assert standing(view, "judge.line_strength") == {0: 0.25, 1: 0.75}


def test_selecting_sees_comparisons(tmp_path: Path) -> None:
    view = store_of(tmp_path / "s", range(8), judge(PREF_GRPO)).view()
    numbers = dict(zip(sample_ids(range(8)), range(8), strict=True))
    ranked = select.rank(view, by="judge", out=tmp_path / "ranked.parquet")
    rows = pq.read_table(ranked.path, columns=["sample", "rank"]).to_pylist()
    assert [(numbers[row["sample"]], row["rank"]) for row in rows] == [(0, 1), (2, 2), (1, 3), (3, 4)]
    assert ranked.funnels[0].dropped == {"judge: not rated": 4}
    best = select.pair(view, by="judge.overall_strength", out=tmp_path / "pairs.parquet", where="judge >= 0.3")
    (pair,) = pq.read_table(best.path).to_pylist()
    assert (numbers[pair["chosen"]], numbers[pair["rejected"]]) == (0, 1)
    kept = select.filter(view, where="z(judge) > 0.5 and judge.status = 'ok'", out=tmp_path / "kept.parquet")
    assert [numbers[row["sample"]] for row in pq.read_table(kept.path).to_pylist()] == [0]


def test_only_comparisons_within_what_is_now_a_group_count(tmp_path: Path) -> None:
    foreign = judge([(0, 9, 1.0)])  # 9 answers another prompt
    unknown = judge([(0, 3, 1.0)])  # 3 is in no shard
    store = store_of(tmp_path / "s", range(3), [*judge([(0, 1, 0.75)]), *foreign, *unknown])
    with store.writing():
        store.commit(make_unit("b.tar", [9], cards=[]))
    assert standing(store.view()) == {0: 0.75, 1: 0.25, 2: None, 9: None}
    assert set(standing(store.view(), "judge.status").values()) == {"ok", None}
    with store.writing():
        store.commit(make_unit("b.tar", [3], cards=[], signature="v2"))
    assert standing(store.view()) == {0: 0.875, 1: 0.25, 2: None, 3: 0.0}, "a sample that comes back counts again"


def test_samples_of_gone_shards_are_no_opponents(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", range(3), judge([(0, 1, 1.0), (0, 2, 0.0), (0, 3, 0.0), (1, 2, 0.5)]))
    with store.writing():
        store.commit(make_unit("b.tar", [3], cards=[]))
        store.commit(make_unit("c.tar", [1], cards=[], samples=[make_row(1, shard="c.tar")]))
    assert standing(store.view()) == {0: 0.333333333333, 1: 0.25, 2: 0.75, 3: 1.0}
    assert standing(store.view(gone=["b.tar"])) == {0: 0.5, 1: 0.25, 2: 0.75}
    assert standing(store.view(gone=["a.tar"])) == {1: None, 3: None}
    assert standing(store.view(gone=["a.tar"]), "judge.status") == {1: None, 3: None}


def test_a_comparison_that_was_made_again_counts_as_it_is_now(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", range(2), judge([(0, 1, REFUSED)]))
    (again,) = judge([(0, 1, 0.75)])
    with store.writing():
        replaces = {(again.first, again.second, JUDGE)}
        store.commit(make_unit("a.tar", [0], cards=[], samples=None, rejects=(), comparisons=[again], replaces=replaces))
    assert standing(store.view()) == {0: 0.75, 1: 0.25}


def test_an_upgrade_that_was_cut_short_hides_what_it_has_not_compared(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", range(4), judge([(0, 1, 1.0), (0, 2, 0.5), (1, 2, REFUSED)]))
    assert rated_only_before(store, store.view(), ["judge"]) == {}
    newer = "9b" * 8
    with store.writing():
        store.add_card(newer, "judge", json.dumps({"judges": "pairs", "main": "overall", "dimensions": {"overall": {}}}))
    assert rated_only_before(store, store.view(), ["judge"]) == {"judge": 3}
    with store.writing():
        rows = [replace(one, card=newer) for one in judge([(0, 1, REFUSED)])]
        store.commit(make_unit("a.tar", [0], cards=[], samples=None, rejects=(), comparisons=rows))
    assert rated_only_before(store, store.view(), ["judge"]) == {"judge": 1}, "what was refused was asked"
    assert rated_only_before(store, store.view({"judge": JUDGE}), ["judge"]) == {}


def everything(seed: int) -> Iterator[tuple[int, Said]]:
    """Comparisons within ten groups of four, of which some fail; with the number of a shard."""
    rng = random.Random(seed)
    for start in range(0, 40, 4):
        for one, other in combinations(range(start, start + 4), 2):
            yield rng.randrange(4), (one, other, REFUSED if rng.random() < 0.2 else rng.choice([0.0, 0.5, 1.0, rng.random()]))


def test_the_order_of_commits_and_the_split_into_shards_do_not_show(tmp_path: Path) -> None:
    said = list(everything(0))
    whole = store_of(tmp_path / "whole", range(40), judge(one for _, one in said))
    expected = Path(whole.view().path).read_bytes()
    values = standing(whole.view())
    for number in range(40):
        mine = [(what, 1.0) if one == number else (what, -1.0) for _, (one, other, what) in said if number in (one, other)]
        wins = [what if side > 0 else 1 - what for what, side in mine if not isinstance(what, Status)]
        assert values[number] == (pytest.approx(math.fsum(wins) / len(wins)) if wins else None)
    for seed in (1, 2):
        store = Store.create_or_open(tmp_path / str(seed))
        shards = random.Random(seed).sample(range(4), 4)
        with store.writing():
            add_judge(store)
            store.commit(make_unit("a.tar", range(40), cards=[]))
            for shard in shards:
                rows = judge(one for place, one in said if place == shard)
                store.commit(make_unit("a.tar", [0], cards=[], samples=None, rejects=(), comparisons=rows))
        view = store.view(threads=seed)
        names = ["sample", "judge.overall", "judge.overall_strength", "judge.status"]
        assert pq.read_table(view.path, columns=names).equals(pq.read_table(whole.view().path, columns=names))
        assert Path(view.path).read_bytes() == expected


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 100])
def test_batches_are_cut_between_groups_alone(size: int) -> None:
    numbers = [group for group, rows in enumerate([1, 4, 2, 9, 1, 1, 3]) for _ in range(rows)]
    groups = pa.array([number.to_bytes(16, "big") for number in numbers], pa.binary(16))
    table = pa.table({"group": pa.ExtensionArray.from_storage(UUID, groups), "place": list(range(len(numbers)))})
    batches = [batch for start in range(0, len(numbers), size) for batch in table.slice(start, size).to_batches()]
    whole = list(_whole_groups([*batches, batches[0].slice(0, 0)]))
    assert [place for batch in whole for place in batch.column("place").to_pylist()] == list(range(len(numbers)))
    ends = [(batch.column("group").to_pylist()[0], batch.column("group").to_pylist()[-1]) for batch in whole]
    assert all(before[1] != after[0] for before, after in pairwise(ends))


def test_comparisons_of_a_card_for_samples_are_no_ratings(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(2), comparisons=compare([(0, 1)]))])
    assert store.view().raters["sharp"] == RaterColumns(card=SHARP, main="overall", dimensions=("overall",))


def test_a_judge_that_was_never_asked_has_empty_columns(tmp_path: Path) -> None:
    view = store_of(tmp_path / "s", range(2), []).view()
    assert standing(view) == standing(view, "judge.status") == {0: None, 1: None}


def test_how_comparisons_ended_is_counted_by_dimension(tmp_path: Path) -> None:
    rows = judge([(0, 1, 0.5)], orders_agree=False, position_bias=0.5)
    rows += judge([(0, 2, 0.75)], orders_agree=True, position_bias=-0.25)
    rows += [*judge([(1, 2, 1.0)]), *judge([(0, 3, REFUSED)]), *judge([(0, 1, 1.0)], "style")]
    store = store_of(tmp_path / "s", range(4), rows)
    summary = store.summary()
    assert summary.raters == (), "they are no ratings"
    overall, style = summary.comparisons
    assert (overall.name, overall.card, overall.dimension, style.dimension) == ("judge", JUDGE, "overall", "style")
    assert overall.statuses == {"ok": 3, "refused": 1}
    assert (overall.ties, overall.both_orders, overall.disagreeing, overall.position_bias) == (1, 2, 1, 0.125)
    assert (style.statuses, style.both_orders, style.position_bias) == ({"ok": 1}, 0, None)


def test_comparisons_of_samples_that_no_unit_holds_are_counted_apart(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", range(2), judge([(0, 1, 0.5), (0, 2, 0.5), (2, 3, REFUSED)], orders_agree=False))
    (before,) = store.summary().comparisons
    assert (before.statuses, before.orphans, before.ties, before.disagreeing) == ({"ok": 1}, 2, 1, 1)
    with store.writing():
        store.commit(make_unit("b.tar", [2, 3], cards=[]))
    (after,) = store.summary().comparisons
    assert (after.statuses, after.orphans, after.ties) == ({"ok": 2, "refused": 1}, 0, 2)


def test_position_bias_comes_back_and_lies_where_it_can(tmp_path: Path) -> None:
    rows = judge([(0, 1, 0.5)], position_bias=-1.0)
    store = store_of(tmp_path / "s", range(2), rows)
    assert list(store.comparisons()) == rows
    assert store.export_rows("comparisons")["position_bias"].to_pylist() == [-1.0]
    for impossible in (1.5, math.nan):
        with pytest.raises(ValueError, match="a position bias lies between -1 and 1"):
            judge([(0, 1, 0.5)], position_bias=impossible)


def without_position_bias(path: Path) -> None:
    """Write a store's comparisons as versions did that knew no position bias."""
    (file,) = (path / "comparisons").glob("*.parquet")
    older = pq.read_table(file).drop_columns(["position_bias"])
    pq.write_table(older, file, store_schema=False)
    data = file.read_bytes()
    with sqlite3.connect(path / "manifest.sqlite") as db:
        change = "UPDATE files SET bytes = ?, sha256 = ? WHERE kind = 'comparisons'"
        db.execute(change, (len(data), hashlib.sha256(data).hexdigest()))
    db.close()


def test_tables_of_before_position_bias_are_read(tmp_path: Path) -> None:
    rows = judge(PREF_GRPO)
    store_of(tmp_path / "s", range(4), judge(PREF_GRPO, position_bias=0.5)).close()
    without_position_bias(tmp_path / "s")
    with Store.open(tmp_path / "s") as store:
        assert store.verify() == []
        assert sorted(store.comparisons(), key=repr) == sorted(rows, key=repr)
        assert store.export_rows("comparisons")["position_bias"].null_count == len(rows)
        assert standing(store.view()) == {0: 0.833333333333, 1: 0.333333333333, 2: 1 / 2, 3: 1 / 4}
        assert store.summary().comparisons[0].position_bias is None
        with store.writing():
            add_cards(store)
            rows = judge([(4, 5, 1.0)], position_bias=0.25)
            store.commit(make_unit("b.tar", range(4, 8), cards=[], comparisons=rows))
        assert store.summary().comparisons[0].position_bias == 0.25
