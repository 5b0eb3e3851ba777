"""VQAScore of CLIP-FlanT5: how probable it is that the network says "Yes" when asked whether a picture shows its prompt.

    score = exp(mean over the answer's tokens of log P(token | picture, question, tokens before))

Paper: Lin et al., Evaluating Text-to-Visual Generation with Image-to-Text Generation, ECCV 2024; code linzhiqiu/t2v_metrics up
to version 3.0. Facts that this port keeps to:

- the tokenizer ends every piece of text with `</s>`, so one stands before the picture and one after the question;
- the answer is "Yes" and `</s>`, so the score is the geometric mean of P(Yes) and P(</s> | Yes), not P(Yes);
- padding is `<pad>`, and it alone is masked: characters that T5 does not know (braces, `<`, emoji) are seen as `<unk>`. Until
  July 2024 the original padded with `<unk>`, and so masked them as well;
- the original shrinks the vocabulary to that of the tokenizer (32100 of 32128) before the softmax;
- pictures are padded to a square in CLIP's mean colour first, and resized then.

The original runs in bfloat16; here the softmax is float32 always, the rest as the card says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from curate.cards import CardFile
from curate.errors import CardError, WeightsError
from curate.fixed_text import FixedText, load_text
from curate.rater_settings import Settings
from curate.raters import Preparation
from curate.records import Status
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.devices import DTYPES
from curate.scorers.libraries import import_transformers
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Scores
from curate.scorers.picture_arguments import CLIP_MEAN, CLIP_STD
from curate.scorers.pixels import Normalise, fit_tensor
from curate.scorers.sharing import loaded_once, weights_key
from curate.scorers.vlm.clip_t5 import load_clip_t5
from curate.scorers.vlm.qwen import control_tokens
from curate.scorers.vlm.templates import NEUTRALISED, SLOT, fill
from curate.shards.resize import Geometry, pad_to_square
from curate.weights import weights_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEAN_COLOUR = (122, 116, 104)
"""CLIP's mean in 8 bits, cut as the original cuts it."""

_TOKENIZERS = (("tokenizer.json", "tokenizer_config.json"), ("spiece.model", "tokenizer_config.json"))

_MOST_PIXELS = 64_000_000
"""A line of 1 x 32767 pixels would be padded to a square of a billion."""


