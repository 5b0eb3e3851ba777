"""A store that a command makes for itself: gone again where the command is refused before anything came of it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from curate.errors import CurateError
from curate.names import STORE_MARK
from curate.store.replies import FILE as REPLIES
from curate.store.replies import costs
from curate.store.store import Store

_OF_AN_EMPTY_STORE = {STORE_MARK, "manifest.sqlite", "lock", "log.txt"}
"""Files that a store has before anything is in it; the log is the command line's."""

_OF_REPLIES = {REPLIES, f"{REPLIES}-wal", f"{REPLIES}-shm"}
"""Files that are there as soon as a judge is loaded; they are worth nothing before it has replied."""


@contextlib.contextmanager
def store_made_for(path: str | Path) -> Iterator[Store]:
    """The store at `path`, made where there is none, as by `Store.create_or_open`; closed at the end.

    Where a `CurateError` ends the block and nothing was committed, a store that was made here is removed, with the folders on
    the way to it. One that was there before stays, and so does what any other file lies in.
    """
    place = Path(path).absolute()
    made = [folder for folder in (place, *place.parents) if not folder.exists()]
    with Store.create_or_open(path) as store:
        try:
            yield store
        except CurateError:
            if made:
                _remove_empty(store, made)
            raise


def _remove_empty(store: Store, made: Sequence[Path]) -> None:
    """Remove a store with nothing in it, and then the folders above it in `made`, as far as they are empty."""
    # Another process may be about to write into it, or to make a second one beside it: then it is in use, and stays.
    with contextlib.suppress(CurateError, OSError), store.writing():
        files = {file.name for file in store.path.rglob("*") if not file.is_dir()}
        if files <= _OF_AN_EMPTY_STORE | _OF_REPLIES and not store.presence() and not costs(store.path):
            shutil.rmtree(store.path)
            for folder in made[1:]:
                folder.rmdir()
