"""Which samples a card has already judged, and with what outcome: 17 bytes a sample, found by binary search."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from curate.records import Status
from curate.store.ids import Ids, find, order, pack, pair_keys
from curate.store.runs import Codes, Run, merged, run_of, starts_of_runs

STATUSES = (Status.NOT_APPLICABLE, *(status for status in Status if status is not Status.NOT_APPLICABLE))
"""Statuses by code. A larger code is worse: a judgement on several dimensions has the largest of their codes.

What does not apply to a sample stands below `ok`, since it takes nothing from the dimensions that do.
"""

CODES = {status: code for code, status in enumerate(STATUSES)}


class Known:
    """The judgements of one card that a store holds; grows with every commit of that store.

    Kept as sorted runs of growing size that are merged when a newer one catches up, so a long run of small commits costs
    O(n log n) in all and lookups stay at a few binary searches.
    """

    def __init__(self, keys: Ids | None = None, codes: Codes | None = None) -> None:
        """Begins with `keys`, distinct and in order, and their codes; or with nothing."""
        self._runs: list[Run] = [] if keys is None or codes is None or not len(keys) else [run_of(keys, codes)]

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def has(self, samples: Sequence[str]) -> NDArray[np.bool_]:
        """For each sample whether it has been judged, whatever came of it."""
        return self.codes(pack(samples)) >= 0

    def statuses(self, samples: Sequence[str]) -> list[Status | None]:
        """For each sample the worst status over the dimensions; None where it has not been judged."""
        return [STATUSES[code] if code >= 0 else None for code in self.codes(pack(samples)).tolist()]

    def has_pairs(self, firsts: Sequence[str], seconds: Sequence[str]) -> NDArray[np.bool_]:
        """For each pair whether it has been compared, in a `Known` of comparisons."""
        return self.codes(pair_keys(pack(firsts), pack(seconds))) >= 0

    def codes(self, keys: Ids) -> NDArray[np.int16]:
        """For each key the status code, -1 where it is not known."""
        codes = np.full(len(keys), -1, dtype=np.int16)
        for run in reversed(self._runs):
            missing = np.flatnonzero(codes < 0)
            at = find(run.keys, keys[missing])
            codes[missing[at >= 0]] = run.codes[at[at >= 0]]
            run.release()
        return codes

    def add(self, keys: Ids, codes: Codes) -> None:
        """Take judgements in; of a key that is there already, the new code counts. Keys may repeat: the worst code counts."""
        if not len(keys):
            return
        runs, run = list(self._runs), run_of(*worst_by_key(keys, codes))
        while runs and len(runs[-1]) <= 2 * len(run):
            run = merged(runs.pop(), run)
        # Replaced as a whole, so that a lookup in another thread sees all of it, as it was or as it is.
        self._runs = [*runs, run]


class Chances:
    """What one card said of pairs on one dimension, where that is ok: 24 bytes a pair, found by binary search."""

    def __init__(self, keys: Ids, values: NDArray[np.float64]) -> None:
        """`keys` are distinct, in any order."""
        by_key = order(keys)
        self._keys, self._values = keys[by_key], values[by_key]

    def of_pairs(self, firsts: Sequence[str], seconds: Sequence[str]) -> list[float | None]:
        """For each pair the probability that the first is better; None for one without an answer that is ok."""
        found = find(self._keys, pair_keys(pack(firsts), pack(seconds))).tolist()
        return [float(self._values[at]) if at >= 0 else None for at in found]


def worst_by_key(keys: Ids, codes: Codes) -> tuple[Ids, Codes]:
    """The distinct keys in order, each with the largest of its codes."""
    by_key = order(keys)
    return worst_by_run(keys[by_key], codes[by_key])


def worst_by_run(keys: Ids, codes: Codes) -> tuple[Ids, Codes]:
    """Each run of equal keys as one, with the largest of its codes."""
    starts = np.flatnonzero(starts_of_runs(keys))
    return keys[starts], np.maximum.reduceat(codes, starts)


def codes_of(statuses: Collection[Status]) -> Codes:
    """The codes of some statuses."""
    return np.array([CODES[status] for status in statuses], dtype=np.uint8)
