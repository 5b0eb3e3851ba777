"""VideoScore: an Idefics2 that is shown the frames of a video, and five regression outputs at its last token.

Paper: He et al., VideoScore: Building Automatic Metrics to Simulate Fine-grained Human Feedback for Video Generation, 2024.
Originals: TIGER-AI-Lab/VideoScore (`examples/run_videoscore.py`) for the question and the frames, TIGER-AI-Lab/Mantis
(`mantis/models/idefics2/modeling_idefics2.py`) for the head: a linear layer with bias on the state of the last token.

transformers has Idefics2 without this head, so the parts of its network are called one by one. Every frame is 64 visual
tokens; frames are not split into parts. Sizes follow `Idefics2ImageProcessor`: bilinear by Pillow, the longer side at most
`longest`, no side below `shortest`; where the processor's settings lie beside the weights, they have to say so. The precision is
the card's, bfloat16 in the original; the head is float32 here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from curate.cards import CardFile
from curate.fixed_text import FixedText
from curate.rater_settings import Settings
from curate.raters import Preparation
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.devices import DTYPES, Precision
from curate.scorers.libraries import import_transformers
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Scores
from curate.scorers.pixels import Normalise
from curate.scorers.pretrained import read_config
from curate.scorers.sharing import loaded_once, weights_key
from curate.scorers.vlm.beside import Setting, agree, ask_for
from curate.scorers.vlm.heads import fitted_head, taken
from curate.scorers.vlm.images import resize_tensor
from curate.scorers.vlm.loading import empty, filed_tokenizer, filled, sharded_state
from curate.scorers.vlm.qwen import control_tokens
from curate.scorers.vlm.templates import NEUTRALISED, fill, load_template
from curate.scorers.vlm.tokens import too_long
from curate.shards.resize import resize
from curate.weights import weights_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGE, FAKE = "<image>", "<fake_token_around_image>"

_SETTINGS = "preprocessor_config.json"

_FILES = ("config.json", "model*.safetensors", "tokenizer.json")


class VideoScoreArguments(Arguments):
    """The `args` of a card for `VideoScore`."""

    template: FixedText
    shortest: int = Field(default=378, ge=14)
    longest: int = Field(default=980, ge=14)
    dtype: Precision = "float32"
    """Of the network; the head is float32 always."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """A preparation: bilinear to a longer side of at most `longest`, then no side below `shortest`, which may stretch."""

    shortest: int
    longest: int

    @property
    def name(self) -> str:
        """What it makes, completely: equal names, equal pixels."""
        return f"pillow:bounded-{self.shortest}-{self.longest}-bilinear"

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what becomes of such pixels; the shorter side is rounded down."""
        ratio = width / height
        if width >= height and width > self.longest:
            height, width = int(self.longest / ratio), self.longest
        elif height > width and height > self.longest:
            height, width = self.longest, int(self.longest * ratio)
        return max(height, self.shortest), max(width, self.shortest)

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return resize(pixels, *self.size(*pixels.shape[:2]), "bilinear")

    def on_tensor(self, pixels: Float[Tensor, "*batch 3 height width"]) -> Float[Tensor, "*batch 3 tall wide"]:
        """The same by tensor operations, of RGB in [0, 1]."""
        return resize_tensor(pixels, *self.size(*pixels.shape[-2:]), "bilinear")


class VideoScore(NetworkRater):
    """Judges videos: pixels (batch, frames, 3, height, width)."""

    batch_size = 1
    pads_prompts = True

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, VideoScoreArguments)
        ask_for(file, "model", (*_FILES, _SETTINGS), offline=settings.offline)
        agree(file, weights_folder(file, "model", _FILES, offline=settings.offline) / _SETTINGS, _settings(args))
        make = Bounded(shortest=args.shortest, longest=args.longest)
        super().__init__(file, settings, preparations=[Preparation(name=make.name, make=make, frames=file.card.frames)])
        self._template = load_template(file, args.template, offline=settings.offline)
        key = ("videoscore", weights_key(file), len(self.dimensions), args.dtype, str(self.device))
        self._reader = loaded_once(key, lambda: _load(file, args, self.device, offline=settings.offline))

    def forward(self, inputs: Inputs) -> Scores:
        frames = inputs.pixels["response"]
        asked = [self._reader.question(self._template, prompt, frames.shape[1]) for prompt in inputs.prompts]
        notes = {row: NEUTRALISED for row, (_, defused) in enumerate(asked) if defused}
        failures = too_long([len(ids) for ids, _ in asked], self._reader.context)
        rows = [row for row in range(len(asked)) if row not in failures]
        values = torch.zeros(len(asked), len(self.dimensions), device=frames.device)
        if rows:
            found = self._reader.read([asked[row][0] for row in rows], frames[rows])
            values = values.index_copy(0, torch.tensor(rows, device=frames.device), found)
        return Scores(values=values, notes=notes, failures=failures)


