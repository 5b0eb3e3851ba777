"""Finding samples and their ratings by id, in any order, without holding them in memory.

Rows lie by shard, and whoever exports asks by group. So one pass over the store puts the rows asked for into a database
on disk that finds each in microseconds; it has no name from the moment it is open, so nothing of it is left behind.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate.errors import StoreError
from curate.files import output_errors
from curate.records import Rating
from curate.store.ids import Ids, find, order, pack, unpack_bytes
from curate.store.judgements import LiveRows, id_bytes
from curate.store.manifest import Snapshot, sqlite_errors
from curate.store.reading import rating, sample_batches, sample_row
from curate.store.runs import starts_of_runs
from curate.store.tables import SCHEMAS
from curate.store.unit import SampleRow

PIECE = 1 << 16
"""Ids that are texts at a time."""


class Lookup:
    """Some samples of a store, and ratings of them, found by id. For one thread."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Use `Store.lookup`."""
        self._db = db

    def samples(self, ids: Iterable[str]) -> Iterator[SampleRow | None]:
        """One answer for each id, in the order asked; None for one that was not among those looked up, or is not stored."""
        for one in ids:
            found = self._db.execute("SELECT row FROM samples WHERE id = ?", (one,)).fetchone()
            yield None if found is None else sample_row(json.loads(found[0]))

    def ratings(self, ids: Iterable[str]) -> dict[str, list[Rating]]:
        """The ratings of some samples, by sample; those without any are missing. Ordered by card and dimension."""
        found = {}
        for one in ids:
            rows = self._db.execute("SELECT row FROM ratings WHERE id = ? ORDER BY rowid", (one,)).fetchall()
            if rows:
                found[one] = [rating(json.loads(text)) for (text,) in rows]
        return found


@contextlib.contextmanager
def open_lookup(folder: Path, cache: Path, snapshot: Snapshot, ids: Iterable[str], cards: Collection[str]) -> Iterator[Lookup]:
    """A lookup of some samples and of the ratings that some cards (fingerprints) gave them.

    Raises `StoreError` for an id that no sample can have.
    """
    try:
        wanted = _packed(ids)
    except ValueError as problem:
        raise StoreError(f"cannot look samples up in {folder}: {problem}") from problem
    path = cache / f"lookup-{secrets.token_hex(8)}.sqlite"
    with output_errors(path):
        cache.mkdir(exist_ok=True)
    with sqlite_errors(path), contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        # Nothing in it has to outlive the process: no journal, no syncing, and no name once the file is open.
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("CREATE TABLE samples (id TEXT, row TEXT)")
        db.execute("CREATE TABLE ratings (id TEXT, row TEXT)")
        path.unlink()
        db.execute("BEGIN")
        for batch in sample_batches(folder, snapshot, wanted):
            _insert(db, "samples", batch)
        for card in sorted(set(cards)):
            for batch in _ratings_of(folder, snapshot, wanted, card):
                _insert(db, "ratings", batch)
        db.execute("CREATE UNIQUE INDEX sample_ids ON samples (id)")
        db.execute("CREATE INDEX rating_ids ON ratings (id)")
        db.execute("COMMIT")
        yield Lookup(db)


def _packed(ids: Iterable[str]) -> Ids:
    """The distinct ids in order: 16 bytes each, as texts a hundred. Raises `ValueError` as `pack` does."""
    it = iter(ids)
    pieces = [np.empty((0, 2), dtype=np.uint64)]
    while piece := list(islice(it, PIECE)):
        pieces.append(_distinct(pack(piece)))
    # Column by column, as `find` searches the halves by themselves.
    return np.asfortranarray(_distinct(np.concatenate(pieces)))


def _distinct(ids: Ids) -> Ids:
    ids = ids[order(ids)]
    return ids[starts_of_runs(ids)]


def _ratings_of(folder: Path, snapshot: Snapshot, wanted: Ids, card: str) -> Iterator[pa.RecordBatch]:
    columns = [name for name in SCHEMAS["ratings"].names if name != "replaces"]
    for batch in LiveRows(folder, "ratings", snapshot.parts_of("ratings", card)).every(columns):
        there = find(wanted, unpack_bytes(id_bytes(batch.column("sample")))) >= 0
        yield batch.filter(pa.array(there))


def _insert(db: sqlite3.Connection, table: str, batch: pa.RecordBatch) -> None:
    rows = ((row["sample"].hex(), json.dumps(row, default=bytes.hex)) for row in batch.to_pylist())
    db.executemany(f"INSERT INTO {table} VALUES (?, ?)", rows)
