"""A command that is refused leaves no empty store; one that got anywhere, or found a store, leaves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.asks import Usage
from curate.errors import CurateError, StoreError
from curate.store import Store
from curate.store.made_for import store_made_for
from curate.store.replies import FILE, Replies
from tests.store.world import add_cards, make_store, make_unit


def refused(place: Path, *, by: type[BaseException] = CurateError) -> None:
    with pytest.raises(by), store_made_for(place):
        raise by("no such rater")


def test_a_refused_command_leaves_nothing_of_a_new_store(tmp_path: Path) -> None:
    refused(tmp_path / "deep" / "er" / "store")
    assert list(tmp_path.iterdir()) == []


def test_folders_that_were_there_or_hold_other_things_stay(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    refused(tmp_path / "there" / "store")
    assert list(tmp_path.iterdir()) == [tmp_path / "there"]
    with pytest.raises(CurateError), store_made_for(tmp_path / "new" / "store"):
        (tmp_path / "new" / "mine.txt").write_text("precious")
        raise CurateError("no such shard")
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["mine.txt"]


def test_the_log_of_a_refused_command_goes_with_its_store(tmp_path: Path) -> None:
    with pytest.raises(CurateError), store_made_for(tmp_path / "store") as store:
        (store.path / "log.txt").write_text("a line")
        raise CurateError("no weights")
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_was_there_stays_empty_or_not(tmp_path: Path) -> None:
    make_store(tmp_path / "empty", []).close()
    make_store(tmp_path / "full", [make_unit("a.tar", range(3))]).close()
    for name in ("empty", "full"):
        refused(tmp_path / name)
        assert (tmp_path / name / "store.json").exists()


def test_what_was_committed_before_the_end_stays(tmp_path: Path) -> None:
    with pytest.raises(CurateError), store_made_for(tmp_path / "store") as store:
        with store.writing():
            add_cards(store)
            store.commit(make_unit("a.tar", range(3), cards=[], ratings=[]))
        raise CurateError("too many failures")
    with store_made_for(tmp_path / "store") as store:
        assert store.presence() == {"a.tar": True}


def test_files_of_others_in_it_stay(tmp_path: Path) -> None:
    with pytest.raises(CurateError), store_made_for(tmp_path / "store") as store:
        (store.path / "replies.sqlite").write_bytes(b"paid for")
        raise CurateError("no such shard")
    assert (tmp_path / "store" / "replies.sqlite").read_bytes() == b"paid for"


def test_replies_that_were_paid_for_stay_and_an_empty_file_for_them_does_not(tmp_path: Path) -> None:
    for name in ("empty", "paid"):
        with pytest.raises(CurateError), store_made_for(tmp_path / name) as store:
            replies = Replies(store.path / FILE)
            if name == "paid":
                replies.add(b"key", "0123456789abcdef", "{}", Usage(requests=1))
            replies.close()
            raise CurateError("the next rater has no weights")
    assert [place.name for place in tmp_path.iterdir()] == ["paid"]


def test_a_bug_and_ctrl_c_leave_the_store_and_its_log(tmp_path: Path) -> None:
    for number, end in enumerate((KeyboardInterrupt, ZeroDivisionError)):
        refused(tmp_path / str(number), by=end)
        assert (tmp_path / str(number) / "store.json").exists()


def test_a_store_that_another_process_took_in_the_meantime_stays(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="mine"), store_made_for(tmp_path / "store"):
        other = Store.open(tmp_path / "store")
        taken = other.writing()
        taken.__enter__()
        raise CurateError("mine")
    assert (tmp_path / "store" / "store.json").exists()
    taken.__exit__(None, None, None)


def test_what_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(StoreError, match="holds other things"), store_made_for(tmp_path):
        raise AssertionError("it must not begin")
    assert [file.name for file in tmp_path.iterdir()] == ["photo.jpg"]
