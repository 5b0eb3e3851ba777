"""Checks of the Pick-a-Pic columns, by the rules of diffusers' DPO scripts, DiffusionDPO, MaPO and PickScore.

They take `Image.open(io.BytesIO(jpg_0))`, stack (winner, loser), and turn the two around exactly where `label_0 == 0`: every
other label, 0.5 and text included, counts as a win of image 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from curate.checking.findings import Finding, Place
from curate.checking.images import Look, Looker, competing_findings, image_findings
from curate.checking.ledger import Ledger, hash64, prompt_findings, too_few_rows
from curate.checking.outline import Likeness, Outline
from curate.checking.schema import column_findings, number_findings, row_schema
from curate.checking.tables import Table, is_table, picture_columns, walk

_NUMBERS = ("margin", "confidence", "chosen_value", "rejected_value")
_COLUMNS = (
    "jpg_0", "jpg_1", "label_0", "label_1", "caption", "group", "num_example_per_prompt", "image_0_uid", "image_1_uid",
    "best_image_uid", "are_different", "has_label", *_NUMBERS,
)  # fmt: skip
_ROUNDING = 1e-5
"""By which a margin may differ from that of its values, as a share of the largest of the three: they may be 32-bit numbers."""
_BATCH = 16
_UNEQUAL = "SDXL and MaPO stretch jpg_1 to the size of jpg_0, SD 1.5 crops each from its own middle"


def looks_like(outline: Outline) -> Likeness | None:
    """A table of pairs."""
    return outline.with_columns({"jpg_0", "jpg_1"})


def reads(folder: Path, name: str) -> bool:
    """Any table that `datasets` finds."""
    return is_table(name)


def check(folder: Path) -> Iterator[Finding]:
    """Findings of every split."""
    seen = _Seen()
    rows = yield from walk(folder, _COLUMNS, partial(_columns, folder), partial(_row, seen))
    if not rows:
        return
    yield from seen.counts.findings()
    if "train" not in rows:
        yield Place().warning("no-train-split", "there is no split called train", "Name the files train-00000-of-00001.parquet …")
    yield from too_few_rows(rows["train"], _BATCH, "DiffusionDPO", Place())


class _Counts:
    """The pairs of every request in every split, against what `num_example_per_prompt` says; a repeated pair counts once."""

    def __init__(self) -> None:
        self._pairs: dict[int, int] = {}
        self._said: dict[int, dict[int, Place]] = {}
        self._seen: set[int] = set()

    def note(self, request: str, split: str, said: Any, looks: list[Look], place: Place) -> None:
        key = hash64(split, request)
        if len(looks) == 2:
            pair = hash64(split, request, *sorted(look.digest for look in looks))
            if pair in self._seen:
                return
            self._seen.add(pair)
        self._pairs[key] = self._pairs.get(key, 0) + 1
        if isinstance(said, int) and said >= 1:
            self._said.setdefault(key, {}).setdefault(said, place)

    def findings(self) -> Iterator[Finding]:
        """Once, at the first row that says another number, when all have been noted."""
        odd = [(place, said, self._pairs[key]) for key, all_said in self._said.items() for said, place in all_said.items()]
        odd = [(place, said, count) for place, said, count in odd if said != count]
        if odd:
            place, said, count = odd[0]
            others = f", and {len(odd) - 1} more like it" if len(odd) > 1 else ""
            message = f"num_example_per_prompt is {said}, and its prompt has {count} pairs in the split{others}"
            yield place.warning("num-example-per-prompt", message, "Count again: PickScore weighs a pair by its inverse.")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is remembered of all rows."""

    ledger: Ledger = field(default_factory=Ledger)
    looker: Looker = field(default_factory=Looker)
    counts: _Counts = field(default_factory=_Counts)


def _columns(folder: Path, table: Table) -> Iterator[Finding]:
    columns = table.schema()
    pictures = picture_columns(folder, columns) & {"jpg_0", "jpg_1"}
    for name in sorted(pictures):
        yield table.place.error(
            "image-feature",
            f"'{name}' is an Image() feature, which is decoded before the scripts call io.BytesIO on it: TypeError",
            'Write raw bytes, Value("binary").',
        )
    for finding in column_findings(columns, row_schema("diffusers-dpo"), table.place):
        if not any(f"'{name}'" in finding.message for name in pictures):
            yield finding


