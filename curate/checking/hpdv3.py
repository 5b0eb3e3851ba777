"""Checks of HPDv3's pairs, by the rules of HPSv3's `PairwiseOriginalDataset`.

path1 won, always. With a confidence threshold it compares `confidence` as a number; with soft labels it takes the larger of
`choice_dist` over their sum. Paths are opened as they stand, here as seen from inside the folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curate.checking.files import Problem, json_rows
from curate.checking.findings import Finding, Place
from curate.checking.images import Looker
from curate.checking.json_files import files_of_rows, has_rows
from curate.checking.ledger import Ledger, no_rows, prompt_findings, too_few_rows
from curate.checking.named import named_images
from curate.checking.outline import Likeness, Outline
from curate.checking.schema import row_findings, row_schema
from curate.checking.tables import split_of

_UNEQUAL = "the processor resizes each to its own number of patches"
_PATHS = {"path1", "path2"}


def looks_like(outline: Outline) -> Likeness | None:
    """Rows of pairs."""
    return outline.with_fields(_PATHS)


def reads(folder: Path, name: str) -> bool:
    """Any list of pairs: the trainer opens those that it is told to."""
    return has_rows(folder, name, _PATHS)


def check(folder: Path) -> Iterator[Finding]:
    """Findings of every JSON file at the top of the folder."""
    ledger, looker, found = Ledger(), Looker(), 0
    for name in files_of_rows(folder, _PATHS):
        try:
            rows = json_rows(folder, name)
        except Problem as problem:
            yield problem.finding
            continue
        for place, row in rows:
            wrong = list(row_findings(row, row_schema("hpdv3"), place))
            yield from wrong or _row(folder, row, split_of(name), place, ledger, looker)
        found += len(rows)
        yield from too_few_rows(len(rows), 1, "the trainer", Place(file=name))
    if not found:
        yield no_rows("row in a JSON file at its top")


def _row(folder: Path, row: dict[str, Any], split: str, place: Place, ledger: Ledger, looker: Looker) -> Iterator[Finding]:
    looks, wrong = named_images(folder, ".", [row["path1"], row["path2"]], place, looker, unequal_sizes=_UNEQUAL)
    yield from wrong
    yield from prompt_findings(row["prompt"], place)
    yield from ledger.prompt(row["prompt"], split, place)
    yield from _label(row, place)
    if looks is not None:
        yield from ledger.preference(row["prompt"], looks[0].digest, looks[1].digest, place)


def _label(row: dict[str, Any], place: Place) -> Iterator[Finding]:
    if "confidence" in row and row["confidence"] is None:
        yield place.error(
            "null-confidence", "confidence is null, and comparing it with a threshold raises", "Write a number, or nothing."
        )
    elif row.get("confidence", 1) <= 0.5:
        message = f"confidence is {row['confidence']}: not more than half agree that path1, which is trained, is the better one"
        yield place.warning("low-confidence", message, "Leave the row out, or train with a threshold.")
    votes = row.get("choice_dist")
    if votes is not None:
        if sum(votes) <= 0:
            yield place.error(
                "tie", "choice_dist adds up to nothing, which soft labels refuse", "Write the votes, or leave the row out."
            )
        elif votes[0] == votes[1]:
            yield place.error("tie", "choice_dist says that nobody won, and path1 is trained as the winner", "Leave the row out.")
        elif votes[0] < votes[1]:
            yield place.error(
                "label-flip", f"choice_dist is {votes}: most preferred path2, and path1 is trained", "Turn the row around."
            )
    elif "choice_dist" in row:
        yield place.warning("null-votes", "choice_dist is null, so soft labels cannot use the row", "Write the votes.")
    first, second = row.get("value1"), row.get("value2")
    if first is not None and second is not None and first <= second:
        rule, what = ("tie", "equals") if first == second else ("label-flip", "is smaller than")
        yield place.error(
            rule, f"the value of path1 {what} that of path2 ({first}, {second}), and path1 is trained", "Turn it around."
        )
