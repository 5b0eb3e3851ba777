"""Which layout the records of a shard follow, where nobody said."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from curate.errors import LayoutError
from curate.records import Media, Reject, Sample
from curate.shards.grouping import Record
from curate.shards.layouts import Layout, Recognised, known_layouts, load_layout
from curate.shards.limits import DEFAULT_LIMITS
from curate.shards.patterns import NOWHERE, parse_pointer
from curate.shards.samples import build_samples
from curate.shards.values import RecordValues

_KINDS_SHOWN = 3
"""Kinds of records that a guess names, the most frequent first."""


class Guess(NamedTuple):
    """A layout that was not given, and the sentence that says why it was taken."""

    layout: Layout
    reason: str


def guess_layout(records: Sequence[Record]) -> Guess:
    """The known layout under which most of `records` (the first of a shard, a few dozen) become samples, and why.

    Raises `LayoutError` when none fits any of them.
    """
    found = _best(records)
    if found is None:
        raise LayoutError(_why_none(records))
    layout, evidence = found
    shown = Counter(filter(None, evidence)).most_common()
    had = shown[0][0] if len(shown) == 1 else " or ".join(f"{fields} ({count})" for fields, count in shown[:_KINDS_SHOWN])
    more = " …" if len(shown) > _KINDS_SHOWN else ""
    fitting = f"{sum(map(bool, evidence))} of the first {len(records)} records have {had}{more}"
    others = [record for record, fits in zip(records, evidence, strict=True) if not fits]
    return Guess(layout, f"layout '{layout.name}', because {fitting}{_what_others_are(others, layout)}")


def _best(records: Sequence[Record]) -> tuple[Layout, list[str]] | None:
    """The layout that most of the records show, and what each record has of it: nothing where it does not follow it."""
    best: tuple[int, int, Layout, list[str]] | None = None
    for layout in known_layouts().values():
        if (recognised := layout.recognised) is None:
            continue
        evidence = [_evidence(layout, recognised, record) for record in records]
        fitting = sum(map(bool, evidence))
        if fitting and (best is None or (fitting, -recognised.order) > best[:2]):
            best = (fitting, -recognised.order, layout, evidence)
    return best and best[2:]


def _what_others_are(others: Sequence[Record], taken: Layout) -> str:
    """The rest of the sentence where records do not look like the layout that was taken for all."""
    if not others:
        return ""
    found = _best(others)
    alike = f"'{found[0].name}'" if found else "no known layout"
    look = "1 other looks" if len(others) == 1 else f"{len(others)} others look"
    return f"; {look} like {alike}: such records belong into shards of their own, since one run reads all as '{taken.name}'"


def _evidence(layout: Layout, recognised: Recognised, record: Record) -> str:
    """What of the record shows that it follows the layout, as a list in words; empty where it does not."""
    samples = [sample for sample in build_samples(layout, record) if isinstance(sample, Sample)]
    if not samples:
        return ""
    first = samples[0]
    found = [
        *(_named(medium) for sample in samples for medium in sample.response),
        *([_any_named(first, recognised.conditions)] if recognised.conditions else []),
        *(f"the label '{name}'" if name in first.labels else "" for name in recognised.labels),
        *(_held(record, pointer) for pointer in recognised.members),
    ]
    return ", ".join(dict.fromkeys(found)) if all(found) else ""


def _any_named(sample: Sample, roles: Sequence[str]) -> str:
    numbered = re.compile(rf"(?:{'|'.join(map(re.escape, roles))})(?:_\d+)?")
    return next((_named(medium) for role, medium in sample.conditions.items() if numbered.fullmatch(role)), "")


def _named(medium: Media) -> str:
    return medium.member.field if medium.member else "texts in JSON"


def _held(record: Record, text: str) -> str:
    """The member, or place in JSON, that a pattern finds in a record; empty where it finds none."""
    pointer, values = parse_pointer(text), RecordValues(record, DEFAULT_LIMITS)
    if pointer.path is not None:
        return text if values.value(pointer, NOWHERE) is not None else ""
    return next((member.field for _, member in values.matches(pointer)), "")


def _why_none(records: Sequence[Record]) -> str:
    """Why no layout fits: what the first reject under the simplest layout says, and which fields there are."""
    fields = sorted({member.field for record in records[:8] for member in record.members})
    rejects = (one for record in records for one in build_samples(load_layout("single"), record) if isinstance(one, Reject))
    said = next((f" (as 'single': {one.detail})" for one in rejects), "")
    return (
        f"no known layout fits the first {len(records)} records, whose fields are {', '.join(fields[:16])}{said}; "
        "describe them in a layout file of a few lines and pass its path"
    )
