"""How well a picture fits its prompt, by the cosine of two towers: CLIPScore, PickScore, HPSv2, SigLIP and their kin.

    cosine    cos(E(image), T(prompt))                          raw CLIP similarity, about 0.15 .. 0.35; HPSv2
    scaled    exp(logit_scale) * cos(E(image), T(prompt))       PickScore; the logit CLIP was trained with
    logit     exp(logit_scale) * cos + logit_bias               SigLIP's

    value     times * max(at_least, one of these)               CLIPScore: 2.5 * max(0, cosine); torchmetrics: 100 * cosine

Papers: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021; Hessel et al., CLIPScore,
2021; Kirstain et al., Pick-a-Pic, 2023 (PickScore). Two choices keep the numbers those of the originals: pixels are resized by
Pillow as the original processors do (`preprocess.backend: fast` trades the last digit for speed), and embeddings are normalised
and multiplied in float32 whatever the precision of the towers, since good pictures differ in the third digit.

A prompt longer than the text tower takes is cut, and one that holds the marks of beginning or end as text is read as if they were
those, as it was in the originals. Its value stands, and says so in its detail.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import model_validator

from curate.cards import CardFile
from curate.rater_settings import Settings
from curate.scorers.arguments import arguments
from curate.scorers.devices import DTYPES
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Scores
from curate.scorers.picture_arguments import PictureArguments
from curate.scorers.pixels import Normalise, declared_preparation
from curate.scorers.reading import notes_on
from curate.scorers.sharing import loaded_once, weights_key
from curate.scorers.towers.openclip import load_openclip_towers
from curate.scorers.towers.siglip import load_siglip_towers
from curate.scorers.towers.transformers_clip import load_transformers_towers
from curate.scorers.towers.two_towers import Library, Towers
from curate.scorers.towers.wording import Wording, worder

TOWER_ROLES = ("model", "tokenizer")
"""Under `weights`; what else a card names there (a head …) is not the towers'."""


class TowerArguments(PictureArguments):
    """What a card's `args` say of the towers and of the pixels they take."""

    library: Literal["transformers", "open_clip"]
    family: Literal["clip", "siglip"] = "clip"
    """Of the architecture; OpenCLIP's are CLIPs."""
    model: str | None = None
    """Name of the architecture; for OpenCLIP only, transformers reads it from the weights."""
    quick_gelu: bool = False
    """Whether the weights were trained with QuickGELU; for OpenCLIP only."""
    wording: Wording = "as_is"
    """What is done to a text before it becomes tokens: `openai` is for CLIPs of transformers, since OpenCLIP's tokenizer does
    that itself; `lower` and `canonical` are for SigLIPs."""

    @model_validator(mode="after")
    def _architecture(self) -> TowerArguments:
        if (self.library == "open_clip") != (self.model is not None):
            raise ValueError("open_clip needs 'model', the name of an architecture; transformers takes none")
        if self.library == "transformers" and self.quick_gelu:
            raise ValueError("'quick_gelu' is for open_clip; transformers reads the activation from the weights")
        if self.library == "open_clip" and self.family == "siglip":
            raise ValueError("SigLIP is loaded by transformers only")
        if self.wording in ("lower", "canonical") and self.family != "siglip":
            raise ValueError(f"the wording {self.wording} is for the family siglip")
        if self.wording == "openai" and (self.library, self.family) != ("transformers", "clip"):
            raise ValueError(
                "the wording openai is for CLIPs of transformers: OpenCLIP's tokenizer has it, and SigLIP none of it"
            )
        return self


class ClipArguments(TowerArguments):
    """The `args` of a card for `Similarity`."""

    score: Literal["cosine", "scaled", "logit"] = "cosine"
    at_least: float | None = None
    """What lies below is raised to this; null leaves all as it is. Pixels under it get no gradient."""
    times: float = 1.0
    """What the value is multiplied with at the end."""
    prefix: str = ""
    """Put before each prompt, ahead of its wording."""


class Similarity(NetworkRater):
    """Judges pictures by their cosine with the prompt."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, ClipArguments)
        super().__init__(file, settings, preparations=[declared_preparation(args.preprocess, where=file.where)])
        self._towers = load_towers(file, args, self.device, offline=settings.offline)
        self._factor = 1.0 if args.score == "cosine" else self._towers.scale
        self._bias = self._towers.bias if args.score == "logit" else 0.0
        self._args = args
        self._word = worder(args.wording)
        self._normalise = Normalise(args.mean, args.std)

    def close(self) -> None:
        self._towers.forget()

    def forward(self, inputs: Inputs) -> Scores:
        pictures = self._towers.images(self._normalise(inputs.pixels["response"]), inputs.keys_of("response"))
        texts, said = self._towers.texts([self._word(f"{self._args.prefix}{prompt}") for prompt in inputs.prompts])
        values = self._factor * (pictures * texts).sum(dim=-1, keepdim=True) + self._bias
        if self._args.at_least is not None:
            values = values.clamp(min=self._args.at_least)
        return Scores(values=self._args.times * values, notes=notes_on("the prompt", said))


def load_towers(file: CardFile, args: TowerArguments, device: torch.device, *, offline: bool) -> Towers:
    """The towers of a card, shared by all raters of the process that name the same ones, with a head or without, and whatever
    they do to texts before.

    Raises `CardError` where the card's geometry is not the one the picture tower takes, `WeightsError` where there are none.
    """
    of_towers = {role: one for role, one in file.card.weights.items() if role in TOWER_ROLES}
    file = file.model_copy(update={"card": file.card.model_copy(update={"weights": of_towers})})
    apart = ("preprocess", "wording")
    settings = tuple((name, getattr(args, name)) for name in TowerArguments.model_fields if name not in apart)
    key = ("towers", weights_key(file), settings, str(device))
    towers = loaded_once(key, lambda: Towers(_load_library(file, args, device, offline=offline)))
    args.check_side(file, towers.image_side)
    return towers


def _load_library(file: CardFile, args: TowerArguments, device: torch.device, *, offline: bool) -> Library:
    dtype = DTYPES[args.dtype]
    if args.model is not None:
        return load_openclip_towers(
            file, model=args.model, quick_gelu=args.quick_gelu, dtype=dtype, device=device, offline=offline
        )
    if args.family == "siglip":
        return load_siglip_towers(file, dtype=dtype, device=device, offline=offline)
    return load_transformers_towers(file, dtype=dtype, device=device, offline=offline)
