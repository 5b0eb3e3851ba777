"""Which samples of a group are compared, as numbers alone: no strategy looks at more than places in a ranking.

The samples of a group lie side by side, best first. A strategy says for each sample with which later ones it is a candidate
pair, and these are always neighbours of each other: so many, from a first place on. Hence candidates can be counted without
being made, and made in blocks of any size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from curate.select.slices import Places

Strategy = Literal["best-worst", "adjacent", "all", "top-vs-rest"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Candidate pairs of ranked groups: sample i with the `counts[i]` samples from place `firsts[i]` on."""

    firsts: Places
    """(samples,) place of the best sample that this one is compared with."""
    counts: Places
    """(samples,) how many it is compared with."""

    def cut(self, most: int, only_at: Places | None = None) -> Iterator[tuple[int, int]]:
        """Ranges of samples that have about `most` candidate pairs together, and at least one sample.

        Cut `only_at` these places, where given, of which the last is the end; a range has as many as it takes to reach one.
        """
        ends = np.cumsum(self.counts)
        begin, done = 0, 0
        while begin < len(ends):
            end = max(begin + 1, int(np.searchsorted(ends, done + most, side="right")))
            if only_at is not None:
                following, past = (int(place) for place in np.searchsorted(only_at, [begin + 1, end + 1]))
                end = int(only_at[max(following, past - 1)])
            yield begin, end
            begin, done = end, int(ends[end - 1])

    def make(self, begin: int, end: int) -> tuple[Places, Places]:
        """The pairs of the samples `begin` … `end - 1`: places of the better, and of the worse, in order."""
        counts = self.counts[begin:end]
        better = np.repeat(np.arange(begin, end), counts)
        before = np.cumsum(counts) - counts
        worse = np.arange(len(better)) + np.repeat(self.firsts[begin:end] - before, counts)
        return better, worse


def candidates(strategy: Strategy, starts: Places, sizes: Places) -> Candidates:
    """The candidate pairs of groups of `sizes` samples whose best are at `starts`; a group of one has none.

    best-worst: the first with the last. adjacent: each with the next. all: each with every later one. top-vs-rest: the first
    with every other.
    """
    places = np.arange(int(sizes.sum()))
    ends = np.repeat(starts + sizes, sizes)
    first = np.zeros(len(places), dtype=bool)
    first[starts] = True
    later = ends - places - 1
    if strategy == "all":
        return Candidates(firsts=places + 1, counts=later)
    if strategy == "adjacent":
        return Candidates(firsts=places + 1, counts=np.minimum(later, 1))
    if strategy == "top-vs-rest":
        return Candidates(firsts=places + 1, counts=np.where(first, later, 0))
    return Candidates(firsts=ends - 1, counts=np.where(first, np.minimum(later, 1), 0))
