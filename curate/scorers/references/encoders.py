"""Networks that embed pictures without a text tower beside them, and what they have embedded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from curate.cards import CardFile
from curate.errors import CardError
from curate.scorers.devices import DTYPES, Precision
from curate.scorers.libraries import import_transformers
from curate.scorers.pretrained import MODEL_FILES, load_pretrained
from curate.scorers.sharing import Memo, loaded_once, weights_key
from curate.scorers.towers.two_towers import REMEMBERED_PICTURES
from curate.scorers.transfers import rows_of
from curate.scorers.vectors import unit
from curate.weights import weights_folder

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Architecture = Literal["vit", "dinov2"]
Pooling = Literal["cls", "cls+patches"]

_UNUSED = {"vit": ("pooler.*",), "dinov2": ()}
"""Weights that files of an architecture may hold and that are not used: the pooler of a ViT was never trained by DINO."""


class EmbedsPictures(Protocol):
    """What a rater of similarity needs of a network; `Encoder` is one, and so are the `Towers` of a CLIP."""

    def images(self, pixels: Float[Tensor, "batch 3 side side"], keys: Sequence[str] | None) -> Float[Tensor, "batch dim"]:
        """L2-normalised embeddings in float32 of normalised pixels, NaN where one is zero; `keys` name the pixels, None remembers
        nothing."""
        ...

    def forget(self) -> None:
        """Give back the memory of what was embedded."""
        ...


class Encoder:
    """A function from pixels to embeddings, and what it has embedded."""

    def __init__(self, embed: Callable[[Tensor], Tensor]) -> None:
        self._embed = embed
        self._known: Memo[Tensor] = Memo(REMEMBERED_PICTURES)

    def images(self, pixels: Float[Tensor, "batch 3 side side"], keys: Sequence[str] | None) -> Float[Tensor, "batch dim"]:
        """As `EmbedsPictures` says."""
        if keys is None:
            return unit(self._embed(pixels))
        return torch.stack(self._known.many(keys, lambda new: list(unit(self._embed(rows_of(pixels, new))))))

    def forget(self) -> None:
        self._known.clear()


class Tokens:
    """A vision transformer of transformers, in evaluation mode, on one device."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self._parameter = next(model.parameters())

    def __call__(self, pixels: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch tokens dim"]:
        """The tokens after the last layer norm, [CLS] first, in float32, of normalised pixels."""
        given = pixels.to(self._parameter.device, self._parameter.dtype)
        tokens: Tensor = self._model(pixel_values=given).last_hidden_state
        return tokens.float()

    def pooled(self, pixels: Tensor, pooling: Pooling) -> Float[Tensor, "batch dim"]:
        """[CLS], or [CLS] beside the mean of the patches."""
        tokens = self(pixels)
        first = tokens[:, 0]
        return first if pooling == "cls" else torch.cat([first, tokens[:, 1:].mean(dim=1)], dim=-1)


def load_tokens(
    file: CardFile, *, architecture: Architecture, side: int, dtype: Precision, device: torch.device, offline: bool
) -> Tokens:
    """The vision transformer under `weights.model`, shared by all raters of the process that name the same one.

    Raises `CardError` where it does not take squares of `side` pixels, `WeightsError` where there is none.
    """

    def load() -> Tokens:
        transformers = import_transformers()
        folder = weights_folder(file, "model", *MODEL_FILES, offline=offline)
        settings: dict[str, Any] = {"add_pooling_layer": False} if architecture == "vit" else {}
        kind = transformers.ViTModel if architecture == "vit" else transformers.Dinov2Model
        unused = _UNUSED[architecture]
        model = load_pretrained(kind, folder, where=file.where, model_type=architecture, spare=unused, **settings)
        _check_side(model.config, architecture, side, file.where)
        return Tokens(model.to(device, DTYPES[dtype]))

    return loaded_once(("tokens", weights_key(file), architecture, side, dtype, str(device)), load)


def _check_side(config: object, architecture: Architecture, side: int, where: str) -> None:
    """DINOv2 interpolates its table of positions to any number of whole patches; a ViT takes the side it was trained with."""
    trained, patch = int(getattr(config, "image_size", 0)), int(getattr(config, "patch_size", 1))
    if (architecture == "vit" and side != trained) or side % patch:
        wanted = f"{trained}" if architecture == "vit" else f"a multiple of {patch}"
        raise CardError(f"{where}: preprocess makes squares of {side} pixels, but the network takes {wanted}")
