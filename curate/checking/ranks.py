"""The ranks of a list against the values that stand beside them: what is turned around, and which ties are trained as wins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, islice
from typing import Any

from curate.checking.findings import Finding, Place

_MOST_PREFERENCES = 1000
"""Of one list: all of up to 45 images."""


def better_and_worse(ranks: Sequence[float]) -> Iterator[tuple[int, int]]:
    """Every two places of a list with different ranks, the better first: neighbours first, and of long lists not all."""
    order = sorted(range(len(ranks)), key=lambda place: ranks[place])
    steps = ((order[at], order[at + step]) for step in range(1, len(order)) for at in range(len(order) - step))
    return islice(((better, worse) for better, worse in steps if ranks[better] != ranks[worse]), _MOST_PREFERENCES)


def ranks_against_values(ranks: Sequence[float], values: Any, name: str, place: Place) -> Iterator[Finding]:
    """Findings about a row whose smallest rank is best; `name` is what it calls its images. `values` may be missing.

    Every two images that the values put the other way around; once, where equal values have different ranks, of which a
    trainer makes a win; and once, as a note, where different values share a rank, as `--tie` has it.
    """
    if not isinstance(values, list):
        return
    if len(values) != len(ranks):
        yield place.error("wrong-length", f"{len(ranks)} ranks and {len(values)} values", "Write one value for each.")
        return
    ties, shared = [], []
    for one, other in combinations(range(len(ranks)), 2):
        by_rank, by_value = ranks[one] - ranks[other], values[other] - values[one]
        if by_rank * by_value < 0:
            message = f"{name}[{one}] and {name}[{other}]: the larger value has the larger rank, and the smallest is best"
            yield place.error("label-flip", message, "Rank the largest value first.")
        elif by_rank and by_value == 0:
            ties.append(f"{name}[{one}] and {name}[{other}]")
        elif by_rank == 0 and by_value:
            shared.append(f"{name}[{one}] and {name}[{other}]")
    if ties:
        message = f"{ties[0]} have the same value and different ranks, of which a win is made"
        yield place.error("tie", message, "Give equal values equal ranks.")
    if shared and len(set(ranks)) > 1:
        message = f"{shared[0]} have different values and the same rank, so nothing is learned of them"
        yield place.note("shared-rank", message, "Nothing, where values so close were meant to tie.")
