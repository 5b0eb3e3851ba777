"""What the cards of networks that look at a prepared square say of their pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from curate.cards import CardFile
from curate.errors import CardError
from curate.scorers.arguments import Arguments
from curate.scorers.devices import Precision

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

Channels = tuple[float, float, float]


class PictureArguments(Arguments):
    """The part of a card's `args` that says what becomes of a picture before the network."""

    preprocess: Mapping[str, Any] = Field(default_factory=lambda: {"size": 224})
    """Fields of `curate.shards.resize.Geometry`, and `backend`."""
    mean: Channels = CLIP_MEAN
    std: Channels = CLIP_STD
    dtype: Precision = "float32"
    """Of the large parts; heads, cosines and what is added to them are float32 always."""

    def check_side(self, file: CardFile, side: int) -> None:
        """Raise `CardError` where the squares that `preprocess` makes are not the `side` that the network takes."""
        made = self.preprocess.get("crop") or self.preprocess.get("size")
        if made != side:
            raise CardError(f"{file.where}: preprocess makes squares of {made} pixels, but the network takes {side}")
