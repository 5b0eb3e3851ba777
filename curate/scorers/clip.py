"""How well a picture fits its prompt, by the cosine of two towers: CLIPScore, PickScore and their kin.

    cosine    cos(E(image), T(prompt))                          raw CLIP similarity, about 0.15 .. 0.35
    scaled    exp(logit_scale) * cos(E(image), T(prompt))       PickScore; the logit the towers were trained with

Papers: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021; Kirstain et al.,
Pick-a-Pic, 2023 (PickScore). Two choices keep the numbers those of the originals: pixels are resized by Pillow as the original
processors do (`preprocess.backend: fast` trades the last digit for speed), and embeddings are normalised and multiplied in
float32 whatever the precision of the towers, since good pictures differ in the third digit.

A prompt longer than the text tower takes is cut, as it was in the originals. Its value stands, and says so in its detail.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator

from curate.cards import CardFile
from curate.errors import CardError
from curate.raters import BatchRater, Item, Judgement, Settings, Value, failed, measured
from curate.records import Status
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.devices import DTYPES, Precision, is_out_of_memory, pick_device
from curate.scorers.openclip import load_openclip_towers
from curate.scorers.pixels import declared_preparation
from curate.scorers.transformers_clip import load_transformers_towers
from curate.scorers.two_towers import TwoTowers

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

REMEMBERED_TEXTS = 8192
"""Embeddings of so many prompts are kept, those used last: 32 MB at 1024 numbers each."""

Channels = tuple[float, float, float]


class ClipArguments(Arguments):
    """The `args` of a card for `Similarity`."""

    library: Literal["transformers", "open_clip"]
    model: str | None = None
    """Name of the architecture; for OpenCLIP only, transformers reads it from the weights."""
    quick_gelu: bool = False
    """Whether the weights were trained with QuickGELU; for OpenCLIP only."""
    score: Literal["cosine", "scaled"] = "cosine"
    preprocess: Mapping[str, Any] = Field(default_factory=lambda: {"size": 224})
    """Fields of `curate.shards.resize.Geometry`, and `backend`."""
    mean: Channels = CLIP_MEAN
    std: Channels = CLIP_STD
    dtype: Precision = "float32"
    """Of the towers; normalising and multiplying are float32 always."""

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _channels(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _architecture(self) -> ClipArguments:
        if (self.library == "open_clip") != (self.model is not None):
            raise ValueError("open_clip needs 'model', the name of an architecture; transformers takes none")
        if self.library == "transformers" and self.quick_gelu:
            raise ValueError("'quick_gelu' is for open_clip; transformers reads the activation from the weights")
        return self


class Similarity(BatchRater):
    """Judges pictures by their cosine with the prompt."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, ClipArguments)
        self.dimensions = (file.card.main,)
        self.batch_size = settings.batch_size or self.batch_size
        self._preparation = declared_preparation(args.preprocess, where=file.where)
        self.preparations = (self._preparation,)
        self._device = pick_device(settings.device)
        self._towers = _load_towers(file, args, self._device, offline=settings.offline)
        self._factor = self._towers.scale if args.score == "scaled" else 1.0
        self._mean = torch.tensor(args.mean, device=self._device).view(1, 3, 1, 1)
        self._std = torch.tensor(args.std, device=self._device).view(1, 3, 1, 1)
        self._texts: OrderedDict[str, tuple[torch.Tensor, bool]] = OrderedDict()

    def is_out_of_memory(self, problem: BaseException) -> bool:
        return is_out_of_memory(problem)

    @torch.inference_mode()
    def score(self, batch: Sequence[Item]) -> list[Judgement]:
        told = [item for item in batch if item.samples[0].prompt]
        judged = self._judge(told) if told else {}
        return [
            Judgement(item=item.number, values={self.dimensions[0]: judged[item.number]})
            if item.number in judged
            else failed(item, self.dimensions, Status.MISSING_PROMPT, "there is no prompt to compare with")
            for item in batch
        ]

    def _judge(self, items: Sequence[Item]) -> dict[int, Value]:
        place = (self._preparation.role, self._preparation.name)
        pictures = _normalised(self._towers.embed_images(self._pixels([item.prepared[0][place] for item in items])))
        prompts = [item.samples[0].prompt or "" for item in items]
        known = self._embedded(prompts)
        texts = torch.stack([known[prompt][0] for prompt in prompts])
        scores = (self._factor * (pictures * texts).sum(dim=-1)).tolist()
        note = f"the prompt was cut to {self._towers.context} tokens"
        return {
            item.number: _value(score, note if known[prompt][1] else None)
            for item, score, prompt in zip(items, scores, prompts, strict=True)
        }

    def _pixels(self, squares: Sequence[np.ndarray]) -> torch.Tensor:
        """Normalised pixels (batch, 3, side, side) of 8-bit squares (side, side, 3)."""
        pixels = torch.from_numpy(np.stack(squares)).to(self._device).permute(0, 3, 1, 2)
        return (pixels.float() / 255 - self._mean) / self._std

    def _embedded(self, prompts: Sequence[str]) -> dict[str, tuple[torch.Tensor, bool]]:
        """Normalised embedding of each distinct prompt, and whether it was cut; a prompt goes through the tower once."""
        found = {prompt: self._texts.pop(prompt) for prompt in dict.fromkeys(prompts) if prompt in self._texts}
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in found]
        if new:
            embeddings, cut = self._towers.embed_texts(new)
            found.update(zip(new, zip(_normalised(embeddings), cut, strict=True), strict=True))
        self._texts.update(found)
        while len(self._texts) > REMEMBERED_TEXTS:
            self._texts.popitem(last=False)
        return found


def _load_towers(file: CardFile, args: ClipArguments, device: torch.device, *, offline: bool) -> TwoTowers:
    dtype = DTYPES[args.dtype]
    towers: TwoTowers
    if args.library == "open_clip":
        assert args.model is not None, "checked by ClipArguments"
        towers = load_openclip_towers(
            file, model=args.model, quick_gelu=args.quick_gelu, dtype=dtype, device=device, offline=offline
        )
    else:
        towers = load_transformers_towers(file, dtype=dtype, device=device, offline=offline)
    side = args.preprocess.get("crop") or args.preprocess.get("size")
    if side != towers.image_side:
        raise CardError(f"{file.where}: preprocess makes squares of {side} pixels, but the network takes {towers.image_side}")
    return towers


def _normalised(embeddings: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(embeddings.float(), dim=-1)


def _value(score: float, detail: str | None) -> Value:
    value = measured(score)
    return Value(value=value.value, status=value.status, detail=value.detail or detail)
