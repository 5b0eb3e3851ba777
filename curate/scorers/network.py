"""A rater with a network on a device: the work that all such raters share, and the two doors to each of them.

An engine says what its network makes of a batch (`forward`), and gets from here

- the rater: pictures that decode workers prepared are batched by size, moved to the device, judged without gradients, and a
  batch that does not fit in memory is halved (`curate.raters.BatchRater`);
- `score`, for pictures in memory: batched, without gradients;
- `score_tensor`, for pixels that a generator made: the same network behind a resize made of tensor operations, so that gradients
  reach the pixels.

Both doors give larger-is-better numbers, whatever the direction of the network's own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from curate.cards import CardFile
from curate.errors import CardError, CurateError
from curate.raters import BatchRater, Item, Judgement, Preparation, Settings, Value, failed, failure, measured
from curate.records import Sample, Status
from curate.scorers.devices import is_out_of_memory, pick_device
from curate.scorers.pictures import Picture, check_beside
from curate.scorers.pixels import fit_tensor
from curate.scorers.scoring import scores_of, tell

_MOST_LEVEL = 2.0
"""Further from 0, pixels are on another scale (0 to 255)."""

Pixels = Float[Tensor, "batch 3 height width"]
"""RGB in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a network is given: a batch, on its device."""

    pixels: Mapping[str, Pixels]
    """By role, of optional ones those that are there; RGB in [0, 1], in the geometry that the role's preparation makes, not
    normalised."""
    prompts: Sequence[str] = ()
    """One for each sample; empty strings where there is none and the card can do without."""
    samples: Sequence[Sample] = ()
    """One for each row, for engines that need what its record says; empty where pixels were given without one."""
    keys: Mapping[str, Sequence[str]] | None = None
    """By role, one for each sample: equal keys mean equal pixels, so what was computed of them may be used again. None where
    gradients are wanted."""

    def keys_of(self, role: str) -> Sequence[str] | None:
        """The keys of a role's pixels; None where nothing may be remembered of them."""
        return None if self.keys is None else self.keys[role]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What a network makes of a batch, in its own direction."""

    values: Float[Tensor, "batch dimensions"]
    """In the order of the card's dimensions."""
    spreads: Float[Tensor, "batch dimensions"] | None = None
    """Standard deviations, in the units of the values."""
    notes: Mapping[int, str] = field(default_factory=dict)
    """By position in the batch: what is to be said beside a value that stands."""
    failures: Mapping[int, tuple[Status, str]] = field(default_factory=dict)
    """By position in the batch: why there is no value; the numbers in those rows mean nothing."""


