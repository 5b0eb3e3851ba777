"""Whether a picture bears a visible watermark: LAION-5B's detector.

    p(watermark) = softmax(head(features))[0]       features: pooled, of an EfficientNet-B3; the picture squashed to 256 x 256

Source: LAION-AI/LAION-5B-WatermarkDetection, `example_use.py` and `models/watermark_model_v1.pt`. The head is Linear(1536, 625),
ReLU, dropout, Linear(625, 256), ReLU, Linear(256, 2); the other class is "clear". What timm called efficientnet_b3a then,
it calls efficientnet_b3 now.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field

from curate.cards import CardFile
from curate.rater_settings import Settings
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.devices import DTYPES, Precision
from curate.scorers.libraries import import_open_clip
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Scores
from curate.scorers.pixels import Normalise, declared_preparation
from curate.scorers.sharing import loaded_once, weights_key
from curate.scorers.states import fit, load_state

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's."""

WATERMARK = 0
"""Place of the class in what the network gives."""


class WatermarkArguments(Arguments):
    """The `args` of a card for `Watermark`."""

    network: str = "efficientnet_b3"
    """timm's name of the architecture."""
    preprocess: Mapping[str, Any] = Field(default_factory=lambda: {"size": 256, "mode": "squash", "interpolation": "bilinear"})
    """Fields of `curate.shards.resize.Geometry`, and `backend`."""
    dtype: Precision = "float32"
    """Of the network; the softmax is float32 always."""


class Watermark(NetworkRater):
    """Judges pictures by the probability that they bear a watermark."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, WatermarkArguments)
        super().__init__(file, settings, preparations=[declared_preparation(args.preprocess, where=file.where)])
        self._dtype = DTYPES[args.dtype]
        key = ("watermark", weights_key(file), args.network, args.dtype, str(self.device))
        self._network = loaded_once(key, lambda: _load(file, args, offline=settings.offline).to(self.device, self._dtype))
        self._normalise = Normalise(MEAN, STD)

    def forward(self, inputs: Inputs) -> Scores:
        logits = self._network(self._normalise(inputs.pixels["response"]).to(self._dtype))
        return Scores(values=logits.float().softmax(dim=-1)[:, WATERMARK, None])


def _load(file: CardFile, args: WatermarkArguments, *, offline: bool) -> torch.nn.Module:
    network = watermark_network(args.network)
    fit(network, load_state(file, "model", offline=offline), where=file.where, place="weights.model")
    return network


def watermark_network(name: str) -> torch.nn.Module:
    """The architecture with random weights; names inside are those of the original's file. `name` is one of timm's."""
    # OpenCLIP stands on timm, and importing it by this door spares both torchvision's compiled part.
    import_open_clip()
    network: Any = importlib.import_module("timm").create_model(name, pretrained=False)
    network.classifier = torch.nn.Sequential(
        torch.nn.Linear(network.num_features, 625),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.3),
        torch.nn.Linear(625, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, 2),
    )
    built: torch.nn.Module = network
    return built
