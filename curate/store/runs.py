"""Sorted runs of keys with a code each: in memory while they are short, in a file without a name once they are long.

The kernel keeps as much of such a file in memory as there is room for, so looking up stays fast, and millions of keys
take nothing from a process that needs its memory for pictures. Merging goes by blocks, so it takes little either.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from curate.store.ids import Ids, order

Codes = NDArray[np.uint8]

Run = tuple[Ids, Codes]
"""Distinct keys in order, column by column in memory so that each half can be searched by itself, and their codes."""

IN_MEMORY = 1 << 18
"""Keys up to which a run lies in memory: 17 bytes each."""

BLOCK = 1 << 16
"""About how many keys are merged at a time."""


def run_of(keys: Ids, codes: Codes) -> Run:
    """A run of distinct keys that are in order already."""
    return np.asfortranarray(keys), codes


def merged(older: Run, newer: Run) -> Run:
    """Both runs as one; of a key that is in both, the newer one's code."""
    keys, codes = _room(len(older[0]) + len(newer[0]))
    filled = 0
    for old, new in _pieces(older, newer):
        part, part_codes = _merged_piece(old, new)
        keys[filled : filled + len(part)] = part
        codes[filled : filled + len(part)] = part_codes
        filled += len(part)
    return keys[:filled], codes[:filled]


def starts_of_runs(keys: Ids) -> NDArray[np.bool_]:
    """Where a key differs from the one before it."""
    starts = np.ones(len(keys), dtype=np.bool_)
    starts[1:] = (keys[1:] != keys[:-1]).any(axis=1)
    return starts


def _pieces(older: Run, newer: Run) -> Iterator[tuple[Run, Run]]:
    """Pieces of both that hold the keys of the same range, in order."""
    longer = older if len(older[0]) >= len(newer[0]) else newer
    bounds = longer[0][BLOCK::BLOCK, 0]
    # By the high half alone, and to the left, so that equal keys never come apart.
    cuts = [[0, *np.searchsorted(run[0][:, 0], bounds), len(run[0])] for run in (older, newer)]
    for piece in range(len(bounds) + 1):
        old, new = (slice(cut[piece], cut[piece + 1]) for cut in cuts)
        yield (older[0][old], older[1][old]), (newer[0][new], newer[1][new])


def _merged_piece(older: Run, newer: Run) -> Run:
    keys, codes = np.concatenate([newer[0], older[0]]), np.concatenate([newer[1], older[1]])
    # The sort is stable, so of equal keys the newer comes first.
    by_key = order(keys)
    keys, codes = keys[by_key], codes[by_key]
    first = starts_of_runs(keys)
    return keys[first], codes[first]


def _room(count: int) -> Run:
    """Room for so many keys."""
    if count <= IN_MEMORY:
        return np.empty((count, 2), dtype=np.uint64, order="F"), np.empty(count, dtype=np.uint8)
    with tempfile.TemporaryFile() as keys, tempfile.TemporaryFile() as codes:
        return (
            np.memmap(keys, dtype=np.uint64, mode="w+", shape=(count, 2), order="F"),
            np.memmap(codes, dtype=np.uint8, mode="w+", shape=(count,)),
        )
