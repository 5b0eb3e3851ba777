"""How well a picture fits its prompt, by the cosine of two towers: CLIPScore, PickScore and their kin.

    cosine    cos(E(image), T(prompt))                          raw CLIP similarity, about 0.15 .. 0.35
    scaled    exp(logit_scale) * cos(E(image), T(prompt))       PickScore; the logit the towers were trained with

Papers: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021; Kirstain et al.,
Pick-a-Pic, 2023 (PickScore). Two choices keep the numbers those of the originals: pixels are resized by Pillow as the original
processors do (`preprocess.backend: fast` trades the last digit for speed), and embeddings are normalised and multiplied in
float32 whatever the precision of the towers, since good pictures differ in the third digit.

A prompt longer than the text tower takes is cut, as it was in the originals. Its value stands, and says so in its detail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field, field_validator, model_validator

from curate.cards import CardFile
from curate.errors import CardError
from curate.raters import Settings
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.devices import DTYPES, Precision
from curate.scorers.network import Inputs, NetworkRater, Scores
from curate.scorers.openclip import load_openclip_towers
from curate.scorers.pixels import Normalise, declared_preparation
from curate.scorers.sharing import loaded_once, weights_key
from curate.scorers.transformers_clip import load_transformers_towers
from curate.scorers.two_towers import Library, Towers

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

Channels = tuple[float, float, float]


class TowerArguments(Arguments):
    """What a card's `args` say of the towers and of the pixels they take."""

    library: Literal["transformers", "open_clip"]
    model: str | None = None
    """Name of the architecture; for OpenCLIP only, transformers reads it from the weights."""
    quick_gelu: bool = False
    """Whether the weights were trained with QuickGELU; for OpenCLIP only."""
    preprocess: Mapping[str, Any] = Field(default_factory=lambda: {"size": 224})
    """Fields of `curate.shards.resize.Geometry`, and `backend`."""
    mean: Channels = CLIP_MEAN
    std: Channels = CLIP_STD
    dtype: Precision = "float32"
    """Of the towers; normalising and multiplying are float32 always."""

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _channels(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _architecture(self) -> TowerArguments:
        if (self.library == "open_clip") != (self.model is not None):
            raise ValueError("open_clip needs 'model', the name of an architecture; transformers takes none")
        if self.library == "transformers" and self.quick_gelu:
            raise ValueError("'quick_gelu' is for open_clip; transformers reads the activation from the weights")
        return self


class ClipArguments(TowerArguments):
    """The `args` of a card for `Similarity`."""

    score: Literal["cosine", "scaled"] = "cosine"


class Similarity(NetworkRater):
    """Judges pictures by their cosine with the prompt."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, ClipArguments)
        super().__init__(file, settings, preparations=[declared_preparation(args.preprocess, where=file.where)])
        self._towers = load_towers(file, args, self.device, offline=settings.offline)
        self._factor = self._towers.scale if args.score == "scaled" else 1.0
        self._normalise = Normalise(args.mean, args.std)

    def close(self) -> None:
        self._towers.forget()

    def forward(self, inputs: Inputs) -> Scores:
        pictures = self._towers.images(self._normalise(inputs.pixels["response"]), inputs.keys_of("response"))
        texts, cut = self._towers.texts(inputs.prompts)
        note = f"the prompt was cut to {self._towers.context} tokens"
        return Scores(
            values=self._factor * (pictures * texts).sum(dim=-1, keepdim=True),
            notes={number: note for number, was_cut in enumerate(cut) if was_cut},
        )


def load_towers(file: CardFile, args: TowerArguments, device: torch.device, *, offline: bool) -> Towers:
    """The towers of a card, shared by all raters of the process that name the same ones.

    Raises `CardError` where the card's geometry is not the one the picture tower takes, `WeightsError` where there are none.
    """
    key = ("towers", weights_key(file), args.library, args.model, args.quick_gelu, args.mean, args.std, args.dtype, str(device))
    towers = loaded_once(key, lambda: Towers(_load_library(file, args, device, offline=offline)))
    side = args.preprocess.get("crop") or args.preprocess.get("size")
    if side != towers.image_side:
        raise CardError(f"{file.where}: preprocess makes squares of {side} pixels, but the network takes {towers.image_side}")
    return towers


def _load_library(file: CardFile, args: TowerArguments, device: torch.device, *, offline: bool) -> Library:
    dtype = DTYPES[args.dtype]
    if args.library == "transformers":
        return load_transformers_towers(file, dtype=dtype, device=device, offline=offline)
    assert args.model is not None, "checked by TowerArguments"
    return load_openclip_towers(file, model=args.model, quick_gelu=args.quick_gelu, dtype=dtype, device=device, offline=offline)
