"""Sorted runs of keys with a code each: in memory while they are short, in a file without a name once they are long.

Long runs are looked up through a mapping of their file whose pages are given back after each use, so millions of keys take
nothing from a process that needs its memory for pictures; the kernel keeps as much of the file as there is room for, so
looking up stays fast. Merging goes by blocks, so it takes little either.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.store.ids import Ids, order

Codes = NDArray[np.uint8]

Judged = tuple[Ids, Codes]
"""Keys and their codes."""

IN_MEMORY = 1 << 16
"""Keys up to which a run lies in memory: 17 bytes each."""

BLOCK = 1 << 14
"""About how many keys are merged at a time."""


@dataclass(frozen=True, slots=True)
class Run:
    """Distinct keys in order, column by column so that each half can be searched by itself, and their codes."""

    keys: Ids
    codes: Codes
    mapping: mmap.mmap | None = None
    """Of the file in which they lie; None in memory."""

    def __len__(self) -> int:
        return len(self.keys)

    def release(self) -> None:
        """Give back the memory that reading it took; what is read again comes from the file."""
        if self.mapping is not None:
            self.mapping.madvise(mmap.MADV_DONTNEED)


def run_of(keys: Ids, codes: Codes) -> Run:
    """A run of distinct keys that are in order already."""
    pieces = ((keys[start : start + BLOCK], codes[start : start + BLOCK]) for start in range(0, len(keys), BLOCK))
    return _run(pieces, len(keys))


def merged(older: Run, newer: Run) -> Run:
    """Both runs as one; of a key that is in both, the newer one's code."""
    return _run(_merged_pieces(older, newer), len(older) + len(newer))


def starts_of_runs(keys: Ids) -> NDArray[np.bool_]:
    """Where a key differs from the one before it."""
    starts = np.ones(len(keys), dtype=np.bool_)
    starts[1:] = (keys[1:] != keys[:-1]).any(axis=1)
    return starts


def _merged_pieces(older: Run, newer: Run) -> Iterator[Judged]:
    """The merged run in pieces, each from the keys of the same range in both."""
    bounds = max(older, newer, key=len).keys[BLOCK::BLOCK, 0]
    # By the high half alone, and to the left, so that equal keys never come apart.
    cuts = [[0, *np.searchsorted(run.keys[:, 0], bounds), len(run)] for run in (older, newer)]
    for piece in range(len(bounds) + 1):
        old, new = (slice(cut[piece], cut[piece + 1]) for cut in cuts)
        yield _merged_piece((older.keys[old], older.codes[old]), (newer.keys[new], newer.codes[new]))
        older.release()
        newer.release()


def _merged_piece(older: Judged, newer: Judged) -> Judged:
    keys, codes = np.concatenate([newer[0], older[0]]), np.concatenate([newer[1], older[1]])
    # The sort is stable, so of equal keys the newer comes first.
    by_key = order(keys)
    keys, codes = keys[by_key], codes[by_key]
    first = starts_of_runs(keys)
    return keys[first], codes[first]


def _run(pieces: Iterable[Judged], most: int) -> Run:
    """The pieces, one after the other, as a run; together they are at most `most` keys."""
    if most > IN_MEMORY:
        return _written(pieces, most)
    keys, codes = zip(*pieces, strict=True)
    return Run(np.asfortranarray(np.concatenate(keys)), np.concatenate(codes))


def _written(pieces: Iterable[Judged], most: int) -> Run:
    """The pieces as a run in a file: room for the high halves of `most` keys, for their low halves, and for their codes."""
    filled = 0
    # Written and not mapped for writing: a full disk is then an error, and no page of it stays in this process.
    with tempfile.TemporaryFile() as file:
        file.truncate(17 * most)
        for keys, codes in pieces:
            for part, place in ((keys[:, 0], 8 * filled), (keys[:, 1], 8 * (most + filled)), (codes, 16 * most + filled)):
                file.seek(place)
                file.write(part.tobytes())
            filled += len(keys)
        file.flush()
        mapping = mmap.mmap(file.fileno(), 17 * most, access=mmap.ACCESS_READ)
    keys = np.ndarray((most, 2), np.uint64, mapping, order="F")
    return Run(keys[:filled], np.ndarray(most, np.uint8, mapping, offset=16 * most)[:filled], mapping)
