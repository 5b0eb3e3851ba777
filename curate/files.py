"""Files that are complete when they exist: written aside, synced, renamed, and the folder synced.

A reader never sees half a file, whenever the writer is killed; what a killed writer leaves behind is named
`NAME.tmp.RANDOM` and may be deleted (`is_temporary` knows them). Of folders, `remove_leftovers` deletes it: by a lock that the
kernel lets go of when its process ends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from curate.errors import OutputError

_TEMPORARY = re.compile(r"\.tmp\.[0-9a-f]{16}$")

_LOCK = ".writing"

LONG_AGO = 3600.0
"""Seconds since the last change of an unfinished folder without a lock, after which nobody is making it any more."""

OUT_OF_SPACE = {errno.ENOSPC, errno.EDQUOT}

_REFUSED = {
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
"""The system refuses a path that the user named."""


def is_temporary(path: Path) -> bool:
    """Whether `path` is named like a file that was never finished."""
    return _TEMPORARY.search(path.name) is not None


class AsideFile:
    """A file on its way to `target`: written and closed at `path` by the caller, then committed or discarded."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = _aside(target)

    def commit(self) -> None:
        """Make it `target`, replacing what was there; it is on the disk when this returns."""
        sync_file(self.path)
        self.path.replace(self.target)
        fsync_folder(self.target.parent)

    def discard(self) -> None:
        """Remove it; `target` stays as it was."""
        self.path.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`: write it, close it, and on leaving it becomes `path`, replacing what was there.

    An exception inside removes the temporary file and leaves `path` as it was. A full disk, a quota and missing rights are
    raised as `OutputError`. The folder of `path` has to exist.
    """
    aside = AsideFile(path)
    with output_errors(path):
        try:
            yield aside.path
            aside.commit()
        except BaseException:
            aside.discard()
            raise


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder, in one beside `path`: fill it, and on leaving it becomes `path`.

    What `refuse_taken` refuses is refused before any work is done. An exception inside removes the temporary folder.
    """
    path = path.resolve()
    refuse_taken(path)
    aside = _aside(path)
    with output_errors(path):
        try:
            _make_folders(aside, path)
            # The lock stays where it is when the folder leaves, so that it is held to the end.
            with (aside / _LOCK).open("xb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                filled = aside / path.name
                filled.mkdir()
                yield filled
                _sync_tree(filled)
                filled.replace(path)
                fsync_folder(path.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def refuse_taken(path: Path) -> None:
    """Raise `OutputError` unless a new folder can take the place `path`: it is missing, or an empty folder that can be replaced.

    Mount points cannot be, nor should be the working folder, which a process would go on seeing empty. A link is no folder:
    resolve it before.
    """
    refuse_no_text(path)
    with output_errors(path):
        if not path.exists():
            return
        taken = not path.is_dir() or any(path.iterdir())
    if taken:
        raise OutputError(f"{path} is there already and not empty; choose another place or remove it first")
    inside = f"name a folder in it, such as {path / 'out'}"
    if path.samefile("."):
        raise OutputError(f"{path} is the folder that you are in, so it cannot be put in its place; {inside}")
    with output_errors(path):
        try:
            # What stands in the way of the last step shows in no other way, not even in what `ismount` looks at.
            moved = path.rename(_aside(path))
            moved.rename(path)
        except OSError as problem:
            if problem.errno not in (errno.EBUSY, errno.EXDEV):
                raise
            raise OutputError(f"{path} is where something is mounted, so it cannot be put in its place; {inside}") from problem


def refuse_no_text(path: Path) -> None:
    """Raise `OutputError` for a place whose name is not UTF-8, where neither databases nor Parquet are written."""
    if not is_utf8(str(path)):
        raise OutputError(f"{str(path)!r} is not UTF-8; choose a place of another name")


def is_utf8(path: str) -> bool:
    """Whether a path is text. Names of files can be any bytes, and those that are none reach Python as lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in path)


def remove_leftovers(path: Path) -> None:
    """Remove the unfinished folders of `path` whose writers are no longer running."""
    if not path.parent.is_dir():
        return
    for place in path.parent.iterdir():
        if place.name.startswith(f"{path.name}.tmp.") and is_temporary(place) and place.is_dir():
            remove_unheld(place, _LOCK)


def remove_unheld(folder: Path, lock: str) -> None:
    """Remove a folder unless a running process holds the file `lock` in it; what cannot be removed stays."""
    try:
        # For writing, since network file systems want that of who locks.
        with (folder / lock).open("r+b") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except FileNotFoundError:
        # It is being made or removed at this moment, unless who did that was killed over it.
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > LONG_AGO:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        pass  # held by its process


def _make_folders(folder: Path, told_as: Path) -> None:
    """Make a folder, and those above it. Raises `OutputError` where the system has no room for new ones, as in /proc."""
    try:
        folder.mkdir(parents=True)
    except FileNotFoundError as problem:
        raise OutputError(f"cannot write {told_as}: no folder can be made in {told_as.parent}") from problem


@contextlib.contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Raise what `os_sentence` has a sentence for as an `OutputError` that names `path`."""
    try:
        yield
    except OSError as problem:
        sentence = os_sentence(problem, writing=path)
        if sentence is None:
            raise
        raise OutputError(sentence) from problem


def os_sentence(problem: OSError, *, writing: Path | None = None) -> str | None:
    """What to say of an error of the system that a user can act on, met while `writing` a file or folder.

    A full disk, a quota, missing rights, and paths that cannot be what they are named for; None for everything else.
    """
    named = problem.filename or writing
    if problem.errno in OUT_OF_SPACE:
        return no_space(writing or named)
    if problem.errno not in _REFUSED:
        return None
    reason = f"{problem.strerror} ({named})" if named else problem.strerror
    return f"cannot write {writing}: {reason}" if writing else reason


def no_space(place: object = None) -> str:
    """The sentence for a full disk, also for libraries that tell of it by other means than an `OSError`."""
    return f"no space left{f' to write {place}' if place else ''}; free some and run the same command again"


def sync_file(path: Path) -> None:
    """Bring the contents of a closed file to the disk."""
    _sync(path, os.O_RDONLY)


def fsync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk, so that a finished rename outlives a power cut."""
    _sync(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    for where, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync_file(Path(where, name))
        fsync_folder(Path(where))


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.tmp.{secrets.token_hex(8)}")
