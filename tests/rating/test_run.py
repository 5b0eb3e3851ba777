"""Rating shards into a store: the laws that hold whatever the settings, and what happens when things go wrong."""

from __future__ import annotations

import gc
import json
import random
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curate
from curate.errors import CardError, CurateError, ShardError, TooManyFailures
from curate.progress import Progress
from curate.rater_settings import Settings
from curate.rating import engine
from curate.rating.report import RateReport
from curate.store import Store
from curate.testing import write_shard
from tests.rating.conftest import png, records

Rate = Callable[..., RateReport]
Rows = Callable[..., dict[str, pa.Table]]
MakeCard = Callable[..., str]


def adds_up(report: RateReport) -> bool:
    return all(funnel.adds_up for funnel in report.funnels)


def asked(log: Path) -> Counter[str]:
    return Counter(log.read_text().split()) if log.exists() else Counter()


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_batch_size_and_workers_change_no_row(
    shards: list[str], card: MakeCard, rate: Rate, rows: Rows, workers: int, batch_size: int
) -> None:
    raters = ["signal", card("hash", "HashRater", args={"fail": 0.1}), card("bright", "BrightnessRater")]
    rate(shards, raters, "plain")
    report = rate(shards, raters, "other", workers=workers, settings=Settings(batch_size=batch_size, trust=True))
    assert adds_up(report)
    expected = rows("plain")
    assert expected["ratings"].num_rows > 300
    for kind, table in rows("other").items():
        assert table.equals(expected[kind]), kind


@pytest.mark.parametrize(("readers", "workers"), [(2, 0), (3, 2)])
def test_reading_several_shards_at_once_changes_no_row(
    shards: list[str], card: MakeCard, rate: Rate, rows: Rows, readers: int, workers: int
) -> None:
    raters = ["signal", card("hash", "HashRater", args={"fail": 0.1})]
    rate(shards, raters, "plain")
    assert adds_up(rate(shards, raters, "other", readers=readers, workers=workers))
    expected = rows("plain")
    for kind, table in rows("other").items():
        assert table.equals(expected[kind]), kind


@pytest.mark.parametrize(
    "option",
    [
        {"readers": 0},
        {"seconds_per_sample": 0.0},
        {"workers": -1},
        {"workers": "2"},
        {"readers": 1.5},
        {"seconds_per_sample": "3"},
    ],
)
def test_a_number_that_cannot_be_is_a_sentence(option: dict[str, Any], shards: list[str], card: MakeCard, rate: Rate) -> None:
    with pytest.raises(CurateError, match=f"^{next(iter(option))} is "):
        rate(shards, [card("hash", "HashRater")], **option)


def test_the_order_and_the_split_of_shards_change_no_row(
    shards: list[str], tmp_path: Path, card: MakeCard, rate: Rate, rows: Rows
) -> None:
    raters = ["signal", card("hash", "HashRater")]
    rate(shards, raters, "plain")
    shuffled = shards[:]
    random.Random(0).shuffle(shuffled)
    rate(shuffled, raters, "shuffled")
    halves = []
    for n in range(4):
        whole = records(25 * n, 25)
        halves.append(str(write_shard(tmp_path / f"half-{n}-a.tar", whole[:12])))
        halves.append(str(write_shard(tmp_path / f"half-{n}-b.tar", whole[12:])))
    rate(halves, raters, "halves")
    expected = rows("plain")
    chosen = selected(tmp_path, "plain")
    for store in ("shuffled", "halves"):
        for kind in ("samples", "ratings"):
            assert rows(store)[kind].equals(expected[kind]), (store, kind)
        assert selected(tmp_path, store) == chosen


def selected(folder: Path, store: str) -> list[list[dict[str, Any]]]:
    """A ranking and pairs out of a store, as rows."""
    ranking, pairs = folder / f"{store}-ranking.parquet", folder / f"{store}-pairs"
    curate.rank(folder / store, by="hash + signal", out=ranking)
    curate.pair(folder / store, by="hash", strategy="all", split="test=30%", out=pairs)
    return [pq.read_table(file).to_pylist() for file in (ranking, *sorted(pairs.glob("*.parquet")))]


