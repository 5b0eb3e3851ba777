"""VideoReward (VideoAlign): a Qwen2-VL that watches a video and is read at three tokens, one for each quality.

Paper: Liu et al., Improving Video Generation with Human Feedback, 2025. Original: KwaiVGI/VideoAlign (`inference.py`,
`trainer.py`, `vision_process.py`).

One reading of the frames and a rubric with three reward tokens. A linear head without bias turns the state at each into a
number: the same one row for all three (the published checkpoint), or one row each, of which each token has its own. Each
number is standardised with a mean and a standard deviation of the card, and the overall one is their sum.

The original reads frames, pixels, the strength of its adapters, means and deviations from the `model_config.json` beside the
checkpoint's folder. The card says them, and is refused where that file is there and says otherwise.

The checkpoint is a Qwen2-VL with low-rank adapters, which are merged into its weights in float32 here. Frames are those of the
original (`even_rate`), resized as torchvision resizes 8 bits. It is the language model's precision that differs: the card's
here, bfloat16 there.
"""

from __future__ import annotations

from glob import escape
from pathlib import Path

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from curate.cards import CardFile
from curate.errors import CardError, WeightsError
from curate.fixed_text import FixedText
from curate.rater_settings import Settings
from curate.raters import Preparation
from curate.records import Status
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.devices import DTYPES, Precision
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Scores
from curate.scorers.sharing import loaded_once, weights_key
from curate.scorers.states import load_state
from curate.scorers.vlm.beside import Setting, agree, ask_for
from curate.scorers.vlm.heads import fitted_head, taken
from curate.scorers.vlm.images import AreaResize, visual_tokens
from curate.scorers.vlm.qwen import load_qwen, merge_lora
from curate.scorers.vlm.tokens import UNFIT, Eyes, Network, all_failed, ask, load_question, too_long
from curate.weights import declared, weights_file

TOO_SHORT = (Status.NOT_APPLICABLE, "the video has one frame, and the network takes at least two")

_HEAD = "rm_head"

_SETTINGS = "model_config.json"


class Quality(Arguments):
    """One of the numbers."""

    dimension: str
    """The dimension of the card that it is."""
    token: str
    """Where it is read."""
    mean: float
    std: float = Field(gt=0)
    """What a raw number is standardised with."""


class VideoArguments(Arguments):
    """The `args` of a card for `VideoReward`."""

    template: FixedText
    qualities: tuple[Quality, ...] = Field(min_length=1)
    """Their tokens are added to the tokenizer in this order. The main dimension is their sum."""
    min_pixels: int = Field(ge=28 * 28)
    max_pixels: int = Field(ge=28 * 28)
    """Of a frame, after it was resized."""
    lora_alpha: float = Field(gt=0)
    dtype: Precision = "float32"
    """Of the language model; the head is float32 always."""


class VideoReward(NetworkRater):
    """Judges videos: pixels (batch, frames, 3, height, width)."""

    batch_size = 1
    pads_prompts = True

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, VideoArguments)
        agree(file, _model_config(file, offline=settings.offline), _settings(file, args))
        make = AreaResize(min_pixels=args.min_pixels, max_pixels=args.max_pixels, library="torchvision")
        super().__init__(file, settings, preparations=[Preparation(name=make.name, make=make, frames=file.card.frames)])
        given = [one.dimension for one in args.qualities]
        if set(self.dimensions) != {*given, file.card.main} or file.card.main in given:
            raise CardError(f"{file.where}: the dimensions are the qualities and, as the main one, their sum")
        tokens = [one.token for one in args.qualities]
        self._qualities = args.qualities
        self._question = load_question(file, args.template, tail="", tokens=tokens, offline=settings.offline)
        key = ("video", weights_key(file), *tokens, args.lora_alpha, args.dtype, str(self.device))
        self._network = loaded_once(key, lambda: _load(file, args, tokens, self.device, offline=settings.offline))
        self._eyes = Eyes(self._network.reader, ["response"], kind="video")

    def close(self) -> None:
        self._eyes.forget()

    def forward(self, inputs: Inputs) -> Scores:
        if self._eyes.unfit(inputs):
            return all_failed(inputs, len(self.dimensions), UNFIT)
        frames, tall, wide = (inputs.pixels["response"].shape[axis] for axis in (1, 3, 4))
        if frames < 2:
            return all_failed(inputs, len(self.dimensions), TOO_SHORT)
        # Told before anything is looked at: so many frames take longest.
        if failures := too_long([visual_tokens(tall, wide, frames)], self._network.reader.context):
            return all_failed(inputs, len(self.dimensions), failures[0])
        media, seen = self._eyes.look(inputs)
        answers = ask(self._network.reader, self._question, inputs.prompts, media, seen)
        values = self._standardised(own_outputs(self._network.heads[_HEAD](answers.states)))
        return Scores(values=values, notes=answers.notes, failures=answers.failures)

    def _standardised(self, raw: Float[Tensor, "batch qualities"]) -> Float[Tensor, "batch dimensions"]:
        """In the order of the card's dimensions, the sum among them."""
        numbers = {
            quality.dimension: (raw[:, column] - quality.mean) / quality.std for column, quality in enumerate(self._qualities)
        }
        numbers[self.card.main] = torch.stack(list(numbers.values())).sum(dim=0)
        return torch.stack([numbers[dimension] for dimension in self.dimensions], dim=1)


