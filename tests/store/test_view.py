"""A view says what the store holds, and says the same whatever the order in which it came to hold it."""

from __future__ import annotations

import itertools
import json
import os
import random
import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.errors import OutputError, StoreError
from curate.records import RaterColumns, Status, View
from curate.store import SampleRow, Store, Unit
from curate.store.view import KEPT_VIEWS
from curate.store.view_table import ROWS_PER_GROUP, read_view, view_schema, write_view_table
from tests.store.world import SHARP, TASTE, add_cards, make_row, make_store, make_unit, rate, sample_ids

PLACES = ("shard", "layout")


def table_of(view: View) -> pa.Table:
    return pq.read_table(view.path)


def expected_rows(rows: list[SampleRow], units: list[Unit]) -> list[dict[str, object]]:
    """What a view is to say, made the slow way."""
    ratings = {(one.sample, one.rater, one.dimension): one for unit in units for one in unit.ratings}
    order = list(Status)
    made, groups = [], sorted({row.sample.group for row in rows})
    for number, row in enumerate(sorted(rows, key=lambda row: (row.sample.group, row.sample.id))):
        sample = row.sample
        columns: dict[str, object] = {
            "row": number,
            "group_no": groups.index(sample.group),
            "sample": sample.id,
            "group": sample.group,
            "shard": sample.shard,
            "key": sample.key,
            "index": sample.index,
            "prompt": sample.prompt,
            "generator": sample.generator,
            "kind": "image",
            "format": row.format,
            "width": row.width,
            "height": row.height,
            "bytes": sample.members[0].length,
            "digest": sample.digest,
            "layout": "plain",
        }
        for rater, dimensions in (("sharp", ("overall",)), ("taste", ("beauty", "detail"))):
            found = [ratings.get((sample.id, rater, dimension)) for dimension in dimensions]
            for dimension, rating in zip(dimensions, found, strict=True):
                columns[f"{rater}.{dimension}"] = rating and rating.value
                if dimension == "detail":
                    columns[f"{rater}.{dimension}.spread"] = rating and rating.spread
            statuses = [rating.status for rating in found if rating]
            columns[f"{rater}.status"] = str(max(statuses, key=order.index)) if statuses else None
        made.append(columns)
    return made


def test_a_view_says_what_was_committed(tmp_path: Path) -> None:
    failed = {2: Status.NAN, 7: Status.DECODE_ERROR}
    taste = rate(range(8), TASTE, statuses=failed)
    # One dimension of sample 3 failed, the other did not.
    half = [one for one in rate([9], TASTE) if one.dimension == "beauty"]
    half += [one for one in rate([9], TASTE, statuses={9: Status.REFUSED}) if one.dimension == "detail"]
    units = [
        make_unit("b.tar", range(6, 12), cards=[], ratings=[*rate(range(6, 9)), *half]),
        make_unit("a.tar", range(7), cards=[], ratings=[*rate(range(4), statuses={1: Status.OOM}), *taste]),
    ]
    view = make_store(tmp_path / "s", units).view()
    rows = [*(units[1].samples or ()), *[row for row in units[0].samples or () if row.sample.id not in sample_ids(range(7))]]
    expected = expected_rows(rows, units)
    assert table_of(view).to_pylist() == expected
    assert (view.rows, view.groups) == (12, 3)
    assert view.raters == {
        "sharp": RaterColumns(card=SHARP, main="overall", dimensions=("overall",)),
        "taste": RaterColumns(card=TASTE, main="beauty", dimensions=("beauty", "detail"), spreads=("detail",)),
    }
    types = dict(zip(table_of(view).schema.names, table_of(view).schema.types, strict=True))
    assert set(View.FIELDS) < set(types)
    assert types["row"] == types["bytes"] == pa.int64()
    assert types["taste.detail.spread"] == pa.float64()
    assert duckdb.sql(f"SELECT count(DISTINCT group_no), max(row) FROM '{view.path}'").fetchall() == [(3, 11)]


