"""Checks of tables with pictures, by the rules of `datasets.load_dataset`: `Image()` features with bytes inside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.checking.findings import Finding, Place
from curate.checking.images import Looker, image_findings
from curate.checking.ledger import no_rows, prompt_findings
from curate.checking.schema import column_findings, row_schema
from curate.checking.tables import missing_parts, picture_columns, tables, unreadable

_COLUMNS = ("sample", "prompt", "ratings")


def check(folder: Path) -> Iterator[Finding]:
    """Findings of every split."""
    yield from missing_parts(folder)
    looker, seen, rows = Looker(), set[str](), 0
    for table in tables(folder):
        try:
            columns = table.schema()
            pictures = sorted(picture_columns(folder, columns))
            yield from column_findings(columns, row_schema("parquet"), table.place)
            if not pictures:
                yield table.place.error(
                    "image-feature", "no column is an Image() feature, so none is shown as a picture", "Declare it."
                )
            for place, row in table.rows((*_COLUMNS, *pictures)):
                rows += 1
                yield from _row(row, pictures, place, looker)
                yield from _repeated(row.get("sample"), seen, place)
        except (OSError, pa.ArrowInvalid) as problem:
            yield unreadable(table, problem)
    if not rows:
        yield no_rows("row in a Parquet file")


def _row(row: dict[str, Any], pictures: list[str], place: Place, looker: Looker) -> Iterator[Finding]:
    for name in pictures:
        cell = row[name]
        if cell is None and name != "image":
            continue  # not every sample has every condition
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(data, bytes):
            yield place.error(
                "undecodable", f"{name} carries no bytes, only a path that no other machine has", "Embed the bytes."
            )
            continue
        yield from image_findings(looker.look(data), name, place)
    if "prompt" in row and row["prompt"] is not None:
        yield from prompt_findings(row["prompt"], place)
    ratings = row.get("ratings")
    for rating in [one for one in ratings if isinstance(one, dict)] if isinstance(ratings, list) else []:
        if (rating.get("value") is not None) != (rating.get("status") == "ok"):
            yield place.error(
                "failure-as-number",
                f"the rating by {rating.get('rater')} has the value {rating.get('value')} and the status {rating.get('status')}",
                "A value stands beside the status ok, and only there.",
            )


def _repeated(sample: Any, seen: set[str], place: Place) -> Iterator[Finding]:
    if isinstance(sample, str):
        if sample in seen:
            yield place.warning("duplicate-sample", f"the sample {sample} stands in an earlier row too", "Keep one of them.")
        seen.add(sample)
