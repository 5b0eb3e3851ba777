"""How different two pictures look by what convolutional networks see in them: LPIPS and DISTS, both distances.

LPIPS: the features of each layer are brought to unit length at every place; their squared differences are weighted by channel,
averaged over places and summed over layers.

    d = sum over layers of mean over places of w · (f(x)/|f(x)| - f(y)/|f(y)|)^2,   pixels in [-1, 1], shifted and scaled

DISTS: the means and the covariances of each channel, the pixels among them, are compared as SSIM does, so it forgives texture
that is resampled.

    d = 1 - sum over channels of alpha (2 mx my + c) / (mx^2 + my^2 + c) + beta (2 cov + c) / (vx + vy + c),
    where the weights alpha and beta of all channels are divided by their sum

Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018 (version 0.1 of its weights); Ding
et al., Image Quality Assessment: Unifying Structure and Texture Similarity, TPAMI 2020. The packages `lpips` and `DISTS-pytorch`
carry the learned weights of channels, which are read from there; their code is not used, since it needs torchvision's networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from curate.cards import CardFile
from curate.errors import WeightsError
from curate.rater_settings import Settings
from curate.raters import Preparation
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.passes import Pixels
from curate.scorers.pixels import Normalise, declared_preparation
from curate.scorers.references.base import AsItIs, ReferenceRater, Several, Shrunk
from curate.scorers.references.convnets import ALEXNET, VGG16, load_convnet
from curate.scorers.references.encoders import IMAGENET_MEAN, IMAGENET_STD
from curate.scorers.sharing import loaded_once, weights_key
from curate.scorers.states import load_state

_TINY = 1e-10
_STABLE = 1e-6


class PairArguments(Arguments):
    """What cards say of metrics that compare pictures of one size."""

    preprocess: Mapping[str, Any] | None = None
    """Null leaves pictures as they are, and pictures of two sizes without a value; fields of `Geometry` bring both to one."""
    several: Several = "mean"

    def prepare(self, role: str, where: str) -> Preparation:
        """The preparation of a role; raises `CardError`, naming `where`, for what cannot be read."""
        if self.preprocess is not None:
            return declared_preparation(self.preprocess, where=where, role=role)
        make = AsItIs()
        return Preparation(name=make.name, make=make, role=role)


class LpipsArguments(PairArguments):
    """The `args` of a card for `Lpips`."""

    backbone: Literal["alexnet", "vgg16"]


class Lpips(ReferenceRater[list[Tensor]]):
    """The distance of LPIPS, version 0.1."""

    any_size = False
    batch_size = 8
    _scaled = Normalise((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450))

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, LpipsArguments)
        super().__init__(file, settings, prepare=lambda role: args.prepare(role, file.where), several=args.several)
        # Below these sides nothing is left for the last layer to see.
        self.smallest = 31 if args.backbone == "alexnet" else 16
        key = ("lpips", weights_key(file), args.backbone, str(self.device))
        self._network = loaded_once(key, lambda: _load_lpips(file, args.backbone, offline=settings.offline).to(self.device))

    def describe(self, pixels: Pixels, keys: Sequence[str] | None) -> list[Float[Tensor, "batch channels tall wide"]]:
        seen = self._network.backbone(self._scaled(2 * pixels - 1))
        # Where nothing is seen the length is 0, of which vector_norm has a gradient (0) and a square root has none.
        return [layer / (torch.linalg.vector_norm(layer, dim=1, keepdim=True) + _TINY) for layer in seen]

    def compare(self, response: list[Tensor], reference: list[Tensor]) -> Float[Tensor, "batch 1"]:
        distance = torch.zeros(len(response[0]), device=self.device)
        for weights, one, other in zip(self._network.channels(), response, reference, strict=True):
            distance = distance + (weights * (one - other) ** 2).sum(dim=1).mean(dim=(1, 2))
        return distance[:, None]


class _Weighted(nn.Module):
    """A backbone and what was learned of its channels."""

    def __init__(self, backbone: nn.Module, learned: Sequence[Tensor]) -> None:
        super().__init__()
        self.backbone = backbone
        self._count = len(learned)
        for number, weights in enumerate(learned):
            self.register_buffer(f"learned_{number}", weights)

    def channels(self) -> list[Tensor]:
        """What was learned, in order."""
        return [self.get_buffer(f"learned_{number}") for number in range(self._count)]


def _load_lpips(file: CardFile, backbone: Literal["alexnet", "vgg16"], *, offline: bool) -> _Weighted:
    """A weight (1, channels, 1, 1) for each of five layers."""
    pool, plan = (nn.MaxPool2d(3, 2), ALEXNET) if backbone == "alexnet" else (nn.MaxPool2d(2, 2), VGG16)
    network = load_convnet(file, plan, pool=lambda channels: pool, offline=offline)
    state = load_state(file, "heads", offline=offline)
    names = [f"lin{number}.model.1.weight" for number in range(5)]
    if set(state) != set(names):
        raise WeightsError(f"{file.where}: weights.heads does not hold {', '.join(names)} and nothing else")
    return _Weighted(network, [state[name] for name in names])


class DistsArguments(PairArguments):
    """The `args` of a card for `Dists`."""

    shrink_to: int | None = Field(default=256, ge=1)
    """Pixels that the shorter side is brought to where it is longer, as the original does; null leaves pictures as they are."""

    def prepare(self, role: str, where: str) -> Preparation:
        if self.preprocess is not None or self.shrink_to is None:
            return super().prepare(role, where)
        make = Shrunk(side=self.shrink_to)
        return Preparation(name=make.name, make=make, role=role)


class Dists(ReferenceRater[list[Tensor]]):
    """The distance of DISTS."""

    any_size = False
    batch_size = 8

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, DistsArguments)
        super().__init__(file, settings, prepare=lambda role: args.prepare(role, file.where), several=args.several)
        key = ("dists", weights_key(file), str(self.device))
        self._network = loaded_once(key, lambda: _load_dists(file, offline=settings.offline).to(self.device))
        self._normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)

    def describe(self, pixels: Pixels, keys: Sequence[str] | None) -> list[Float[Tensor, "batch channels tall wide"]]:
        return [pixels, *self._network.backbone(self._normalise(pixels))]

    def compare(self, response: list[Tensor], reference: list[Tensor]) -> Float[Tensor, "batch 1"]:
        means, structures = zip(*(_alike(one, other) for one, other in zip(response, reference, strict=True)), strict=True)
        alpha, beta = self._network.channels()
        alike = torch.cat(means, dim=1) @ alpha + torch.cat(structures, dim=1) @ beta
        return (1 - alike)[:, None]


def _load_dists(file: CardFile, *, offline: bool) -> _Weighted:
    """Two weights for each channel of all layers, of its mean and of its structure; together their sum is 1."""
    network = load_convnet(file, VGG16, pool=SmoothPool, offline=offline)
    state = load_state(file, "channels", offline=offline)
    if set(state) != {"alpha", "beta"} or state["alpha"].shape != state["beta"].shape:
        raise WeightsError(f"{file.where}: weights.channels does not hold alpha and beta of one shape")
    both = state["alpha"].sum() + state["beta"].sum()
    return _Weighted(network, [state[name].reshape(-1) / both for name in ("alpha", "beta")])


def _alike(one: Tensor, other: Tensor) -> tuple[Float[Tensor, "batch channels"], Float[Tensor, "batch channels"]]:
    """How alike two layers are in their means and in their structure, channel by channel."""
    places = (2, 3)
    mean, another = one.mean(dim=places), other.mean(dim=places)
    variance, covariance = one.var(dim=places, correction=0), (one * other).mean(dim=places) - mean * another
    means = (2 * mean * another + _STABLE) / (mean**2 + another**2 + _STABLE)
    return means, (2 * covariance + _STABLE) / (variance + other.var(dim=places, correction=0) + _STABLE)


class SmoothPool(nn.Module):
    """Halves height and width by the root of a blurred square (a 3x3 Hann window), which no shift of a pixel upsets."""

    window: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.hann_window(5, periodic=False)[1:-1]
        window = line[:, None] * line[None, :]
        self.register_buffer("window", (window / window.sum()).repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, pixels: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels tall wide"]:
        blurred = nn.functional.conv2d(pixels**2, self.window, stride=2, padding=1, groups=pixels.shape[1])
        return (blurred + 1e-12).sqrt()