def test_a_second_run_asks_nothing_and_reports_the_same(shards: list[str], tmp_path: Path, card: MakeCard, rate: Rate) -> None:
    log = tmp_path / "asked"
    rater = card("hash", "HashRater", args={"log": str(log), "fail": 0.2})
    first = rate(shards, [rater])
    before = asked(log)
    again = rate(shards, [rater])
    assert again.computed == 0
    assert again.unchanged == 4
    assert asked(log) == before
    assert [f.as_dict() for f in again.funnels] == [f.as_dict() for f in first.funnels]


def test_moved_and_resharded_samples_keep_their_ratings(
    shards: list[str], tmp_path: Path, card: MakeCard, rate: Rate, rows: Rows
) -> None:
    log = tmp_path / "asked"
    rater = card("hash", "HashRater", args={"log": str(log)})
    rate(shards, [rater])
    before = rows()["ratings"]
    moved = tmp_path / "moved.tar"
    write_shard(moved, [record for n in (3, 0, 2, 1) for record in records(25 * n, 25)])
    report = rate([str(moved)], [rater])
    assert report.computed == 0
    assert max(asked(log).values()) == 1
    assert rows()["ratings"].equals(before)


def test_equal_samples_are_asked_about_once(tmp_path: Path, card: MakeCard, rate: Rate) -> None:
    log = tmp_path / "asked"
    rater = card("hash", "HashRater", args={"log": str(log)})
    same = {"png": png(1), "txt": b"a prompt"}
    one = write_shard(tmp_path / "one.tar", [("a", same), ("b", same)])
    two = write_shard(tmp_path / "two.tar", [("c", same), ("d", {"png": png(1), "txt": b"another prompt"})])
    report = rate([str(one), str(two)], [rater])
    assert sorted(asked(log).values()) == [1, 1]
    assert report.samples == 4
    assert report.statuses["hash"] == {"ok": 4}
    assert adds_up(report)


def test_a_new_rater_rates_what_is_there_and_the_old_one_is_not_asked(
    shards: list[str], tmp_path: Path, card: MakeCard, rate: Rate, rows: Rows
) -> None:
    log = tmp_path / "asked"
    old = card("old", "HashRater", args={"log": str(log)})
    rate(shards, [old])
    report = rate(shards, [old, card("new", "HashRater")])
    assert max(asked(log).values()) == 1
    assert report.statuses["old"] == report.statuses["new"]
    assert set(rows()["ratings"]["rater"].to_pylist()) == {"old", "new"}
    # The older card alone is still counted whole.
    assert rate(shards, [old]).statuses["old"] == report.statuses["old"]


def test_broken_media_are_a_status_for_those_who_look_and_nothing_for_those_who_do_not(
    shards: list[str], card: MakeCard, rate: Rate
) -> None:
    report = rate(shards, ["signal", card("hash", "HashRater")])
    broken = sum(number % 11 == 5 for number in range(100))
    assert report.statuses["signal"] == {"ok": 100 - broken, "decode_error": broken}
    assert report.statuses["hash"] == {"ok": 100}


def test_a_batch_that_does_not_fit_is_halved_until_it_does(shards: list[str], card: MakeCard, rate: Rate, rows: Rows) -> None:
    rate(shards, [card("hash", "HashRater")], "plain")
    plain = rows("plain")["ratings"].drop_columns(["card"])
    rate(shards, [card("hash", "HashRater", args={"memory": 5})], "small")
    assert rows("small")["ratings"].drop_columns(["card"]).equals(plain)
    report = rate(shards, [card("hash", "HashRater", args={"memory": 0})], "none")
    assert report.statuses["hash"] == {"oom": 100}


def test_answers_may_come_in_any_order(shards: list[str], card: MakeCard, rate: Rate) -> None:
    report = rate(shards, [card("server", "ServerRater", args={"slots": 16}), card("hash", "HashRater")])
    assert report.statuses["server"] == {"ok": 100}


