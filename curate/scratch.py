"""Folders for what is made on the way: gone at the end, and what a killed process left is removed by the next one.

Each holds a lock for as long as its process lives. The kernel lets go of it, however the process ends, so a folder whose
lock is free belongs to nobody.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from curate.files import remove_unheld

PREFIX = ".curate-scratch-"

_LOCK = "lock"


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
                remove_unheld(Path(entry), _LOCK)
