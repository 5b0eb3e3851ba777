"""A copy of a store to try something on: tables are linked, since they are never changed, and only the manifest is copied."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from curate.errors import StoreError
from curate.names import STORE_MARK
from curate.store.store import Store
from curate.store.tables import KINDS

_MANIFEST = "manifest.sqlite"


def copy_store(source: Path, target: Path) -> None:
    """Make `target`, a new folder, the store that `source` is now. Replies of judges and cached views stay behind.

    Raises `StoreError` where `source` is no store, or its tables change at this moment.
    """
    Store.open(source).close()
    target.mkdir()
    try:
        shutil.copy2(source / STORE_MARK, target / STORE_MARK)
        with closing(sqlite3.connect(source / _MANIFEST)) as old, closing(sqlite3.connect(target / _MANIFEST)) as new:
            old.backup(new)
        for kind in KINDS:
            shutil.copytree(source / kind, target / kind, copy_function=_link)
    except (OSError, sqlite3.Error, shutil.Error) as problem:
        raise StoreError(f"{source} cannot be looked at while it changes ({problem}); try again") from problem


def _link(source: str, target: str) -> str:
    with contextlib.suppress(OSError):  # a file system without links, or another one
        os.link(source, target)
        return target
    return shutil.copy2(source, target)
