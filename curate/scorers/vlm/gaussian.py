"""HPSv3 and EditReward: a Qwen-VL that reads a rubric with the caption in it, and a head that gives a value and its spread.

Papers: Ma et al., HPSv3: Towards Wide-Spectrum Human Preference Score, 2025; Wu et al., EditReward: A Human-Aligned Reward Model
for Instruction-Guided Image Editing, 2025. Originals: MizzenAI/HPSv3 (`hpsv3/inference.py`), TIGER-AI-Lab/EditReward
(`EditReward/inference_edit.py`).

One pass for each rubric: the pictures, the rubric, a tail that ends in the reward token; the state there goes through the
rubric's own head, which gives a mean and the logarithm of a standard deviation. Of several passes both outputs are averaged,
as in EditReward's `pooling_strategy: mean`; so the overall spread is the geometric mean of theirs, and what each rubric
gives is kept beside it.

What differs from the originals: the language model runs in the card's precision (theirs is bfloat16), the head in float32 as
theirs. A caption that holds control tokens is defused and says so, where the originals take it at its word.
"""

from __future__ import annotations

import torch
from pydantic import Field

from curate.cards import CardFile
from curate.errors import CardError
from curate.fixed_text import FixedText
from curate.rater_settings import Settings
from curate.raters import Preparation
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.devices import DTYPES, Precision
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Scores
from curate.scorers.sharing import loaded_once, weights_key
from curate.scorers.states import load_state
from curate.scorers.vlm.heads import fitted_head, gaussian, rank_head, taken
from curate.scorers.vlm.images import AreaResize
from curate.scorers.vlm.qwen import load_qwen
from curate.scorers.vlm.tokens import UNFIT, Eyes, Network, all_failed, ask, load_question


class Pass(Arguments):
    """One reading: a rubric and the head that belongs to it."""

    dimension: str
    """The dimension of the card that it gives."""
    template: FixedText
    head: str
    """Prefix of the head's tensors in the checkpoint."""


class GaussianArguments(Arguments):
    """The `args` of a card for `GaussianReward`."""

    pictures: tuple[str, ...] = ("response",)
    """Roles in the order they are shown."""
    pixels: int = Field(default=256 * 28 * 28, ge=28 * 28)
    """The area that every picture is brought to, up or down."""
    passes: tuple[Pass, ...] = Field(min_length=1)
    tail: str
    """The short line after each rubric; it holds the reward token."""
    token: str = "<|Reward|>"
    dtype: Precision = "float32"
    """Of the language model; the heads are float32 always."""


class GaussianReward(NetworkRater):
    """Judges pictures by what a Qwen-VL says at a reward token, with the spread it says itself."""

    batch_size = 8
    pads_prompts = True

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, GaussianArguments)
        make = AreaResize(min_pixels=args.pixels, max_pixels=args.pixels)
        super().__init__(
            file, settings, preparations=[Preparation(name=make.name, make=make, role=role) for role in args.pictures]
        )
        given = [one.dimension for one in args.passes]
        if set(self.dimensions) != {*given, file.card.main} or (len(given) == 1) != (file.card.main in given):
            raise CardError(f"{file.where}: one pass gives the main dimension, of several it is the mean; they give {given}")
        self._args = args
        self._questions = [
            load_question(file, one.template, tail=args.tail, tokens=[args.token], offline=settings.offline)
            for one in args.passes
        ]
        key = ("gaussian", weights_key(file), args.token, args.dtype, str(self.device), *(one.head for one in args.passes))
        self._network = loaded_once(key, lambda: _load(file, args, self.device, offline=settings.offline))
        self._eyes = Eyes(self._network.reader, args.pictures)

    def close(self) -> None:
        self._eyes.forget()

    def forward(self, inputs: Inputs) -> Scores:
        if self._eyes.unfit(inputs):
            return all_failed(inputs, len(self.dimensions), UNFIT)
        media, seen = self._eyes.look(inputs)
        answers = [ask(self._network.reader, question, inputs.prompts, media, seen) for question in self._questions]
        heads = [self._network.heads[one.head] for one in self._args.passes]
        outputs = [head(answer.states[:, 0]) for head, answer in zip(heads, answers, strict=True)]
        raw = {one.dimension: output for one, output in zip(self._args.passes, outputs, strict=True)}
        raw.setdefault(self.card.main, torch.stack(outputs).mean(dim=0))
        values, spreads = gaussian(torch.stack([raw[dimension] for dimension in self.dimensions], dim=1))
        # A sample that fails in one pass has no value.
        failures = {row: failure for answer in answers for row, failure in answer.failures.items()}
        return Scores(values=values, spreads=spreads, notes=answers[0].notes, failures=failures)


def _load(file: CardFile, args: GaussianArguments, device: torch.device, *, offline: bool) -> Network:
    state = load_state(file, "model", offline=offline)
    own = {one.head: taken(state, one.head) for one in args.passes}
    reader = load_qwen(file, state, tokens=[args.token], dtype=DTYPES[args.dtype], device=device, offline=offline)
    heads = {
        prefix: fitted_head(rank_head(reader.hidden, 2), head, where=file.where, place=f"weights.model, {prefix}", device=device)
        for prefix, head in own.items()
    }
    return Network(reader=reader, heads=heads)
