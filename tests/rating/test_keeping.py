"""Long shards: what is answered of one is kept before it is finished."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

import curate
from curate.rating import engine
from curate.store import Store
from curate.testing import card_yaml, write_shard
from tests.rating.conftest import png

SAMPLES = 60

NEEDS_A_PROMPT = {"response": "image", "prompt": "required"}


@pytest.fixture
def shard(tmp_path: Path) -> str:
    write_shard(tmp_path / "long.tar", [(f"{number:03d}", {"png": png(number), "txt": b"a"}) for number in range(SAMPLES)])
    return str(tmp_path / "long.tar")


def card(folder: Path, target: str, **args: object) -> str:
    fields = {"name": "kept", "version": 1, "about": "a number", "target": f"curate.testing:{target}", "args": args}
    path = folder / "kept.yaml"
    path.write_text(yaml.safe_dump({**fields, "dimensions": {"overall": {}}, "main": "overall"}))
    return str(path)


def rows(store: Path) -> list[tuple[str, float | None]]:
    return sorted((row["sample"], row["value"]) for row in Store.open(store).export_rows("ratings").to_pylist())


@pytest.mark.parametrize("problem", [KeyboardInterrupt, curate.CurateError])
def test_a_run_that_is_stopped_inside_a_shard_keeps_what_is_answered(
    problem: type[BaseException], shard: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rater = card(tmp_path, "BrightnessRater")
    curate.rate([shard], raters=[rater], store=tmp_path / "undisturbed", workers=0)
    answer = engine.Desk.answer
    answered = iter(range(SAMPLES * 2))

    def stopping(*args: object, **more: object) -> None:
        if next(answered) == SAMPLES // 2:
            raise problem("stopped")
        answer(*args, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as stop:
        stop.setattr(engine.Desk, "answer", stopping)
        with pytest.raises(problem):
            curate.rate([shard], raters=[rater], store=tmp_path / "store", workers=0)
    assert len(rows(tmp_path / "store")) == SAMPLES // 2
    assert ("shard not finished", shard) in curate.show(tmp_path / "store").tables[0].rows
    (note,) = curate.rank(tmp_path / "store", by="kept", out=tmp_path / "half.parquet").warnings
    assert note.startswith(f"the shard {shard} is rated in part")
    report = curate.rate([shard], raters=[rater], store=tmp_path / "store", workers=0)
    assert report.computed == SAMPLES - SAMPLES // 2
    assert rows(tmp_path / "store") == rows(tmp_path / "undisturbed")
    assert curate.show(tmp_path / "store").document["unfinished"] == []
    assert curate.rank(tmp_path / "store", by="kept", out=tmp_path / "whole.parquet").warnings == []
    assert curate.rate([shard], raters=[rater], store=tmp_path / "store", workers=0).computed == 0


def test_now_and_then_what_is_answered_is_kept(shard: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "KEEP_SECONDS", 0.0)
    seen: list[int] = []
    finished = engine.Desk.unfinished

    def watching(desk: engine.Desk) -> list[object]:
        units = finished(desk)
        seen.extend(len(unit.ratings) for unit in units)
        return list(units)

    monkeypatch.setattr(engine.Desk, "unfinished", watching)
    rater = card(tmp_path, "ServerRater", slots=2, seconds=0.005)
    curate.rate([shard], raters=[rater], store=tmp_path / "store", workers=0)
    assert len(seen) > 3
    assert seen == sorted(seen)
    assert len(rows(tmp_path / "store")) == SAMPLES
    assert Store.open(tmp_path / "store").export_rows("samples").num_rows == SAMPLES


def test_a_rater_that_is_slow_holds_up_neither_the_others_nor_what_is_kept(
    shard: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "KEEP_SECONDS", 0.0)
    go = tmp_path / "go"
    slow = card_yaml(tmp_path / "slow.yaml", name="slow", target="tests.rating.judges:WaitingRater", args={"until": str(go)})
    kept: list[int] = []
    unfinished = engine.Desk.unfinished

    def watching(desk: engine.Desk) -> list[engine.OpenUnit]:
        units = list(unfinished(desk))
        kept.append(sum(len(unit.ratings) for unit in units))
        if kept[-1] == SAMPLES or len(kept) > 10_000:
            go.touch()  # all that the other rater has to say is answered while the slow one has said nothing
        return units

    monkeypatch.setattr(engine.Desk, "unfinished", watching)
    late: list[bool] = []
    alarm = threading.Timer(20.0, lambda: (late.append(True), go.touch()))  # or the test would hang where it fails
    alarm.start()
    fast = card(tmp_path, "HashRater")
    report = curate.rate([shard], raters=[str(slow), fast], store=tmp_path / "store", workers=0, batch_size=4, trust=True)
    alarm.cancel()
    assert report.computed == 2 * SAMPLES
    assert not late
    assert SAMPLES in kept


def test_a_second_rater_that_is_stopped_takes_no_sample_away(shard: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    curate.rate([shard], raters=["signal"], store=tmp_path / "store", workers=0)
    before = Store.open(tmp_path / "store").export_rows("samples")
    answer = engine.Desk.answer

    def stopping(*args: object, **more: object) -> None:
        if next(count) == 10:
            raise KeyboardInterrupt
        answer(*args, **more)  # type: ignore[arg-type]

    count: Iterator[int] = iter(range(SAMPLES))
    monkeypatch.setattr(engine.Desk, "answer", stopping)
    with pytest.raises(KeyboardInterrupt):
        curate.rate([shard], raters=[card(tmp_path, "BrightnessRater")], store=tmp_path / "store", workers=0)
    assert Store.open(tmp_path / "store").export_rows("samples") == before
    assert curate.pair(tmp_path / "store", by="signal", out=tmp_path / "pairs").warnings == []


@pytest.mark.parametrize("limit", ["3", "20%"])
def test_what_too_many_failures_stop_is_kept_also_of_a_shard_of_which_all_is_answered(tmp_path: Path, limit: str) -> None:
    shard = str(write_shard(tmp_path / "short.tar", [(f"{number}", {"png": b"broken %d" % number}) for number in range(4)]))
    rater = card(tmp_path, "BrightnessRater")
    with pytest.raises(curate.CurateError, match="4 of 4 ratings failed"):
        curate.rate([shard], raters=[rater], store=tmp_path / "store", workers=0, max_failures=limit)
    report = curate.rate([shard], raters=[rater], store=tmp_path / "store", workers=0, max_failures=limit)
    assert (report.computed, report.unchanged, report.statuses) == (0, 1, {"kept": {"decode_error": 4}})


def test_what_is_answered_before_anything_is_decoded_is_of_samples_that_are_kept(tmp_path: Path) -> None:
    shard = str(write_shard(tmp_path / "bare.tar", [(f"{number:02d}", {"png": png(number)}) for number in range(40)]))
    rater = str(card_yaml(tmp_path / "h.yaml", name="kept", target="curate.testing:HashRater", takes=NEEDS_A_PROMPT))
    with pytest.raises(curate.CurateError, match="more than max_failures allows"):
        curate.rate([shard], raters=[rater], store=tmp_path / "store", workers=0, max_failures="9")
    (said,) = curate.show(tmp_path / "store").document["raters"]
    assert (said["statuses"].keys(), said["orphans"]) == ({"missing_prompt"}, 0)
    assert sum(said["statuses"].values()) >= 10
    with pytest.raises(curate.CurateError, match=rf"nothing is left to write: .*; the shard {shard} is rated in part"):
        curate.rank(tmp_path / "store", by="kept", out=tmp_path / "ranking.parquet")


def test_a_second_run_that_is_stopped_earlier_takes_no_sample_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = 200  # more than are under way at a time
    shard = str(
        write_shard(tmp_path / "long.tar", [(f"{number:03d}", {"png": png(number), "txt": b"a"}) for number in range(many)])
    )
    other = str(card_yaml(tmp_path / "other.yaml", name="other", target="curate.testing:HashRater"))
    for raters, stop in (([card(tmp_path, "BrightnessRater")], many - 5), ([other], 3)):
        with monkeypatch.context() as stopped:
            stopped.setattr(engine.Desk, "answer", stopping_at(stop))
            with pytest.raises(KeyboardInterrupt):
                curate.rate([shard], raters=raters, store=tmp_path / "store", workers=0)
    shown = curate.show(tmp_path / "store").document
    assert shown["samples"] >= many - 5
    assert {rater["name"]: (rater["statuses"], rater["orphans"]) for rater in shown["raters"]} == {
        "kept": ({"ok": many - 5}, 0),
        "other": ({"ok": 3}, 0),
    }
    write_shard(Path(shard), [(f"{number:03d}", {"png": png(100 + number), "txt": b"a"}) for number in range(2)])
    with monkeypatch.context() as stopped:
        stopped.setattr(engine.Desk, "answer", stopping_at(1))
        with pytest.raises(KeyboardInterrupt):
            curate.rate([shard], raters=[other], store=tmp_path / "store", workers=0)
    assert curate.show(tmp_path / "store").document["samples"] == 2, "another shard of the same name holds nothing of the first"


def stopping_at(count: int) -> Callable[..., None]:
    """`Desk.answer`, but that Ctrl-C is heard after so many answers."""
    answer = engine.Desk.answer
    answered = itertools.count()

    def stopping(*args: object) -> None:
        if next(answered) == count:
            raise KeyboardInterrupt
        answer(*args)  # type: ignore[arg-type]

    return stopping
