"""BLIP's image-text matching: the probability that a picture and its prompt belong together.

    softmax(itm_head(h))[1]        h: the text network's state at [CLS], the prompt read in front of the picture

Paper: Li et al., BLIP, Bootstrapping Language-Image Pre-training, ICML 2022. Original: https://github.com/salesforce/BLIP,
`models/blip_itm.py`; the weights are the ones converted for transformers. The picture tower normalises with the original's
epsilon, whatever the converted config says. Good pictures crowd near 1, so it filters better than it ranks.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import nn

from curate.cards import CardFile
from curate.rater_settings import Settings
from curate.scorers.arguments import arguments
from curate.scorers.devices import DTYPES
from curate.scorers.libraries import import_transformers
from curate.scorers.matching.bert_text import load_words
from curate.scorers.matching.blip_network import MARKS, ORIGINAL_EPSILON, CrossReader
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Scores
from curate.scorers.picture_arguments import PictureArguments
from curate.scorers.pixels import Normalise, declared_preparation
from curate.scorers.pretrained import MODEL_FILES, load_pretrained
from curate.scorers.sharing import loaded_once, weights_key
from curate.weights import weights_folder


class MatchingArguments(PictureArguments):
    """The `args` of a card for `Matching`."""

    max_tokens: int = Field(default=35, ge=3)
    """Of a prompt, the marks of beginning and end included; the original cuts at 35."""


class Matching(NetworkRater):
    """Judges pictures by the probability that they match their prompt."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, MatchingArguments)
        super().__init__(file, settings, preparations=[declared_preparation(args.preprocess, where=file.where)])
        key = ("blip-itm", weights_key(file), args.dtype, str(self.device))
        self._model = loaded_once(key, lambda: _load(file, DTYPES[args.dtype], self.device, offline=settings.offline))
        args.check_side(file, int(self._model.config.vision_config.image_size))
        words = load_words(
            file,
            length=args.max_tokens,
            vocabulary_size=self._model.config.text_config.vocab_size,
            marks=MARKS,
            offline=settings.offline,
        )
        self._reader = CrossReader(self._model.vision_model, self._model.text_encoder, words)
        self._normalise = Normalise(args.mean, args.std)

    def close(self) -> None:
        self._reader.words.forget()

    def forward(self, inputs: Inputs) -> Scores:
        read, pieces = self._reader.read(self._normalise(inputs.pixels["response"]), inputs.prompts)
        return Scores(values=self._model.itm_head(read).softmax(dim=-1)[:, 1:], notes=self._reader.words.notes(pieces))


def _load(file: CardFile, dtype: torch.dtype, device: torch.device, *, offline: bool) -> Any:
    """The network with its two readers in `dtype`; the head stays in float32."""
    transformers = import_transformers()
    folder = weights_folder(file, "model", *MODEL_FILES, offline=offline)
    model = load_pretrained(transformers.BlipForImageTextRetrieval, folder, where=file.where, model_type="blip")
    for module in model.vision_model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = ORIGINAL_EPSILON
    model.vision_model.to(dtype)
    model.text_encoder.to(dtype)
    return model.to(device)
