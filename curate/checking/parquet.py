"""Checks of tables with pictures, by the rules of `datasets.load_dataset`: `Image()` features with bytes inside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curate.checking.findings import Finding, Place
from curate.checking.images import Looker, image_findings
from curate.checking.ledger import prompt_findings, unprompted
from curate.checking.outline import Likeness, Outline
from curate.checking.record import rating_findings
from curate.checking.schema import column_findings, number_findings, row_schema
from curate.checking.tables import Table, is_table, picture_columns, walk


def looks_like(outline: Outline) -> Likeness | None:
    """Any table with pictures."""
    name = next((name for name, columns in outline.columns.items() if columns.pictures), None)
    return Likeness(names=1, reason=f"{name} has a column of images") if name else None


def reads(folder: Path, name: str) -> bool:
    """Any table that `datasets` finds."""
    return is_table(name)


def check(folder: Path) -> Iterator[Finding]:
    """Findings of every split."""
    samples = _Samples(folder)
    yield from walk(folder, None, samples.of_columns, samples.of_row)
    yield from samples.prompted.findings()


class _Samples:
    """What is known of the rows so far, and of the columns of the file they stand in."""

    def __init__(self, folder: Path) -> None:
        self.prompted = unprompted()
        self._folder = folder
        self._looker = Looker(compared=False)
        self._seen: set[str] = set()
        self._pictures: list[str] = []

    def of_columns(self, table: Table) -> Iterator[Finding]:
        columns = table.schema()
        self._pictures = sorted(picture_columns(self._folder, columns))
        yield from column_findings(columns, row_schema("parquet"), table.place)
        if not self._pictures:
            yield table.place.error(
                "image-feature", "no column is an Image() feature, so none is shown as a picture", "Declare it."
            )

    def of_row(self, row: dict[str, Any], split: str, place: Place) -> Iterator[Finding]:
        for name in self._pictures:
            yield from self._picture(row[name], name, place)
        if "prompt" in row:
            self.prompted.note(row["prompt"] is not None, place)
            if row["prompt"] is not None:
                yield from prompt_findings(row["prompt"], place)
        if "sample" in row:
            yield from self._sample(row["sample"], place)
        if "ratings" in row:  # by which curate's own tables are told: others call anything labels and meta
            yield from _ratings(row, place)
            yield from _texts_of_json(row, place)

    def _picture(self, cell: Any, name: str, place: Place) -> Iterator[Finding]:
        if cell is None and name != "image":
            return  # not every sample has every condition
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        if isinstance(data, bytes):
            yield from image_findings(self._looker.look(data), name, place)
        else:
            message = f"{name} carries no bytes, only a path that no other machine has"
            yield place.error("undecodable", message, "Embed the bytes.")

    def _sample(self, sample: Any, place: Place) -> Iterator[Finding]:
        if not isinstance(sample, str) or not sample:
            yield place.error("wrong-type", "it has no id", "Leave the row out.")
        elif sample in self._seen:
            yield place.warning("duplicate-sample", f"the sample {sample} stands in an earlier row too", "Keep one of them.")
        else:
            self._seen.add(sample)


def _ratings(row: dict[str, Any], place: Place) -> Iterator[Finding]:
    yield from number_findings(row, row_schema("parquet"), ["ratings"], place)
    ratings = row["ratings"]
    for rating in [one for one in ratings if isinstance(one, dict)] if isinstance(ratings, list) else []:
        yield from rating_findings(rating, place)


def _texts_of_json(row: dict[str, Any], place: Place) -> Iterator[Finding]:
    for name in ("labels", "meta"):
        if isinstance(row.get(name), str):
            try:
                json.loads(row[name], parse_constant=_refuse)
            except (ValueError, RecursionError) as problem:
                yield place.error("not-json", f"{name} is not JSON ({problem})", "Write the export again.")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