class Idefics2Reader:
    """An Idefics2 with a regression head."""

    def __init__(self, model: Any, head: nn.Module, tokenizer: Any) -> None:
        self._model = model
        self._head = head
        self._tokenizer = tokenizer
        self._normalise = Normalise((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        self._control = control_tokens(tokenizer)
        self.context = int(model.config.text_config.max_position_embeddings)

    def question(self, template: str, caption: str, frames: int) -> tuple[list[int], bool]:
        """Ids of the question with the frames after it, and whether the caption had to be defused."""
        text, defused = fill(template, caption, self._control)
        shown = FAKE + IMAGE * self._model.image_seq_len + FAKE
        return list(self._tokenizer(text + f"{shown} " * frames)["input_ids"]), defused

    def read(
        self, questions: Sequence[Sequence[int]], frames: Float[Tensor, "batch frames 3 height width"]
    ) -> Float[Tensor, "batch outputs"]:
        """The outputs at the last token of each question, padding on the right."""
        device, length = frames.device, max(map(len, questions))
        ids = torch.zeros(len(questions), length, dtype=torch.long, device=device)
        mask = torch.zeros_like(ids)
        for row, question in enumerate(questions):
            ids[row, : len(question)] = torch.tensor(question, device=device)
            mask[row, : len(question)] = 1
        words = self._model.text_model.embed_tokens(ids)
        places = ((ids == self._model.config.image_token_id) & (mask == 1))[..., None]
        spliced = words.masked_scatter(places, self._see(frames).to(words.dtype))
        positions = torch.arange(length, device=device).expand(len(questions), length)
        output = self._model.text_model(inputs_embeds=spliced, attention_mask=mask, position_ids=positions, use_cache=False)
        last = output.last_hidden_state[torch.arange(len(questions), device=device), mask.sum(dim=1) - 1]
        return self._head(last.float())  # type: ignore[no-any-return]

    def _see(self, frames: Tensor) -> Float[Tensor, "pictures tokens hidden"]:
        # The network's own entrance leaves out pictures that are zero everywhere as padding; none of these is.
        pixels = self._normalise(frames.flatten(0, 1)).to(self._model.dtype)
        side = self._model.config.vision_config.patch_size
        patched = torch.ones(
            len(pixels), pixels.shape[-2] // side, pixels.shape[-1] // side, dtype=torch.bool, device=pixels.device
        )
        states = self._model.vision_model(pixel_values=pixels, patch_attention_mask=patched).last_hidden_state
        return self._model.connector(states, attention_mask=patched.flatten(1))  # type: ignore[no-any-return]


def _settings(args: VideoScoreArguments) -> list[Setting]:
    """What the settings of the image processor have to say; what they leave out is what `Idefics2ImageProcessor` takes."""
    middle = [0.5, 0.5, 0.5]
    return [
        Setting(place="size.shortest_edge", wanted=args.shortest, unsaid=378),
        Setting(place="size.longest_edge", wanted=args.longest, unsaid=980),
        Setting(place="do_image_splitting", wanted=False, unsaid=False),
        Setting(place="do_resize", wanted=True, unsaid=True),
        Setting(place="resample", wanted=2, unsaid=2),  # Pillow's bilinear
        Setting(place="image_mean", wanted=middle, unsaid=middle),
        Setting(place="image_std", wanted=middle, unsaid=middle),
    ]


def _load(file: CardFile, args: VideoScoreArguments, device: torch.device, *, offline: bool) -> Idefics2Reader:
    transformers = import_transformers()
    folder = weights_folder(file, "model", _FILES, offline=offline)
    read_config(folder, "idefics2", where=file.where)
    state = sharded_state(folder, where=file.where)
    own = taken(state, "score")
    config = transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    named = {name.removeprefix("model."): tensor.to(DTYPES[args.dtype]) for name, tensor in state.items()}
    model = filled(empty(transformers.Idefics2Model, config, DTYPES[args.dtype]), named, where=file.where)
    linear = nn.Linear(config.text_config.hidden_size, len(file.card.dimensions))
    head = fitted_head(linear, own, where=file.where, place="weights.model, score", device=device)
    return Idefics2Reader(model.to(device), head, filed_tokenizer(folder, where=file.where))
