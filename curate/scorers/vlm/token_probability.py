"""How probable it is that a vision-language model with local weights answers a question in a certain way.

VQAScore on generative models, yes-probabilities, level words, digits, and the real/fake judge of RealGen are this one engine
with other questions, labels and readings (`curate.scorers.vlm.labels`); a card says which. One forward pass gives the
distribution of the next token; nothing is generated.

Two engines: `TokenProbability` takes any image-text-to-text model of transformers, pictures going through its own processor
in its Pillow form, so its scores have no gradients. `QwenTokenProbability` builds what Qwen2-VL and Qwen2.5-VL take by tensor
operations: resizing is done by decode workers, numbers are those of the processor, and gradients reach the pixels.

Facts that this port keeps to:

- transformers 5 wants `mm_token_type_ids` beside image grids, or it refuses; with them positions are those of the grid, as in
  the originals here, and nothing cached by an earlier call is used;
- upstream VQAScore reads the scores of `generate`, which have the repetition penalty of the checkpoint's generation config in
  them (`repetition_penalty` of a card).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from curate.cards import CardFile
from curate.errors import CardError, CurateError
from curate.fixed_text import FixedText, load_text
from curate.rater_settings import Settings
from curate.raters import Preparation
from curate.records import Status
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.devices import Precision
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Pixels, Scores
from curate.scorers.pixels import Normalise
from curate.scorers.vlm.chats import Chat
from curate.scorers.vlm.images import FACTOR, MERGE, PATCH, TEMPORAL, AreaResize, is_unfit, patches
from curate.scorers.vlm.labels import Label, LabelReader, Reading, label_reader, penalised
from curate.scorers.vlm.templates import NEUTRALISED, SLOT
from curate.scorers.vlm.tokens import UNFIT, all_failed, too_long
from curate.scorers.vlm.vision_language import load_vision_language

MASS = "p_mass"
"""The dimension that holds the probability of all labels together."""


class TokenArguments(Arguments):
    """The `args` of a card for `TokenProbability`."""

    model_type: str
    """What the config of the weights has to say."""
    labels: tuple[Label, ...] = Field(min_length=1)
    reading: Reading
    question: str | None = None
    """One line, with `{text_prompt}` where the prompt belongs; or `template`, a longer text of somebody else's."""
    template: FixedText | None = None
    system: str | None = None
    """None leaves it to the chat template."""
    stem: str = ""
    """What the model has answered so far; labels follow it."""
    pictures: tuple[str, ...] = Field(default=("response",), min_length=1)
    """Roles, in the order they are shown."""
    least_mass: float = Field(default=0.0, ge=0, lt=1)
    """Where the labels together are less probable than this, there is no value: the model would answer something else."""
    repetition_penalty: float = Field(default=1.0, gt=0)
    dtype: Precision = "float32"
    """Of the network; the softmax is float32 always."""

    @model_validator(mode="after")
    def _one_question(self) -> TokenArguments:
        if (self.question is None) == (self.template is None):
            raise ValueError("give either 'question' or 'template'")
        return self

    @model_validator(mode="after")
    def _two_labels(self) -> TokenArguments:
        if self.reading == "logodds" and len(self.labels) != 2:
            raise ValueError(f"logodds are of two labels, the first against the second, and here are {len(self.labels)}")
        return self


class QwenArguments(TokenArguments):
    """The `args` of a card for `QwenTokenProbability`."""

    min_pixels: int = Field(default=4 * FACTOR**2, ge=FACTOR**2)
    max_pixels: int = Field(default=16384 * FACTOR**2, ge=FACTOR**2)
    """Areas that pictures are brought between; the defaults are those of the model's own tools."""


class TokenProbability(NetworkRater):
    """Judges pictures by what any image-text-to-text model of transformers is about to say."""

    differentiable: ClassVar[bool] = False
    batch_size = 8
    pads_prompts = True

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = self._arguments(file)
        super().__init__(file, settings, preparations=[self._preparation(args, role) for role in args.pictures])
        self._args = args
        _check_dimensions(file)
        question = args.question
        if args.template is not None:
            question = load_text(file, args.template, offline=settings.offline)
        assert question is not None, "checked by TokenArguments"
        _check_slot(file, question)
        self._network = load_vision_language(
            file,
            device=self.device,
            offline=settings.offline,
            resizes="pil",
            model_type=args.model_type,
            dtype=args.dtype,
        )
        self._chat = Chat(
            self._network.processor,
            question=question,
            pictures=len(args.pictures),
            system=args.system,
            stem=args.stem,
            where=file.where,
        )
        self._labels: LabelReader = label_reader(
            args.labels, args.reading, tokenise=self._network.tokenise, before=self._chat.example, where=file.where
        )

    def forward(self, inputs: Inputs) -> Scores:
        chats = [self._chat.text(prompt) for prompt in inputs.prompts]
        texts, pixels = [text for text, _ in chats], inputs.pixels
        encoded = self._encode(pixels, texts)
        failures = too_long(encoded["attention_mask"].sum(dim=1).tolist(), self._network.context)
        rows = [row for row in range(len(texts)) if row not in failures]
        if failures and rows:
            # The others are asked without these, which would make all of them as long, beyond what the network takes.
            encoded = self._encode({role: one[rows] for role, one in pixels.items()}, [texts[row] for row in rows])
        values = torch.zeros(len(texts), len(self.dimensions), device=self.device)
        if rows:
            found, masses = self._read(encoded)
            values = values.index_copy(0, torch.tensor(rows, device=self.device), found)
            failures |= {rows[number]: failure for number, failure in self._improbable(masses).items()}
        notes = {row: NEUTRALISED for row, (_, defused) in enumerate(chats) if defused}
        return Scores(values=values, notes=notes, failures=failures)

    def _read(self, encoded: Mapping[str, Tensor]) -> tuple[Float[Tensor, "batch dimensions"], Float[Tensor, " batch"]]:
        """The scores of what the model is called with, and how probable all labels together are."""
        logits = self._network.next_logits(encoded)
        if self._args.repetition_penalty != 1:
            logits = penalised(logits, _said(encoded, logits), self._args.repetition_penalty)
        values, masses = self._labels.read(logits)
        return torch.stack([masses if one == MASS else values for one in self.dimensions], dim=-1), masses

    def _arguments(self, file: CardFile) -> TokenArguments:
        return arguments(file, TokenArguments)

    def _preparation(self, args: TokenArguments, role: str) -> Preparation:
        return Preparation(name="as-it-is", make=np.ascontiguousarray, role=role)

    def _encode(self, pixels: Mapping[str, Pixels], texts: Sequence[str]) -> Mapping[str, Tensor]:
        """What the model is called with."""
        in_order = [pixels[role] for role in self._args.pictures]
        return self._network.encode(texts, [[_picture(one[number]) for one in in_order] for number in range(len(texts))])

    def _improbable(self, masses: Float[Tensor, " batch"]) -> dict[int, tuple[Status, str]]:
        least = self._args.least_mass
        if not least:
            return {}
        return {
            number: (Status.PARSE_ERROR, f"low mass: the labels hold {mass:.3g} of the probability, less than {least:g}")
            for number, mass in enumerate(masses.tolist())
            if mass < least
        }


