"""What a folder looks like from outside: the names of its files, columns and fields, by which its format is guessed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from curate.checking.files import Problem, files_below, json_rows, relative
from curate.checking.tables import picture_columns, tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """Why a folder may be of a format."""

    names: int
    """How many names had to be there for it; the format that asks for the most is taken."""
    reason: str
    """A clause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Of one Parquet file."""

    names: Collection[str]
    pictures: Collection[str]
    """Those that `datasets` would decode."""


class Outline:
    """A folder, looked at once for all formats."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def columns(self) -> Mapping[str, Columns]:
        """By Parquet file; without those that cannot be read."""
        return dict(self._columns())

    @cached_property
    def fields(self) -> Mapping[str, Collection[str]]:
        """Of the first row, by file that is a JSON list of objects."""
        return dict(self._fields())

    def with_columns(self, needed: Collection[str]) -> Likeness | None:
        """A Parquet file that has all these columns."""
        for name, columns in self.columns.items():
            if set(needed) <= set(columns.names):
                return Likeness(names=len(needed), reason=f"{name} has the columns {', '.join(sorted(needed))}")
        return None

    def with_fields(self, needed: Collection[str]) -> Likeness | None:
        """A JSON list whose rows have all these fields."""
        for name, fields in self.fields.items():
            if set(needed) <= set(fields):
                return Likeness(names=len(needed), reason=f"the rows of {name} have {' and '.join(sorted(needed))}")
        return None

    def _columns(self) -> Iterator[tuple[str, Columns]]:
        import pyarrow as pa

        for table in tables(self.folder):
            try:
                schema = table.schema()
            except (OSError, pa.ArrowInvalid):
                continue
            yield table.name, Columns(names=schema.names, pictures=picture_columns(self.folder, schema))

    def _fields(self) -> Iterator[tuple[str, Collection[str]]]:
        for path in files_below(self.folder, ".json"):
            name = relative(self.folder, path)
            try:
                first = next((row for _, row in json_rows(self.folder, name)), None)
            except Problem:
                continue
            if isinstance(first, dict):
                yield name, first.keys()
