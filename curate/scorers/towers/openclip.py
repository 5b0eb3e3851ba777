"""CLIP towers of OpenCLIP: an architecture by name, and one file of weights; OpenAI's own checkpoints have the same names inside.

Weights trained with QuickGELU give other numbers under GELU, close enough that nobody notices. OpenCLIP warns, and only of
weights that it downloads by name. So a card says which of the two it means (`args.quick_gelu`), and an architecture of the other
kind is an error.

Architecture and tokenizer are made from OpenCLIP's parts. Its `create_model` would say that the model is "initialized randomly",
since the weights come afterwards, and log by the functions of `logging` that set up the logging of the whole process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from curate.cards import CardFile
from curate.errors import CardError, nearest
from curate.scorers.libraries import import_open_clip
from curate.scorers.reading import said_of
from curate.scorers.states import fit, load_state
from curate.scorers.transfers import sent


class OpenClipTowers:
    """A CLIP of OpenCLIP and its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any, *, image_side: int, width: int, scale: float) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._control = {number: tokenizer.decoder[number] for number in tokenizer.all_special_ids}
        self.image_side = image_side
        self.context = int(model.context_length)
        self.width = width
        self.scale = scale
        self.bias = 0.0

    def embed_images(self, pixels: torch.Tensor) -> torch.Tensor:
        parameter = self._model.logit_scale
        features: torch.Tensor = self._model.encode_image(pixels.to(parameter.device, parameter.dtype))
        return features

    def embed_texts(self, texts: Sequence[str]) -> tuple[torch.Tensor, list[str]]:
        tokens = self._tokenizer(list(texts), context_length=self.context)
        features: torch.Tensor = self._model.encode_text(sent(tokens, self._model.logit_scale.device))
        split = (self._tokenizer.encode(text) for text in texts)
        return features, [said_of(ids, context=self.context, marks=2, control=self._control) for ids in split]


def load_openclip_towers(
    file: CardFile, *, model: str, quick_gelu: bool, dtype: torch.dtype, device: torch.device, offline: bool
) -> OpenClipTowers:
    """The towers of the architecture `model`, with the weights under `weights.model`."""
    open_clip = import_open_clip()
    config = _config(open_clip, model, quick_gelu, file.where)
    state = load_state(file, "model", offline=offline)
    towers = _architecture(open_clip, config)
    fit(towers, state, where=file.where, place=f"weights.model, for OpenCLIP's '{model}'")
    # Read before the towers become half precision, which would move a scale of 100 by one.
    scale = float(towers.logit_scale.exp())
    side, width = int(config["vision_cfg"]["image_size"]), int(config["embed_dim"])
    text = config["text_cfg"]
    tokenizer = open_clip.SimpleTokenizer(context_length=text.get("context_length", 77), **text.get("tokenizer_kwargs", {}))
    return OpenClipTowers(towers.to(device, dtype), tokenizer, image_side=side, width=width, scale=scale)


def _architecture(open_clip: Any, config: Mapping[str, Any]) -> Any:
    """The network that a config describes, with random weights in float32 on the CPU; nothing is downloaded for it."""
    wanted = {name: value for name, value in config.items() if name != "custom_text"}
    if not config.get("custom_text", False):
        return open_clip.CLIP(**wanted)
    return (open_clip.CoCa if "multimodal_cfg" in config else open_clip.CustomTextCLIP)(**wanted)


def _config(open_clip: Any, model: str, quick_gelu: bool, where: str) -> dict[str, Any]:
    config: dict[str, Any] | None = open_clip.get_model_config(model)
    if config is None:
        known = nearest(model, open_clip.list_models())
        raise CardError(f"{where}, field 'args.model': OpenCLIP has no architecture '{model}'. {known}")
    if bool(config.get("quick_gelu", False)) != quick_gelu:
        kinds = ("QuickGELU", "GELU") if quick_gelu else ("GELU", "QuickGELU")
        raise CardError(f"{where}: the weights want {kinds[0]}, but the architecture '{model}' is built with {kinds[1]}")
    text = config["text_cfg"]
    if text.get("hf_tokenizer_name") or text.get("hf_model_name") or "siglip" in model.lower():
        raise CardError(f"{where}: '{model}' does not read text with CLIP's own tokenizer, which is the one this engine has")
    return config
