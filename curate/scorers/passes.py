"""What goes into a network and comes out: one pass over a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from curate.records import Sample, Status

Pixels = Float[Tensor, "batch 3 height width"]
"""RGB in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a network is given: a batch, on its device."""

    pixels: Mapping[str, Pixels]
    """By role, of optional ones those that are there; RGB in [0, 1], in the geometry that the role's preparation makes, not
    normalised."""
    prompts: Sequence[str] = ()
    """One for each sample; empty strings where there is none and the card can do without."""
    samples: Sequence[Sample] = ()
    """One for each row, for engines that need what its record says; empty where pixels were given without one."""
    keys: Mapping[str, Sequence[str]] | None = None
    """By role, one for each sample: equal keys mean equal pixels, so what was computed of them may be used again. None where
    gradients are wanted."""

    def keys_of(self, role: str) -> Sequence[str] | None:
        """The keys of a role's pixels; None where nothing may be remembered of them."""
        return None if self.keys is None else self.keys[role]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What a network makes of a batch, in its own direction."""

    values: Float[Tensor, "batch dimensions"]
    """In the order of the card's dimensions."""
    spreads: Float[Tensor, "batch dimensions"] | None = None
    """Standard deviations, in the units of the values."""
    notes: Mapping[int, str] = field(default_factory=dict)
    """By position in the batch: what is to be said beside a value that stands."""
    failures: Mapping[int, tuple[Status, str]] = field(default_factory=dict)
    """By position in the batch: why there is no value; the numbers in those rows mean nothing."""
