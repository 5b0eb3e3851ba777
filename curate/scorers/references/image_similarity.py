"""How alike two pictures are to a network that embeds them: CLIP-I, DINO and DINOv2 similarity.

    similarity = cos(E(picture), E(reference)), of several references the mean, or the largest

CLIP-I and DINO are the subject fidelity of Ruiz et al., DreamBooth, CVPR 2023: the cosines of CLIP ViT-B/32 embeddings and of
the [CLS] tokens of DINO ViT-S/16. Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021 (DINO);
Oquab et al., DINOv2, 2023. Pixels are resized by Pillow as the processors of the originals do, and embeddings are normalised
and multiplied in float32. A reference that many candidates share goes through the network once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from curate.cards import CardFile
from curate.errors import CardError
from curate.rater_settings import Settings
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.devices import Precision
from curate.scorers.passes import Pixels
from curate.scorers.picture_arguments import Channels
from curate.scorers.pixels import Normalise, declared_preparation
from curate.scorers.references.base import ReferenceRater, Several
from curate.scorers.references.encoders import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Architecture,
    EmbedsPictures,
    Encoder,
    Pooling,
    load_tokens,
)
from curate.scorers.towers.clip import TowerArguments, load_towers


class EmbeddingSimilarity(ReferenceRater[Tensor]):
    """Base of raters that take the cosine of two embeddings."""

    _encoder: EmbedsPictures
    _normalise: Normalise

    def close(self) -> None:
        self._encoder.forget()

    def describe(self, pixels: Pixels, keys: Sequence[str] | None) -> Float[Tensor, "batch dim"]:
        return self._encoder.images(self._normalise(pixels), keys)

    def compare(self, response: Tensor, reference: Tensor) -> Float[Tensor, "batch 1"]:
        return (response * reference).sum(dim=-1, keepdim=True)


class TowerSimilarityArguments(TowerArguments):
    """The `args` of a card for `TowerSimilarity`."""

    several: Several = "mean"


class TowerSimilarity(EmbeddingSimilarity):
    """The cosine of the embeddings of a CLIP's picture tower, which it shares with all raters of the same weights."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, TowerSimilarityArguments)
        super().__init__(
            file,
            settings,
            prepare=lambda role: declared_preparation(args.preprocess, where=file.where, role=role),
            several=args.several,
        )
        self._encoder = load_towers(file, args, self.device, offline=settings.offline)
        self._normalise = Normalise(args.mean, args.std)


class TokenArguments(Arguments):
    """The `args` of a card for `TokenSimilarity`."""

    architecture: Architecture
    pooling: Pooling = "cls"
    """`cls+patches` sets the mean of the patch tokens beside [CLS]."""
    preprocess: Mapping[str, Any] = Field(default_factory=lambda: {"size": 256, "crop": 224})
    """Fields of `curate.shards.resize.Geometry`, and `backend`."""
    mean: Channels = IMAGENET_MEAN
    std: Channels = IMAGENET_STD
    dtype: Precision = "float32"
    several: Several = "mean"


class TokenSimilarity(EmbeddingSimilarity):
    """The cosine of the tokens of a self-supervised vision transformer: DINO, DINOv2."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, TokenArguments)
        super().__init__(
            file,
            settings,
            prepare=lambda role: declared_preparation(args.preprocess, where=file.where, role=role),
            several=args.several,
        )
        side = args.preprocess.get("crop") or args.preprocess.get("size")
        if not isinstance(side, int):
            raise CardError(f"{file.where}, field 'args.preprocess': say the size that pictures are brought to")
        tokens = load_tokens(
            file,
            architecture=args.architecture,
            side=side,
            dtype=args.dtype,
            device=self.device,
            offline=settings.offline,
        )
        self._encoder = Encoder(lambda pixels: tokens.pooled(pixels, args.pooling))
        self._normalise = Normalise(args.mean, args.std)
