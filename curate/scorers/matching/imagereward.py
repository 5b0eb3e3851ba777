"""ImageReward: how well a picture would please the one who wrote the prompt.

    (mlp(h) - centre) / scale        h: BLIP-large's text state at [CLS], the prompt read in front of the picture

Paper: Xu et al., ImageReward, Learning and Evaluating Human Preferences for Text-to-Image Generation, NeurIPS 2023. Original:
https://github.com/THUDM/ImageReward, `ImageReward.score`. Ours runs on the stock BLIP classes of transformers; the weights are
renamed when they are loaded, and each of them must find its place. The head has dropout between its layers and no
activations, so it is one affine map. Larger is better, near a standard normal on the pictures it was trained with.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from pydantic import Field
from torch import nn

from curate.cards import CardFile
from curate.errors import WeightsError
from curate.rater_settings import Settings
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.devices import DTYPES
from curate.scorers.libraries import import_transformers
from curate.scorers.matching.bert_text import load_words
from curate.scorers.matching.blip_network import MARKS, ORIGINAL_EPSILON, CrossReader, renamed
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Scores
from curate.scorers.picture_arguments import PictureArguments
from curate.scorers.pixels import Normalise, declared_preparation
from curate.scorers.sharing import loaded_once, weights_key
from curate.scorers.states import fit, load_state
from curate.weights import weights_file

_HEAD_WIDTHS = (1024, 128, 64, 16, 1)
_HEAD_LAYERS = (0, 2, 4, 6, 7)
"""The linear layers of the original head; dropouts lie between them."""
_SPARE = (r"^blip\.(vision|text)_proj\.", r"position_ids$")
"""Projections that only the pretraining used, and a table of positions, which is no weight."""
_TEXT_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "hidden_act",
    "layer_norm_eps",
)


class TowerSizes(Arguments):
    """The picture tower, which the checkpoint does not describe: BLIP-large has 24 layers of width 1024."""

    side: int = 224
    patch: int = 16
    width: int = 1024
    layers: int = 24
    heads: int = 16


class ImageRewardArguments(PictureArguments):
    """The `args` of a card for `ImageReward`."""

    vision: TowerSizes = TowerSizes()
    max_tokens: int = Field(default=35, ge=3)
    centre: float
    """Of the head's output over the training pictures; it is subtracted."""
    scale: float = Field(gt=0)
    """Standard deviation of the same, by which is divided."""


class RewardNetwork(nn.Module):
    """BLIP's two networks and the head that makes one number of what was read."""

    def __init__(self, vision: Any, text: Any, width: int) -> None:
        super().__init__()
        self.vision = vision
        self.text = text
        sizes = zip((width, *_HEAD_WIDTHS), _HEAD_WIDTHS, strict=False)
        self.head = nn.Sequential(*(nn.Linear(wide, narrow) for wide, narrow in sizes))

    def in_precision(self, dtype: torch.dtype) -> RewardNetwork:
        """The same network with its two readers in `dtype`; the head stays in float32."""
        self.vision.to(dtype)
        self.text.to(dtype)
        return self


class ImageReward(NetworkRater):
    """Judges pictures by the reward that was learned from rankings of experts."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, ImageRewardArguments)
        super().__init__(file, settings, preparations=[declared_preparation(args.preprocess, where=file.where)])
        args.check_side(file, args.vision.side)
        key = ("imagereward", weights_key(file), args.vision.model_dump_json(), args.dtype, str(self.device))
        self._network = loaded_once(
            key,
            lambda: load_network(file, args, offline=settings.offline).to(self.device).in_precision(DTYPES[args.dtype]),
        )
        words = load_words(
            file,
            length=args.max_tokens,
            vocabulary_size=self._network.text.get_input_embeddings().num_embeddings,
            marks=MARKS,
            offline=settings.offline,
        )
        self._reader = CrossReader(self._network.vision, self._network.text, words)
        self._centre, self._scale = args.centre, args.scale
        self._normalise = Normalise(args.mean, args.std)

    def close(self) -> None:
        self._reader.words.forget()

    def forward(self, inputs: Inputs) -> Scores:
        read, pieces = self._reader.read(self._normalise(inputs.pixels["response"]), inputs.prompts)
        return Scores(values=(self._network.head(read) - self._centre) / self._scale, notes=self._reader.words.notes(pieces))


def load_network(file: CardFile, args: ImageRewardArguments, *, offline: bool) -> RewardNetwork:
    """The network under `weights.model`, whose text part `weights.text_config` describes, in float32 on the CPU.

    Raises `WeightsError` for a description that cannot be read, and for weights that do not fit, either way.
    """
    transformers = import_transformers()
    vision = transformers.BlipVisionModel(_vision_config(transformers, args.vision))
    config = _text_config(transformers, file, args.vision.width, offline=offline)
    network = RewardNetwork(vision, transformers.BlipTextModel(config, add_pooling_layer=False), config.hidden_size)
    parts = {"blip.visual_encoder.": "vision.", "blip.text_encoder.": "text."}
    parts |= {f"mlp.layers.{old}.": f"head.{new}." for new, old in enumerate(_HEAD_LAYERS)}
    state = load_state(file, "model", offline=offline)
    fitting = renamed(state, parts, vision="blip.visual_encoder.", spare=_SPARE)
    weights = file.card.weights["model"]
    fit(network, fitting, where=file.where, place=weights.file or weights.path or "")
    return network


def _vision_config(transformers: Any, sizes: TowerSizes) -> Any:
    return transformers.BlipVisionConfig(
        image_size=sizes.side,
        patch_size=sizes.patch,
        hidden_size=sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=4 * sizes.width,
        layer_norm_eps=ORIGINAL_EPSILON,
        hidden_act="gelu",
    )


def _text_config(transformers: Any, file: CardFile, picture_width: int, *, offline: bool) -> Any:
    """The text network by the original's description, a BERT config; every layer also attends to the picture."""
    path = weights_file(file, "text_config", offline=offline)
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        sizes = {name: said[name] for name in _TEXT_SIZES}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise WeightsError(f"{file.where}: {path} is not the description of a BERT network: {problem!r}") from problem
    marks = {"bos_token_id": None, "eos_token_id": None, "sep_token_id": None, "pad_token_id": 0}
    return transformers.BlipTextConfig(**sizes, **marks, encoder_hidden_size=picture_width, is_decoder=True)
