"""Checks of lists of ids: complete, unique, and the text equal to the table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curate.checking.files import escape, inside, is_file
from curate.checking.findings import Finding, Place
from curate.checking.outline import Likeness, Outline
from curate.checking.schema import column_findings, row_schema
from curate.checking.tables import Table, is_table, walk

_TEXT = "ids.txt"


def looks_like(outline: Outline) -> Likeness | None:
    """A table of samples without their pictures."""
    named = (name for name, columns in outline.columns.items() if "sample" in columns.names and not columns.pictures)
    name = next(named, None)
    return Likeness(names=1, reason=f"{name} has a column of samples and no images") if name else None


def reads(folder: Path, name: str) -> bool:
    """Any table that `datasets` finds."""
    return is_table(name)


def check(folder: Path) -> Iterator[Finding]:
    """Findings of the tables and of the text."""
    ids: list[str] = []
    seen: set[str] = set()

    def of_row(row: dict[str, Any], split: str, place: Place) -> Iterator[Finding]:
        sample = row.get("sample")
        if not isinstance(sample, str) or not sample:
            yield place.error("wrong-type", "it has no id", "Leave the row out.")
            return
        if sample in seen:
            yield place.warning("duplicate-sample", f"the sample {sample} stands in an earlier row too", "Keep one of them.")
        seen.add(sample)
        ids.append(sample)

    yield from walk(folder, ["sample"], _columns, of_row)
    place = Place(file=_TEXT)
    text = inside(folder, _TEXT)
    if text is None:
        yield escape(folder, _TEXT, place)
    elif not is_file(text):
        yield place.error("missing-file", "it does not exist", "Write the export again.")
    elif text.read_text(encoding="utf-8", errors="replace").split() != ids:
        yield place.error("changed-file", "it lists other ids than the table", "Write the export again.")


def _columns(table: Table) -> Iterator[Finding]:
    yield from column_findings(table.schema(), row_schema("ids"), table.place)
