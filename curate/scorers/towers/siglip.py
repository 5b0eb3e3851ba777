"""SigLIP and SigLIP 2 towers saved by transformers (SiglipModel), from a folder with config, weights and tokenizer.json.

    logit    exp(logit_scale) * cos(E(image), T(text)) + logit_bias      its sigmoid: the probability that the two belong together

Papers: Zhai et al., Sigmoid Loss for Language Image Pre-Training, 2023; Tschannen et al., SigLIP 2, 2025. Facts that this port
keeps to:

- a text is always as long as the text tower (64 tokens): cut, ended by the end token, filled with the padding token, read at the
  last position, and nothing is masked. Padding to the longest of a batch, as for CLIP, wrecks the tower without a word;
- SigLIP's texts are canonical (small letters, no punctuation), SigLIP 2's in small letters (`towers.wording`);
- the probability of most pairs rounds to zero, so the logit is what is kept and ranked by.

The end and the padding are put on here, not by the tokenizer, whose file may or may not do so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from curate.cards import CardFile
from curate.errors import WeightsError
from curate.scorers.libraries import import_transformers
from curate.scorers.pretrained import MODEL_FILES, load_pretrained
from curate.scorers.reading import control_tokens, said_of
from curate.scorers.transfers import sent
from curate.weights import weights_folder

_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


class SiglipTowers:
    """A SiglipModel and its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._control = control_tokens(tokenizer)
        self.image_side = int(model.config.vision_config.image_size)
        self.context = int(model.config.text_config.max_position_embeddings)
        self.width = int(model.config.vision_config.hidden_size)
        self.scale = float(model.logit_scale.exp())
        self.bias = float(model.logit_bias)

    def to(self, device: torch.device, dtype: torch.dtype) -> SiglipTowers:
        """These towers there, in that precision; scale and bias keep theirs."""
        self._model.to(device, dtype)
        return self

    def embed_images(self, pixels: torch.Tensor) -> torch.Tensor:
        parameter = self._model.logit_scale
        features: torch.Tensor = self._model.get_image_features(
            pixel_values=pixels.to(parameter.device, parameter.dtype)
        ).pooler_output
        return features

    def embed_texts(self, texts: Sequence[str]) -> tuple[torch.Tensor, list[str]]:
        tokens = self._tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        rows = torch.full((len(texts), self.context), self._tokenizer.pad_token_id)
        for row, ids in zip(rows, tokens, strict=True):
            kept = [*ids[: self.context - 1], self._tokenizer.eos_token_id]
            row[: len(kept)] = torch.tensor(kept)
        features: torch.Tensor = self._model.get_text_features(input_ids=sent(rows, self._model.logit_scale.device)).pooler_output
        return features, [said_of(ids, context=self.context, marks=1, control=self._control) for ids in tokens]


def load_siglip_towers(file: CardFile, *, dtype: torch.dtype, device: torch.device, offline: bool) -> SiglipTowers:
    """The towers under `weights.model`, whose folder also holds the tokenizer; raises `WeightsError` where they do not fit."""
    transformers = import_transformers()
    folder = weights_folder(file, "model", *((*one, *_TOKENIZER) for one in MODEL_FILES), offline=offline)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True)
    model = load_pretrained(transformers.SiglipModel, folder, where=file.where, model_type="siglip")
    size = model.config.text_config.vocab_size
    if tokenizer.eos_token_id is None or tokenizer.pad_token_id is None or len(tokenizer) > size:
        raise WeightsError(
            f"{file.where}: the tokenizer in {folder} ({len(tokenizer)} tokens) does not belong to a text tower of {size}, or it "
            "names no end and padding token"
        )
    return SiglipTowers(model, tokenizer).to(device, dtype)