class VqaArguments(Arguments):
    """The `args` of a card for `VqaScore`."""

    question: str
    """One line, with `{text_prompt}` where the prompt belongs."""
    system: FixedText
    """What stands before the question in the chat format the network was trained with."""
    answer: str = "Yes"
    side: int = 336
    context: int = 2048
    """Tokens of a question, its picture counted as one; the original cuts longer ones, which then ask nothing."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the network; T5 of this size overflows in float16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PadThenResize:
    """A preparation: padded to a square of the longer side, then resized to `side`, bicubic, by Pillow.

    Pictures whose square would not fit in memory are resized first and padded then, within a pixel of the same.
    """

    side: int
    fill: tuple[int, int, int] = MEAN_COLOUR

    @property
    def name(self) -> str:
        """What it makes, completely: equal names, equal pixels."""
        return f"pillow:pad-{'-'.join(map(str, self.fill))}:squash-{self.side}-bicubic"

    @property
    def _squash(self) -> Geometry:
        return Geometry(size=self.side, mode="squash")

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        longer = max(pixels.shape[:2])
        if longer**2 > _MOST_PIXELS and pixels.shape[0] != pixels.shape[1]:
            return Geometry(size=self.side, mode="longest", fill=self.fill)(pixels)
        return self._squash(pad_to_square(pixels, longer, self.fill))

    def on_tensor(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 side side"]:
        """The same by tensor operations, of RGB in [0, 1]."""
        longer = max(pixels.shape[-2:])
        square = fit_tensor(Geometry(size=longer, mode="longest", fill=self.fill), pixels)
        return fit_tensor(self._squash, square)


class VqaScore(NetworkRater):
    """Judges how well pictures show their prompts by the answer of CLIP-FlanT5."""

    batch_size = 16
    pads_prompts = True

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, VqaArguments)
        make = PadThenResize(side=args.side)
        super().__init__(file, settings, preparations=[Preparation(name=make.name, make=make)])
        if args.question.count(SLOT) != 1:
            raise CardError(f"{file.where}: the question needs one place {SLOT} for the prompt")
        self._args = args
        self._normalise = Normalise(CLIP_MEAN, CLIP_STD)
        system = load_text(file, args.system, offline=settings.offline)
        self._tokenizer = _load_tokenizer(file, offline=settings.offline)
        self._control = control_tokens(self._tokenizer)
        dtype, device = DTYPES[args.dtype], self.device
        key = ("clip-t5", weights_key(file), args.dtype, str(device))
        self._network = loaded_once(key, lambda: load_clip_t5(file, dtype=dtype, device=device, offline=settings.offline))
        if self._network.image_side != args.side:
            raise CardError(f"{file.where}: 'side' is {args.side}, but the vision tower takes {self._network.image_side}")
        if self._network.vocabulary < len(self._tokenizer):
            raise WeightsError(
                f"{file.where}: the tokenizer has {len(self._tokenizer)} tokens, but the network knows {self._network.vocabulary}"
            )
        self._before = self._ids(f"{system} USER: ")
        self._answer = torch.tensor(self._ids(args.answer), device=self.device)

    def forward(self, inputs: Inputs) -> Scores:
        filled = [fill(self._args.question, prompt, self._control) for prompt in inputs.prompts]
        questions = [self._ids(f"\n{question} ASSISTANT: ") for question, _ in filled]
        room = self._args.context - len(self._before) - 1
        failures = {
            number: (Status.TRUNCATED, f"the question has {len(ids)} tokens, and the network takes {room}")
            for number, ids in enumerate(questions)
            if len(ids) > room
        }
        seen = self._network.see(self._normalise(inputs.pixels["response"]))
        embeddings, mask = self._spliced([ids[:room] for ids in questions], seen)
        logs = self._network.answer(embeddings, mask, self._answer, vocabulary=len(self._tokenizer))
        notes = {number: NEUTRALISED for number, (_, defused) in enumerate(filled) if defused}
        return Scores(values=logs.mean(dim=-1, keepdim=True).exp(), notes=notes, failures=failures)

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, verbose=False)["input_ids"])

    def _spliced(
        self, questions: Sequence[Sequence[int]], seen: Float[Tensor, "batch patches width"]
    ) -> tuple[Float[Tensor, "batch tokens width"], Int[Tensor, "batch tokens"]]:
        """Embeddings of the text before the picture, the picture, and the question; and which of them are attended to."""
        pad, longest = self._tokenizer.pad_token_id, max(map(len, questions))
        padded = [[*ids, *[pad] * (longest - len(ids))] for ids in questions]
        after = torch.tensor(padded, device=seen.device)
        before = torch.tensor(self._before, device=seen.device).expand(len(padded), -1)
        embeddings = torch.cat([self._network.embed(before), seen, self._network.embed(after)], dim=1)
        attended = after.new_ones(seen.shape[:2])
        return embeddings, torch.cat([(before != pad).long(), attended, (after != pad).long()], dim=1)


def _load_tokenizer(file: CardFile, *, offline: bool) -> Any:
    """The tokenizer under `weights.tokenizer`; raises `WeightsError` for one that does not end its texts as T5's does."""
    folder = weights_folder(file, "tokenizer", *_TOKENIZERS, offline=offline)
    tokenizer = import_transformers().AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    if tokenizer("a")["input_ids"][-1:] != [tokenizer.eos_token_id] or tokenizer.pad_token_id is None:
        lack = "it does not end a text with its end token, or it has no padding"
        raise WeightsError(f"{file.where}: the tokenizer in {folder} is none of T5: {lack}")
    return tokenizer
