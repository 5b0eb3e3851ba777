"""From items to tensors in main memory, ready to be moved to a device: work that can be done while the device computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from curate.cards import Card
from curate.raters import Item, Preparation
from curate.records import Status

Shapes = tuple[tuple[int, ...], ...]

Stacked = UInt8[Tensor, "batch height width 3"] | Float[Tensor, "batch height width 3"]
"""RGB in 8 bits, or in [0, 1] and a little beyond where it was prepared so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Items whose pixels are of one size."""

    items: Sequence[Item]
    pixels: Mapping[str, Stacked]
    """By role, of optional ones those that are there; pinned where they go to a GPU."""
    keys: Mapping[str, Sequence[str]]
    """By role, one for each item: equal keys mean equal pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A batch that is ready to be computed."""

    unfit: Sequence[tuple[Item, tuple[Status, str]]]
    """Items that cannot go to the network, and why."""
    groups: Sequence[Group]
    """The others."""


class Staging:
    """Puts the pixels of batches together, for raters of one card."""

    def __init__(self, card: Card, preparations: Sequence[Preparation], *, pinned: bool) -> None:
        """`pinned`: in memory that a GPU can copy from by itself."""
        self._takes = card.takes
        self._preparations = preparations
        self._pinned = pinned

    def shapes(self, item: Item) -> Shapes:
        """Of what was prepared of an item; empty for what is not there."""
        prepared = item.prepared[0]
        keys = ((one.role, one.name) for one in self._preparations)
        return tuple(prepared[key].shape if key in prepared else () for key in keys)

    def attempt(self, batch: Sequence[Item]) -> Staged | None:
        """A batch, or None where it cannot be put together as a whole: then its parts are tried by whoever computes it."""
        try:
            return self.staged(batch)
        except Exception:
            return None

    def staged(self, batch: Sequence[Item]) -> Staged:
        """A batch as groups of one size each: those that were not put together by size may be mixed."""
        unfit = []
        alike: dict[Shapes, list[Item]] = {}
        for item in batch:
            why_not = self._unfit(item)
            if why_not is None:
                alike.setdefault(self.shapes(item), []).append(item)
            else:
                unfit.append((item, why_not))
        return Staged(unfit=unfit, groups=[self._group(items) for items in alike.values()])

    def _unfit(self, item: Item) -> tuple[Status, str] | None:
        """Why an item cannot go to the network; None where it can."""
        if self._takes.prompt == "required" and not (item.samples[0].prompt or "").strip():
            return Status.MISSING_PROMPT, "there is no prompt to compare with"
        seen = {role for role, _ in item.prepared[0]}
        role = self._takes.missing(seen) if "response" in seen else "response"
        return None if role is None else (Status.UNSUPPORTED_MEDIA, f"the {role} is no picture")

    def _group(self, items: Sequence[Item]) -> Group:
        pixels, keys = {}, {}
        for one in self._preparations:
            if (one.role, one.name) not in items[0].prepared[0]:
                continue  # optional, and none of these has it
            stacked = torch.from_numpy(np.stack([item.prepared[0][(one.role, one.name)] for item in items]))
            pixels[one.role] = stacked.pin_memory() if self._pinned else stacked
            keys[one.role] = [f"{one.name}:{_digest(item, one.role)}" for item in items]
        return Group(items=items, pixels=pixels, keys=keys)


def _digest(item: Item, role: str) -> str:
    sample = item.samples[0]
    digest = sample.response[0].digest if role == "response" else sample.conditions[role].digest
    return f"{digest}, frame {item.frames[role]}" if role in item.frames else digest