def test_answers_may_come_later(shards: list[str], tmp_path: Path, card: MakeCard, rate: Rate, rows: Rows) -> None:
    answers = tmp_path / "answers.json"
    people = card("people", "PeopleRater", args={"answers": str(answers)})
    report = rate(shards, [people])
    assert report.statuses["people"] == {"pending": 100}
    assert adds_up(report)
    assert rows()["ratings"].num_rows == 0
    ids = rows()["samples"]["sample"].to_pylist()
    answers.write_text(json.dumps(dict.fromkeys(ids[:40], 0.5)))
    assert rate(shards, [people]).statuses["people"] == {"ok": 40, "pending": 60}
    answers.write_text(json.dumps(dict.fromkeys(ids, 0.5)))
    assert rate(shards, [people]).statuses["people"] == {"ok": 100}
    assert rate(shards, [people]).unchanged == 4


def test_failures_are_retried_only_when_asked(shards: list[str], tmp_path: Path, card: MakeCard, rate: Rate, rows: Rows) -> None:
    log = tmp_path / "asked"
    rater = card("hash", "HashRater", args={"log": str(log), "fail": 0.3})
    failed = rate(shards, [rater]).statuses["hash"]["error"]
    before = rows()["ratings"]
    report = rate(shards, [rater], retry=["transient"])
    assert report.computed == failed
    assert Counter(asked(log).values()) == {1: 100 - failed, 2: failed}
    assert rows()["ratings"].equals(before)
    with pytest.raises(CurateError, match="Did you mean 'transient'"):
        rate(shards, [rater], retry=["transiet"])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_crash_and_a_hang_cost_one_sample_each(tmp_path: Path, card: MakeCard, rate: Rate, workers: int) -> None:
    many = [(f"{n:03d}", {"png": png(n), "txt": f"prompt {n}".encode()}) for n in range(40)]
    shard = write_shard(tmp_path / "one.tar", many)
    rater = card("fragile", "FragileRater", args={"crash": "prompt 17", "hang": "prompt 30"})
    report = rate([str(shard)], [rater], workers=workers, seconds_per_sample=1.0)
    assert report.statuses["fragile"] == {"ok": 38, "decode_crash": 1, "decode_timeout": 1}


def test_a_worker_killed_from_outside_costs_nothing(tmp_path: Path, card: MakeCard, rate: Rate) -> None:
    many = [(f"{n:03d}", {"png": png(n), "txt": f"prompt {n}".encode()}) for n in range(40)]
    shard = write_shard(tmp_path / "one.tar", many)
    rater = card("fragile", "FragileRater", args={"crash": "prompt 17", "once": str(tmp_path / "crashed")})
    report = rate([str(shard)], [rater], workers=1)
    assert (tmp_path / "crashed").exists()
    assert report.statuses["fragile"] == {"ok": 40}


def test_a_sick_run_stops_and_goes_on_later(shards: list[str], card: MakeCard, rate: Rate) -> None:
    rater = card("hash", "HashRater", args={"fail": 1.0})
    with pytest.raises(TooManyFailures, match=r"more than max_failures allows"):
        rate(shards, [rater], max_failures="10")
    assert rate(shards, [rater]).statuses["hash"] == {"error": 100}
    for nonsense in ("many", "-1", "101%", "nan%"):
        with pytest.raises(CurateError, match="max_failures takes"):
            rate(shards, [rater], max_failures=nonsense)


def test_unreadable_shards_are_named_and_the_others_rated(shards: list[str], tmp_path: Path, card: MakeCard, rate: Rate) -> None:
    bad = tmp_path / "bad.tar"
    bad.write_bytes(b"this is not an archive" * 100)
    empty = tmp_path / "empty.tar"
    empty.write_bytes(b"")
    report = rate([shards[0], str(bad), str(empty), shards[1]], [card("hash", "HashRater")])
    assert set(report.unreadable) == {str(bad), str(empty)}
    assert report.samples == 50
    with pytest.raises(ShardError):
        rate([str(bad)], [card("hash", "HashRater")], "other")


def test_a_cut_shard_keeps_its_whole_records_and_says_so(shards: list[str], tmp_path: Path, card: MakeCard, rate: Rate) -> None:
    cut = tmp_path / "cut.tar"
    cut.write_bytes(Path(shards[0]).read_bytes()[:20_000])
    for _ in range(2):  # the second run finds it as it was
        report = rate([str(cut)], [card("hash", "HashRater")])
        assert report.cut == [str(cut)]
        assert report.rejects == {"truncated": 1}
        assert 0 < report.samples < 25
        assert adds_up(report)


