"""Checks of lists of ids: complete, unique, and the text equal to the table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from curate.checking.findings import Finding, Place
from curate.checking.ledger import no_rows
from curate.checking.schema import column_findings, row_schema
from curate.checking.tables import missing_parts, tables, unreadable

_TEXT = "ids.txt"


def check(folder: Path) -> Iterator[Finding]:
    """Findings of the tables and of the text."""
    yield from missing_parts(folder)
    ids: list[str] = []
    seen: set[str] = set()
    for table in tables(folder):
        try:
            yield from column_findings(table.schema(), row_schema("ids"), table.place)
            for place, row in table.rows(["sample"]):
                sample = row.get("sample")
                if not isinstance(sample, str) or not sample:
                    yield place.error("wrong-type", "it has no id", "Leave the row out.")
                    continue
                if sample in seen:
                    yield place.warning(
                        "duplicate-sample", f"the sample {sample} stands in an earlier row too", "Keep one of them."
                    )
                seen.add(sample)
                ids.append(sample)
        except (OSError, pa.ArrowInvalid) as problem:
            yield unreadable(table, problem)
    if not ids:
        yield no_rows("sample in a Parquet file")
    place = Place(file=_TEXT)
    if not (folder / _TEXT).is_file():
        yield place.error("missing-file", "it does not exist", "Write the export again.")
    elif (folder / _TEXT).read_text(encoding="utf-8", errors="replace").split() != ids:
        yield place.error("changed-file", "it lists other ids than the table", "Write the export again.")
