"""Folders for what is made on the way: gone at the end, and what a killed process left is removed by the next one.

Each holds a lock for as long as its process lives. The kernel lets go of it, however the process ends, so a folder whose
lock is free belongs to nobody.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = ".curate-scratch-"

_LOCK = "lock"

LONG_AGO = 3600.0
"""Seconds since the last change of a folder without a lock, after which nobody is making or removing it any more."""


@contextlib.contextmanager
def scratch_folder(beside: Path | None = None) -> Iterator[Path]:
    """A folder in the folder `beside`, else where TMPDIR says; gone at the end, as is what killed processes left there."""
    place = beside or Path(tempfile.gettempdir())
    _remove_left_behind(place)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=place, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        new = folder / "new"
        with new.open("xb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # It gets its name once it is held, so that nobody finds it free.
            new.rename(folder / _LOCK)
            yield folder


def _remove_left_behind(place: Path) -> None:
    """Remove the scratch folders of this user whose processes have ended."""
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            # Others may write in the temporary folder too, so nothing but a folder of one's own is opened.
            mine = entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False)
            if mine and entry.stat(follow_symlinks=False).st_uid == os.getuid():
                _remove_unheld(Path(entry))


def _remove_unheld(folder: Path) -> None:
    try:
        # For writing, since NFS wants that of who locks.
        with (folder / _LOCK).open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except FileNotFoundError:
        # It is being made or removed at this moment, unless who did that was killed over it.
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > LONG_AGO:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        pass  # held by its process
