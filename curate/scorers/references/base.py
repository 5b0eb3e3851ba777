"""Raters that compare a picture with others: with its source, or with one reference or several.

A card says which conditions it compares with: all of `takes.conditions` have to be there, of `takes.optional` those count that
are there. Of several, the mean is taken, or where the card says `several: max` that of the reference which the picture comes
closest to: the largest similarity, the smallest distance. What is computed of the picture is computed once for all of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from curate.cards import CardFile
from curate.errors import CardError
from curate.rater_settings import Settings
from curate.raters import Preparation
from curate.records import Status
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Pixels, Scores
from curate.shards.resize import resize, shortest_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

F = TypeVar("F")

Several = Literal["mean", "max"]
"""What becomes of comparisons with several references; `max` is of scores as they leave the rater, where larger is better."""


class ReferenceRater(NetworkRater, Generic[F]):
    """Base of raters that describe pictures one by one and compare the descriptions."""

    any_size: bool = True
    """Whether a picture and its reference may differ in size when they reach the network."""
    smallest: int = 1
    """Pixels that the shorter side has to have."""

    def __init__(
        self, file: CardFile, settings: Settings, *, prepare: Callable[[str], Preparation], several: Several = "mean"
    ) -> None:
        self.references = file.card.takes.roles[1:]
        if not file.card.takes.conditions:
            raise CardError(f"{file.where}, field 'takes.conditions': say what pictures are compared with, such as [reference]")
        super().__init__(file, settings, preparations=[prepare(role) for role in ("response", *self.references)])
        self._several = several

    @abstractmethod
    def describe(self, pixels: Pixels, keys: Sequence[str] | None) -> F:
        """What is compared: of pixels as the preparation makes them, which `keys` name where anything may be remembered."""

    @abstractmethod
    def compare(self, response: F, reference: F) -> Float[Tensor, "batch dimensions"]:
        """The comparison of each picture with its reference, in the card's own direction."""

    def forward(self, inputs: Inputs) -> Scores:
        why_not = self._why_not(inputs)
        if why_not:
            batch = len(inputs.pixels["response"])
            nothing = torch.zeros(batch, len(self.dimensions))
            return Scores(values=nothing, failures=dict.fromkeys(range(batch), (Status.NOT_APPLICABLE, why_not)))
        response = self.describe(inputs.pixels["response"], inputs.keys_of("response"))
        there = [role for role in self.references if role in inputs.pixels]
        found = torch.stack([self.compare(response, self.describe(inputs.pixels[role], inputs.keys_of(role))) for role in there])
        if self._several == "mean":
            return Scores(values=found.mean(dim=0))
        return Scores(values=found.amax(dim=0) if self.card.higher_is_better else found.amin(dim=0))

    def _why_not(self, inputs: Inputs) -> str | None:
        """Why a batch, whose pictures are of one size role by role, cannot be compared."""
        tall, wide = inputs.pixels["response"].shape[-2:]
        if min(tall, wide) < self.smallest:
            return f"{wide} x {tall} pixels are too few: {self.card.name} needs {self.smallest} on each side"
        for role in () if self.any_size else self.references:
            if role not in inputs.pixels:
                continue
            height, width = inputs.pixels[role].shape[-2:]
            if (height, width) != (tall, wide):
                return (
                    f"the picture has {wide} x {tall} pixels and its {role} {width} x {height}; {self.card.name} compares "
                    "pictures of one size (args.preprocess can bring them to one)"
                )
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class AsItIs:
    """The preparation that leaves pixels alone."""

    @property
    def name(self) -> str:
        return "as-it-is"

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return pixels

    def on_tensor(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        return pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """Pixels whose shorter side is brought to `side` where it is longer, with Pillow's bilinear filter; nothing is cropped."""

    side: int

    @property
    def name(self) -> str:
        return f"pillow:shrunk-{self.side}-bilinear"

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = pixels.shape[:2]
        if min(height, width) <= self.side:
            return pixels
        return resize(pixels, *shortest_size(height, width, self.side), "bilinear")

    def on_tensor(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 tall wide"]:
        height, width = pixels.shape[-2:]
        if min(height, width) <= self.side:
            return pixels
        tall, wide = shortest_size(height, width, self.side)
        return torch.nn.functional.interpolate(pixels, (tall, wide), mode="bilinear", antialias=True)