def test_two_raters_of_one_name_are_refused(shards: list[str], tmp_path: Path, card: MakeCard, rate: Rate) -> None:
    one = card("hash", "HashRater")
    with pytest.raises(CardError, match="two raters are named 'hash'"):
        rate(shards, [one, one])


def test_a_webdataset_pipeline_can_feed_a_run(shards: list[str], card: MakeCard, rate: Rate, rows: Rows) -> None:
    import webdataset

    rater = card("hash", "HashRater")
    rate(shards, ["signal", rater], "from-shards")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # webdataset leaves its shards open for the collector
        rate(webdataset.WebDataset(shards, shardshuffle=False), ["signal", rater], "from-stream")
        gc.collect()
    assert rows("from-stream")["ratings"].equals(rows("from-shards")["ratings"])


def test_a_sample_is_sought_where_its_shard_still_is(shards: list[str], tmp_path: Path, card: MakeCard, rate: Rate) -> None:
    rater = card("hash", "HashRater")
    rate(shards[:1], [rater])
    moved = Path(shards[0]).rename(tmp_path / "z-moved.tar")
    report = rate([str(moved)], [rater])
    assert report.computed == 0
    with Store.open(tmp_path / "store") as store:
        assert {row.sample.shard for row in store.samples()} == {str(moved)}
    moved.rename(shards[0])
    rate(shards[:1], [rater])
    with Store.open(tmp_path / "store") as store:
        assert {row.sample.shard for row in store.samples()} == {shards[0]}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bug_in_a_preparation_is_a_status_whatever_the_workers(
    shards: list[str], tmp_path: Path, card: MakeCard, rate: Rate, rows: Rows, workers: int
) -> None:
    report = rate(shards, [card("buggy", "UnfinishedRater", args={"bug": True})], workers=workers)
    broken = sum(number % 11 == 5 for number in range(100))
    assert report.statuses["buggy"] == {"error": 100 - broken, "decode_error": broken}
    assert "buggy: KeyError: 'a bug'" in rows()["ratings"]["detail"].to_pylist()


def test_a_rater_that_ends_early_ends_the_run_and_does_not_hang(shards: list[str], card: MakeCard, rate: Rate) -> None:
    with pytest.raises(CurateError, match="ended before it was given all samples"):
        rate(shards, [card("short", "UnfinishedRater", args={"items": 4})])


@pytest.mark.parametrize(("side", "dtype"), [(1400, "uint8"), (800, "float32")])
def test_media_and_arrays_larger_than_the_shared_memory_pass(
    side: int, dtype: str, tmp_path: Path, card: MakeCard, rate: Rate, rows: Rows
) -> None:
    # A picture whose file is larger than an inbox, and results that are together larger than an outbox.
    many = [(f"{n:03d}", {"png": png(n) + b"\0" * (9 << 20 if n % 4 == 0 else 0)}) for n in range(24)]
    shard = write_shard(tmp_path / "one.tar", many)
    bulky = card("bulky", "BulkyRater", args={"side": side, "dtype": dtype})
    report = rate([str(shard)], [bulky], workers=1, seconds_per_sample=20.0)
    assert report.statuses["bulky"] == {"ok": 24}
    rate([str(shard)], [bulky], "inline", workers=0)
    assert rows()["ratings"].equals(rows("inline")["ratings"])


def test_a_shard_that_stays_unreadable_is_said_again_by_a_rerun(
    shards: list[str], tmp_path: Path, card: MakeCard, rate: Rate
) -> None:
    bad = tmp_path / "bad.tar"
    bad.write_bytes(b"this is not an archive" * 100)
    rater = card("hash", "HashRater")
    for _ in range(2):
        report = rate([*shards, str(bad)], [rater])
        assert set(report.unreadable) == {str(bad)}
        assert report.samples == 100
        assert adds_up(report)


def test_a_layout_that_fits_nothing_is_said(shards: list[str], card: MakeCard, rate: Rate) -> None:
    report = rate(shards, [card("hash", "HashRater")], layout="edit")
    assert report.samples == 0
    assert report.rejects.total() == 100
    assert any("does not fit" in notice for notice in report.notices)


