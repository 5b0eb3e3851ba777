"""Small views for tests: written as the store would write them, from a few lines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.records import RaterColumns, View

Judged = float | str | None
"""A value; or the status of a rating that is not ok; or None where the rater was never asked."""

CARDS: Mapping[str, RaterColumns] = {
    "pickscore": RaterColumns(card="a" * 16, main="overall", dimensions=("overall",)),
    "hps-v2": RaterColumns(card="b" * 16, main="overall", dimensions=("overall", "detail"), spreads=("overall",)),
    "nsfw": RaterColumns(card="c" * 16, main="safe", dimensions=("safe",)),
}


@dataclass(frozen=True, kw_only=True)
class Given:
    """A sample and what its raters said."""

    sample: str
    group: str
    ratings: Mapping[str, Judged] = field(default_factory=dict)
    """By 'rater.dimension'; what is not named was never asked."""
    spreads: Mapping[str, float] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Sample fields that differ from the plain ones."""


def write_view(path: Path, given: Iterable[Given], cards: Mapping[str, RaterColumns] = CARDS, rows_per_piece: int = 3) -> View:
    """The view of these samples, in whatever order they come."""
    samples = sorted(given, key=lambda one: (one.group, one.sample))
    groups = sorted({one.group for one in samples})
    columns: dict[str, pa.Array] = {
        "row": pa.array(range(len(samples)), pa.int64()),
        "group_no": pa.array([groups.index(one.group) for one in samples], pa.int64()),
    }
    rows = [_fields(one) for one in samples]
    for name in View.FIELDS:
        kind = pa.int64() if name in ("index", "width", "height", "bytes") else pa.string()
        columns[name] = pa.array([row[name] for row in rows], kind)
    for rater, card in cards.items():
        columns |= _rater_columns(rater, card, samples)
    pq.write_table(pa.table(columns), path, row_group_size=rows_per_piece)
    return View(path=str(path), rows=len(samples), groups=len(groups), raters=cards)


def _fields(one: Given) -> dict[str, Any]:
    plain = {
        "sample": one.sample,
        "group": one.group,
        "shard": "00000.tar",
        "key": one.sample,
        "index": 0,
        "prompt": f"prompt of {one.group}",
        "generator": "model-a",
        "kind": "image",
        "format": "jpeg",
        "width": 512,
        "height": 512,
        "bytes": 1000,
        "digest": hashlib.sha256(one.sample.encode()).hexdigest(),
        "layout": "default",
    }
    return {**plain, **one.fields}


def _rater_columns(rater: str, card: RaterColumns, samples: Sequence[Given]) -> dict[str, pa.Array]:
    columns = {}
    statuses: list[str | None] = [None] * len(samples)
    for dimension in card.dimensions:
        name = f"{rater}.{dimension}"
        said = [one.ratings.get(name) for one in samples]
        columns[name] = pa.array([value if isinstance(value, int | float) else None for value in said], pa.float64())
        if dimension in card.spreads:
            columns[f"{name}.spread"] = pa.array([one.spreads.get(name) for one in samples], pa.float64())
        for place, value in enumerate(said):
            if isinstance(value, str):
                statuses[place] = value
            elif value is not None and statuses[place] is None:
                statuses[place] = "ok"
    columns[f"{rater}.status"] = pa.array(statuses, pa.string())
    return columns


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a result."""
    return pq.read_table(path).to_pylist()
