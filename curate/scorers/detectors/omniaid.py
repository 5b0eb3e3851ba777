"""How real a picture looks to OmniAID, a CLIP whose attention was split into a main weight and experts.

    W x      = W_main x + sum over chosen experts e of g_e U_e diag(S_e) V_e x + b        for q, k, v and out of every layer
    chosen   = the `top_k` semantic experts that the router prefers, g their softmax, and the artefact expert (the last), g = 1
    router   = Linear, ReLU, Linear, of the mean patch embedding before the first layer norm
    value    = softmax(Linear(LN(x_cls)))[real]

Sources: Guo et al., OmniAID, 2025 (yunncheng/OmniAID); RealGen (yejy53/RealGen,
`RealGen_v1/flow_grpo/reward-server/reward_server/omniaid_scorer.py`), whose checkpoint and preprocessing this is: the picture is
squashed to 512 and then to 336. The authors' later checkpoints route by a CLIP of its own beside the network, and are refused as
another architecture. Which class is "real" differs between the releases, so the card says it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from curate.cards import CardFile
from curate.errors import CardError
from curate.rater_settings import Settings
from curate.raters import Preparation
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.detectors.omniaid_network import OmniAidNetwork, build_network
from curate.scorers.devices import DTYPES, Precision
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Scores
from curate.scorers.picture_arguments import CLIP_MEAN, CLIP_STD
from curate.scorers.pixels import Normalise
from curate.scorers.sharing import loaded_once, weights_key
from curate.scorers.states import load_state
from curate.shards.resize import resize

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Squashed:
    """Squashes a picture to one square after the other with Pillow's bilinear filter."""

    sides: tuple[int, ...]

    @property
    def name(self) -> str:
        return "pillow:" + ":".join(f"squash-{side}-bilinear" for side in self.sides)

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        for side in self.sides:
            pixels = resize(pixels, side, side, "bilinear")
        return pixels

    def on_tensor(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 side side"]:
        for side in self.sides:
            pixels = nn.functional.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
        return pixels


class OmniAidArguments(Arguments):
    """The `args` of a card for `OmniAid`."""

    squash: tuple[int, ...] = Field(default=(512, 336), min_length=1)
    """Sides of the squares that the picture becomes, one after the other; the last is the network's."""
    heads: int = Field(default=16, ge=1)
    top_k: int = Field(default=2, ge=1)
    """How many of the routed experts work on a picture."""
    real: int = Field(default=0, ge=0, le=1)
    """Place of the class "real" in what the network gives."""
    dtype: Precision = "float32"
    """Of the network; router and head are float32 always."""


class OmniAid(NetworkRater):
    """Judges pictures by the probability that they are real and not generated."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, OmniAidArguments)
        make = Squashed(sides=args.squash)
        super().__init__(file, settings, preparations=[Preparation(name=make.name, make=make)])
        key = ("omniaid", weights_key(file), args.heads, args.top_k, args.dtype, str(self.device))
        self._network = loaded_once(key, lambda: _load(file, args, self.device, offline=settings.offline))
        if self._network.side != args.squash[-1]:
            raise CardError(
                f"{file.where}: squash makes squares of {args.squash[-1]} pixels, but the network takes {self._network.side}"
            )
        self._normalise = Normalise(CLIP_MEAN, CLIP_STD)
        self._real = args.real

    def forward(self, inputs: Inputs) -> Scores:
        logits = self._network(self._normalise(inputs.pixels["response"]))
        return Scores(values=logits.softmax(dim=-1)[:, self._real, None])


def _load(file: CardFile, args: OmniAidArguments, device: torch.device, *, offline: bool) -> OmniAidNetwork:
    state = load_state(file, "model", offline=offline)
    network = build_network(state, heads=args.heads, top_k=args.top_k, where=file.where)
    return network.to(device).in_precision(DTYPES[args.dtype])