def _model_config(file: CardFile, *, offline: bool) -> Path:
    """Where the original keeps the settings of a checkpoint: beside it, or beside the folder that is named after its step."""
    if checkpoint := declared(file, "model").file:
        ask_for(file, "model", (escape(checkpoint), _SETTINGS), offline=offline)
    folder = weights_file(file, "model", offline=offline).parent
    return (folder.parent if folder.name.startswith("checkpoint-") else folder) / _SETTINGS


def _settings(file: CardFile, args: VideoArguments) -> list[Setting]:
    """What that file has to say; what it leaves out are the defaults of the original's classes."""
    frames = file.card.frames
    standards = [
        Setting(place=f"inference_config.{_short(one.token)}_{name}", wanted=value)
        for one in args.qualities
        for name, value in (("mean", one.mean), ("std", one.std))
    ]
    seen = [
        Setting(place="data_config.max_frame_pixels", wanted=args.max_pixels, unsaid=240 * 320),
        Setting(place="data_config.fps", wanted=frames and frames.fps, unsaid=2.0),
        Setting(place="data_config.num_frames", wanted=None),
        Setting(place="data_config.sample_type", wanted="uniform", unsaid="uniform"),
    ]
    return [
        *(seen if file.shipped else ()),  # a card of somebody's own may look at other frames, and says so
        Setting(place="model_config.reward_token", wanted="special", unsaid="last"),
        Setting(place="peft_lora_config.lora_alpha", wanted=args.lora_alpha, unsaid=32),
        Setting(place="peft_lora_config.use_rslora", wanted=False, unsaid=False),
        *standards,
    ]


def _short(token: str) -> str:
    """What the original calls a quality: VQ of `<|VQ_reward|>`."""
    return token.removeprefix("<|").removesuffix("_reward|>")


def own_outputs(outputs: Float[Tensor, "batch tokens rows"]) -> Float[Tensor, "batch tokens"]:
    """Of each token its number: the only one of a head with one row, the token's own of a head with a row for each."""
    return outputs[..., 0] if outputs.shape[-1] == 1 else outputs.diagonal(dim1=1, dim2=2)


def _load(file: CardFile, args: VideoArguments, tokens: list[str], device: torch.device, *, offline: bool) -> Network:
    try:
        state = merge_lora(load_state(file, "model", offline=offline), alpha=args.lora_alpha)
    except KeyError as problem:
        raise WeightsError(f"{file.where}: weights.model lacks a part of an adapter, {problem}") from problem
    own = taken(state, _HEAD)
    rows = len(own.get("weight", ()))
    if rows not in (1, len(tokens)):
        raise WeightsError(f"{file.where}: the head in weights.model has {rows} rows, not 1 or {len(tokens)}")
    reader = load_qwen(file, state, tokens=tokens, dtype=DTYPES[args.dtype], device=device, offline=offline)
    linear = nn.Linear(reader.hidden, rows, bias=False)
    head = fitted_head(linear, own, where=file.where, place=f"weights.model, {_HEAD}", device=device)
    return Network(reader=reader, heads={_HEAD: head})