class NetworkRater(BatchRater):
    """Base of engines with a network; see the module."""

    differentiable: ClassVar[bool] = True
    """Whether gradients of the scores reach the pixels."""

    def __init__(self, file: CardFile, settings: Settings, *, preparations: Sequence[Preparation]) -> None:
        for one in preparations:
            if one.role not in file.card.takes.roles:
                raise CardError(
                    f"{file.where}, field 'takes.conditions': the engine looks at the {one.role}, which is not named there"
                )
        self.card = file.card
        self.dimensions = tuple(file.card.dimensions)
        self.batch_size = settings.batch_size or self.batch_size
        self.preparations = tuple(preparations)
        self.device = pick_device(settings.device)

    @abstractmethod
    def forward(self, inputs: Inputs) -> Scores:
        """The scores of a batch. Differentiable with respect to the pixels, unless the engine says that it is not."""

    def score(
        self, images: Sequence[Picture], prompts: Sequence[str] | None = None, **conditions: Sequence[Picture | None]
    ) -> Float[Tensor, "batch dimensions"]:
        """Scores of pictures, larger is better, columns in the order of the card's dimensions; float32, on the CPU.

        A picture is a Pillow image, RGB pixels (height, width, 3) in 8 bits, the bytes of a file, or its path; `conditions` are
        pictures by role (`source=…`, `reference=…`). Raises `CurateError` for what the card needs and was not given, and where
        a picture could not be judged: a failure is no number.
        """
        return torch.from_numpy(scores_of(self.card, self, images, prompts, conditions))

    def score_tensor(
        self,
        pixels: Pixels,
        prompts: Sequence[str] | None = None,
        *,
        dimension: str | None = None,
        **conditions: Pixels,
    ) -> Float[Tensor, " batch"]:
        """Scores of RGB pixels in [0, 1], larger is better, on the network's device; gradients reach `pixels`.

        The resize is made of tensor operations, so numbers differ a little from `score`'s, whose pictures are rounded to 8
        bits. `dimension` is the card's main one where it is not said. Raises `CurateError` as `score` does.
        """
        if not self.differentiable:
            raise CurateError(f"the scores of {self.card.name} have no gradients: use score")
        chosen = dimension or self.card.main
        if chosen not in self.dimensions:
            raise CurateError(f"{self.card.name} has no dimension '{chosen}', but {', '.join(self.dimensions)}")
        given = {"response": pixels, **conditions}
        for role, one in given.items():
            _check_pixels(role, one)
        check_beside(self.card, len(pixels), prompts, conditions)
        if self.card.takes.prompt == "required" and not all(prompt.strip() for prompt in prompts or ()):
            raise CurateError(f"{self.card.name} needs a prompt for each picture, and one is blank")
        fitted = {
            one.role: fit_tensor(one.make, given[one.role].to(self.device)) for one in self.preparations if one.role in given
        }
        scores = self.forward(Inputs(pixels=fitted, prompts=list(prompts or [""] * len(pixels))))
        tell(self.card, list(scores.notes.values()), len(pixels))
        return self.column(scores, chosen)

    def column(self, scores: Scores, dimension: str) -> Float[Tensor, " batch"]:
        """One dimension of some scores, larger is better, with gradients; `CurateError` where a picture has no number."""
        for number, (status, detail) in scores.failures.items():
            raise CurateError(f"{self.card.name} could not judge picture {number}: {status}, {detail}")
        values = scores.values[:, self.dimensions.index(dimension)]
        if not values.isfinite().all():
            raise CurateError(f"{self.card.name} gave a number that is not finite: {values.tolist()}")
        return values if self.card.higher_is_better else -values

    def is_out_of_memory(self, problem: BaseException) -> bool:
        return is_out_of_memory(problem)

    def judge_batch(self, batch: Sequence[Item]) -> list[Judgement]:
        judged: dict[int, Judgement] = {}
        ready = []
        for item in batch:
            why_not = self._unfit(item)
            if why_not is None:
                ready.append(item)
            else:
                judged[item.number] = failed(item, self.dimensions, *why_not)
        for items in self._alike(ready):
            judged.update((item.number, judgement) for item, judgement in zip(items, self._judge_alike(items), strict=True))
        return [judged[item.number] for item in batch]

    def _unfit(self, item: Item) -> tuple[Status, str] | None:
        """Why an item cannot go to the network; None where it can."""
        takes = self.card.takes
        if takes.prompt == "required" and not (item.samples[0].prompt or "").strip():
            return Status.MISSING_PROMPT, "there is no prompt to compare with"
        seen = {role for role, _ in item.prepared[0]}
        role = takes.missing(seen) if "response" in seen else "response"
        return None if role is None else (Status.UNSUPPORTED_MEDIA, f"the {role} is no picture")

    def free_memory(self) -> None:
        """What is remembered of pictures and texts is given up before a smaller batch is tried."""
        self.close()
        super().free_memory()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _alike(self, batch: Sequence[Item]) -> list[list[Item]]:
        """The items of a batch in groups with the same roles, of the same sizes, so that each can be one tensor."""
        groups: dict[tuple[tuple[int, ...], ...], list[Item]] = {}
        for item in batch:
            prepared = item.prepared[0]
            keys = ((one.role, one.name) for one in self.preparations)
            shapes = tuple(prepared[key].shape if key in prepared else () for key in keys)
            groups.setdefault(shapes, []).append(item)
        return list(groups.values())

    # `no_grad`, not `inference_mode`: what is remembered of a text here may meet pixels that want gradients.
    @torch.no_grad()
    def _judge_alike(self, items: Sequence[Item]) -> list[Judgement]:
        pixels, keys = {}, {}
        for one in self.preparations:
            if (one.role, one.name) not in items[0].prepared[0]:
                continue  # optional, and none of these has it
            pixels[one.role] = self._on_device([item.prepared[0][(one.role, one.name)] for item in items])
            keys[one.role] = [f"{one.name}:{_digest(item, one.role)}" for item in items]
        prompts = [item.samples[0].prompt or "" for item in items]
        samples = [item.samples[0] for item in items]
        scores = self.forward(Inputs(pixels=pixels, prompts=prompts, samples=samples, keys=keys))
        values = scores.values.float().tolist()
        spreads = scores.spreads.float().tolist() if scores.spreads is not None else None
        return [
            Judgement(item=item.number, values=self._values(scores, number, values[number], spreads[number] if spreads else None))
            for number, item in enumerate(items)
        ]

    def _values(self, scores: Scores, number: int, values: Sequence[float], spreads: Sequence[float] | None) -> dict[str, Value]:
        if number in scores.failures:
            return failure(self.dimensions, *scores.failures[number])
        found = {}
        for column, dimension in enumerate(self.dimensions):
            value = measured(values[column], spread=spreads[column] if spreads else None)
            note = value.detail or scores.notes.get(number)
            found[dimension] = Value(value=value.value, spread=value.spread, status=value.status, detail=note)
        return found

    def _on_device(self, arrays: Sequence[UInt8[np.ndarray, "height width 3"]]) -> Pixels:
        """8-bit pixels of one size as a batch on the device; they cross in 8 bits, a quarter of the bytes."""
        batch = torch.from_numpy(np.stack(arrays))
        if self.device.type == "cuda":
            batch = batch.pin_memory()
        return batch.to(self.device, non_blocking=True).movedim(-1, -3).float() / 255


def _check_pixels(role: str, pixels: Tensor) -> None:
    """Raise `CurateError` for what is not RGB in [0, 1]; a little over is what an optimiser's step leaves."""
    if pixels.ndim < 4 or pixels.shape[-3] != 3 or pixels.dtype not in (torch.float32, torch.float64):
        raise CurateError(
            f"{role}: pixels are (batch, 3, height, width) in float32, not {tuple(pixels.shape)} in {str(pixels.dtype)[6:]}"
        )
    if (most := float(pixels.detach().abs().amax())) > _MOST_LEVEL:
        raise CurateError(f"{role}: pixels are RGB in [0, 1], and here is {most:g}")


def _digest(item: Item, role: str) -> str:
    sample = item.samples[0]
    digest = sample.response[0].digest if role == "response" else sample.conditions[role].digest
    return f"{digest}, frame {item.frames[role]}" if role in item.frames else digest
