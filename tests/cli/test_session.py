"""How commands end: one sentence and a code for what a user can cause, a traceback for bugs; and the log."""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path

import pytest
import typer

from curate.cli.session import session
from curate.errors import CurateError, Option, TooManyFailures


def ending(raised: BaseException) -> int:
    with pytest.raises(typer.Exit) as stop, session():
        raise raised
    return int(stop.value.exit_code)


@pytest.mark.parametrize(
    ("raised", "code", "sentence"),
    [
        (CurateError("no such thing"), 2, "error: no such thing\n"),
        (TooManyFailures("5 of 9 failed"), 2, "error: 5 of 9 failed\n"),
        (CurateError(Option("min_margin"), " is 'x'; see ", Option("by")), 2, "error: --min-margin is 'x'; see --by\n"),
        (KeyboardInterrupt(), 130, "stopped; run the same command to go on\n"),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), 2, "error: Permission denied (/a/b)\n"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/a/b"), 2, "error: Not a directory (/a/b)\n"),
    ],
)
def test_what_a_user_can_cause_is_one_sentence(
    raised: BaseException, code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending(raised) == code
    assert capsys.readouterr() == ("", sentence)


def test_a_full_disk_is_said_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(OSError(errno.ENOSPC, "No space left on device", "/data/x")) == 2
    assert re.fullmatch(r"error: no space left to write /data/x; .* run the same command again\n", capsys.readouterr().err)


@pytest.mark.parametrize("bug", [ZeroDivisionError(), KeyError("x"), OSError(errno.EIO, "Input/output error"), AssertionError()])
def test_a_bug_keeps_its_traceback(bug: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(bug)), session(log=str(tmp_path / "log.txt")):
        raise bug
    assert "Traceback" in (tmp_path / "log.txt").read_text()


def test_ctrl_c_is_one_line_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(typer.Exit), session(log=str(tmp_path / "log.txt")):
        raise KeyboardInterrupt
    _, *said = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in said] == ["WARNING stopped by the user"]


def test_lines_of_the_log_have_times(tmp_path: Path) -> None:
    with session(quiet=True, log=str(tmp_path / "log.txt")) as here:
        here.tell("on the way")
        here.warn("mind this")
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (INFO|WARNING) ", line) for line in lines)
    assert [line.split(" ", 2)[2] for line in lines[1:]] == ["on the way", "mind this"]


def test_the_log_is_appended_to(tmp_path: Path) -> None:
    for _ in range(2):
        with session(quiet=True, log=str(tmp_path / "log.txt")) as here:
            here.tell("once more")
    assert (tmp_path / "log.txt").read_text().count("once more") == 2


def test_the_log_of_a_store_waits_for_the_store(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with session(quiet=True, store=str(store)) as here:
        here.tell("before")
        assert not store.exists()
        store.mkdir()
        here.tell("still before")
        assert list(store.iterdir()) == []
        (store / "store.json").write_text("{}")
        here.tell("after")
    text = (store / "log.txt").read_text()
    assert text.index("before") < text.index("still before") < text.index("after")


def test_no_store_leaves_no_log(tmp_path: Path) -> None:
    with pytest.raises(typer.Exit), session(store=str(tmp_path / "store")):
        raise CurateError("nothing came of it")
    assert list(tmp_path.iterdir()) == []


def test_a_log_in_a_folder_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as stop, session(log=str(tmp_path / "no" / "log.txt")):
        raise AssertionError("the command must not start")
    assert stop.value.exit_code == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_on_a_full_disk_does_not_end_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    with session(quiet=True, log="/dev/full") as here:
        for _ in range(3):
            here.tell("going on")
    assert capsys.readouterr().err.count("cannot be written") == 1


def test_json_is_all_there_is_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with session(as_json=True) as here:
        here.tell("on the way")
        here.show("a part")
        here.finish({"prompt": "ünïcode [bold]", "count": 3}, ["a table"])
    out, err = capsys.readouterr()
    assert json.loads(out) == {"prompt": "ünïcode [bold]", "count": 3}
    assert "on the way" in err


def test_quiet_prints_the_result_and_warnings_only(capsys: pytest.CaptureFixture[str]) -> None:
    with session(quiet=True) as here:
        here.tell("on the way")
        here.show("a part")
        here.warn("mind this")
        here.finish({}, ["the result"])
    assert capsys.readouterr() == ("the result\n", "note: mind this\n")