def test_a_card_that_cannot_be_loaded_leaves_no_trace(shards: list[str], tmp_path: Path, card: MakeCard, rate: Rate) -> None:
    rate(shards[:1], [card("hash", "HashRater")])
    with pytest.raises(CardError):
        rate(shards[:1], [card("nothing", "NoSuchRater")])
    with Store.open(tmp_path / "store") as store:
        assert [one.name for one in store.cards()] == ["hash"]


def test_a_layout_that_gave_no_sample_is_not_remembered(shards: list[str], card: MakeCard, rate: Rate) -> None:
    rater = card("hash", "HashRater")
    (note,) = rate(shards, [rater], layout="edit").notices[-1:]
    assert note.endswith("the layout does not fit; leave --layout out to have it guessed")
    report = rate(shards, [rater])
    assert (report.samples, report.unchanged) == (100, 0)
    assert report.notices[0].startswith("layout 'single'")
    assert rate(shards, [rater]).unchanged == 4


def test_a_shard_without_samples_is_not_read_again_by_the_layout_of_the_others(
    shards: list[str], tmp_path: Path, card: MakeCard, rate: Rate
) -> None:
    odd = write_shard(tmp_path / "shards/odd.tar", [("a", {"mask.png": png(1), "txt": b"a prompt"})])
    rater = card("hash", "HashRater")
    assert rate([*shards, str(odd)], [rater]).rejects == {"missing_response": 1}
    assert rate([*shards, str(odd)], [rater]).unchanged == 5


def test_a_record_without_what_a_rater_compares_with_says_what_it_has(tmp_path: Path, card: MakeCard, rate: Rate) -> None:
    edit = {"source.png": png(1), "edited.png": png(2), "mask.png": png(3), "instruction.txt": b"redder"}
    shard = write_shard(tmp_path / "edit.tar", [("a", edit)])
    takes = {"response": "image", "prompt": "unused", "conditions": ["sorce"]}
    report = rate([str(shard)], [card("hash", "HashRater", takes=takes)])
    sentence = "hash needs the condition 'sorce'; the sample has mask, source"
    assert report.notices[-1] == f"hash missing_condition, for example a in {shard}: {sentence}"


@pytest.mark.parametrize("device", ["gpu", "gpu0", "cuda:", "cuda:0,", "cuda0", "CPU", "", "cuda:0 , cpu", None, 0])
def test_a_device_is_spelled_as_one_whatever_the_rater(device: Any, shards: list[str], rate: Rate) -> None:
    with pytest.raises(CurateError, match=r"^device is auto, cpu, cuda, cuda:1 …, or several with commas between, not "):
        rate(shards, ["signal"], settings=Settings(device=device))


def test_devices_that_are_well_spelled_are_left_to_who_uses_them(shards: list[str], rate: Rate) -> None:
    for device in ("cpu", "cuda", "cuda:0", "cuda:0,cuda:13"):
        assert rate(shards, ["signal"], settings=Settings(device=device)).samples == 100


def test_what_is_under_way_is_seen_while_it_lasts(
    tmp_path: Path, card: MakeCard, rate: Rate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that takes longer than anybody waits for, and raters that take long to load, are no idle run."""
    monkeypatch.setattr("curate.rating.engine.TICK_SECONDS", 0.05)
    load = engine.load_rater

    def slowly(*arguments: Any) -> Any:
        time.sleep(0.4)
        return load(*arguments)

    monkeypatch.setattr(engine, "load_rater", slowly)
    shard = write_shard(tmp_path / "one.tar", records(0, 4))
    seen: list[Progress] = []
    rate([str(shard)], [card("slow", "HashRater", args={"seconds": 0.3})], on_progress=seen.append)
    loading = [one.busy["loading"] for one in seen if one.busy.keys() == {"loading"}]
    assert len(loading) > 2
    assert loading[-1] > 0.8
    before = [one for one in seen if one.samples_done == 0]
    assert before[-1].busy["slow"] > 0.4, "1.2 seconds of 1.6, and no call has ended"
