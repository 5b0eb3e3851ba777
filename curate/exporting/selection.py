"""Selections: the Parquet files that filter, rank and pair write, read as a stream in one fixed order.

Rows are sorted out of core by DuckDB, by split and group, so that an export depends on what is in a selection and not on
the order in which it was written, and so that all rows of a group come together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from curate.database import connect, first_line, no_pattern, trouble
from curate.errors import CurateError, OutputError
from curate.files import no_space
from curate.records import Pair
from curate.select.output import read_made

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["samples", "rankings", "pairs"]

_NEEDED: Mapping[Kind, tuple[str, ...]] = {
    "pairs": ("group", "chosen", "rejected", "margin", "chosen_value", "rejected_value"),
    "rankings": ("group", "sample", "rank", "value"),
    "samples": ("sample",),
}
_MAY_HAVE: Mapping[Kind, tuple[str, ...]] = {
    "pairs": ("confidence", "split"),
    "rankings": ("spread", "wins", "split"),
    "samples": ("row",),
}
_WRITTEN_BY: Mapping[Kind, str] = {"pairs": "pair", "rankings": "rank", "samples": "filter"}
_ORDER: Mapping[Kind, tuple[str, ...]] = {
    "pairs": ("split", "group", "chosen", "rejected", "margin", "chosen_value", "rejected_value", "confidence"),
    "rankings": ("split", "group", "rank", "sample", "value", "spread", "wins"),
    "samples": ("row", "sample"),
}
_SPLIT = re.compile(r"[a-z][a-z0-9_]{0,31}")
_FETCH = 2048
_MEMORY = "512MB"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedRow:
    """One row of a ranking, as it was written."""

    group: str
    sample: str
    rank: int
    """1 is best; equal ranks are ties."""
    value: float
    spread: float | None
    wins: float | None
    """RankDPO's φ in [0, 1] where the ranking was made with it."""
    split: str


class Selection:
    """A selection on disk. Nothing of it is held in memory but the group that is being read."""

    def __init__(self, path: str | Path) -> None:
        """Reads the columns; raises `CurateError` for a file that is no selection."""
        self.path = str(path)
        self._columns, self.rows = _columns(self.path)
        self.kind: Kind = _kind(self.path, self._columns)
        self._is_sound = False

    def require(self, kind: Kind, format_name: str) -> None:
        """Raises `CurateError` unless this selection is of the kind that a format takes."""
        refuse_other_kind(format_name, kind, self.kind, f"{self.path} holds")

    def splits(self) -> list[str]:
        """The names of its splits, in order."""
        return sorted({_split(name) for name in self._distinct("split")} if "split" in self._columns else {"train"})

    def asked_for_wins(self) -> bool:
        """Whether rankings were made with φ, so that a row without one has none, rather than one to be counted."""
        asked = read_made(self.path).get("asked", {}).get("wins")
        return bool(asked) or ("wins" in self._columns and any(value is not None for value in self._distinct("wins")))

    def pairs(self, scratch: Path) -> Iterator[list[Pair]]:
        """The pairs, one list for each group within each split. `scratch` is a folder where the sorting may spill."""
        rows = (
            Pair(
                group=row["group"],
                chosen=row["chosen"],
                rejected=row["rejected"],
                margin=self._number(row, "margin"),
                chosen_value=self._number(row, "chosen_value"),
                rejected_value=self._number(row, "rejected_value"),
                confidence=_finite(row["confidence"]),
                split=_split(row["split"]),
            )
            for row in self._rows(scratch)
        )
        for _, group in groupby(rows, key=lambda pair: (pair.split, pair.group)):
            yield list(group)

    def rankings(self, scratch: Path) -> Iterator[list[RankedRow]]:
        """The rankings, one list for each group within each split, best first."""
        rows = (
            RankedRow(
                group=row["group"],
                sample=row["sample"],
                rank=int(row["rank"]),
                value=self._number(row, "value"),
                spread=_finite(row["spread"]),
                wins=_finite(row["wins"]),
                split=_split(row["split"]),
            )
            for row in self._rows(scratch)
        )
        for _, group in groupby(rows, key=lambda row: (row.split, row.group)):
            yield list(group)

    def samples(self, scratch: Path) -> Iterator[str]:
        """The ids of the samples kept, in the order of the selection."""
        for row in self._rows(scratch):
            yield row["sample"]

    def _distinct(self, column: str) -> set[Any]:
        """The values of a column, each once."""
        found: set[Any] = set()
        for batch in self._batches([column]):
            found.update(batch.column(0).unique().to_pylist())
        return found

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows as they lie, every page by its checksum. Raises `CurateError` where one is not what was written."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
                yield from file.iter_batches(columns=columns)
        except (OSError, pa.ArrowException) as problem:
            raise CurateError(f"{self.path} is damaged ({first_line(problem)}); make the selection again") from problem

    def _number(self, row: Mapping[str, Any], name: str) -> float:
        """A value as a float, whatever numeric type an expression gave its column."""
        if row[name] is None:
            raise CurateError(f"{self.path} has a row without a value in '{name}'; make the selection again")
        return float(row[name])

    def _rows(self, scratch: Path) -> Iterator[dict[str, Any]]:
        names = _NEEDED[self.kind] + _MAY_HAVE[self.kind]
        present = [name for name in names if name in self._columns]
        absent = dict.fromkeys(set(names) - set(present))
        order = [name for name in _ORDER[self.kind] if name in present]
        if not self._is_sound:  # DuckDB looks at no checksums
            for _ in self._batches(present):
                pass
            self._is_sound = True
        for row in sorted_rows(self.path, present, order, scratch):
            yield absent | dict(zip(present, row, strict=True))


