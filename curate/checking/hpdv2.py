"""Checks of HPDv2's pairs, by the rules of HPSv2's training/data.py.

It makes one Arrow table of a file, opens `train/` + each of `file_path`, takes `human_preference` as the weights of two losses,
and replaces a row that raises by the next one without a word. `test.json` has `image_path` and `rank`, where smaller is better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.checking.files import Problem, json_rows
from curate.checking.findings import Finding, Place
from curate.checking.images import Looker
from curate.checking.json_files import files_of_rows
from curate.checking.ledger import Ledger, no_rows, prompt_findings, too_few_rows
from curate.checking.named import named_images
from curate.checking.outline import Likeness, Outline
from curate.checking.ranks import ranks_against_values
from curate.checking.schema import row_findings, row_schema

_UNEQUAL = "each is resized and cropped by itself"
_BATCH = 16
_OPENED = ("train", "test")


def looks_like(outline: Outline) -> Likeness | None:
    """Rows of pairs."""
    return outline.with_fields({"human_preference", "file_path"})


def reads(folder: Path, name: str) -> bool:
    """The two files; images only where those name them."""
    return name in {f"{split}.json" for split in _OPENED}


def check(folder: Path) -> Iterator[Finding]:
    """Findings of `train.json` and `test.json`, and of the files of other splits, which no reader opens."""
    ledger, looker, found = Ledger(), Looker(), 0
    for split in (*_OPENED, *_others(folder)):
        place = Place(file=f"{split}.json")
        if split not in _OPENED:
            yield place.warning("unread-split", "readers open train.json and test.json alone", "Call the split by one of these.")
        try:
            rows = json_rows(folder, f"{split}.json")
        except Problem as problem:
            yield problem.finding
            continue
        yield from _one_table(rows, place)
        found += len(rows)
        for at, row in rows:
            yield from _row(folder, split, row, at, ledger, looker)
        if split == "train":
            yield from too_few_rows(len(rows), _BATCH, "HPSv2", place)
    if not found:
        yield no_rows("row in train.json or test.json")


def _others(folder: Path) -> list[str]:
    """The splits beside those that readers open."""
    names = [name.removesuffix(".json") for name in files_of_rows(folder, {"prompt"})]
    return [name for name in names if name not in _OPENED]


def _row(folder: Path, split: str, row: Any, place: Place, ledger: Ledger, looker: Looker) -> Iterator[Finding]:
    wrong = list(row_findings(row, row_schema("hpdv2")["$defs"]["train" if split == "train" else "test"], place))
    if wrong:
        yield from wrong
    elif split == "train":
        yield from _training_row(folder, row, place, ledger, looker)
    else:
        yield from _ranking_row(folder, split, row, place, ledger, looker)


def _one_table(rows: Sequence[tuple[Place, Any]], place: Place) -> Iterator[Finding]:
    """Whether the rows make one Arrow table, of which the first row names the columns."""
    dicts = [row for _, row in rows if isinstance(row, dict)]
    fix = "Give every row the same fields and types."
    for number, row in enumerate(dicts):
        if odd := sorted(row.keys() ^ dicts[0].keys()):
            message = f"row {number} differs from the first in {', '.join(odd)[:200]}, and the table has the fields of the first"
            yield place.error("mixed-schema", message, fix)
            return
    try:
        pa.Table.from_pylist(dicts)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as problem:
        yield place.error("mixed-schema", f"its rows make no table ({problem})", fix)


def _training_row(folder: Path, row: dict[str, Any], place: Place, ledger: Ledger, looker: Looker) -> Iterator[Finding]:
    looks, wrong = named_images(folder, "train", row["file_path"], place, looker, unequal_sizes=_UNEQUAL)
    yield from wrong
    yield from prompt_findings(row["prompt"], place)
    yield from ledger.prompt(row["prompt"], "train", place)
    first, second = row["human_preference"]
    if first == second:
        yield place.error("tie", f"human_preference is {[first, second]}: no image is preferred", "Leave the row out.")
        return
    if {first, second} != {0, 1}:
        yield place.warning("soft-label", f"human_preference is {[first, second]}, which weighs both sides", "Write 1 and 0.")
    winner = 0 if first > second else 1
    values = row.get("values")
    if values and values[winner] == values[1 - winner]:
        yield place.error("tie", f"one image is preferred, and the values are {values}", "Leave the row out.")
    elif values and values[winner] < values[1 - winner]:
        yield place.error(
            "label-flip", f"the preferred image has the smaller of the values {values}", "Turn the preference around."
        )
    if looks is not None:
        yield from ledger.preference(row["prompt"], looks[winner].digest, looks[1 - winner].digest, place)


def _ranking_row(
    folder: Path, split: str, row: dict[str, Any], place: Place, ledger: Ledger, looker: Looker
) -> Iterator[Finding]:
    looks, wrong = named_images(folder, split, row["image_path"], place, looker, unequal_sizes=_UNEQUAL)
    yield from wrong
    yield from prompt_findings(row["prompt"], place)
    yield from ledger.prompt(row["prompt"], split, place)
    ranks = row["rank"]
    if len(ranks) != len(row["image_path"]):
        yield place.error("wrong-length", f"{len(row['image_path'])} images and {len(ranks)} ranks", "Write one rank for each.")
        return
    if len(set(ranks)) == 1:
        yield place.warning("tie", "all its images have one rank, so any order is right", "Leave the row out.")
    yield from ranks_against_values(ranks, row.get("values"), "images", place)
    if looks is not None:
        yield from ledger.ranking(row["prompt"], [look.digest for look in looks], ranks, place)
