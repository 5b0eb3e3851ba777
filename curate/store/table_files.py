"""Files of tables: written whole with checksums, read in batches with every page checked.

A unit's file is made in memory first, so that its SHA-256 is of what was meant and not of what came back from a disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import StoreError
from curate.files import atomic_file

BATCH_ROWS = 32_768

ROWS_PER_GROUP = 65_536

FLOATS = ("value", "spread", "position_bias")
UNREPEATED = ("digest", "meta", "key")
"""Columns whose values hardly repeat, so that a dictionary would only cost time."""


ADDED = frozenset({"position_bias"})
"""Columns that files of earlier versions lack; they are read as null there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A table file as the manifest is to remember it."""

    rows: int
    bytes: int
    sha256: str


def write_table(path: Path, parts: Sequence[pa.Table]) -> Written:
    """Write tables of one schema as one file; a row group never holds rows of two of them."""
    schema = parts[0].schema
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, **parquet_options(schema)) as writer:
        for part in parts:
            writer.write_table(part, row_group_size=ROWS_PER_GROUP)
    data = sink.getvalue()
    with atomic_file(path) as aside:
        aside.write_bytes(data)
    return Written(rows=sum(part.num_rows for part in parts), bytes=data.size, sha256=hashlib.sha256(data).hexdigest())


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file as it lies there."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parquet_options(
    schema: pa.Schema, *, floats: Sequence[str] = FLOATS, unrepeated: Sequence[str] = UNREPEATED
) -> dict[str, Any]:
    """Settings of every Parquet file curate writes: zstd-1, checksums on pages, floats split into byte streams.

    Plain dictionaries for the rest: ids and prompts repeat within a group, names of raters and shards within a file.
    """
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": [one.name for one in schema if one.name not in {*floats, *unrepeated} and not one.type.num_fields],
        "use_byte_stream_split": [name for name in floats if name in schema.names],
        "write_page_checksum": True,
        "store_schema": False,
    }


def row_groups(rows: int) -> int:
    """How many row groups `write_table` makes of a part with so many rows."""
    return -(-rows // ROWS_PER_GROUP)


def read_batches(
    path: Path, schema: pa.Schema, rows: int, *, columns: Sequence[str] | None = None, groups: Sequence[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of a table file, `BATCH_ROWS` at a time, every page checked against its checksum.

    `schema` and `rows` are what the file is to hold, but that it may lack columns of `ADDED`; `groups` picks row groups.
    Raises `StoreError` naming the file where it is missing or anything of what is read is damaged.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
            there = set(file.schema_arrow.names)
            written = pa.schema([field for field in schema if field.name in there or field.name not in ADDED])
            if file.schema_arrow != written or file.metadata.num_rows != rows:
                raise pa.ArrowInvalid("its footer is not the one that was written")
            wanted = schema if columns is None else pa.schema([schema.field(name) for name in schema.names if name in columns])
            stored = [name for name in wanted.names if name in there]
            for batch in file.iter_batches(BATCH_ROWS, columns=stored, row_groups=groups):
                yield batch if len(stored) == len(wanted) else _with_nulls(batch, wanted)
    except FileNotFoundError as problem:
        raise StoreError(
            f"{path} is missing; if another process has just changed the store, run the same command again, "
            "else restore it from a copy"
        ) from problem
    except (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError) as problem:
        reason = str(problem).split("\n")[0]
        raise StoreError(f"{path} is damaged ({reason}); restore it from a copy, or rate into a new store") from problem


def _with_nulls(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch with the columns of `schema`, null where it has none."""
    there = set(batch.schema.names)
    columns = [batch.column(one.name) if one.name in there else pa.nulls(batch.num_rows, one.type) for one in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