def test_the_order_of_commits_does_not_show(tmp_path: Path) -> None:
    units = [make_unit(f"{name}.tar", range(start, start + 9)) for name, start in (("a", 0), ("b", 5), ("c", 10), ("d", 12))]
    first = Path(make_store(tmp_path / "0", units).view().path).read_bytes()
    for seed in (1, 2, 3):
        shuffled = random.Random(seed).sample(units, len(units))
        assert Path(make_store(tmp_path / f"{seed}", shuffled).view().path).read_bytes() == first


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 20), max_size=4), seed=st.integers(0, 99), threads=st.integers(1, 3))
def test_the_split_into_shards_does_not_show(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], seed: int, threads: int
) -> None:
    path = tmp_path_factory.mktemp("split")
    whole = make_store(path / "whole", [make_unit("all.tar", range(20), rejects=())])
    edges = [0, *sorted(cuts), 20]
    parts = [range(low, high) for low, high in itertools.pairwise(edges) if high > low]
    units = [make_unit(f"{number}.tar", part, rejects=()) for number, part in enumerate(parts)]
    split = make_store(path / "split", random.Random(seed).sample(units, len(units)))
    assert split.export_rows("samples").equals(whole.export_rows("samples"))
    assert split.export_rows("ratings").equals(whole.export_rows("ratings"))
    one, other = table_of(split.view(threads=threads)), table_of(whole.view())
    assert one.drop_columns(PLACES).equals(other.drop_columns(PLACES))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_which_of_several_places_counts_does_not_depend_on_how_shards_are_called(tmp_path: Path, data: st.DataObject) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    told = st.fixed_dictionaries(
        {
            "key": st.sampled_from(["k1", "k2", "k10"]),
            "index": st.integers(0, 1),
            "generator": st.sampled_from([None, "alpha", "beta"]),
            "meta": st.sampled_from([{}, {"seed": 1}, {"seed": 2}]),
        }
    )
    rows = data.draw(st.lists(st.tuples(st.integers(0, 3), told), min_size=2, max_size=10))
    names = data.draw(st.permutations([f"{letter}.tar" for letter in "abcdefghij"]))
    stores = []
    for number, called in enumerate((sorted(names), names)):
        units = [
            make_unit(shard, [sample], samples=[make_row(sample, shard=shard, **fields)])
            for shard, (sample, fields) in zip(called, rows, strict=False)
        ]
        stores.append(make_store(folder / str(number), units))
    views = [store.view() for store in stores]
    one, other = (table_of(view).drop_columns(["shard"]) for view in views)
    assert one.equals(other)
    assert views[0].repeated == views[1].repeated == len(rows) - len({sample for sample, _ in rows})
    ids = one["sample"].to_pylist()
    for store in stores:
        found = {row.sample.id: row.sample for row in store.samples(ids)}
        assert [(found[row["sample"]].key, found[row["sample"]].generator) for row in one.to_pylist()] == [
            (row["key"], row["generator"]) for row in one.to_pylist()
        ]
    metas = [{row.sample.id: row.sample.meta for row in store.samples()} for store in stores]
    assert metas[0] == metas[1]


def test_of_several_places_the_first_present_one_counts(tmp_path: Path) -> None:
    twice = [make_row(0, shard="b.tar"), make_row(0, shard="b.tar", key="000000", index=1), make_row(0, shard="b.tar", key="zzz")]
    units = [make_unit("c.tar", range(2)), make_unit("b.tar", [0], samples=twice), make_unit("a.tar", range(2))]
    store = make_store(tmp_path / "s", units)

    def places() -> list[tuple[str, str, int]]:
        rows = sorted(table_of(store.view()).to_pylist(), key=lambda row: row["key"])
        assert {row.sample.shard for row in store.samples()} == {row["shard"] for row in rows}
        return [(row["shard"], row["key"], row["index"]) for row in rows]

    assert places() == [("a.tar", "000000", 0), ("a.tar", "000001", 0)]
    with store.writing():
        store.set_present({"a.tar": False, "unknown.tar": False})
    assert places() == [("b.tar", "000000", 0), ("c.tar", "000001", 0)]
    with store.writing():
        store.set_present({"b.tar": False, "c.tar": False})
    assert places() == [("a.tar", "000000", 0), ("a.tar", "000001", 0)], "with no shard left, nothing disappears"
    with store.writing():
        store.commit(make_unit("c.tar", range(2)))
    assert places() == [("c.tar", "000000", 0), ("c.tar", "000001", 0)], "what is committed is present"


