"""Qwen2-VL and Qwen2.5-VL as readers: pictures and a text in, the states of the language model out.

Facts that this port keeps to:

- **Positions.** The originals splice the visual tokens into the embeddings and call the language model without positions. With
  the versions they pin (transformers 4.45) that means 0, 1, 2 … on all three axes of M-RoPE, not the grid positions of a normal
  call. They are passed explicitly here: what the library would make up depends on what it cached in an earlier call.
- **Vocabulary.** The reward tokens are added to the tokenizer of the base model and the embedding has as many rows as that
  tokenizer has tokens, which is fewer than the padded vocabulary of the base.
- **Names.** Checkpoints of transformers 4.45 say `visual.*` and `model.*`, later ones `model.visual.*` and
  `model.language_model.*`; both are taken, and every tensor must find its place.
- Padding is on the right and masked, so a batch changes no number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from curate.cards import CardFile
from curate.scorers.libraries import import_transformers
from curate.scorers.pixels import Normalise
from curate.scorers.pretrained import read_config
from curate.scorers.vlm.images import patches
from curate.scorers.vlm.loading import by_its_file, empty, filled
from curate.weights import weights_folder

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

_CLASSES = {"qwen2_vl": "Qwen2VLModel", "qwen2_5_vl": "Qwen2_5_VLModel"}

_BASE_FILES = (("config.json", "tokenizer.json"), ("config.json", "vocab.json", "merges.txt"))

_PADS = {"image": "<|image_pad|>", "video": "<|video_pad|>"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the language model made of a batch of texts."""

    states: Float[Tensor, "batch tokens hidden"]
    """After the last norm."""
    ids: Int[Tensor, "batch tokens"]
    """The token at each place; padding on the right."""

    def at(self, token: int) -> Float[Tensor, "batch hidden"]:
        """The states at a token that each text holds once."""
        return self.states[self.ids == token]


class QwenReader:
    """A Qwen-VL without its language head, its tokenizer, and the tokens that were added for rewards."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._normalise = Normalise(CLIP_MEAN, CLIP_STD)
        self.hidden = int(model.config.text_config.hidden_size)
        self.context = int(model.config.text_config.max_position_embeddings)
        self.control = control_tokens(tokenizer)

    def token(self, text: str) -> int:
        """The id of a token."""
        return int(self._tokenizer.convert_tokens_to_ids(text))

    def see(self, pixels: Float[Tensor, "batch frames 3 height width"]) -> Float[Tensor, "batch tokens hidden"]:
        """The visual tokens of pictures (one frame) or videos, of RGB in [0, 1] whose sides are multiples of 28."""
        flat, grid = patches(self._normalise(pixels))
        features = self._model.visual(flat.to(self._model.dtype), grid_thw=grid).pooler_output
        return features.reshape(len(pixels), -1, self.hidden)  # type: ignore[no-any-return]

    def chat(self, text: str, media: Sequence[tuple[str, int]]) -> list[int]:
        """Ids of one turn of a user, who shows media and then says a text; the assistant is about to answer.

        `media` are kinds ('image' or 'video') with their numbers of visual tokens, in the order they are shown.
        """
        shown = "".join(f"<|vision_start|>{_PADS[kind] * count}<|vision_end|>" for kind, count in media)
        turns = (
            f"<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            f"<|im_start|>user\n{shown}{text}<|im_end|>\n<|im_start|>assistant\n"
        )
        return list(self._tokenizer(turns, add_special_tokens=False)["input_ids"])

    def read(self, chats: Sequence[Sequence[int]], seen: Float[Tensor, "batch tokens hidden"]) -> Reading:
        """The states of chats in which the visual tokens of each sample, all its media in a row, are put in their places."""
        device, length = seen.device, max(map(len, chats))
        ids = torch.zeros(len(chats), length, dtype=torch.long, device=device)
        mask = torch.zeros_like(ids)
        for row, chat in enumerate(chats):
            ids[row, : len(chat)] = torch.tensor(chat, device=device)
            mask[row, : len(chat)] = 1
        visual = (ids == self._model.config.image_token_id) | (ids == self._model.config.video_token_id)
        words = self._model.language_model.embed_tokens(ids)
        spliced = words.masked_scatter(visual[..., None], seen.to(words.dtype))
        positions = torch.arange(length, device=device).expand(3, len(chats), length)
        output = self._model.language_model(inputs_embeds=spliced, attention_mask=mask, position_ids=positions, use_cache=False)
        # A pad is token 0, an ordinary word; what is found by its id must not be found there.
        return Reading(states=output.last_hidden_state, ids=ids.masked_fill(mask == 0, -1))


def control_tokens(tokenizer: Any) -> tuple[str, ...]:
    """The tokens of a tokenizer that stand for no text."""
    return tuple(token.content for token in tokenizer.added_tokens_decoder.values() if token.special)


def load_qwen(
    file: CardFile,
    state: Mapping[str, Tensor],
    *,
    tokens: Sequence[str],
    dtype: torch.dtype,
    device: torch.device,
    offline: bool,
) -> QwenReader:
    """The network of a checkpoint without its heads, by the config and the tokenizer under `weights.base`.

    `tokens` are added to the tokenizer in this order. Raises `WeightsError` for a base that is no Qwen-VL and for a checkpoint
    that does not hold exactly its tensors.
    """
    transformers = import_transformers()
    folder = weights_folder(file, "base", *_BASE_FILES, offline=offline)
    kind = read_config(folder, *_CLASSES, where=file.where)["model_type"]
    auto = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    tokenizer = by_its_file(auto, folder)
    added = [transformers.AddedToken(token, special=True, normalized=False) for token in tokens]
    tokenizer.add_tokens(added, special_tokens=True)
    config = transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    config.text_config.vocab_size = len(tokenizer)
    model = empty(getattr(transformers, _CLASSES[kind]), config, dtype)
    named = {new: tensor.to(dtype) for name, tensor in state.items() if (new := current_name(name)) is not None}
    return QwenReader(filled(model, named, where=file.where).to(device), tokenizer)


def current_name(name: str) -> str | None:
    """The name in transformers 5 of a tensor in a checkpoint of any version; None for the language head, which is not used."""
    inner = name.removeprefix("model.")
    if name.startswith("lm_head."):
        return None
    if inner.startswith(("visual.", "language_model.")):
        return inner
    return f"language_model.{inner}"


def merge_lora(state: Mapping[str, Tensor], *, alpha: float) -> dict[str, Tensor]:
    """A checkpoint of a network with low-rank adapters (PEFT's names) as one without: W + alpha / rank * B A, in float32.

    Tensors without adapters come through. Raises KeyError for an adapter that lacks a part.
    """
    plain = {name.removeprefix("base_model.model."): tensor for name, tensor in state.items()}
    merged = {name: tensor for name, tensor in plain.items() if ".base_layer." not in name and ".lora_" not in name}
    for name, tensor in plain.items():
        if ".base_layer." not in name:
            continue
        layer, _, kind = name.partition(".base_layer.")
        merged[f"{layer}.{kind}"] = tensor
        if kind == "weight":
            down, up = plain[f"{layer}.lora_A.default.weight"], plain[f"{layer}.lora_B.default.weight"]
            merged[f"{layer}.{kind}"] = tensor.float() + alpha / len(down) * (up.float() @ down.float())
    return merged
