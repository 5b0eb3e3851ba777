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
from curate.checking.ledger import Ledger, prompt_findings, too_few_rows
from curate.checking.named import named_images
from curate.checking.schema import row_findings, row_schema

_UNEQUAL = "each is resized and cropped by itself"
_BATCH = 16


def check(folder: Path) -> Iterator[Finding]:
    """Findings of `train.json` and `test.json`."""
    ledger, looker = Ledger(), Looker()
    for split in ("train", "test"):
        try:
            rows = json_rows(folder, f"{split}.json")
        except Problem as problem:
            yield problem.finding
            continue
        yield from _one_table(rows, Place(file=f"{split}.json"))
        contract = row_schema("hpdv2")["$defs"][split]
        for place, row in rows:
            wrong = list(row_findings(row, contract, place))
            if wrong:
                yield from wrong
            elif split == "train":
                yield from _training_row(folder, row, place, ledger, looker)
            else:
                yield from _ranking_row(folder, row, place, ledger, looker)
        if split == "train":
            yield from too_few_rows(len(rows), _BATCH, "HPSv2", Place(file="train.json"))


def _one_table(rows: Sequence[tuple[Place, Any]], place: Place) -> Iterator[Finding]:
    try:
        pa.Table.from_pylist([row for _, row in rows if isinstance(row, dict)])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as problem:
        yield place.error("mixed-schema", f"its rows make no table ({problem})", "Give every row the same fields and types.")


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
    if values and values[winner] < values[1 - winner]:
        yield place.error(
            "label-flip", f"the preferred image has the smaller of the values {values}", "Turn the preference around."
        )
    if looks is not None:
        yield from ledger.preference(row["prompt"], looks[winner].digest, looks[1 - winner].digest, place)


def _ranking_row(folder: Path, row: dict[str, Any], place: Place, ledger: Ledger, looker: Looker) -> Iterator[Finding]:
    looks, wrong = named_images(folder, "test", row["image_path"], place, looker, unequal_sizes=_UNEQUAL)
    yield from wrong
    yield from prompt_findings(row["prompt"], place)
    yield from ledger.prompt(row["prompt"], "test", place)
    ranks, values = row["rank"], row.get("values")
    if len(ranks) != len(row["image_path"]):
        yield place.error("wrong-length", f"{len(row['image_path'])} images and {len(ranks)} ranks", "Write one rank for each.")
        return
    if len(set(ranks)) == 1:
        yield place.warning("tie", "all its images have one rank, so any order is right", "Leave the row out.")
    best, worst = ranks.index(min(ranks)), ranks.index(max(ranks))
    if values and len(values) == len(ranks) and values[best] < values[worst]:
        yield place.error(
            "label-flip", "the image of the best rank has a smaller value than the last", "The smallest rank is best."
        )
    if looks is not None and best != worst:
        yield from ledger.preference(row["prompt"], looks[best].digest, looks[worst].digest, place)
