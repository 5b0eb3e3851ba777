"""Small heads over the image embedding of two towers: aesthetics, safety. All heads of one tower share its one pass.

    EmbeddingHead    end(W_n between(… between(W_1 x + b_1) …) + b_n),   x the L2-normalised embedding
    PromptHead       softmax(scale * cos(x, p_k))[column],                p the learned embeddings of prompts

LAION's aesthetic predictors (v1: one layer; v2: five, with nothing between them, so one affine map; the file of v2 whose name
says reluMSE has other layers, and is refused), Aesthetic Predictor V2.5 (five over SigLIP, affine as well), LAION's NSFW
detector (standardised, ReLU between, a sigmoid at the end) and Q16 (Schramowski et al., Can Machines Help Us Answering Question
16 in Datasheets, 2022) differ only in what their cards say.

Embeddings and heads are float32, whatever the precision of the tower: in half, LAION's v2 moves in the third decimal.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from curate.cards import CardFile
from curate.errors import WeightsError
from curate.rater_settings import Settings
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Scores
from curate.scorers.pixels import Normalise, declared_preparation
from curate.scorers.pretrained import complain_of
from curate.scorers.sharing import loaded_once, weights_key
from curate.scorers.states import load_state
from curate.scorers.towers.clip import TowerArguments, load_towers
from curate.scorers.vectors import unit

Embeddings = Float[Tensor, "batch width"]
"""Of pictures; L2-normalised, in float32."""

Function = Literal["none", "relu", "sigmoid"]

FUNCTIONS: Mapping[Function, Callable[[Tensor], Tensor]] = {"none": lambda x: x, "relu": torch.relu, "sigmoid": torch.sigmoid}


class HeadShape(Arguments):
    """A chain of linear layers, by the names that the file of weights gives them."""

    layers: tuple[str, ...] = Field(min_length=1)
    """Each with a `.weight` and a `.bias` in the file, in order; an empty name where they are called just that."""
    between: Function = "none"
    """Follows every layer but the last."""
    end: Function = "none"
    """Follows the last layer."""
    standardise: str | None = None
    """Name in front of a `.mean` and a `.variance`, which standardise the embedding first."""


class HeadArguments(TowerArguments):
    """The `args` of a card for `EmbeddingHead`."""

    head: HeadShape


class PromptArguments(TowerArguments):
    """The `args` of a card for `PromptHead`."""

    column: int = Field(ge=0)
    """Which prompt's probability is the value."""
    scale: float = 100.0
    """What cosines are multiplied with before the softmax."""


class Chain:
    """A head of linear layers. Raises `WeightsError`, naming `where`, for a state of another shape or with other names."""

    def __init__(self, state: Mapping[str, Tensor], shape: HeadShape, *, width: int, where: str, place: str) -> None:
        self._shape = shape
        names = [tuple(f"{layer}.{kind}".removeprefix(".") for kind in ("weight", "bias")) for layer in shape.layers]
        standard = [f"{shape.standardise}.{kind}" for kind in ("mean", "variance")] if shape.standardise else []
        wanted = {*standard, *(name for pair in names for name in pair)}
        complain_of(sorted(wanted - set(state)), sorted(set(state) - wanted), Path(place), where)
        self._layers = [(state[weight].float(), state[bias].float()) for weight, bias in names]
        self._standard = tuple(state[name].float() for name in standard)
        sizes = [width, *(len(weight) for weight, _ in self._layers)]
        if [weight.shape[1] for weight, _ in self._layers] != sizes[:-1]:
            raise WeightsError(f"{where}: the layers of {place} do not follow each other from an embedding of {width} numbers")

    def to(self, device: torch.device) -> Chain:
        """This head there."""
        self._layers = [(weight.to(device), bias.to(device)) for weight, bias in self._layers]
        self._standard = tuple(one.to(device) for one in self._standard)
        return self

    @property
    def outputs(self) -> int:
        """Numbers for each picture."""
        return len(self._layers[-1][0])

    def __call__(self, x: Embeddings) -> Float[Tensor, "batch outputs"]:
        if self._standard:
            mean, variance = self._standard
            # Keras divides by no less than 1e-7.
            x = (x - mean) / variance.sqrt().clamp(min=1e-7)
        for number, (weight, bias) in enumerate(self._layers, start=1):
            x = torch.nn.functional.linear(x, weight, bias)
            x = FUNCTIONS[self._shape.end if number == len(self._layers) else self._shape.between](x)
        return x


