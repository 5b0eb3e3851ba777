"""What two towers are to the engine, whichever library they come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch


class TwoTowers(Protocol):
    """A network for pictures and one for texts whose embeddings share a space. In evaluation mode, on one device."""

    image_side: int
    """Pixels of each side that the picture tower takes."""
    context: int
    """Tokens that the text tower takes, the marks of beginning and end included."""
    scale: float
    """exp(logit_scale): what a cosine is multiplied with."""

    def embed_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embeddings (batch, dim), not normalised, of normalised pixels (batch, 3, side, side) in float32."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> tuple[torch.Tensor, list[bool]]:
        """Embeddings (batch, dim), not normalised, and for each text whether it was cut to `context` tokens."""
        ...