class QwenTokenProbability(TokenProbability):
    """The same with Qwen2-VL and Qwen2.5-VL, made of tensor operations."""

    differentiable: ClassVar[bool] = True

    def __init__(self, file: CardFile, settings: Settings) -> None:
        super().__init__(file, settings)
        processor = self._network.processor.image_processor
        if (processor.patch_size, processor.merge_size, processor.temporal_patch_size) != (PATCH, MERGE, TEMPORAL):
            raise CardError(f"{file.where}: this model cuts pictures otherwise than Qwen2-VL: use TokenProbability")
        self._normalise = Normalise(processor.image_mean, processor.image_std)

    def forward(self, inputs: Inputs) -> Scores:
        if any(is_unfit(pixels) for pixels in inputs.pixels.values()):
            return all_failed(inputs, len(self.dimensions), UNFIT)
        return super().forward(inputs)

    def _arguments(self, file: CardFile) -> TokenArguments:
        return arguments(file, QwenArguments)

    def _preparation(self, args: TokenArguments, role: str) -> Preparation:
        assert isinstance(args, QwenArguments), "made by _arguments"
        make = AreaResize(min_pixels=args.min_pixels, max_pixels=args.max_pixels)
        return Preparation(name=make.name, make=make, role=role)

    def _encode(self, pixels: Mapping[str, Pixels], texts: Sequence[str]) -> Mapping[str, Tensor]:
        rows, grids = [], []
        for role in self._args.pictures:
            cut, grid = patches(self._normalise(pixels[role])[:, None])
            rows.append(cut.reshape(len(texts), -1, cut.shape[-1]))
            grids.append(grid)
        processor = self._network.processor
        counts = [int(grid[0].prod()) // MERGE**2 for grid in grids]
        # Every row of `pixel_values` belongs to one sample, whose pictures come one after another.
        tokens = self._network.padded([_expanded(text, processor.image_token, counts) for text in texts])
        return {
            **tokens,
            "mm_token_type_ids": (tokens["input_ids"] == processor.image_token_id).long(),
            "pixel_values": torch.cat(rows, dim=1).flatten(0, 1),
            "image_grid_thw": torch.stack(grids, dim=1).flatten(0, 1),
        }


def _check_dimensions(file: CardFile) -> None:
    if file.card.main == MASS or len(set(file.card.dimensions) - {MASS}) != 1:
        raise CardError(f"{file.where}: this engine gives one value, under a name of yours, and beside it {MASS}")


def _check_slot(file: CardFile, question: str) -> None:
    slots, prompt = question.count(SLOT), file.card.takes.prompt
    if slots > 1 or bool(slots) != (prompt != "unused"):
        raise CardError(f"{file.where}: the question has {slots} places {SLOT}, which does not go with 'prompt: {prompt}'")


def _picture(pixels: Float[Tensor, "3 height width"]) -> Any:
    """A Pillow image of what was 8 bits before."""
    from PIL import Image

    return Image.fromarray((pixels * 255).round().byte().movedim(0, -1).cpu().numpy())


def _expanded(text: str, placeholder: str, counts: Sequence[int]) -> str:
    """A text in which the placeholder of each picture is repeated as often as it has visual tokens."""
    parts = text.split(placeholder)
    if len(parts) != len(counts) + 1:
        raise CurateError(f"the chat template shows {len(parts) - 1} pictures where there are {len(counts)}")
    return parts[0] + "".join(placeholder * count + part for count, part in zip(counts, parts[1:], strict=True))


def _said(encoded: Mapping[str, Tensor], logits: Tensor) -> Tensor:
    """Which tokens of the vocabulary each text holds; padding says nothing."""
    ids, mask = encoded["input_ids"].to(logits.device), encoded["attention_mask"].to(logits.device)
    return torch.zeros_like(logits).scatter_add_(1, ids, mask.to(logits.dtype)) > 0
