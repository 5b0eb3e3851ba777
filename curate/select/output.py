"""Results as Parquet: one file, complete when it exists, the same bytes for the same result."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curate.ahead import ahead
from curate.files import atomic_file

if TYPE_CHECKING:
    import pyarrow as pa

METADATA_KEY = "curate"
"""Under which a result says, in JSON, how it was made."""

_DICTIONARY_BYTES = 16 << 20

_FEW_ROWS = 1 << 15
"""Batches of fewer rows are joined, because a row group of each would be slow to read."""


def write_result(
    path: Path,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    made: Callable[[], Mapping[str, Any]],
    *,
    repeated: Collection[str] = (),
) -> int:
    """Write batches of rows, each as a row group or small ones as one, and how the file was `made`; count the rows.

    `made` is asked for at the end. Ids are stored by length, integers by delta, other numbers by byte streams, but those of
    `repeated` columns as they are: compression finds the repeats, which byte streams would tear apart. Checksums come with
    every page. The folder of `path` has to exist. Raises `OutputError` where the file cannot be written.
    """
    import pyarrow.parquet as pq

    rows = 0
    with (
        atomic_file(path) as aside,
        pq.ParquetWriter(aside, schema, **_settings(schema, repeated)) as writer,
        closing(ahead(batches)) as coming,
    ):
        for batch in _joined(coming):
            writer.write_batch(batch, row_group_size=batch.num_rows)
            rows += batch.num_rows
        writer.add_key_value_metadata({METADATA_KEY: json.dumps(made(), ensure_ascii=False, sort_keys=True)})
    return rows


def read_made(path: str | Path) -> dict[str, Any]:
    """How a result says it was made; empty where it says nothing."""
    import pyarrow.parquet as pq

    text = (pq.read_metadata(path).metadata or {}).get(METADATA_KEY.encode())
    return dict(json.loads(text)) if text else {}


def regrouped(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of exactly `rows`, the last may have fewer: where a stream breaks off is left to chance."""
    import pyarrow as pa

    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += batch.num_rows
        while count >= rows:
            table = pa.Table.from_batches(waiting)
            yield _one_batch(table.slice(0, rows))
            waiting = table.slice(rows).to_batches()
            count -= rows
    if count:
        yield _one_batch(pa.Table.from_batches(waiting))


def _joined(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows, with no batch of fewer than `_FEW_ROWS`, but for the last."""
    import pyarrow as pa

    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += batch.num_rows
        if count >= _FEW_ROWS:
            yield batch if len(waiting) == 1 else _one_batch(pa.Table.from_batches(waiting))
            waiting, count = [], 0
    if count:
        yield _one_batch(pa.Table.from_batches(waiting))


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    return table.combine_chunks().to_batches()[0]


def known(numbers: NDArray[np.float64]) -> pa.Array:
    """Numbers as a column, with null for NaN."""
    import pyarrow as pa

    return pa.array(numbers, mask=np.isnan(numbers))


def _settings(schema: pa.Schema, repeated: Collection[str]) -> dict[str, Any]:
    import pyarrow as pa

    encodings = {}
    for column in schema:
        if pa.types.is_integer(column.type):
            encodings[column.name] = "DELTA_BINARY_PACKED"
        elif pa.types.is_floating(column.type):
            encodings[column.name] = "PLAIN" if column.name in repeated else "BYTE_STREAM_SPLIT"
        elif pa.types.is_string(column.type):
            encodings[column.name] = "DELTA_LENGTH_BYTE_ARRAY"
    return {
        "compression": "zstd",
        "compression_level": 1,
        "column_encoding": encodings,
        "use_dictionary": [column.name for column in schema if pa.types.is_dictionary(column.type)],
        "dictionary_pagesize_limit": _DICTIONARY_BYTES,
        "write_statistics": [name for name, encoding in encodings.items() if encoding == "DELTA_BINARY_PACKED"],
        "write_page_checksum": True,
        "store_schema": False,
    }
