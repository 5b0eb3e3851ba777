"""CLIP towers saved by transformers (CLIPModel), from a folder with config, weights and tokenizer.

Facts that this port keeps to:

- transformers 5 gives an output object where 4 gave a tensor: the projected embedding is its `pooler_output`;
- the text is pooled at its end token: configurations with `eos_token_id` 2 take the largest id of the sequence, others the
  first end token. Both are right exactly if the tokenizer's end token is the one meant, which is checked;
- a weight that is missing from the file would be left random with a mere log line; here it is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from curate.cards import CardFile
from curate.errors import WeightsError
from curate.scorers.libraries import import_transformers
from curate.scorers.pretrained import MODEL_FILES, load_pretrained
from curate.scorers.reading import said_of
from curate.scorers.transfers import sent
from curate.weights import weights_folder

_TOKENIZER = ("tokenizer*.json",)
_TOKENIZER_OF_OLD = ("vocab.json", "merges.txt")
_LEGACY_EOS = 2


class TransformersTowers:
    """A CLIPModel and its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any, scale: float) -> None:
        self._model = model
        self._tokenizer = tokenizer
        # Not all that it calls special: its padding may be a plain '!'.
        self._control = {tokenizer.bos_token_id: tokenizer.bos_token, tokenizer.eos_token_id: tokenizer.eos_token}
        self.image_side = int(model.config.vision_config.image_size)
        self.context = int(model.config.text_config.max_position_embeddings)
        self.width = int(model.config.projection_dim)
        self.scale = scale
        self.bias = 0.0

    def embed_images(self, pixels: torch.Tensor) -> torch.Tensor:
        parameter = self._model.logit_scale
        return _projected(self._model.get_image_features(pixel_values=pixels.to(parameter.device, parameter.dtype)))

    def embed_texts(self, texts: Sequence[str]) -> tuple[torch.Tensor, list[str]]:
        # Attention is causal and pooling ends at the end token, so padding to the longest changes nothing.
        tokens = self._tokenizer(list(texts), padding=True, truncation=True, max_length=self.context, return_tensors="pt")
        whole = self._tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        device = self._model.logit_scale.device
        features = self._model.get_text_features(**{name: sent(one, device) for name, one in tokens.items()})
        return _projected(features), [said_of(ids, context=self.context, marks=2, control=self._control) for ids in whole]


def load_transformers_towers(file: CardFile, *, dtype: torch.dtype, device: torch.device, offline: bool) -> TransformersTowers:
    """The towers under `weights.model`, with the tokenizer under `weights.tokenizer`, or beside the model where there is none."""
    transformers = import_transformers()
    apart = "tokenizer" in file.card.weights
    files = MODEL_FILES if apart else tuple((*one, *_TOKENIZER) for one in MODEL_FILES)
    folder = weights_folder(file, "model", *files, offline=offline)
    words = weights_folder(file, "tokenizer", _TOKENIZER, _TOKENIZER_OF_OLD, offline=offline) if apart else folder
    tokenizer = transformers.CLIPTokenizer.from_pretrained(str(words), local_files_only=True)
    model = load_pretrained(transformers.CLIPModel, folder, where=file.where, model_type="clip")
    _check_tokenizer(model.config.text_config, tokenizer, file.where)
    # Read before the towers become half precision, which would move a scale of 100 by one.
    scale = float(model.logit_scale.exp())
    return TransformersTowers(model.to(device, dtype), tokenizer, scale)


def _check_tokenizer(config: Any, tokenizer: Any, where: str) -> None:
    """Refuse a tokenizer whose end token is not where the text tower is read."""
    end, size = tokenizer.eos_token_id, len(tokenizer)
    fits = end == size - 1 if config.eos_token_id == _LEGACY_EOS else end == config.eos_token_id
    if not fits or size > config.vocab_size:
        raise WeightsError(
            f"{where}: the tokenizer ({size} tokens, ends with {end}) does not belong to the text tower "
            f"({config.vocab_size} tokens, read at {config.eos_token_id})"
        )


def _projected(features: Any) -> torch.Tensor:
    projected: torch.Tensor = features if isinstance(features, torch.Tensor) else features.pooler_output
    return projected