def _row(seen: _Seen, row: dict[str, Any], split: str, place: Place) -> Iterator[Finding]:
    looks: list[Look] = []
    for name in ("jpg_0", "jpg_1"):
        data = _bytes(row.get(name))
        if data is None:
            yield place.error("undecodable", f"{name} has no bytes to decode", "Leave the row out.")
            continue
        looks.append(seen.looker.look(data))
        yield from image_findings(looks[-1], name, place)
    if len(looks) == 2:
        yield from competing_findings(looks, ["jpg_0", "jpg_1"], place, _UNEQUAL)
    yield from _label(row, place)
    yield from _stored_uids(row, place)
    yield from _stored_values(row, place)
    prompt, group = row.get("caption"), row.get("group")
    yield from prompt_findings(prompt, place)
    count = row.get("num_example_per_prompt", 1)
    if not isinstance(count, int) or count < 1:
        yield place.error(
            "num-example-per-prompt", f"num_example_per_prompt is {count}; PickScore divides by it", "Write 1 or more."
        )
    if isinstance(request := group or prompt, str) and "num_example_per_prompt" in row:
        seen.counts.note(request, split, count, looks, place)
    if isinstance(prompt, str) and len(looks) == 2:
        winner, loser = looks if row.get("label_0") != 0 else looks[::-1]
        yield from seen.ledger.prompt(prompt, split, place)
        yield from seen.ledger.preference(prompt, winner.digest, loser.digest, place)


def _bytes(value: Any) -> bytes | None:
    """The encoded image in a cell: raw bytes, or those inside an `Image()` feature."""
    if isinstance(value, dict):
        value = value.get("bytes")
    return value if isinstance(value, bytes) else None


def _label(row: dict[str, Any], place: Place) -> Iterator[Finding]:
    if "label_0" not in row:
        return
    label = row["label_0"]
    if label is None or isinstance(label, str):
        yield place.error(
            "label-type", f"label_0 is {label!r}, which is never equal to 0, so image 0 always wins", "Write the number 0 or 1."
        )
    elif label not in (0, 1):
        what = "a tie" if label == 0.5 else f"{label}"
        yield place.error(
            "tie", f"label_0 is {what}; the scripts train it as a win of image 0", "Leave the row out: DPO takes no ties."
        )
    elif label == 0:
        yield place.warning(
            "winner-side",
            "the winner is image 1; a reader that takes labels for text, or ignores them, learns the opposite",
            "Put the winner into jpg_0 with label_0 = 1.",
        )
    other = row.get("label_1")
    if isinstance(label, int | float) and isinstance(other, int | float) and label + other != 1:
        yield place.error("label-flip", f"label_0 is {label} and label_1 is {other}", "They add up to 1.")


def _stored_uids(row: dict[str, Any], place: Place) -> Iterator[Finding]:
    """The label against what the row says of its images besides."""
    label = row.get("label_0")
    winner = row.get("image_0_uid") if label == 1 else row.get("image_1_uid") if label == 0 else None
    best = row.get("best_image_uid")
    known = [row.get("image_0_uid"), row.get("image_1_uid")]
    if winner and best in known and winner != best:
        yield place.error(
            "label-flip", "label_0 names one image as the winner and best_image_uid the other", "Look at the values."
        )
    if winner and best and best not in known:
        message = f"best_image_uid is {best!r:.80}, which is neither of its images"
        yield place.error("unknown-uid", message, "Write the uid of the winner.")
    for name in ("has_label", "are_different"):
        if row.get(name) is False:
            message = f"{name} is false beside a label, so PickScore leaves the row out and the DPO scripts train it"
            yield place.warning("no-label", message, "Leave the row out, or write true.")


def _stored_values(row: dict[str, Any], place: Place) -> Iterator[Finding]:
    """The label against the values behind it."""
    if wrong := list(number_findings(row, row_schema("diffusers-dpo"), _NUMBERS, place)):
        yield from wrong
        return
    chosen, rejected, margin = (_number(row.get(name)) for name in ("chosen_value", "rejected_value", "margin"))
    difference = chosen - rejected if chosen is not None and rejected is not None else margin
    if (difference is not None and difference < 0) or (margin is not None and margin < 0):
        yield place.error(
            "label-flip", f"the winner's value is smaller than the loser's ({chosen} < {rejected})", "Turn the pair around."
        )
    elif difference == 0 or margin == 0:
        yield place.error("tie", "both images have the same value", "Leave the row out: DPO takes no ties.")
    elif margin is not None and difference is not None and not _is_close(margin, difference, chosen, rejected):
        message = f"its margin is {margin}, and its values lie {difference} apart"
        yield place.warning("margin-disagrees", message, "Write the winner's value less the loser's.")


def _is_close(margin: float, difference: float, *values: float | None) -> bool:
    """Whether a margin is that of the values, but for rounding."""
    return abs(margin - difference) <= _ROUNDING * max(margin, *(abs(value or 0) for value in values))


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) else None
