"""Two towers that share a space, one for pictures and one for texts, whichever library they come from.

Raters whose cards name the same weights in the same precision share one `Towers` of a process: it is loaded once, and a
picture or a prompt that one rater has sent through it costs the next one nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from curate.scorers.sharing import Memo
from curate.scorers.transfers import rows_of
from curate.scorers.vectors import unit

REMEMBERED_PICTURES = 2048
"""A few times as many as are on their way through a run."""

REMEMBERED_TEXTS = 8192
"""Embeddings of so many prompts are kept, those used last: 32 MB at 1024 numbers each."""


class Library(Protocol):
    """A loaded pair of towers, in evaluation mode, on one device."""

    image_side: int
    """Pixels of each side that the picture tower takes."""
    context: int
    """Tokens that the text tower takes, the marks of beginning and end included."""
    width: int
    """Numbers of an embedding."""
    scale: float
    """exp(logit_scale): what a cosine is multiplied with."""
    bias: float
    """logit_bias, which is added to the scaled cosine; 0 where the towers have none."""

    def embed_images(self, pixels: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch dim"]:
        """Embeddings, not normalised, of normalised pixels in float32."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> tuple[Float[Tensor, "batch dim"], list[str]]:
        """Embeddings, not normalised, and what is to be said of each text (`curate.scorers.reading.said_of`)."""
        ...


class Towers:
    """Two towers and what they have embedded."""

    def __init__(self, library: Library) -> None:
        self.image_side = library.image_side
        self.context = library.context
        self.width = library.width
        self.scale = library.scale
        self.bias = library.bias
        self._library = library
        self._pictures: Memo[Tensor] = Memo(REMEMBERED_PICTURES)
        self._texts: Memo[tuple[Tensor, str]] = Memo(REMEMBERED_TEXTS)

    def images(self, pixels: Float[Tensor, "batch 3 side side"], keys: Sequence[str] | None) -> Float[Tensor, "batch dim"]:
        """L2-normalised embeddings in float32 of normalised pixels, NaN where one is zero; `keys` name the pixels, None remembers
        nothing."""
        if keys is None:
            return unit(self._library.embed_images(pixels))
        found = self._pictures.many(keys, lambda new: _rows(unit(self._library.embed_images(rows_of(pixels, new)))))
        return torch.stack(found)

    def texts(self, texts: Sequence[str]) -> tuple[Float[Tensor, "batch dim"], list[str]]:
        """L2-normalised embeddings in float32, NaN where one is zero, and what is to be said of each text: that it was cut, that
        it holds control tokens; empty where nothing is. A text, in its final wording, goes through the tower once."""
        found = self._texts.many(texts, lambda new: self._embed([texts[position] for position in new]))
        return torch.stack([embedding for embedding, _ in found]), [said for _, said in found]

    def forget(self) -> None:
        """Give back the memory of what was embedded."""
        self._pictures.clear()
        self._texts.clear()

    @torch.no_grad()
    def _embed(self, texts: Sequence[str]) -> list[tuple[Tensor, str]]:
        embeddings, said = self._library.embed_texts(texts)
        return list(zip(_rows(unit(embeddings)), said, strict=True))


def _rows(embeddings: Tensor) -> list[Tensor]:
    """Each row in memory of its own, so that one that is remembered does not hold its batch."""
    return [row.clone() for row in embeddings]
