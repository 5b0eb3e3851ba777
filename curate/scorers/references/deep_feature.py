"""How real a picture looks to a small head on frozen DINOv2 features: the reward of Adv-GRPO.

    0.7 * head(z_cls) + 0.3 * mean over 64 patches of head(z_patch),   z = feature / |feature|,   head = linear, GELU, linear

Mao et al., The Image as Its Own Reward, 2025. The head is trained against the generator, with pictures that are taken as real, so
there is no head for everyone: give your own. The original draws other patches for every picture at every call; here `seed` draws
them once, so a picture always gets the same number and candidates are looked at in the same places.

Pixels are squashed to 518 x 518 on the device by torch's bicubic filter, not antialiased, as the original does.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor, nn

from curate.cards import CardFile
from curate.errors import WeightsError
from curate.rater_settings import Settings
from curate.raters import Preparation
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.devices import Precision
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Scores
from curate.scorers.pixels import Normalise
from curate.scorers.references.base import AsItIs
from curate.scorers.references.encoders import IMAGENET_MEAN, IMAGENET_STD, load_tokens
from curate.scorers.sharing import loaded_once, weights_key
from curate.scorers.states import fit, load_state
from curate.scorers.vectors import unit


class DeepFeatureArguments(Arguments):
    """The `args` of a card for `DeepFeature`."""

    side: int = Field(default=518, ge=1)
    """Pixels of each side that pictures are squashed to."""
    patches: int = Field(default=64, ge=1)
    """How many are drawn, with repetition."""
    seed: int = 0
    """Of the draw."""
    cls_weight: float = Field(default=0.7, ge=0, le=1)
    dtype: Precision = "float32"
    """Of the features; the head is float32 always."""


class DeepFeature(NetworkRater):
    """Judges pictures by a trained head on frozen features."""

    batch_size = 16

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, DeepFeatureArguments)
        make = AsItIs()
        super().__init__(file, settings, preparations=[Preparation(name=make.name, make=make)])
        self._tokens = load_tokens(
            file, architecture="dinov2", side=args.side, dtype=args.dtype, device=self.device, offline=settings.offline
        )
        key = ("deep-feature", weights_key(file), str(self.device))
        self._head = loaded_once(key, lambda: _load_head(file, settings.offline).to(self.device))
        self._normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        self._args = args

    def forward(self, inputs: Inputs) -> Scores:
        side = (self._args.side, self._args.side)
        squares = torch.nn.functional.interpolate(inputs.pixels["response"], side, mode="bicubic", align_corners=False)
        tokens = unit(self._tokens(self._normalise(squares)))
        drawn = tokens[:, 1 + self._drawn(tokens.shape[1] - 1)]
        whole, parts = self._head(tokens[:, 0]), self._head(drawn).mean(dim=1)
        return Scores(values=self._args.cls_weight * whole + (1 - self._args.cls_weight) * parts)

    def _drawn(self, count: int) -> Int[Tensor, " patches"]:
        """Which of `count` patches are looked at."""
        generator = torch.Generator().manual_seed(self._args.seed)
        drawn = torch.randint(0, count, (min(self._args.patches, count),), generator=generator)
        return drawn.to(self.device)


def _load_head(file: CardFile, offline: bool) -> nn.Module:
    """The head under `weights.head`, with the names of the original: layers.0 and layers.2."""
    state = load_state(file, "head", offline=offline)
    if "layers.0.weight" not in state:
        raise WeightsError(f"{file.where}: weights.head holds no layers.0.weight, so it is no head of Adv-GRPO's")
    hidden, width = state["layers.0.weight"].shape
    head = nn.Sequential(OrderedDict(layers=nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, 1))))
    fit(head, state, where=file.where, place="weights.head")
    return head