def test_samples_of_gone_shards_are_left_out_unless_they_lie_elsewhere_too(tmp_path: Path) -> None:
    store = make_store(
        tmp_path / "s", [make_unit("a.tar", range(12)), make_unit("b.tar", range(9, 15)), make_unit("c.tar", [20])]
    )
    whole = store.view()
    view = store.view(gone=["a.tar", "unknown.tar"])
    rows = table_of(view).to_pylist()
    assert {row["key"]: row["shard"] for row in rows} == {
        **{f"{number:06d}": "b.tar" for number in range(9, 15)},
        "000020": "c.tar",
    }
    assert (view.rows, view.groups, view.left_out) == (7, 3, {"a.tar": 9})
    assert [row["row"] for row in rows] == list(range(7))
    assert {row["group_no"] for row in rows} == {0, 1, 2}
    assert store.view(gone=["a.tar", "unknown.tar"]) == view, "the kept one says as well what is not in it"
    assert store.view() == whole
    assert (whole.rows, whole.left_out) == (16, {})
    nothing = store.view(gone=["a.tar", "b.tar", "c.tar"])
    assert (nothing.rows, nothing.groups, nothing.left_out) == (0, 0, {"a.tar": 12, "b.tar": 3, "c.tar": 1})
    with store.lookup(sample_ids([3, 10]), gone=["a.tar"]) as lookup:
        assert [row and row.sample.shard for row in lookup.samples(sample_ids([3, 10]))] == ["a.tar", "b.tar"]


def test_which_shards_are_gone_counts_more_than_what_was_seen_before(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(3)), make_unit("b.tar", range(3))])
    with store.writing():
        store.set_present({"b.tar": False})
    assert table_of(store.view(gone=["a.tar"]))["shard"].to_pylist() == ["b.tar"] * 3
    with store.writing():
        store.set_present({"a.tar": False, "b.tar": False})
    assert table_of(store.view(gone=[]))["shard"].to_pylist() == ["a.tar"] * 3


def test_a_piece_of_a_stream_holds_samples_of_several_shards(tmp_path: Path) -> None:
    rows = [make_row(number, shard=f"{number % 3}.tar") for number in range(9)]
    view = make_store(tmp_path / "s", [make_unit("stream/000000", range(9), samples=rows), make_unit("a.tar", [20])]).view()
    assert {row["key"]: row["shard"] for row in table_of(view).to_pylist()} == {
        **{row.sample.key: row.sample.shard for row in rows},
        "000020": "a.tar",
    }


def test_the_latest_card_of_a_name_counts_unless_another_is_named(tmp_path: Path) -> None:
    newer = "99" * 8
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(3), cards=[SHARP])])
    declared = json.dumps({"main": "overall", "dimensions": {"overall": {}, "edges": {}}})
    with store.writing():
        store.add_card(newer, "sharp", declared)
    assert store.view().raters["sharp"] == RaterColumns(card=newer, main="overall", dimensions=("overall", "edges"))
    assert set(table_of(store.view())["sharp.status"].to_pylist()) == {None}
    older = store.view({"sharp": SHARP, "mine": newer})
    assert list(older.raters) == ["mine", "sharp"]
    assert None not in table_of(older)["sharp.overall"].to_pylist()
    with store.writing():
        add_cards(store)
    assert store.view().raters["sharp"].card == SHARP, "a card that is used again is the latest again"
    with pytest.raises(StoreError, match=r"no ratings by 'sharp' with the fingerprint 1234\. .*5a5a5a"):
        store.view({"sharp": "1234"})


def test_a_dimension_that_the_card_does_not_name_is_not_lost(tmp_path: Path) -> None:
    store = Store.create_or_open(tmp_path / "s")
    with store.writing():
        store.add_card(TASTE, "taste", json.dumps({"main": "detail", "dimensions": {"detail": {}}}))
        store.commit(make_unit("a.tar", range(2), cards=[TASTE]))
    assert store.view().raters["taste"].dimensions == ("detail", "beauty")


def test_a_view_is_made_once_for_each_state_and_old_ones_go(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [make_unit("0.tar", range(3))])
    first = Path(store.view().path)
    made = first.stat().st_ino
    assert Path(Store.open(tmp_path / "s").view().path).stat().st_ino == made
    for number in range(1, KEPT_VIEWS + 2):
        with store.writing():
            store.commit(make_unit(f"{number}.tar", [number * 10]))
        assert store.view().rows == 3 + number
    left = list((tmp_path / "s/cache").iterdir())
    assert len([path for path in left if path.suffix == ".parquet"]) == KEPT_VIEWS
    assert not first.exists()
    others = {path.name for path in left if path.suffix != ".parquet"}
    digests = {path.with_suffix(".sha256").name for path in left if path.suffix == ".parquet"}
    assert others == {"lock", *digests}, "nothing of the work is left"


