"""Groups of a selection, together with what is known of their samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TypeVar

from curate.exporting.source import SampleInfo, Source

Row = TypeVar("Row")

BATCH = 2048
"""Rows whose samples are looked up together; a group is never cut, so a larger one makes a larger batch."""


def with_samples(
    groups: Iterable[list[Row]], ids: Callable[[Row], Iterable[str]], source: Source
) -> Iterator[tuple[list[Row], Mapping[str, SampleInfo]]]:
    """Each group, and the samples its rows name, by id; ids that the source does not know are missing."""
    for batch in _batches(groups):
        asked = list(dict.fromkeys(one for group in batch for row in group for one in ids(row)))
        known = {info.sample.id: info for info in source.samples(asked) if info is not None}
        for group in batch:
            yield group, known


def _batches(groups: Iterable[list[Row]]) -> Iterator[list[list[Row]]]:
    batch: list[list[Row]] = []
    rows = 0
    for group in groups:
        batch.append(group)
        rows += len(group)
        if rows >= BATCH:
            yield batch
            batch, rows = [], 0
    if batch:
        yield batch


def in_batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Lists of at most `BATCH` rows, in order, lazily."""
    it = iter(rows)
    while batch := list(islice(it, BATCH)):
        yield batch
