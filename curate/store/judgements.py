"""Reading stored judgements of one card: the rows that stand, without those that a later commit replaced."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.errors import StoreError
from curate.records import Status
from curate.store.ids import ID_BYTES, Ids, find, pair_keys, unpack_bytes
from curate.store.known import CODES, Chances, Known, worst_by_key, worst_by_run
from curate.store.manifest import Part
from curate.store.runs import Codes, starts_of_runs
from curate.store.table_files import read_batches
from curate.store.tables import SCHEMAS, Kind

KEYS: dict[Kind, tuple[str, ...]] = {"ratings": ("sample",), "comparisons": ("first", "second")}
"""What a judgement is about; with the card, it names the judgement."""

_AGAIN = 1 << 7
"""Set in a status code, it outweighs every code without it."""


class LiveRows:
    """The standing rows of one card's parts."""

    def __init__(self, folder: Path, kind: Kind, parts: Sequence[Part]) -> None:
        self.kind = kind
        self.parts = parts
        self._folder = folder
        self._replaced_keys, self._replaced_seqs = self._replaced()

    def batches(self, part: Part, columns: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """A part's rows, ordered by key: the key columns and `columns`, in the table's order.

        Raises `StoreError` where the file is damaged.
        """
        for batch in self._read(part, {*KEYS[self.kind], *columns}):
            yield batch.filter(pa.array(self._stands(batch, part.file.seq))) if len(self._replaced_keys) else batch

    def every(self, columns: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """The rows of all parts, one after the other."""
        for part in self.parts:
            yield from self.batches(part, columns)

    def _read(self, part: Part, columns: Collection[str]) -> Iterator[pa.RecordBatch]:
        file, groups = part.file, range(part.first_group, part.first_group + part.groups)
        schema = SCHEMAS[file.kind]
        ordered = [name for name in schema.names if name in columns]
        yield from read_batches(self._folder / file.name, schema, file.rows, columns=ordered, groups=groups)

    def _stands(self, batch: pa.RecordBatch, seq: int) -> NDArray[np.bool_]:
        """Whether rows of commit `seq` are the latest of their keys."""
        at = find(self._replaced_keys, keys_of(batch, self.kind))
        return (at < 0) | (self._replaced_seqs[at] <= seq)

    def _replaced(self) -> tuple[Ids, NDArray[np.int64]]:
        """Keys that were answered anew, in order, each with the number of the last commit that did so."""
        keys, seqs = [np.empty((0, 2), dtype=np.uint64)], [np.empty(0, dtype=np.int64)]
        for part in self.parts:
            if part.replaced:
                for batch in self._read(part, (*KEYS[self.kind], "replaces")):
                    batch = batch.filter(batch.column("replaces"))
                    keys.append(keys_of(batch, self.kind))
                    seqs.append(np.full(batch.num_rows, part.file.seq, dtype=np.int64))
        every, seq = np.concatenate(keys), np.concatenate(seqs)
        by_key = np.lexsort((-seq, every[:, 1], every[:, 0]))
        first = starts_of_runs(every[by_key])
        return every[by_key][first], seq[by_key][first]


def load_known(folder: Path, kind: Kind, parts: Sequence[Part], retry: Collection[Status] = ()) -> Known:
    """The judgements of one card, without those that have a status of `retry` on any dimension."""
    marks = np.array([code | _AGAIN if status in retry else code for status, code in CODES.items()], dtype=np.uint8)
    runs = [
        worst_by_run(keys_of(batch, kind), marks[status_codes(batch.column("status"))])
        for batch in LiveRows(folder, kind, parts).every(["status"])
        if batch.num_rows
    ]
    if not runs:
        return Known()
    # A key's rows may be cut between two batches, so its runs are joined once more.
    keys, codes = worst_by_key(np.concatenate([keys for keys, _ in runs]), np.concatenate([codes for _, codes in runs]))
    settled = codes < _AGAIN
    return Known(keys[settled], codes[settled])


def load_chances(folder: Path, parts: Sequence[Part], dimension: str) -> Chances:
    """The comparisons of one card on one dimension that are ok."""
    keys, values = [np.empty((0, 2), dtype=np.uint64)], [np.empty(0)]
    for batch in LiveRows(folder, "comparisons", parts).every(["dimension", "value"]):
        batch = batch.filter(pc.and_(pc.equal(batch.column("dimension"), dimension), pc.is_valid(batch.column("value"))))
        keys.append(keys_of(batch, "comparisons"))
        values.append(batch.column("value").to_numpy())
    return Chances(np.concatenate(keys), np.concatenate(values))


def id_bytes(column: pa.Array) -> memoryview:
    """The bytes of a column of ids, 16 a row."""
    return memoryview(column.buffers()[1])[column.offset * ID_BYTES : (column.offset + len(column)) * ID_BYTES]


def keys_of(batch: pa.RecordBatch, kind: Kind) -> Ids:
    """What each judgement is about, as one key a row."""
    ids = [unpack_bytes(id_bytes(batch.column(name))) for name in KEYS[kind]]
    return ids[0] if len(ids) == 1 else pair_keys(ids[0], ids[1])


def status_codes(column: pa.Array) -> Codes:
    """The codes of a column of statuses. Raises `StoreError` for one that this version does not know."""
    encoded = column.dictionary_encode()
    codes = np.array([CODES[parse_status(text)] for text in encoded.dictionary.to_pylist()], dtype=np.uint8)
    indices: NDArray[np.int32] = encoded.indices.to_numpy(zero_copy_only=False)
    return codes[indices]


def parse_status(text: str) -> Status:
    """The status that a row names. Raises `StoreError` for one that this version does not know."""
    try:
        return Status(text)
    except ValueError:
        raise StoreError(f"the store holds the status '{text}', which this version does not know; update curate") from None
