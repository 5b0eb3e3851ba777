"""BLIP's pair of networks: a picture tower, and BERT whose every layer also attends to all tokens of the picture.

Paper: Li et al., BLIP, Bootstrapping Language-Image Pre-training, ICML 2022. Both are stock classes of transformers. A text is
read anew for each picture, since what a layer takes from the picture changes the layers above; only its word pieces are kept.

Facts that this port keeps to: the picture tower normalises with an epsilon of 1e-6, where the config class of transformers says
1e-5 (3e-4 of difference on the output), and the text is read at its first token, which stays `[CLS]`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from curate.scorers.matching.bert_text import WordPieces, Words

MARKS = ("[DEC]", "[ENC]")
"""What BLIP's authors appended to BERT's vocabulary; a prompt that spells one of them is read as one token."""

ORIGINAL_EPSILON = 1e-6

_VISION_NAMES = (
    (r"^cls_token$", "embeddings.class_embedding"),
    (r"^pos_embed$", "embeddings.position_embedding"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embedding."),
    (r"^blocks\.(\d+)\.", r"encoder.layers.\1."),
    (r"\.norm([12])\.", r".layer_norm\1."),
    (r"\.attn\.qkv\.", ".self_attn.qkv."),
    (r"\.attn\.proj\.", ".self_attn.projection."),
    (r"^norm\.", "post_layernorm."),
)


def stock_vision_name(original: str) -> str:
    """What transformers calls a weight of the picture tower that the original repository calls `original`."""
    for pattern, replacement in _VISION_NAMES:
        original = re.sub(pattern, replacement, original)
    return original


def renamed(state: Mapping[str, Tensor], parts: Mapping[str, str], *, vision: str, spare: Sequence[str]) -> dict[str, Tensor]:
    """The weights of an original checkpoint in float32, under the names of a network of ours.

    `parts` are prefixes and what replaces them, `vision` the one of them whose names are those of the original picture tower,
    `spare` patterns of weights that are in the file and not in the computation. A name under no prefix is kept, to be
    complained of.
    """
    fitting = {}
    for name, weight in state.items():
        if any(re.search(pattern, name) for pattern in spare):
            continue
        prefix = next((one for one in parts if name.startswith(one)), "")
        rest = name.removeprefix(prefix)
        fitting[parts.get(prefix, "") + (stock_vision_name(rest) if prefix == vision else rest)] = weight.float()
    return fitting


class CrossReader:
    """A picture tower, a text network that reads a prompt in front of a picture, and the prompts' word pieces."""

    def __init__(self, vision: Any, text: Any, words: Words) -> None:
        self._vision = vision
        self._text = text
        self.words = words

    def read(self, pixels: Float[Tensor, "batch 3 side side"], prompts: Sequence[str]) -> tuple[Tensor, WordPieces]:
        """What the text network knows at the first token, (batch, width) in float32, and the prompts as it read them."""
        weight = self._vision.embeddings.patch_embedding.weight
        picture = self._vision(pixel_values=pixels.to(weight.device, weight.dtype)).last_hidden_state
        pieces = self.words(prompts, weight.device)
        read = self._text(input_ids=pieces.ids, attention_mask=pieces.mask, encoder_hidden_states=picture).last_hidden_state
        return read[:, 0].float(), pieces
