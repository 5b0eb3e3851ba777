"""Reading every byte of a store and comparing it with what was written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from curate.errors import StoreError
from curate.store.manifest import FileEntry, Manifest
from curate.store.table_files import read_batches
from curate.store.tables import SCHEMAS


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Something of a store that is not as it was written."""

    file: str
    """Path below the store."""
    what: str


def verify(folder: Path, manifest: Manifest) -> list[Damage]:
    """Everything that is wrong with a store's manifest and table files; empty when all is well."""
    unsound = [Damage(file="manifest.sqlite", what=line) for line in manifest.damage()]
    if unsound:
        return unsound
    found = []
    for file in manifest.snapshot().files:
        what = _wrong(folder, file)
        if what:
            found.append(Damage(file=file.name, what=what))
    return found


def _wrong(folder: Path, file: FileEntry) -> str | None:
    path = folder / file.name
    try:
        size = path.stat().st_size
        if size != file.bytes:
            return f"it has {size} bytes, not {file.bytes}"
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as problem:
        return f"it cannot be read: {problem.strerror}"
    if digest != file.sha256:
        return f"its SHA-256 is {digest}, not {file.sha256}"
    try:
        rows = sum(batch.num_rows for batch in read_batches(path, SCHEMAS[file.kind], file.rows))
    except StoreError as problem:
        return str(problem)
    return None if rows == file.rows else f"it has {rows} rows, not {file.rows}"
