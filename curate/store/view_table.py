"""The file of a view: its columns, its settings, and what its footer says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.files import atomic_file
from curate.records import RaterColumns, View
from curate.store.table_files import parquet_options

ROWS_PER_GROUP = 122_880
"""What DuckDB hands to one thread at a time."""

_FOOTER = b"curate.view"

_NUMBERS = ("index", "width", "height", "bytes")

_UNREPEATED = ("row", "group_no", "sample", "key", "digest", "bytes")


def view_schema(raters: Mapping[str, RaterColumns]) -> pa.Schema:
    """The columns of a view, in order; see `records.View`."""
    fields = [("row", pa.int64()), ("group_no", pa.int64())]
    fields += [(name, pa.int64() if name in _NUMBERS else pa.string()) for name in View.FIELDS]
    for name, columns in raters.items():
        for dimension in columns.dimensions:
            fields.append((f"{name}.{dimension}", pa.float64()))
            if dimension in columns.spreads:
                fields.append((f"{name}.{dimension}.spread", pa.float64()))
        fields.append((f"{name}.status", pa.string()))
    return pa.schema(fields)


def write_view_table(
    path: Path,
    batches: Iterable[pa.RecordBatch],
    raters: Mapping[str, RaterColumns],
    *,
    gone: Collection[str] = (),
    repeated: int = 0,
) -> View:
    """Write the file of a view from its rows, ordered by group, then by sample; those of shards that are gone are left out.

    `repeated` is the `View`'s.

    The batches have the columns of `view_schema(raters)` but for `row` and `group_no`, which are made here. Their sizes do
    not show in the file: equal rows give equal bytes.
    """
    left_out: Counter[str] = Counter()
    if gone:
        batches = _remaining(batches, gone, left_out)
    schema = view_schema(raters)
    floats = [one.name for one in schema if pa.types.is_floating(one.type)]
    options = parquet_options(schema, floats=floats, unrepeated=_UNREPEATED)
    rows = groups = 0
    with atomic_file(path) as aside, pq.ParquetWriter(aside, schema, **options) as writer:
        for table in _regrouped(_numbered(batches, schema)):
            writer.write_table(table, row_group_size=ROWS_PER_GROUP)
            rows, groups = rows + table.num_rows, table["group_no"][-1].as_py() + 1
        lost = dict(sorted(left_out.items()))
        view = View(path=str(path), rows=rows, groups=groups, raters=dict(raters), repeated=repeated, left_out=lost)
        about = {name: value for name, value in asdict(view).items() if name != "path"}
        writer.add_key_value_metadata({_FOOTER: json.dumps(about)})
    return view


def read_view(path: Path) -> View | None:
    """The view that a file holds; None where there is no such file, or it is no view."""
    try:
        about = json.loads(pq.read_metadata(path).metadata[_FOOTER])
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return None
    raters = {
        name: RaterColumns(card=one["card"], main=one["main"], dimensions=tuple(one["dimensions"]), spreads=tuple(one["spreads"]))
        for name, one in about["raters"].items()
    }
    return View(
        path=str(path),
        rows=about["rows"],
        groups=about["groups"],
        raters=raters,
        repeated=about["repeated"],
        left_out=about["left_out"],
    )


def _remaining(batches: Iterable[pa.RecordBatch], gone: Collection[str], left_out: Counter[str]) -> Iterator[pa.RecordBatch]:
    """The rows whose shards are not gone; the others are counted by shard."""
    lost = pa.array(sorted(gone), pa.string())
    for batch in batches:
        is_lost = pc.is_in(batch.column("shard"), value_set=lost)
        left_out.update(batch.column("shard").filter(is_lost).to_pylist())
        yield batch.filter(pc.invert(is_lost))


def _numbered(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """The batches with `row` and `group_no`."""
    row, group, last = 0, -1, None
    for batch in batches:
        if not batch.num_rows:
            continue
        groups = batch.column("group")
        new = np.empty(len(groups), dtype=np.int64)
        new[0] = groups[0] != last
        new[1:] = pc.not_equal(groups.slice(1), groups.slice(0, len(groups) - 1)).to_numpy(zero_copy_only=False)
        numbers = group + np.cumsum(new)
        columns = {"row": pa.array(np.arange(row, row + len(groups))), "group_no": pa.array(numbers)}
        columns |= {name: batch.column(name) for name in schema.names[2:]}
        yield pa.table(columns, schema=schema)
        row, group, last = row + len(groups), int(numbers[-1]), groups[-1]


def _regrouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of exactly one row group each, but for the last."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        while rows >= ROWS_PER_GROUP:
            joined = pa.concat_tables(waiting)
            # One piece: where the pieces end would show in the pages.
            yield joined.slice(0, ROWS_PER_GROUP).combine_chunks()
            waiting, rows = [joined.slice(ROWS_PER_GROUP)], rows - ROWS_PER_GROUP
    if rows:
        yield pa.concat_tables(waiting).combine_chunks()
