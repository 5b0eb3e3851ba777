"""How well a judge names the faults of a picture: the reward of MagicMirror (arXiv 2509.10260, wj-inf/MagicMirror).

8 for a reply that can be read, 4 for the right verdict, 2 and 1 for the kinds and the sub-kinds of faults. Nothing counts where
the level above it is worth nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

WEIGHTS = (8.0, 4.0, 2.0, 1.0)
"""Of the format, the verdict, the kinds, the sub-kinds."""

HIT = 0.6

MISS = 0.3

Faults = Mapping[str, Collection[str]]
"""Sub-kinds by kind of fault, none for a kind that has none; empty for a normal picture."""


def fault_reward(truth: Faults, said: Faults | None) -> float:
    """The reward of a judge that said `said`, 0 to 15; None is a reply that cannot be read."""
    if said is None:
        return 0.0
    parts = (1.0, float(bool(truth) == bool(said)), 0.0, 0.0)
    if truth and said:
        kinds = _agreement(truth.keys(), said.keys())
        parts = (*parts[:2], kinds, _sub_kinds(truth, said) if kinds else 0.0)
    return sum(weight * part for weight, part in zip(WEIGHTS, parts, strict=True))


def _sub_kinds(truth: Faults, said: Faults) -> float:
    """Agreement on the sub-kinds of the kinds that both name, those that have some."""
    shared = [kind for kind in truth.keys() & said.keys() if truth[kind] or said[kind]]
    if not shared:
        return 0.0
    true, named = ({(kind, sub_kind) for kind in shared for sub_kind in faults[kind]} for faults in (truth, said))
    return _agreement(true, named)


def _agreement(truth: Collection[object], said: Collection[object]) -> float:
    """1 for equal sets, else 0.6 for each that is right less 0.3 for each that is missing or too much, 0 to 1."""
    true, named = set(truth), set(said)
    if true == named:
        return 1.0
    return min(max(HIT * len(true & named) - MISS * len(true ^ named), 0.0), 1.0)