class Prompts:
    """Learned prompts: the probability of one of them against the others. `state` holds one array (prompts, width), whatever its
    name; `WeightsError`, naming `where`, for another."""

    def __init__(self, state: Mapping[str, Tensor], *, column: int, scale: float, width: int, where: str) -> None:
        arrays = list(state.values())
        if len(arrays) != 1 or arrays[0].ndim != 2 or arrays[0].shape[1] != width or len(arrays[0]) <= column:
            shapes = ", ".join(str(tuple(one.shape)) for one in arrays)
            raise WeightsError(
                f"{where}: weights.head holds arrays of {shapes}, not one of at least {column + 1} prompts by {width} numbers"
            )
        self._prompts = unit(arrays[0])
        self._scale, self._column = scale, column

    def to(self, device: torch.device) -> Prompts:
        """These prompts there."""
        self._prompts = self._prompts.to(device)
        return self

    def __call__(self, x: Embeddings) -> Float[Tensor, "batch 1"]:
        return (self._scale * x @ self._prompts.T).softmax(dim=-1)[:, self._column, None]


class _OverTower(NetworkRater):
    """What a rater with a head on the image tower shares with the others."""

    def __init__(self, file: CardFile, settings: Settings, args: TowerArguments) -> None:
        super().__init__(file, settings, preparations=[declared_preparation(args.preprocess, where=file.where)])
        self._towers = load_towers(file, args, self.device, offline=settings.offline)
        self._normalise = Normalise(args.mean, args.std)

    def close(self) -> None:
        self._towers.forget()

    def forward(self, inputs: Inputs) -> Scores:
        pixels = self._normalise(inputs.pixels["response"])
        return Scores(values=self.judge_embeddings(self._towers.images(pixels, inputs.keys_of("response"))))

    @abstractmethod
    def judge_embeddings(self, embeddings: Embeddings) -> Float[Tensor, "batch dimensions"]:
        """What the head makes of them, in its own direction."""


class EmbeddingHead(_OverTower):
    """Judges pictures by a chain of linear layers on their embedding; the file under `weights.head` holds the layers."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, HeadArguments)
        super().__init__(file, settings, args)
        key = ("chain", weights_key(file), args.head.model_dump_json(), self._towers.width, str(self.device))
        self._chain = loaded_once(key, lambda: self._load(file, args.head, offline=settings.offline))
        if self._chain.outputs != len(self.dimensions):
            raise WeightsError(f"{file.where}: weights.head gives {self._chain.outputs} numbers, not one for each dimension")

    def _load(self, file: CardFile, shape: HeadShape, *, offline: bool) -> Chain:
        state = load_state(file, "head", offline=offline)
        return Chain(state, shape, width=self._towers.width, where=file.where, place="weights.head").to(self.device)

    def judge_embeddings(self, embeddings: Embeddings) -> Float[Tensor, "batch dimensions"]:
        return self._chain(embeddings)


class PromptHead(_OverTower):
    """Judges pictures by how near they are to one of several learned prompts, which the file under `weights.head` holds."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, PromptArguments)
        super().__init__(file, settings, args)
        key = ("prompts", weights_key(file), args.column, args.scale, self._towers.width, str(self.device))
        self._prompts = loaded_once(key, lambda: self._load(file, args, offline=settings.offline))

    def _load(self, file: CardFile, args: PromptArguments, *, offline: bool) -> Prompts:
        state = load_state(file, "head", offline=offline)
        prompts = Prompts(state, column=args.column, scale=args.scale, width=self._towers.width, where=file.where)
        return prompts.to(self.device)

    def judge_embeddings(self, embeddings: Embeddings) -> Float[Tensor, "batch dimensions"]:
        return self._prompts(embeddings)
