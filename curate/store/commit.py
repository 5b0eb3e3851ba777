"""How a unit becomes durable: its tables are written aside and renamed, then one transaction makes them part of the store.

Killed at any moment, the manifest says either the old or the new state, and the files it names are complete.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate.records import Comparison, Rating, Status
from curate.store.ids import Ids, pack, pair_keys
from curate.store.known import Known, codes_of
from curate.store.manifest import FileEntry, Part
from curate.store.runs import Codes
from curate.store.table_files import row_groups, write_table
from curate.store.tables import Kind, comparisons_table, ratings_table, rejects_table, samples_table
from curate.store.unit import Unit, unit_name

KnownOf = Callable[[Kind, str], Known]
"""What is stored of a kind by a card."""

Row = Rating | Comparison


def sync_point(name: str) -> None:
    """A moment between two steps of a commit; does nothing. Tests replace it to stop a commit there."""


@dataclass(slots=True, kw_only=True)
class CardRows:
    """The rows of one card that a commit adds."""

    card: str
    rows: list[Row] = field(default_factory=list)
    replaces: list[bool] = field(default_factory=list)

    @property
    def keys(self) -> Ids:
        return keys_of_rows(self.rows)

    @property
    def codes(self) -> Codes:
        return codes_of([row.status for row in self.rows])

    @property
    def spreads(self) -> dict[str, int]:
        """Rows with a spread, by dimension."""
        spreads = dict.fromkeys((row.dimension for row in self.rows), 0)
        for row in self.rows:
            spreads[row.dimension] += isinstance(row, Rating) and row.spread is not None
        return spreads


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What a commit adds to the store."""

    files: list[FileEntry]
    parts: list[Part]
    judged: dict[Kind, list[CardRows]]
    """For growing what is known, once the commit has happened."""


def write_unit(folder: Path, unit: Unit, seq: int, known: KnownOf) -> Added:
    """Write the files of a commit; they belong to the store when the manifest lists them.

    Raises `OutputError` where they cannot be written; nothing is left of them then. Raises `StoreError` for text
    that no table can hold, `ValueError` for records that contradict the contract of `Unit`.
    """
    judged: dict[Kind, list[CardRows]] = {
        "ratings": new_rows(unit.ratings, unit.replaces, lambda card: known("ratings", card)),
        "comparisons": new_rows(unit.comparisons, unit.replaces, lambda card: known("comparisons", card)),
    }
    tables: dict[Kind, list[pa.Table]] = {
        "samples": [samples_table(unit.samples or (), unit.layout)],
        "rejects": [rejects_table(unit.rejects)],
        "ratings": [ratings_table(one.rows, one.replaces) for one in judged["ratings"]],  # type: ignore[arg-type]
        "comparisons": [comparisons_table(one.rows, one.replaces) for one in judged["comparisons"]],  # type: ignore[arg-type]
    }
    files: list[FileEntry] = []
    try:
        for kind, parts in tables.items():
            if any(part.num_rows for part in parts):
                files.append(_write(folder, kind, unit_name(unit.shard), seq, parts))
                sync_point(f"{kind} written")
    except BaseException:
        for file in files:
            (folder / file.name).unlink(missing_ok=True)
        raise
    return Added(files=files, parts=[part for file in files for part in _parts(file, judged.get(file.kind, []))], judged=judged)


def new_rows(rows: Sequence[Row], replaces: Collection[tuple[str, ...]], known: Callable[[str], Known]) -> list[CardRows]:
    """The rows that the store does not have, or is to have anew, card by card, ordered by what they judge.

    Of two rows that say the same thing of the same card and dimension, the first given stays.
    """
    if any(row.status is Status.PENDING for row in rows):
        raise ValueError("a pending judgement is never stored")
    replaces = frozenset(replaces)
    found = []
    ordered = sorted(rows, key=lambda row: (row.card, *about(row), row.dimension))
    for card, group in groupby(ordered, key=lambda row: row.card):
        distinct = [next(same) for _, same in groupby(group, key=lambda row: (*about(row), row.dimension))]
        stored = known(card).codes(keys_of_rows(distinct)) >= 0
        added = CardRows(card=card)
        for row, there in zip(distinct, stored.tolist(), strict=True):
            again = there and (*about(row), card) in replaces
            if again or not there:
                added.rows.append(row)
                added.replaces.append(again)
        if added.rows:
            found.append(added)
    return found


def about(row: Row) -> tuple[str, ...]:
    """What a judgement is about: a sample, or two of them."""
    return (row.sample,) if isinstance(row, Rating) else (row.first, row.second)


def keys_of_rows(rows: Sequence[Row]) -> Ids:
    """What each of the rows, all of one kind, is about, as one key a row."""
    if rows and isinstance(rows[0], Comparison):
        return pair_keys(*(pack([about(row)[side] for row in rows]) for side in (0, 1)))
    return pack([about(row)[0] for row in rows])


def _write(folder: Path, kind: Kind, unit: str, seq: int, parts: Sequence[pa.Table]) -> FileEntry:
    name = f"{kind}/{unit}-{seq:08d}.parquet"
    written = write_table(folder / name, parts)
    return FileEntry(name=name, kind=kind, unit=unit, seq=seq, rows=written.rows, bytes=written.bytes, sha256=written.sha256)


def _parts(file: FileEntry, judged: Sequence[CardRows]) -> list[Part]:
    groups = [row_groups(len(one.rows)) for one in judged]
    firsts = np.cumsum([0, *groups]).tolist()
    return [
        Part(file=file, card=one.card, first_group=first, groups=count, replaced=sum(one.replaces), spreads=one.spreads)
        for one, first, count in zip(judged, firsts, groups, strict=False)
    ]
