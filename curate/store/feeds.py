"""What DuckDB is fed from the store's files: samples with the number of their place, and ratings with one row a sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.records import RaterColumns
from curate.store.judgements import LiveRows, id_bytes, status_codes
from curate.store.manifest import Snapshot
from curate.store.runs import starts_of_runs
from curate.store.table_files import read_batches
from curate.store.tables import ID, SCHEMAS
from curate.store.workspace import Workspace

UUID = pa.uuid()
"""How ids travel through DuckDB: as 128-bit integers whose order is that of the hex texts."""

_ROW_BITS = 40


class Places:
    """Where samples lie, as one integer each: the position of the unit in the snapshot, then of the row in the unit.

    Units are ordered by presence and shard, rows by key and index. Of the places of a sample one counts, by what stands there:
    `curate.store.reading` says which.
    """

    def __init__(self, folder: Path, snapshot: Snapshot) -> None:
        self._folder = folder
        self._files = list(snapshot.files_of("samples"))
        self._present = sum(unit.present for unit in snapshot.units)
        self._repeated: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._shards: dict[str, int] = {}

    @property
    def shards(self) -> list[str]:
        """The shards of the samples given so far; their numbers in a `shard` column are positions here."""
        return list(self._shards)

    @staticmethod
    def unit_numbers(places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The positions of the places' units in the snapshot."""
        return places >> _ROW_BITS

    @property
    def repeated(self) -> int:
        """Places of shards that are there which do not count, since their samples lie in another place too."""
        return int(np.count_nonzero(self.unit_numbers(self._repeated) < self._present))

    def find_repeated(self, workspace: Workspace) -> None:
        """Look for samples that lie in several places; from now on, `batches` gives each at the one that counts."""
        ids = {"sample": UUID, "place": pa.int64()}
        workspace.feed("places", pa.schema(list(ids.items())), self.batches(ids))
        workspace.run("CREATE TEMP TABLE repeated AS SELECT sample FROM places GROUP BY sample HAVING count(*) > 1")
        if workspace.run("SELECT 1 FROM repeated LIMIT 1"):
            told = {"key": pa.string(), "index": pa.int64(), "generator": pa.string(), "meta": pa.string()}
            workspace.feed("places", pa.schema(list((ids | told).items())), self.batches(ids | told))
            found = workspace.stream(
                "SELECT place FROM (SELECT place, row_number() OVER (PARTITION BY sample ORDER BY"
                f" (place >> {_ROW_BITS}) >= {self._present}, key, index, generator NULLS LAST, md5(meta), place) AS nth"
                " FROM places JOIN repeated USING (sample)) WHERE nth > 1 ORDER BY place"
            )
            self._repeated = np.concatenate([batch.column(0).to_numpy() for batch in found])

    def batches(self, columns: Mapping[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
        """The samples in order of their places, with some columns of the samples table and `place`; shards as numbers."""
        stored = [name for name in columns if name != "place"]
        for number, file in self._files:
            row = number << _ROW_BITS
            for batch in read_batches(self._folder / file.name, SCHEMAS["samples"], file.rows, columns=stored):
                places = np.arange(row, row + batch.num_rows)
                row += batch.num_rows
                arrays = {name: self._fed(name, batch.column(name)) for name in stored} | {"place": pa.array(places)}
                made = pa.RecordBatch.from_arrays([arrays[name] for name in columns], names=list(columns))
                yield made.filter(pa.array(~self._is_repeated(places))) if len(self._repeated) else made

    def _fed(self, name: str, column: pa.Array) -> pa.Array:
        """A column as DuckDB is to see it: ids as UUIDs, shards as numbers."""
        if name in ("sample", "group"):
            return pa.ExtensionArray.from_storage(UUID, column)
        if name == "shard":
            encoded = column.dictionary_encode()
            numbers = [self._shards.setdefault(shard, len(self._shards)) for shard in encoded.dictionary.to_pylist()]
            return pa.array(numbers, pa.int64()).take(encoded.indices)
        return column

    def _is_repeated(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        first, last = np.searchsorted(self._repeated, [places[0], places[-1] + 1]) if len(places) else (0, 0)
        return np.isin(places, self._repeated[first:last], assume_unique=True)


def card_schema(columns: RaterColumns) -> pa.Schema:
    """What `card_batches` gives: the sample, then values and spreads in the order of a view, then the worst status's code."""
    fields = [("sample", UUID)]
    for position, dimension in enumerate(columns.dimensions):
        fields.append((f"value{position}", pa.float64()))
        if dimension in columns.spreads:
            fields.append((f"spread{position}", pa.float64()))
    return pa.schema([*fields, ("status", pa.uint8())])


def card_batches(live: LiveRows, columns: RaterColumns) -> Iterator[pa.RecordBatch]:
    """One row for each sample that the card has judged; no sample comes twice, as a judgement is stored once."""
    schema, wanted = card_schema(columns), ["dimension", "value", *(["spread"] if columns.spreads else []), "status"]
    for part in live.parts:
        # As one batch, so that no sample's rows are cut; none where every row was replaced.
        for rows in pa.Table.from_batches(live.batches(part, wanted)).combine_chunks().to_batches():
            yield _pivoted(rows, columns, schema)


def _pivoted(rows: pa.RecordBatch, columns: RaterColumns, schema: pa.Schema) -> pa.RecordBatch:
    """Rows of one part, ordered by sample, as one row a sample."""
    ids = np.frombuffer(id_bytes(rows.column("sample")), dtype=np.uint64).reshape(-1, 2)
    first = starts_of_runs(ids)
    starts, slots = np.flatnonzero(first), np.cumsum(first) - 1
    samples = pa.FixedSizeBinaryArray.from_buffers(ID, len(starts), [None, pa.py_buffer(np.ascontiguousarray(ids[starts]))])
    arrays = [pa.ExtensionArray.from_storage(UUID, samples)]
    encoded = rows.column("dimension").dictionary_encode()
    names, numbers = encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)
    for dimension in columns.dimensions:
        mine = numbers == (names.index(dimension) if dimension in names else -1)
        arrays.append(_spread_out(rows.column("value"), mine, slots, len(starts)))
        if dimension in columns.spreads:
            arrays.append(_spread_out(rows.column("spread"), mine, slots, len(starts)))
    worst = np.maximum.reduceat(status_codes(rows.column("status")), starts)
    return pa.RecordBatch.from_arrays([*arrays, pa.array(worst)], schema=schema)


def _spread_out(column: pa.Array, mine: NDArray[np.bool_], slots: NDArray[np.int64], size: int) -> pa.Array:
    """The values of some rows at their slots among `size`, null elsewhere."""
    mine = mine & column.is_valid().to_numpy(zero_copy_only=False)
    values, missing = np.zeros(size), np.ones(size, dtype=np.bool_)
    values[slots[mine]] = column.to_numpy(zero_copy_only=False)[mine]
    missing[slots[mine]] = False
    return pa.array(values, mask=missing)
