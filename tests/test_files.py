"""A file that exists is complete, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from curate import files
from curate.errors import OutputError
from curate.exporting import refuse_place
from curate.files import atomic_file, atomic_folder, is_temporary, remove_leftovers
from curate.outputs import refuse_to_overwrite


def test_the_file_appears_when_it_is_done_and_replaces_the_old(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for contents in (b"old", b"new"):
        before = path.read_bytes() if path.exists() else None
        with atomic_file(path) as aside:
            aside.write_bytes(contents)
            assert is_temporary(aside)
            assert aside.parent == tmp_path
            assert (path.read_bytes() if path.exists() else None) == before
        assert path.read_bytes() == contents
    assert list(tmp_path.iterdir()) == [path]
    assert not is_temporary(path)


def test_an_exception_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), atomic_file(path) as aside:
        aside.write_bytes(b"half")
        raise KeyError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_it_is_synced_before_it_is_renamed_and_the_folder_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    path = tmp_path / "a.bin"
    real_sync, real_replace = os.fsync, Path.replace

    def sync(descriptor: int) -> None:
        done.append("folder" if Path(f"/proc/self/fd/{descriptor}").resolve() == tmp_path.resolve() else "file")
        real_sync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        done.append("rename")
        return real_replace(self, target)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc to see which file is synced")
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    with atomic_file(path) as aside:
        aside.write_bytes(b"x")
    assert done == ["file", "rename", "folder"]


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EDQUOT, "no space left"),
        (errno.EROFS, "cannot write"),
        (errno.EISDIR, "cannot write"),
    ],
)
@pytest.mark.parametrize("step", ["body", "fsync", "rename"])
def test_a_full_disk_at_any_step_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, says: str, step: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "a.bin"
    if step == "fsync":
        monkeypatch.setattr(files.os, "fsync", fail)
    if step == "rename":
        monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match=says) as problem, atomic_file(path) as aside:
        aside.write_bytes(b"x")
        if step == "body":
            fail()
    assert str(path) in str(problem.value)
    assert not list(tmp_path.iterdir())


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "nowhere" / "a.bin") as aside:
        aside.write_bytes(b"x")


def test_folders_appear_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "out"
    with atomic_folder(path) as aside:
        (aside / "sub").mkdir()
        (aside / "sub" / "a.txt").write_text("x")
        assert not path.exists()
    assert (path / "sub" / "a.txt").read_text() == "x"
    with pytest.raises(OutputError, match="not empty"), atomic_folder(path):
        pytest.fail("the block is not entered")
    with pytest.raises(KeyError), atomic_folder(tmp_path / "other") as aside:
        (aside / "half").write_text("x")
        raise KeyError
    assert [entry.name for entry in tmp_path.iterdir()] == ["deep"]
    (tmp_path / "empty").mkdir()
    with atomic_folder(tmp_path / "empty") as aside:
        (aside / "a").write_text("x")
    assert (tmp_path / "empty" / "a").exists()


def test_a_folder_that_cannot_be_replaced_is_refused_before_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="the folder that you are in"), atomic_folder(Path()):
        pytest.fail("the block is not entered")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="not empty"), atomic_folder(tmp_path / "file"):
        pytest.fail("the block is not entered")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_leftovers_are_removed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    path = tmp_path / "out"
    dead, fresh, old, other = (
        tmp_path / f"{name}.tmp.{digit * 16}" for name, digit in zip(("out", "out", "out", "not"), "0123", strict=True)
    )
    for folder in (dead, fresh, old, other):
        (folder / "out").mkdir(parents=True)
    for folder in (dead, other):
        (folder / ".writing").touch()
    os.utime(old, (0, 0))
    with atomic_folder(path) as living:
        remove_leftovers(path)
        assert living.is_dir()
        assert not dead.exists(), "nobody holds its lock"
        assert fresh.is_dir(), "who makes it may not have come to the lock yet"
        assert not old.exists(), "nobody takes an hour to come to the lock"
        assert other.is_dir(), "it is not of this name"
    assert path.is_dir()
    remove_leftovers(tmp_path / "nowhere" / "out")


def test_killed_while_writing_never_leaves_half_a_file(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from curate.files import atomic_file
        for number in range(10**6):
            with atomic_file(Path(sys.argv[1], f"{number}.bin")) as aside, aside.open("wb") as file:
                for _ in range(50):
                    file.write(bytes(1000))
            if number == 0:
                print("started", flush=True)
    """)
    for turn in range(4):
        folder = tmp_path / str(turn)
        folder.mkdir()
        with subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.01 + 0.013 * turn)
            process.send_signal(signal.SIGKILL)
        found = list(folder.iterdir())
        assert found
        assert all(path.stat().st_size == 50_000 for path in found if not is_temporary(path))


@pytest.mark.parametrize(("name", "says"), [("x" * 300, "File name too long"), (os.fsdecode(b"\xff"), "is not UTF-8")])
def test_a_name_that_no_folder_can_have_is_one_sentence(name: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=says), atomic_folder(tmp_path / name):
        pass
    with pytest.raises(OutputError, match=says):
        refuse_place(tmp_path / name)
    with pytest.raises(OutputError, match=says):
        refuse_to_overwrite(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
