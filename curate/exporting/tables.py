"""Parquet files of an export, one set for each split, written row group by row group.

Media columns are stored plain and uncompressed: their bytes are compressed already, and storage that finds repeated chunks
finds them again in the next version of a dataset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from curate.exporting.folder import Folder, HashingFile
from curate.exporting.options import Options

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


class SplitTables:
    """Writes rows to `SPLIT-00000-of-0000N.parquet`; rows of one split have to come together."""

    def __init__(self, folder: Folder, schema: pa.Schema, *, options: Options) -> None:
        """Fields of the schema whose type holds binary values are the media."""
        self._folder = folder
        self._schema = schema
        self._options = options
        self._split: str | None = None
        self._set: _FileSet | None = None
        self.rows: dict[str, int] = {}
        """By split."""

    def write(self, split: str, row: Mapping[str, Any], media_bytes: int) -> None:
        """Add a row, of which `media_bytes` are media."""
        if split != self._split:
            self._finish_split()
            self._split = split
            self._set = _FileSet(self._folder, split, self._schema, self._options)
        assert self._set is not None
        self._set.write(row, media_bytes)
        self.rows[split] = self.rows.get(split, 0) + 1

    @property
    def patterns(self) -> dict[str, str]:
        """The pattern of each split's files."""
        return {split: f"{split}-*.parquet" for split in self.rows}

    def close(self) -> None:
        """Finish the last split. Not called when an exception ends the export: its folder is removed whole."""
        self._finish_split()

    def abandon(self) -> None:
        """Close files without finishing them."""
        if self._set is not None:
            self._set.abandon()

    def __enter__(self) -> SplitTables:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def _finish_split(self) -> None:
        if self._set is not None:
            self._set.close()
            self._set = None


class _FileSet:
    """The files of one split."""

    def __init__(self, folder: Folder, split: str, schema: pa.Schema, options: Options) -> None:
        self._folder = folder
        self._split = split
        self._schema = schema
        self._options = options
        self._rows: list[Mapping[str, Any]] = []
        self._row_bytes = 0
        self._file: HashingFile | None = None
        self._writer: pq.ParquetWriter | None = None
        self._file_rows = 0
        self._closed: list[tuple[HashingFile, str]] = []

    def write(self, row: Mapping[str, Any], media_bytes: int) -> None:
        self._rows.append(row)
        self._row_bytes += media_bytes + _ROW_OVERHEAD
        if self._row_bytes >= self._options.row_group_bytes:
            self._flush()

    def close(self) -> None:
        """Flush, close, and name the files now that their number is known."""
        self._flush()
        self._close_file()
        for number, (file, name) in enumerate(self._closed):
            self._folder.add(file, f"{self._split}-{number:05}-of-{len(self._closed):05}.parquet", renamed_from=name)

    def abandon(self) -> None:
        if self._file is not None:
            self._file.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._rows:
            return
        writer = self._open_writer()
        writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema), row_group_size=len(self._rows))
        self._file_rows += len(self._rows)
        self._rows, self._row_bytes = [], 0
        assert self._file is not None
        if self._file.tell() >= self._options.file_bytes or self._file_rows >= self._options.file_rows:
            self._close_file()

    def _open_writer(self) -> pq.ParquetWriter:
        import pyarrow.parquet as pq

        if self._writer is None:
            name = f"{self._split}-{len(self._closed):05}.parquet"
            self._file = self._folder.open(name)
            self._writer = pq.ParquetWriter(self._file, self._schema, **_storage(self._schema))
            self._file_rows = 0
        return self._writer

    def _close_file(self) -> None:
        if self._writer is None or self._file is None:
            return
        self._writer.close()
        self._file.close()
        self._closed.append((self._file, f"{self._split}-{len(self._closed):05}.parquet"))
        self._writer = self._file = None


_ROW_OVERHEAD = 512
"""Bytes of a row besides its media, roughly, so that rows of little media fill a row group too."""


def _storage(schema: pa.Schema) -> dict[str, Any]:
    leaves = dict(_leaves(schema))
    media = [path for path, is_media in leaves.items() if is_media]
    others = [path for path, is_media in leaves.items() if not is_media]
    return {
        "compression": dict.fromkeys(media, "none") | dict.fromkeys(others, "zstd"),
        "use_dictionary": others,
        "column_encoding": dict.fromkeys(media, "PLAIN") or None,
        "write_statistics": others,
        "write_page_index": True,
        "write_page_checksum": True,
        "store_schema": True,
    }


def _leaves(fields: Sequence[pa.Field] | pa.Schema, parent: str = "") -> Iterator[tuple[str, bool]]:
    """Each leaf column's path in the Parquet file, and whether it holds media."""
    import pyarrow as pa

    for field in fields:
        yield from _leaves_of(field.type, f"{parent}{field.name}", pa)


def _leaves_of(kind: pa.DataType, path: str, pa: Any) -> Iterator[tuple[str, bool]]:
    if pa.types.is_struct(kind):
        for inner in kind:
            yield from _leaves_of(inner.type, f"{path}.{inner.name}", pa)
    elif pa.types.is_list(kind):
        yield from _leaves_of(kind.value_type, f"{path}.list.element", pa)
    else:
        yield path, bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
