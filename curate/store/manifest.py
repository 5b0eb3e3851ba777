"""The manifest: one SQLite database that says which files, units and cards a store consists of.

Readers trust only the manifest; a file it does not list is garbage. A commit is one transaction of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from curate.errors import CurateError, OutputError, StoreError
from curate.files import no_space
from curate.records import canonical_json
from curate.store.tables import Kind
from curate.store.unit import UNFINISHED, StoredCard, UnitState, unit_name

BUSY_SECONDS = 60

_SCHEMA = """
CREATE TABLE IF NOT EXISTS units (
    unit TEXT PRIMARY KEY, shard TEXT NOT NULL, signature TEXT NOT NULL, layout TEXT NOT NULL,
    complete INTEGER NOT NULL, present INTEGER NOT NULL, counts TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (
    name TEXT PRIMARY KEY, kind TEXT NOT NULL, unit TEXT NOT NULL, seq INTEGER NOT NULL,
    rows INTEGER NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (
    file TEXT NOT NULL REFERENCES files(name), card TEXT NOT NULL, first_group INTEGER NOT NULL, groups INTEGER NOT NULL,
    replaced INTEGER NOT NULL, spreads TEXT NOT NULL, PRIMARY KEY (card, file)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cards (fingerprint TEXT PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL, seq INTEGER NOT NULL)
WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unit_cards (unit TEXT NOT NULL, card TEXT NOT NULL, PRIMARY KEY (unit, card)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS files_of_unit ON files (unit, kind);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """A table file of the store."""

    name: str
    """Path below the store."""
    kind: Kind
    unit: str
    seq: int
    """Number of the commit that wrote it; larger is later."""
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The row groups of a file of ratings or comparisons that one card's rows fill."""

    file: FileEntry
    card: str
    first_group: int
    groups: int
    replaced: int
    """Rows that take the place of older ones."""
    spreads: Mapping[str, int]
    """Rows with a spread, by dimension; every dimension of the rows is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitEntry:
    """A unit as the manifest lists it."""

    unit: str
    shard: str
    layout: str
    complete: bool
    present: bool
    finished: bool
    """False where only a part of it was rated (`curate.store.unit.UNFINISHED`)."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The whole manifest at one moment."""

    units: tuple[UnitEntry, ...]
    """Present ones first, then by shard: of the places of a sample, the one in the earliest unit counts."""
    files: tuple[FileEntry, ...]
    parts: tuple[Part, ...]
    cards: tuple[StoredCard, ...]
    """Later ones last."""

    @cached_property
    def digest(self) -> str:
        """16 hex characters that change whenever a row that could be read changes; the order of commits does not count."""
        state = [
            [[one.shard, one.layout, one.present] for one in self.units],
            sorted([one.kind, one.unit, one.sha256] for one in self.files),
            [[one.fingerprint, one.name, one.text] for one in self.cards],
        ]
        return hashlib.sha256(canonical_json(state).encode()).hexdigest()[:16]

    def files_of(self, kind: Kind) -> Iterator[tuple[int, FileEntry]]:
        """The files of a kind with the position of their unit, in the order of the units."""
        of_unit: dict[str, list[FileEntry]] = {}
        for file in self.files:
            if file.kind == kind:
                of_unit.setdefault(file.unit, []).append(file)
        for number, unit in enumerate(self.units):
            for file in of_unit.get(unit.unit, ()):
                yield number, file

    def without(self, gone: Collection[str]) -> Snapshot:
        """The same, but that of all shards these are the ones that are not there."""
        units = [replace(one, present=one.shard not in gone) for one in self.units]
        return replace(self, units=_in_order(units))

    def parts_of(self, kind: Kind, card: str) -> list[Part]:
        """The parts of files of a kind that a card fills, in order of their commits."""
        return [part for part in self.parts if part.card == card and part.file.kind == kind]


def _in_order(units: Iterable[UnitEntry]) -> tuple[UnitEntry, ...]:
    return tuple(sorted(units, key=lambda one: (not one.present, one.shard)))


@contextlib.contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    """Raise what SQLite cannot do as what the user can do about it."""
    try:
        yield
    except sqlite3.Error as problem:
        raise _explained(problem, path) from problem


def _explained(problem: sqlite3.Error, path: Path) -> CurateError:
    code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_BUSY:
        return StoreError(f"{path} has been locked by another process for {BUSY_SECONDS} s; try again when it has ended")
    if code == sqlite3.SQLITE_FULL:
        return OutputError(no_space(path))
    if code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
        return OutputError(f"cannot use {path} ({problem}); look at the disk and its rights, then run the same command again")
    return StoreError(f"{path} is damaged ({problem}); restore it from a copy, or rate into a new store")


class Manifest:
    """A connection to the manifest; one thread at a time uses it."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self._path = path
        self._turn = threading.RLock()
        if not create and not path.is_file():
            raise StoreError(f"{path} is missing, so the store cannot be read; restore it from a copy, or rate into a new store")
        with sqlite_errors(path):
            self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = DELETE")
            # FULL would let a power cut undo the last commit, whose replaced files may be gone by then.
            self._db.execute("PRAGMA synchronous = EXTRA")
            if create:
                self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
            self._db.execute("SELECT count(*) FROM units, files, parts, cards, unit_cards WHERE 0").fetchone()

    def close(self) -> None:
        self._db.close()

    @contextlib.contextmanager
    def transaction(self, *, write: bool = True) -> Iterator[None]:
        """All or nothing of what the block does; other connections see it at its end."""
        with self._turn, sqlite_errors(self._path):
            self._db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def unit_state(self, shard: str) -> UnitState | None:
        """What is stored of a unit; None where nothing is."""
        name = unit_name(shard)
        with self._turn, sqlite_errors(self._path):
            row = self._db.execute(
                "SELECT shard, signature, layout, complete, present, counts FROM units WHERE unit = ?", (name,)
            ).fetchone()
            if row is None:
                return None
            asked = self._db.execute("SELECT card FROM unit_cards WHERE unit = ?", (name,)).fetchall()
        return UnitState(
            shard=row[0],
            signature=row[1],
            layout=row[2],
            complete=bool(row[3]),
            present=bool(row[4]),
            asked=frozenset(card for (card,) in asked),
            counts=json.loads(row[5]),
        )

    def snapshot(self) -> Snapshot:
        """Everything, read in one transaction."""
        with self.transaction(write=False):
            query = "SELECT unit, shard, layout, complete, present, signature FROM units"
            units = [
                UnitEntry(
                    unit=unit,
                    shard=shard,
                    layout=layout,
                    complete=bool(complete),
                    present=bool(present),
                    finished=signature != UNFINISHED,
                )
                for unit, shard, layout, complete, present, signature in self._db.execute(query)
            ]
            files = self._files("")
            parts = self._parts(files)
            cards = self._cards()
        return Snapshot(units=_in_order(units), files=tuple(files.values()), parts=tuple(parts), cards=tuple(cards))

    def file_names(self) -> set[str]:
        """Paths below the store of every file it consists of."""
        with self._turn, sqlite_errors(self._path):
            return {name for (name,) in self._db.execute("SELECT name FROM files")}

    def next_seq(self) -> int:
        """A commit number larger than all stored ones."""
        with self._turn, sqlite_errors(self._path):
            return int(self._db.execute("SELECT coalesce(max(seq), 0) + 1 FROM files").fetchone()[0])

    def put_unit(self, state: UnitState) -> None:
        """Write a unit's row and the cards it has been asked for; within a transaction."""
        unit = unit_name(state.shard)
        row = (unit, state.shard, state.signature, state.layout, state.complete, state.present, json.dumps(state.counts))
        self._db.execute("INSERT OR REPLACE INTO units VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        self._db.execute("DELETE FROM unit_cards WHERE unit = ?", (unit,))
        self._db.executemany("INSERT INTO unit_cards VALUES (?, ?)", [(unit, card) for card in sorted(state.asked)])

    def drop_files(self, unit: str, kinds: Iterable[Kind]) -> None:
        """Forget a unit's files of some kinds; within a transaction."""
        self._db.executemany("DELETE FROM files WHERE unit = ? AND kind = ?", [(unit, kind) for kind in kinds])

    def put_files(self, files: Sequence[FileEntry], parts: Sequence[Part]) -> None:
        """List new files and what they hold; within a transaction."""
        self._db.executemany(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(one.name, one.kind, one.unit, one.seq, one.rows, one.bytes, one.sha256) for one in files],
        )
        self._db.executemany(
            "INSERT INTO parts VALUES (?, ?, ?, ?, ?, ?)",
            [(one.file.name, one.card, one.first_group, one.groups, one.replaced, canonical_json(one.spreads)) for one in parts],
        )

    def put_card(self, fingerprint: str, name: str, text: str) -> None:
        """Remember a card, later than every other one unless it is the latest of its name already."""
        with self.transaction():
            latest = self._db.execute(
                "SELECT fingerprint, text FROM cards WHERE name = ? ORDER BY seq DESC LIMIT 1", (name,)
            ).fetchone()
            if latest != (fingerprint, text):
                self._db.execute(
                    "INSERT OR REPLACE INTO cards SELECT ?, ?, ?, coalesce(max(seq), 0) + 1 FROM cards", (fingerprint, name, text)
                )

    def set_present(self, present: Mapping[str, bool]) -> None:
        """Say of shards whether they are still there; unknown ones are passed over."""
        with self.transaction():
            self._db.executemany(
                "UPDATE units SET present = ? WHERE unit = ? AND present <> ?",
                [(there, unit_name(shard), there) for shard, there in present.items()],
            )

    def presence(self) -> dict[str, bool]:
        """For each shard whether it was where it had been, when last looked at; pieces of streams lie nowhere."""
        with self.transaction(write=False):
            rows = self._db.execute("SELECT shard, present FROM units WHERE signature <> ''")
            return {shard: bool(there) for shard, there in rows}

    def signatures(self) -> dict[str, str]:
        """What each shard was when it was read; empty for the pieces of streams."""
        with self.transaction(write=False):
            return dict(self._db.execute("SELECT shard, signature FROM units"))

    def files(self, kind: Kind, shard: str) -> list[FileEntry]:
        """The files of a kind that a unit consists of, in order of their commits."""
        with self._turn, sqlite_errors(self._path):
            return list(self._files("WHERE kind = ? AND unit = ?", kind, unit_name(shard)).values())

    def parts(self, kind: Kind, card: str | None = None) -> list[Part]:
        """The parts of files of a kind, of one card or of all, in order of their commits."""
        with self.transaction(write=False):
            if card is None:
                found = self._parts(self._files("WHERE kind = ?", kind))
            else:
                where = "WHERE kind = ? AND name IN (SELECT file FROM parts WHERE card = ?)"
                found = self._parts(self._files(where, kind, card), card)
        return found

    def cards(self) -> list[StoredCard]:
        """Every card, later ones last."""
        with self._turn, sqlite_errors(self._path):
            return self._cards()

    def damage(self) -> list[str]:
        """What SQLite's own check says is wrong with the database; empty when it is sound."""
        with self._turn:
            try:
                rows = self._db.execute("PRAGMA integrity_check").fetchall()
            except sqlite3.DatabaseError as problem:
                return [str(problem)]
        return [line for (line,) in rows if line != "ok"]

    def _files(self, where: str, *values: str) -> dict[str, FileEntry]:
        query = f"SELECT name, kind, unit, seq, rows, bytes, sha256 FROM files {where} ORDER BY seq, name"
        return {
            row[0]: FileEntry(name=row[0], kind=row[1], unit=row[2], seq=row[3], rows=row[4], bytes=row[5], sha256=row[6])
            for row in self._db.execute(query, values)
        }

    def _parts(self, files: Mapping[str, FileEntry], card: str | None = None) -> list[Part]:
        query = "SELECT file, card, first_group, groups, replaced, spreads FROM parts"
        rows = self._db.execute(query) if card is None else self._db.execute(f"{query} WHERE card = ?", (card,))
        found = [
            Part(file=files[row[0]], card=row[1], first_group=row[2], groups=row[3], replaced=row[4], spreads=json.loads(row[5]))
            for row in rows
            if row[0] in files
        ]
        return sorted(found, key=lambda part: (part.file.seq, part.first_group))

    def _cards(self) -> list[StoredCard]:
        rows = self._db.execute("SELECT fingerprint, name, text, seq FROM cards ORDER BY seq")
        return [StoredCard(fingerprint=row[0], name=row[1], text=row[2], seq=row[3]) for row in rows]
