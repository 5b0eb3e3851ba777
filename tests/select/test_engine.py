"""The database stops in time and in memory, and results are the same bytes whatever it is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.ahead import ahead
from curate.errors import CurateError, OutputError, StoreError
from curate.records import View
from curate.select import filter, output, pair, rank, slices  # noqa: A004
from curate.select.engine import Engine
from curate.select.output import regrouped
from tests.select.views import Given, read, write_view


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> View:
    """Groups of many sizes, one of them larger than a vector of the database, with ties."""
    sizes = [*range(1, 40), 3000, 2, 5]
    world = [
        Given(
            sample=f"g{group:03}-{member:04}",
            group=f"g{group:03}",
            ratings={
                "pickscore.overall": "nan" if (group * member) % 17 == 3 else ((group * 7919 + member * 104729) % 997) / 997,
                "nsfw.safe": ((group * 31 + member * 37) % 101) / 101,
            },
            fields={"generator": f"model-{member % 3}"},
        )
        for group, size in enumerate(sizes)
        for member in range(size)
    ]
    return write_view(tmp_path_factory.mktemp("view") / "it's a [view] *.parquet", world, rows_per_piece=500)


def results(view: View, folder: Path, **limits: Any) -> dict[str, bytes]:
    by = "z(pickscore) + 0.3 * std_in_group(nsfw) + percentile_in_group(nsfw)"
    shared: dict[str, Any] = {"by": by, "where": "rank_in_group(nsfw) > 1 and pickscore > mean_in_group(pickscore) / 9"}
    filter(view, where=shared["where"], out=folder / "filter", **limits)
    filter(view, top="10%", out=folder / "top", **shared, **limits)
    filter(view, top=20, per="generator", out=folder / "per", **shared, **limits)
    rank(view, tie=0.01, wins=["pickscore", "nsfw"], out=folder / "rank", **shared, **limits)
    pair(view, strategy="adjacent", min_margin="0.001sd", split="test=30%", out=folder / "pair", **shared, **limits)
    pair(view, by="pickscore", strategy="top-vs-rest", max_per_group=5, prefer="random", out=folder / "random", **limits)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_threads_and_memory_change_no_byte(view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "QUERY_ROWS", 1500)
    monkeypatch.setattr(slices, "SLICE_ROWS", 400)
    found = []
    for number, limits in enumerate([{"threads": 1}, {"threads": 2, "memory": "300MB"}, {"threads": 4, "memory": "4GB"}]):
        monkeypatch.setattr(
            "curate.select.engine._BATCH_ROWS", (1 << 17, 64, 1000)[number]
        )  # where streams break off is left to chance
        folder = tmp_path / str(number)
        folder.mkdir()
        found.append(results(view, folder, **limits))
    assert found[0].keys() == {"filter", "top", "per", "rank", "pair", "random"}
    assert found[0] == found[1] == found[2]


def test_how_a_view_is_cut_changes_no_row(view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for queried, rows in ((300, 300), (1000, 300), (300, 1000), (1 << 20, 1 << 20)):
        monkeypatch.setattr(slices, "QUERY_ROWS", queried)
        monkeypatch.setattr(slices, "SLICE_ROWS", rows)
        folder = tmp_path / f"{queried} {rows}"
        folder.mkdir()
        results(view, folder)
        found.append({path.name: read(path) for path in folder.iterdir()})
    assert all(one == found[0] for one in found)
    assert all(found[0].values())


def test_a_selection_that_takes_too_long_is_stopped_and_leaves_nothing(view: View, tmp_path: Path) -> None:
    # So short that it is over before the first query, however fast the machine.
    with pytest.raises(CurateError, match="took longer than 1e-06 seconds; raise timeout"):
        pair(view, by="z(pickscore)", strategy="all", out=tmp_path / "out" / "pairs", timeout=1e-6)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_running_query_is_interrupted(view: View, tmp_path: Path) -> None:
    endless = "SELECT count(*) FROM range(1000000000) AS a, range(1000000000) AS b WHERE a.range % 7 = b.range % 11"
    with (
        Engine(view, memory=1 << 30, threads=1, seconds=0.2, scratch=tmp_path) as engine,
        pytest.raises(CurateError, match=r"took longer than 0\.2 seconds"),
    ):
        engine.rows(endless, {})


def test_a_stream_is_interrupted_while_it_is_read(view: View, tmp_path: Path) -> None:
    with (
        Engine(view, memory=1 << 30, threads=2, seconds=1, scratch=tmp_path) as engine,
        pytest.raises(CurateError, match="took longer than 1 seconds"),
    ):
        for _ in engine.batches("SELECT range FROM range(1000000000000)", {}):
            pass


def test_too_little_memory_is_said_in_a_sentence(view: View, tmp_path: Path) -> None:
    hungry = "SELECT string_agg(repeat(a.sample, 1000), ',') FROM samples AS a, samples AS b"
    with (
        Engine(view, memory=64 << 20, threads=1, seconds=60, scratch=tmp_path) as engine,
        pytest.raises(CurateError, match="not enough memory for this selection; raise memory"),
    ):
        engine.rows(hungry, {})


def test_a_full_disk_is_said_in_a_sentence(small_disk: Path) -> None:
    large = View(path=str(small_disk.parent / "large.parquet"), rows=2_000_000, groups=1, raters={})
    pq.write_table(pa.table({"sample": [f"{number:016x}" for number in range(2_000_000)]}), large.path)
    with (
        Engine(large, memory=96 << 20, threads=1, seconds=60, scratch=small_disk) as engine,
        pytest.raises(OutputError, match=f"no space left to write {small_disk}; free some"),
    ):
        engine.rows("SELECT hash(sample) FROM samples ORDER BY sample, hash(sample) DESC LIMIT 1900000", {})


def test_a_view_that_is_not_there_or_not_one_is_refused(tmp_path: Path) -> None:
    nothing = View(path=str(tmp_path / "none.parquet"), rows=1, groups=1, raters={})
    (tmp_path / "text.parquet").write_text("not parquet")
    text = View(path=str(tmp_path / "text.parquet"), rows=1, groups=1, raters={})
    for view in (nothing, text):
        with pytest.raises(StoreError, match="cannot be read"):
            filter(view, where="width > 1", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_refused(view: View, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((OutputError, NotADirectoryError, FileExistsError)):
        filter(view, where="width > 1", out=tmp_path / "file" / "out")


def test_a_sum_that_overflows_is_no_value(tmp_path: Path) -> None:
    world = [Given(sample=name, group="g", ratings={"nsfw.safe": 1.7e308 * (1 if name == "a" else -1)}) for name in "abc"]
    view = write_view(tmp_path / "view.parquet", world)
    for function in ("std_in_group", "z"):
        result = rank(view, by=f"{function}(nsfw)", out=tmp_path / "out")
        assert result.funnels[0].dropped == {"value is null or not finite": 3}
    assert filter(view, where="std_in_group(nsfw) > 1", out=tmp_path / "out").funnels[0].dropped == {"where is null": 3}


def test_old_results_stay_until_the_new_are_complete(view: View, tmp_path: Path) -> None:
    out = tmp_path / "kept"
    filter(view, where="width > 1", out=out)
    before = out.read_bytes()
    with pytest.raises(CurateError, match="took longer"):
        filter(view, where="rank_in_group(pickscore) > 1", out=out, timeout=1e-6)
    assert out.read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


def test_pages_carry_checksums(view: View, tmp_path: Path) -> None:
    result = filter(view, where="width > 1", out=tmp_path / "kept")
    data = bytearray(result.path.read_bytes())
    chunk = pq.read_metadata(result.path).row_group(0).column(1)
    data[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 1
    result.path.write_bytes(data)
    with pytest.raises(OSError, match="(?i)crc|checksum"):
        pq.read_table(result.path, page_checksum_verification=True)


def test_ahead_keeps_order_and_hands_errors_on() -> None:
    assert list(ahead(iter(range(100)), depth=3)) == list(range(100))

    def broken() -> Any:
        yield 1
        raise KeyError("two")

    stream = ahead(broken())
    assert next(stream) == 1
    with pytest.raises(KeyError, match="two"):
        next(stream)


def test_ahead_stops_the_maker_when_nobody_wants_more() -> None:
    closed = []

    def endless() -> Any:
        try:
            yield from iter(int, 1)
        finally:
            closed.append(True)

    stream = ahead(endless())
    next(stream)
    stream.close()
    assert closed == [True]


def test_streams_are_cut_into_equal_batches() -> None:
    pieces = [pa.record_batch({"n": pa.array(range(size), pa.int64())}) for size in (3, 0, 1, 10, 2)]
    batches = list(regrouped(pieces, 4))
    assert [batch.num_rows for batch in batches] == [4, 4, 4, 4]
    assert pa.Table.from_batches(batches).equals(pa.Table.from_batches(pieces).combine_chunks())
    assert [batch.num_rows for batch in regrouped(pieces[:4], 5)] == [5, 5, 4]
    assert list(regrouped([], 4)) == []


@pytest.mark.parametrize("strategy", ["best-worst", "all"])
def test_small_row_groups_are_joined(
    view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: Literal["best-worst", "all"]
) -> None:
    monkeypatch.setattr(slices, "SLICE_ROWS", 7)
    found = []
    for few in (1, 10, 1 << 15):
        monkeypatch.setattr(output, "_FEW_ROWS", few)
        path = tmp_path / str(few)
        pair(view, by="pickscore", where="pickscore > 0.9", strategy=strategy, out=path)
        groups = pq.read_metadata(path)
        sizes = [groups.row_group(number).num_rows for number in range(groups.num_row_groups)]
        assert all(size >= few for size in sizes[:-1])
        found.append((read(path), len(sizes)))
    assert found[0][0] == found[1][0] == found[2][0]
    assert found[0][1] > found[1][1] > found[2][1]
