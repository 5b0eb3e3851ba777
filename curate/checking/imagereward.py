"""Checks of ImageReward's lists, by the rules of its rank_pair_dataset.py.

It opens `dataset/train.json`, `valid.json` and `test.json`, opens `images/` + each of `generations`, and makes a pair of every
two responses whose `ranking` differs, the smaller being better.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curate.checking.files import Problem, json_rows
from curate.checking.findings import Finding, Place
from curate.checking.images import Looker
from curate.checking.ledger import Ledger, no_rows, prompt_findings, too_few_rows
from curate.checking.named import named_images
from curate.checking.outline import Likeness, Outline
from curate.checking.ranks import ranks_against_values
from curate.checking.schema import row_findings, row_schema

_UNEQUAL = "each is resized by its short side and cropped from its own middle"
_OPENED = ("train", "valid", "test")


def looks_like(outline: Outline) -> Likeness | None:
    """Rows of ranked lists."""
    return outline.with_fields({"generations", "ranking"})


def reads(folder: Path, name: str) -> bool:
    """The three files; images only where those name them."""
    return name in {f"dataset/{split}.json" for split in _OPENED}


def check(folder: Path) -> Iterator[Finding]:
    """Findings of the three files."""
    base = "dataset/" if (folder / "dataset").is_dir() else ""
    ledger, looker, found = Ledger(), Looker(), 0
    for split in _OPENED:
        try:
            rows = json_rows(folder, f"{base}{split}.json")
        except Problem as problem:
            yield problem.finding
            continue
        for place, row in rows:
            wrong = list(row_findings(row, row_schema("imagereward"), place))
            yield from wrong or _row(folder, row, split, place, ledger, looker)
        if split == "train":
            yield from too_few_rows(len(rows), 1, "the trainer", Place(file=f"{base}{split}.json"))
        found += len(rows)
    if not found:
        yield no_rows(f"row in {base}train.json, valid.json or test.json")


def _row(folder: Path, row: dict[str, Any], split: str, place: Place, ledger: Ledger, looker: Looker) -> Iterator[Finding]:
    names, ranking = row["generations"], row["ranking"]
    yield from prompt_findings(row["prompt"], place)
    yield from ledger.prompt(row["prompt"], split, place)
    looks, wrong = named_images(folder, "images", names, place, looker, unequal_sizes=_UNEQUAL)
    yield from wrong
    if len(names) != len(ranking):
        yield place.error("wrong-length", f"{len(names)} generations and {len(ranking)} ranks", "Write one rank for each.")
        return
    if len(set(ranking)) == 1:
        yield place.warning("tie", "all its images tie, so no pair is made of it", "Leave the row out.")
    if looks is not None:
        yield from ledger.ranking(row["prompt"], [look.digest for look in looks], ranking, place)
    yield from ranks_against_values(ranking, row.get("values"), "generations", place)