def test_every_flipped_bit_of_a_cached_view_is_found(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [make_unit("0.tar", range(30))])
    path = Path(store.view().path)
    whole = path.read_bytes()
    for number in range(40):
        damaged = bytearray(whole)
        damaged[number * len(whole) // 40] ^= 1 << number % 8
        path.write_bytes(damaged)
        assert Path(store.view().path).read_bytes() == whole


def test_a_damaged_cached_view_is_made_again(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [make_unit("0.tar", range(3))])
    path = Path(store.view().path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:-10], whole[:100]):
        path.write_bytes(damaged)
        assert read_view(path) is None
        assert Path(store.view().path).read_bytes() == whole


def test_leftovers_of_killed_builders_are_removed_and_the_cache_may_be_deleted(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [make_unit("0.tar", range(3))])
    (tmp_path / "s/cache/work-0123").mkdir()
    (tmp_path / "s/cache/work-0123/spill.tmp").write_bytes(b"x")
    (tmp_path / "s/cache/view-1.parquet.tmp.0123456789abcdef").write_bytes(b"x")
    store.view()
    assert sorted(path.suffix for path in (tmp_path / "s/cache").iterdir()) == ["", ".parquet", ".sha256"]
    for path in (tmp_path / "s/cache").iterdir():
        path.unlink()
    (tmp_path / "s/cache").rmdir()
    assert store.view().rows == 3


def test_an_empty_store_has_an_empty_view(tmp_path: Path) -> None:
    view = make_store(tmp_path / "s", []).view()
    assert (view.rows, view.groups, list(view.raters)) == (0, 0, ["sharp", "taste"])
    assert table_of(view).num_rows == 0
    assert Store.create_or_open(tmp_path / "t").view().raters == {}


def test_memory_is_a_size(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [])
    with pytest.raises(StoreError, match="cannot work with memory='much'"):
        store.view(memory="much")


def test_too_little_memory_is_a_sentence(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(500))])
    with pytest.raises(StoreError, match=r"does not fit into the memory it may use .*; allow more"):
        store.view(memory="1MB")


def test_a_full_disk_is_a_sentence(small_disk: Path) -> None:
    store = make_store(small_disk / "s", [make_unit("a.tar", range(300))])
    space = os.statvfs(small_disk)
    (small_disk / "ballast").write_bytes(bytes(space.f_bavail * space.f_frsize))
    with pytest.raises(OutputError, match=r"no space left to write .*; free some and run the same command again"):
        store.view()
    (small_disk / "ballast").unlink()
    assert store.view().rows == 300


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 70_000), min_size=1, max_size=6))
def test_sizes_of_batches_do_not_show_in_the_file(tmp_path: Path, sizes: list[int]) -> None:
    raters = {"sharp": RaterColumns(card=SHARP, main="overall", dimensions=("overall",))}
    rows = sum(sizes)
    groups = [f"{number // 3:032x}" for number in range(rows)]
    columns = {name: pa.array(groups) for name in View.FIELDS} | {
        name: pa.array(range(rows)) for name in ("index", "width", "height", "bytes")
    }
    columns |= {"sharp.overall": pa.array([0.5 * number for number in range(rows)]), "sharp.status": pa.array(["ok"] * rows)}
    table = pa.table(columns, schema=pa.schema(list(view_schema(raters))[2:]))
    view = write_view_table(tmp_path / "one.parquet", table.combine_chunks().to_batches(), raters)
    starts = [sum(sizes[:position]) for position in range(len(sizes))]
    pieces = [table.slice(start, size).to_batches()[0] for start, size in zip(starts, sizes, strict=True)]
    again = write_view_table(tmp_path / "many.parquet", pieces, raters)
    assert Path(view.path).read_bytes() == Path(again.path).read_bytes()
    assert (view.rows, view.groups) == (rows, -(-rows // 3))
    assert read_view(Path(view.path)) == view
    written = table_of(view)
    assert written["row"].to_pylist() == list(range(rows))
    assert written["group_no"].to_pylist() == [number // 3 for number in range(rows)]
    metadata = pq.read_metadata(view.path)
    assert {metadata.row_group(i).num_rows for i in range(metadata.num_row_groups - 1)} <= {ROWS_PER_GROUP}
