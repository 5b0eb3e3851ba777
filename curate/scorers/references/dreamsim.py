"""How different two pictures look to people in layout, pose and content: DreamSim, a distance.

    embedding = the embeddings of several vision transformers side by side, minus their mean
    distance = 1 - cos(embedding of the picture, embedding of the reference)                      smaller is more alike

Fu et al., DreamSim, NeurIPS 2023. The transformers were tuned by low-rank updates of their attention weights, which are added to
those weights here once (W + alpha / rank * B A), so nothing of them is left when pictures come. Of DINO the [CLS] token is taken
before the last layer norm, of CLIP and OpenCLIP after it and projected, as the original does. Pictures are squashed to a square.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from curate.cards import CardFile
from curate.errors import CardError, WeightsError
from curate.rater_settings import Settings
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.passes import Pixels
from curate.scorers.picture_arguments import CLIP_MEAN, CLIP_STD
from curate.scorers.pixels import Normalise, declared_preparation
from curate.scorers.references.base import Several
from curate.scorers.references.encoders import IMAGENET_MEAN, IMAGENET_STD, Encoder
from curate.scorers.references.image_similarity import EmbeddingSimilarity
from curate.scorers.references.vit import VisionTransformer, build_vit
from curate.scorers.sharing import loaded_once, weights_key
from curate.scorers.states import load_state
from curate.weights import first_line, weights_file

_UPDATE = re.compile(r"(?:base_model\.model\.)?extractor_list\.(\d+)\.model\.(.+)\.lora_([AB])\.weight")


def _quick_gelu(values: Tensor) -> Tensor:
    return values * torch.sigmoid(1.702 * values)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """How a kind of backbone is read."""

    normalise: Normalise
    activation: Callable[[Tensor], Tensor]
    epsilon: float
    projected: bool
    """Whether the last layer norm and a projection follow."""


_CLIP = Normalise(CLIP_MEAN, CLIP_STD)
_KINDS = {
    "dino": _Kind(
        normalise=Normalise(IMAGENET_MEAN, IMAGENET_STD), activation=torch.nn.functional.gelu, epsilon=1e-6, projected=False
    ),
    "clip": _Kind(normalise=_CLIP, activation=_quick_gelu, epsilon=1e-5, projected=True),
    "open_clip": _Kind(normalise=_CLIP, activation=torch.nn.functional.gelu, epsilon=1e-5, projected=True),
}


class DreamSimArguments(Arguments):
    """The `args` of a card for `DreamSim`."""

    backbones: tuple[str, ...]
    """The kinds of transformers (dino, clip, open_clip) in the order of the original; each is a role of the weights."""
    preprocess: Mapping[str, Any] = Field(default_factory=lambda: {"size": 224, "mode": "squash"})
    several: Several = "mean"


class DreamSim(EmbeddingSimilarity):
    """The distance of DreamSim, of one backbone or of the ensemble."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, DreamSimArguments)
        unknown = sorted(set(args.backbones) - set(_KINDS))
        if unknown or not args.backbones:
            raise CardError(f"{file.where}, field 'args.backbones': name some of {', '.join(_KINDS)}, not {unknown}")
        super().__init__(
            file,
            settings,
            prepare=lambda role: declared_preparation(args.preprocess, where=file.where, role=role),
            several=args.several,
        )
        ensemble = loaded_once(
            ("dreamsim", weights_key(file), tuple(args.backbones), str(self.device)),
            lambda: _load(file, args.backbones, settings.offline).to(self.device),
        )
        if ensemble.side != args.preprocess.get("size"):
            raise CardError(f"{file.where}: preprocess does not make the squares of {ensemble.side} pixels that are wanted")
        self._encoder = Encoder(ensemble)

    def describe(self, pixels: Pixels, keys: Sequence[str] | None) -> Float[Tensor, "batch dim"]:
        return self._encoder.images(pixels, keys)  # Each backbone normalises them in its own way.

    def compare(self, response: Tensor, reference: Tensor) -> Float[Tensor, "batch 1"]:
        return 1 - super().compare(response, reference)


class _Backbone(torch.nn.Module):
    def __init__(self, kind: _Kind, network: VisionTransformer, projection: Tensor | None) -> None:
        super().__init__()
        self.network = network
        self._kind = kind
        self.register_buffer("projection", projection)

    def forward(self, pixels: Tensor) -> Tensor:
        tokens = self.network(self._kind.normalise(pixels))
        if not self._kind.projected:
            first: Tensor = tokens[:, 0]
            return first
        embedding: Tensor = self.network.norm(tokens[:, 0]) @ self.projection
        return embedding


class _Ensemble(torch.nn.Module):
    """Backbones whose embeddings are set side by side, and centred."""

    def __init__(self, backbones: list[_Backbone]) -> None:
        super().__init__()
        self.backbones = torch.nn.ModuleList(backbones)
        self.side = backbones[0].network.side

    def forward(self, pixels: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch dim"]:
        embeddings = torch.cat([backbone(pixels) for backbone in self.backbones], dim=-1)
        return embeddings - embeddings.mean(dim=-1, keepdim=True)


def _load(file: CardFile, kinds: Sequence[str], offline: bool) -> _Ensemble:
    updates = _updates(file, offline)
    if len(updates) != len(kinds):
        raise WeightsError(f"{file.where}: weights.lora is for {len(updates)} backbones, but the card names {len(kinds)}")
    backbones = []
    for number, name in enumerate(kinds):
        state = load_state(file, name, offline=offline)
        projection = state.pop("proj", None)
        for weight, update in updates[number].items():
            if weight not in state or state[weight].shape != update.shape:
                raise WeightsError(f"{file.where}: weights.lora changes {weight}, which weights.{name} does not hold so")
            state[weight] = state[weight] + update
        kind, place = _KINDS[name], f"weights.{name}"
        network = build_vit(state, activation=kind.activation, epsilon=kind.epsilon, where=file.where, place=place)
        if kind.projected and projection is None:
            raise WeightsError(f"{file.where}: {place} holds no proj")
        backbones.append(_Backbone(kind, network, projection))
    return _Ensemble(backbones).eval()


def _updates(file: CardFile, offline: bool) -> list[dict[str, Tensor]]:
    """For each backbone what is added to which of its weights."""
    parts: dict[int, dict[str, dict[str, Tensor]]] = {}
    for name, tensor in load_state(file, "lora", offline=offline).items():
        found = _UPDATE.fullmatch(name)
        if found is None:
            raise WeightsError(f"{file.where}: weights.lora holds {name}, which is no low-rank update of DreamSim's")
        number, weight, half = found.groups()
        parts.setdefault(int(number), {}).setdefault(f"{weight}.weight", {})[half] = tensor
    alpha = _alpha(file, offline)
    updates = []
    for number in sorted(parts):
        whole = {weight for weight, halves in parts[number].items() if len(halves) == 2}
        if whole != set(parts[number]):
            raise WeightsError(f"{file.where}: weights.lora holds half an update of {min(set(parts[number]) - whole)}")
        updates.append({weight: alpha / len(halves["A"]) * halves["B"] @ halves["A"] for weight, halves in parts[number].items()})
    return updates


def _alpha(file: CardFile, offline: bool) -> float:
    """`lora_alpha`, from the config that lies beside the updates."""
    path = weights_file(file, "lora", offline=offline).with_name("adapter_config.json")
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["lora_alpha"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise WeightsError(f"{file.where}: cannot read lora_alpha from {path}: {first_line(problem)}") from problem
