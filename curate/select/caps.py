"""At most so many pairs of a group, and of a sample: which of a group's pairs go first, and which go."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curate.select.judging import Fate, Floats
from curate.select.slices import Places, runs


def capped(
    better: Places,
    worse: Places,
    groups: Places,
    preference: Floats,
    *,
    max_per_group: int | None,
    max_per_sample: int | None,
) -> NDArray[np.uint8]:
    """The fate of pairs of whole groups, where each group keeps the ones it prefers as far as the limits go.

    The pairs of a group are taken in the order of falling `preference`, then of better and worse place; a pair is kept when
    both its samples and its group still have room.
    """
    order = np.lexsort((worse, better, -preference, groups))
    starts, sizes = runs(groups[order])
    fates = np.full(len(better), Fate.KEPT, dtype=np.uint8)
    if max_per_sample is None:
        turn = np.arange(len(order)) - np.repeat(starts, sizes)
        fates[order[turn >= (max_per_group or len(order))]] = Fate.OVER_MAX_PER_GROUP
        return fates
    samples, members = np.unique(np.concatenate([better, worse]), return_inverse=True)
    firsts, seconds = members[: len(better)], members[len(better) :]
    pairs_of_sample = np.zeros(len(samples), dtype=np.int64)
    pairs_of_group = np.zeros(len(starts), dtype=np.int64)
    # One pair of every group at a time: pairs of different groups share no sample, so a turn is a few array operations.
    for number in range(int(sizes.max(initial=0))):
        playing = np.flatnonzero(sizes > number)
        pairs = order[starts[playing] + number]
        sample_full = np.maximum(pairs_of_sample[firsts[pairs]], pairs_of_sample[seconds[pairs]]) >= max_per_sample
        group_full = pairs_of_group[playing] >= (max_per_group or len(order))
        fates[pairs[sample_full]] = Fate.OVER_MAX_PER_SAMPLE
        fates[pairs[group_full]] = Fate.OVER_MAX_PER_GROUP
        kept = ~(sample_full | group_full)
        pairs_of_sample[firsts[pairs[kept]]] += 1
        pairs_of_sample[seconds[pairs[kept]]] += 1
        pairs_of_group[playing[kept]] += 1
    return fates


def shuffled(numbers: NDArray[np.uint64], better: Places, worse: Places) -> Floats:
    """A preference that is random but the same for the same two samples: mixed from one random number of each."""
    with np.errstate(over="ignore"):
        mixed = numbers[better] + np.uint64(0x9E3779B97F4A7C15) * numbers[worse]
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # the finish of SplitMix64
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64)
