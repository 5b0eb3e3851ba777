"""From rows back to records, and whole tables for looking at."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.records import Comparison, Media, Member, Rating, Sample
from curate.store.ids import Ids, find, order, pack_sorted, unpack_bytes
from curate.store.judgements import LiveRows, id_bytes, parse_status
from curate.store.manifest import FileEntry, Part, Snapshot
from curate.store.table_files import read_batches
from curate.store.tables import MEMBER, SCHEMAS, Kind, hex_column
from curate.store.unit import SampleRow

_SORTED_BY: dict[Kind, tuple[str, ...]] = {
    "samples": ("sample", "key", "index", "group", "generator", "meta", "shard"),
    "rejects": ("key", "reason", "detail", "shard"),
    "ratings": ("sample", "card", "dimension"),
    "comparisons": ("first", "second", "card", "dimension"),
}

_RECORD: dict[Kind, list[str]] = {
    "ratings": [name for name in SCHEMAS["ratings"].names if name != "replaces"],
    "comparisons": [name for name in SCHEMAS["comparisons"].names if name != "replaces"],
}


def samples(folder: Path, snapshot: Snapshot, ids: Collection[str] | None) -> Iterator[SampleRow]:
    """The samples, or those of some ids, each once and at the place that a view names, shard by shard.

    Of a file that holds none of the ids, only the ids are read.
    """
    wanted = _every_id(folder, snapshot) if ids is None else pack_sorted(ids)
    for batch in sample_batches(folder, snapshot, wanted):
        for row in batch.to_pylist():
            yield sample_row(row)


def samples_in(folder: Path, files: Iterable[FileEntry]) -> Iterator[SampleRow]:
    """Every row of some files of samples."""
    for file in files:
        for batch in _read(folder, file):
            for row in batch.to_pylist():
                yield sample_row(row)


def sample_batches(folder: Path, snapshot: Snapshot, wanted: Ids) -> Iterator[pa.RecordBatch]:
    """As `samples`, as rows of the samples table; `wanted` are in order."""
    found = []
    for number, file in snapshot.files_of("samples"):
        positions = _positions(folder, file, wanted)
        if (positions >= 0).any():
            found.append(_Found(file=file, present=snapshot.units[number].present, positions=positions))
    _keep_one_place(folder, found, len(wanted))
    for one in found:
        if (chosen := one.positions >= 0).any():
            yield from _chosen_rows(folder, one.file, chosen)


@dataclass(slots=True, kw_only=True)
class _Found:
    """The rows of a file that are wanted."""

    file: FileEntry
    present: bool
    """Whether its shard is there."""
    positions: NDArray[np.int64]
    """For each row, its position among the wanted ids, -1 where it is not wanted."""


def _keep_one_place(folder: Path, found: Sequence[_Found], wanted: int) -> None:
    """Of a sample in several places, want the one that counts alone.

    That is one in a shard that is there, where any is; of these the first by key, index, generator and metadata, so that what
    counts does not depend on how shards are called; of equal ones that in the first shard. `Places` does the same in a database.
    """
    counts = np.zeros(wanted, dtype=np.int64)
    for one in found:
        # Not `bincount`, which would go through all that is wanted again for each file.
        np.add.at(counts, one.positions[one.positions >= 0], 1)
    if counts.max(initial=0) <= 1:
        return
    repeated = [(one.positions >= 0) & (counts[one.positions] > 1) for one in found]
    tables = [
        _places(folder, number, one, rows) for number, (one, rows) in enumerate(zip(found, repeated, strict=True)) if rows.any()
    ]
    places = pa.concat_tables(tables)
    places = places.sort_by([(name, "ascending") for name in places.column_names])
    _, firsts = np.unique(places["position"].to_numpy(), return_index=True)
    files, rows = (places[name].to_numpy()[firsts] for name in ("file", "row"))
    for number, (one, others) in enumerate(zip(found, repeated, strict=True)):
        others[rows[files == number]] = False
        one.positions[others] = -1


def _places(folder: Path, number: int, found: _Found, wanted: NDArray[np.bool_]) -> pa.Table:
    """The places that some rows of a file are, with columns in the order in which places are compared."""
    rows = pa.Table.from_batches(_chosen_rows(folder, found.file, wanted, ["key", "index", "generator", "meta"]))
    metas = [hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() for text in rows["meta"].to_pylist()]
    count = rows.num_rows
    return pa.table(
        {
            "position": pa.array(found.positions[wanted]),
            "gone": pa.array([not found.present] * count),
            **{name: rows[name] for name in ("key", "index", "generator")},
            "meta": pa.array(metas, pa.string()),
            "file": pa.array(np.full(count, number)),
            "row": pa.array(np.flatnonzero(wanted)),
        }
    )


def _every_id(folder: Path, snapshot: Snapshot) -> Ids:
    """The ids of all samples, in order; those in several places come as often."""
    batches = [
        unpack_bytes(id_bytes(batch.column("sample")))
        for _, file in snapshot.files_of("samples")
        for batch in _read(folder, file, ["sample"])
    ]
    every = np.concatenate([np.empty((0, 2), dtype=np.uint64), *batches])
    return every[order(every)]


def _positions(folder: Path, file: FileEntry, wanted: Ids) -> NDArray[np.int64]:
    """For each row of a file of samples, its position among the wanted ids, -1 where it is not wanted."""
    parts = [find(wanted, unpack_bytes(id_bytes(batch.column("sample")))) for batch in _read(folder, file, ["sample"])]
    return np.concatenate(parts)


def _chosen_rows(
    folder: Path, file: FileEntry, chosen: NDArray[np.bool_], columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    row = 0
    for batch in _read(folder, file, columns):
        mine = chosen[row : row + batch.num_rows]
        row += batch.num_rows
        if mine.any():
            yield batch.filter(pa.array(mine))


def groups_in(folder: Path, snapshot: Snapshot, shards: Collection[str]) -> frozenset[str]:
    """The groups of which a sample lies in one of these shards."""
    batches = (
        batch
        for number, file in snapshot.files_of("samples")
        if snapshot.units[number].shard in shards
        for batch in _read(folder, file, ["group"])
    )
    return frozenset(_hex(group) for batch in batches for group in batch.column("group").to_pylist())


def ratings(folder: Path, parts: Sequence[Part], cards: Iterable[str] | None) -> Iterator[Rating]:
    """The ratings that stand, of some cards or of all, card by card."""
    for batch in _live(folder, "ratings", parts, cards):
        for row in batch.select(_RECORD["ratings"]).to_pylist():
            yield rating(row)


def comparisons(folder: Path, parts: Sequence[Part], cards: Iterable[str] | None) -> Iterator[Comparison]:
    """The comparisons that stand, of some cards or of all, card by card."""
    for batch in _live(folder, "comparisons", parts, cards):
        for row in batch.select(_RECORD["comparisons"]).to_pylist():
            names = {name: row[name].hex() for name in ("group", "first", "second")}
            yield Comparison(**{**row, **names, "status": parse_status(row["status"])})


def rating(row: Mapping[str, Any]) -> Rating:
    """The rating that a row says, its sample as bytes or as hex."""
    return Rating(**{**row, "sample": _hex(row["sample"]), "status": parse_status(row["status"])})


def sample_row(row: Mapping[str, Any]) -> SampleRow:
    """The sample that a row says, ids and digests as bytes or as hex."""
    members = tuple(Member(**member) for member in row["members"])
    sample = Sample(
        id=_hex(row["sample"]),
        group=_hex(row["group"]),
        shard=row["shard"],
        key=row["key"],
        index=row["index"],
        prompt=row["prompt"],
        response=tuple(_medium(medium, members) for medium in row["response"]),
        conditions={medium["role"]: _medium(medium, members) for medium in row["conditions"]},
        generator=row["generator"],
        labels=dict(row["labels"]),
        meta=json.loads(row["meta"]),
        members=members,
    )
    return SampleRow(
        sample=sample,
        width=row["width"],
        height=row["height"],
        format=row["format"],
        status=parse_status(row["status"]),
        detail=row["detail"],
    )


def rows(folder: Path, snapshot: Snapshot, kind: Kind, *, places: bool) -> pa.Table:
    """Every row of a kind as one ordered table in memory, ids and digests as hex; see `Store.export_rows`."""
    if kind in ("samples", "rejects"):
        batches = [batch for _, file in snapshot.files_of(kind) for batch in _read(folder, file)]
    else:
        parts = [part for part in snapshot.parts if part.file.kind == kind]
        batches = list(_live(folder, kind, parts, None))
    table = pa.Table.from_batches(batches, schema=SCHEMAS[kind])
    table = table.sort_by([(name, "ascending") for name in _SORTED_BY[kind] if places or name != "shard"])
    columns = {name: _readable(table[name].combine_chunks(), places) for name in table.column_names}
    hidden = {"replaces"} if places else {"replaces", "shard", "layout"}
    return pa.table({name: column for name, column in columns.items() if name not in hidden})


def _live(folder: Path, kind: Kind, parts: Sequence[Part], cards: Iterable[str] | None) -> Iterator[pa.RecordBatch]:
    known = sorted({part.card for part in parts})
    for card in known if cards is None else cards:
        mine = [part for part in parts if part.card == card]
        yield from LiveRows(folder, kind, mine).every(SCHEMAS[kind].names)


def _read(folder: Path, file: FileEntry, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    return read_batches(folder / file.name, SCHEMAS[file.kind], file.rows, columns=columns)


def _medium(row: Mapping[str, Any], members: Sequence[Member]) -> Media:
    member = None if row["member"] is None else members[row["member"]]
    return Media(kind=row["kind"], digest=_hex(row["digest"]), member=member, text=row["text"])


def _hex(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.hex()


def _readable(column: pa.Array, places: bool) -> pa.Array:
    """A column with hex for bytes, also inside lists, and without the offsets of members unless `places`."""
    kind = column.type
    if pa.types.is_fixed_size_binary(kind):
        return hex_column(column)
    if pa.types.is_list(kind):
        return pa.ListArray.from_arrays(column.offsets, _readable(column.values, places), mask=column.is_null())
    if pa.types.is_struct(kind):
        names = [kind.field(i).name for i in range(kind.num_fields)]
        # Flattened columns respect the slice that a filter may have left.
        columns = dict(zip(names, (_readable(one, places) for one in column.flatten()), strict=True))
        if set(names) == {MEMBER.field(i).name for i in range(MEMBER.num_fields)} and not places:
            del columns["offset"]
        return pa.StructArray.from_arrays(list(columns.values()), names=list(columns))
    return column
