"""Scratch folders go, whether who made them ends or is killed, and one that is in use stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from curate.files import LONG_AGO
from curate.scratch import PREFIX, scratch_folder

HOLDER = """
import sys
from pathlib import Path
from curate.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "deep").mkdir()
    (folder / "deep" / "half.parquet").write_bytes(bytes(1000))
    print(folder, flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(place: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process in the middle of its work, and its folder."""
    command = [sys.executable, "-c", HOLDER, str(place)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_nothing_is_left(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        (folder / "a").write_text("x")
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError), scratch_folder(tmp_path):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    with holder(tmp_path) as (process, left):
        process.kill()
        process.wait()
        assert (left / "deep" / "half.parquet").exists(), "the kill left it"
    with scratch_folder(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_in_use_stays(tmp_path: Path) -> None:
    with holder(tmp_path) as (_, theirs), scratch_folder(tmp_path) as first, scratch_folder(tmp_path) as second:
        assert {first, second, theirs} == set(tmp_path.iterdir())
        assert (theirs / "deep" / "half.parquet").exists()


def test_only_scratch_folders_are_touched(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    (kept / "precious").mkdir(parents=True)
    (kept / "lock").touch()
    (tmp_path / f"{PREFIX}link").symlink_to(kept, target_is_directory=True)
    (tmp_path / f"{PREFIX}file").touch()
    (tmp_path / f"{PREFIX}begun").mkdir()
    (tmp_path / "curate-cache-0").mkdir()
    before = sorted(tmp_path.iterdir())
    with scratch_folder(tmp_path):
        pass
    assert sorted(tmp_path.iterdir()) == before
    assert (kept / "precious").is_dir()


@pytest.mark.parametrize("killed_while", ["being made", "being removed"])
def test_a_folder_without_a_lock_goes_when_nobody_can_be_at_it_any_more(tmp_path: Path, killed_while: str) -> None:
    folder = tmp_path / f"{PREFIX}half"
    folder.mkdir()
    if killed_while == "being made":
        (folder / "new").touch()
    else:
        (folder / "deep").mkdir()
        (folder / "deep" / "half.parquet").touch()
    for age, stays in ((LONG_AGO - 60, True), (LONG_AGO + 60, False)):
        os.utime(folder, (time.time(), time.time() - age))
        with scratch_folder(tmp_path):
            pass
        assert folder.exists() is stays


def test_tmpdir_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_folder() as folder:
        assert folder.parent == tmp_path
        assert folder.stat().st_uid == os.getuid()