def refuse_other_kind(format_name: str, takes: Kind, kind: Kind, holds: str) -> None:
    """Raises `CurateError` unless the format takes this kind; `holds` says what is of it, such as 'ranking.parquet holds'."""
    if kind != takes:
        made = f"make {takes} with `curate {_WRITTEN_BY[takes]}`"
        raise CurateError(f"the format '{format_name}' takes {takes}, and {holds} {kind}; {made}")


def sorted_rows(path: str, columns: Sequence[str], order: Sequence[str], scratch: Path) -> Iterator[tuple[Any, ...]]:
    """Rows of a Parquet file in the order of some columns, nulls first, sorted on disk where memory does not do."""
    import duckdb

    def quoted(names: Sequence[str]) -> list[str]:
        return ['"' + name.replace('"', '""') + '"' for name in names]

    query = f"SELECT {', '.join(quoted(columns))} FROM read_parquet(?)"
    if order:
        query += " ORDER BY " + ", ".join(f"{name} ASC NULLS FIRST" for name in quoted(order))
    with connect(memory=_MEMORY, scratch=scratch) as connection:
        try:
            result = connection.execute(query, [no_pattern(path)])
            while rows := result.fetchmany(_FETCH):
                yield from rows
        except duckdb.Error as problem:
            if trouble(problem) == "full":
                raise OutputError(no_space(scratch)) from problem
            raise CurateError(f"{path} cannot be read ({first_line(problem)})") from problem


def _split(name: str | None) -> str:
    """The name of a split, which becomes part of file names: `train` where none is said."""
    if name is None:
        return "train"
    if not _SPLIT.fullmatch(name):
        raise CurateError(f"the split '{name[:40]}' cannot be a file name; call it by small letters, digits and underscores")
    return name


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _columns(path: str) -> tuple[frozenset[str], int]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if Path(path).is_dir():
            raise CurateError(f"{path} is a folder; a selection is one Parquet file, as `curate rank --out FILE` writes it")
        if not Path(path).exists():
            raise CurateError(f"there is no file {path}; pass a selection, which filter, rank or pair wrote")
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            # Selections name samples by texts, the store's own tables by bytes.
            ids = [schema.field(name).type for name in ("sample", "group", "chosen", "rejected") if name in schema.names]
            if any(map(pa.types.is_fixed_size_binary, ids)):
                raise CurateError(f"{path} is a table of a store, not a selection; pass a file that filter, rank or pair wrote")
            return frozenset(schema.names), file.metadata.num_rows
    except (OSError, pa.ArrowInvalid, UnicodeEncodeError) as problem:
        raise CurateError(f"{path} is not a selection ({problem}); pass a file that filter, rank or pair wrote") from problem


def _kind(path: str, columns: frozenset[str]) -> Kind:
    for kind, needed in _NEEDED.items():
        if columns.issuperset(needed):
            return kind
    raise CurateError(
        f"{path} has the columns {', '.join(sorted(columns)) or '(none)'}, which are neither those of pairs "
        f"({', '.join(_NEEDED['pairs'])}), of rankings ({', '.join(_NEEDED['rankings'])}) nor of kept samples (sample)"
    )
