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
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from curate.ahead import ahead
from curate.batch_raters import BatchRater
from curate.cards import CardFile
from curate.errors import CardError, CurateError
from curate.rater_settings import Settings
from curate.raters import Item, Judgement, Preparation, Value, failed, failure, measured
from curate.records import Sample, Status
from curate.scorers.devices import is_out_of_memory, pick_device
from curate.scorers.pictures import Picture, check_beside
from curate.scorers.pixels import fit_tensor
from curate.scorers.precision import full_precision
from curate.scorers.scoring import scores_of, tell
from curate.scorers.staging import Group, Stacked, Staged, Staging
from curate.scorers.transfers import Fetched

_BEYOND = 0.1
"""How far outside [0, 1] the step of an optimiser leaves a pixel; further, all of them are on another scale."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Computed:
    """A batch whose scores are on their way from the device."""

    unfit: Sequence[Judgement]
    """Of items that could not go to the network."""
    scored: Sequence[tuple[Sequence[Item], Scores, Fetched]]
    """The others, by size; with what is fetched of the scores: values, and spreads where there are some."""


class NetworkRater(BatchRater):
    """Base of engines with a network; see the module."""

    differentiable: ClassVar[bool] = True
    """Whether gradients of the scores reach the pixels."""

    pads_prompts: ClassVar[bool] = False
    """Whether a batch costs as much as its longest prompt, so that short ones are better judged without it."""

    def __init__(self, file: CardFile, settings: Settings, *, preparations: Sequence[Preparation]) -> None:
        if file.card.takes.response == "text":
            raise CardError(f"{file.where}, field 'takes.response': the engine looks at pictures, so image or video it is")
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
        self._in_flight = 1 if self.device.type == "cuda" else 0
        self._staging = Staging(file.card, self.preparations, pinned=self.device.type == "cuda")

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

        The resize is made of tensor operations, so numbers differ a little from `score`'s where that rounds pictures to 8
        bits. `dimension` is the card's main one where it is not said. Raises `CurateError` as `score` does.
        """
        given = {"response": pixels, **conditions}

        def forward(fitted: Mapping[str, Pixels]) -> Scores:
            return self.forward(Inputs(pixels=fitted, prompts=texts))

        self.check_pixels(given)
        texts = self._texts_beside(given, prompts)
        return self.through(given, forward, dimension)

    def check_pixels(self, given: Mapping[str, Pixels]) -> None:
        """Raise `CurateError` where gradients of the scores cannot reach what is given by role, or it is not RGB in [0, 1]."""
        if not self.differentiable:
            raise CurateError(f"the scores of {self.card.name} have no gradients: use score")
        for role, one in given.items():
            _check_pixels(role, one, video=role == "response" and self.card.takes.response == "video")

    def through(
        self, given: Mapping[str, Pixels], forward: Callable[[Mapping[str, Pixels]], Scores], dimension: str | None
    ) -> Float[Tensor, " batch"]:
        """One dimension of what `forward` makes of checked pixels by role, fitted to the network, larger is better."""
        chosen = dimension or self.card.main
        if chosen not in self.dimensions:
            raise CurateError(f"{self.card.name} has no dimension '{chosen}', but {', '.join(self.dimensions)}")
        with full_precision():
            fitted = {
                one.role: fit_tensor(one.make, given[one.role].to(self.device, torch.float32))
                for one in self.preparations
                if one.role in given
            }
            scores = forward(fitted)
        tell(self.card, list(scores.notes.values()), len(given["response"]))
        return self.column(scores, chosen)

    def _texts_beside(self, given: Mapping[str, Pixels], prompts: Sequence[str] | None) -> list[str]:
        """A prompt for each of the pictures given; `CurateError` where they are not what the card takes."""
        pictures = len(given["response"])
        check_beside(self.card, pictures, prompts, {role: one for role, one in given.items() if role != "response"})
        texts = [""] * pictures if prompts is None else [prompt or "" for prompt in prompts]
        if self.card.takes.prompt == "required" and not all(text.strip() for text in texts):
            raise CurateError(f"{self.card.name} needs a prompt for each picture, and one is blank")
        return texts

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

    def judge_batches(self, batches: Iterable[list[Item]]) -> Generator[list[Judgement]]:
        """As every rater of batches does; while a batch is computed, the pixels of the next one are put together, and what a
        GPU, which computes by itself, has made of the one before is read."""
        under_way: deque[tuple[list[Item], _Computed | Exception | None]] = deque()
        with closing(ahead((batch, self._staging.attempt(batch)) for batch in batches)) as coming:
            for batch, staged in coming:
                under_way.append((batch, self._attempt(staged) if len(batch) <= self.batch_size else None))
                if len(under_way) > self._in_flight:
                    yield self._ended(*under_way.popleft())
        while under_way:
            yield self._ended(*under_way.popleft())

    def judge_batch(self, batch: Sequence[Item]) -> list[Judgement]:
        return self._judgements(self._computed(self._staging.staged(batch)), batch)

    def _attempt(self, staged: Staged | None) -> _Computed | Exception | None:
        """A batch as far as the device waits for nobody, or why that failed; None for one that could not be put together."""
        try:
            return self._computed(staged) if staged else None
        except Exception as problem:
            problem.__traceback__ = problem.__context__ = problem.__cause__ = None  # whose frames hold what filled the memory
            return problem

    def _ended(self, batch: list[Item], computed: _Computed | Exception | None) -> list[Judgement]:
        """The judgements of a batch that was attempted, or of its parts."""

        def judge(part: Sequence[Item]) -> list[Judgement]:
            if part is not batch or computed is None:
                return self.judge_batch(part)
            if isinstance(computed, Exception):
                raise computed
            return self._judgements(computed, batch)  # a GPU may say only here that it failed

        return self._within_memory(batch, judge)

    def bucket_of(self, item: Item) -> Hashable:
        """The shapes of what was prepared, since a batch is one tensor of each role, and how long the prompt is, by doubling."""
        length = len(item.samples[0].prompt or "").bit_length() if self.pads_prompts else 0
        return (length, self._staging.shapes(item))

    def free_memory(self) -> None:
        """What is remembered of pictures and texts is given up before a smaller batch is tried."""
        self.close()
        super().free_memory()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    # `no_grad`, not `inference_mode`: what is remembered of a text here may meet pixels that want gradients.
    @torch.no_grad()
    def _computed(self, staged: Staged) -> _Computed:
        unfit = [failed(item, self.dimensions, *why) for item, why in staged.unfit]
        with full_precision():
            return _Computed(unfit=unfit, scored=[self._scored(group) for group in staged.groups])

    def _scored(self, group: Group) -> tuple[Sequence[Item], Scores, Fetched]:
        scores = self.forward(self._inputs(group))
        return group.items, scores, Fetched([one for one in (scores.values, scores.spreads) if one is not None])

    def _inputs(self, group: Group) -> Inputs:
        return Inputs(
            pixels={role: self._on_device(pixels) for role, pixels in group.pixels.items()},
            prompts=[item.samples[0].prompt or "" for item in group.items],
            samples=[item.samples[0] for item in group.items],
            keys=group.keys,
        )

    def _judgements(self, computed: _Computed, batch: Sequence[Item]) -> list[Judgement]:
        """Waits for the device."""
        judged = {judgement.item: judgement for judgement in computed.unfit}
        for items, scores, fetched in computed.scored:
            values, *spreads = (one.tolist() for one in fetched.wait())
            for row, item in enumerate(items):
                found = self._values(scores, row, values[row], spreads[0][row] if spreads else None)
                judged[item.number] = Judgement(item=item.number, values=found)
        return [judged[item.number] for item in batch]

    def _values(self, scores: Scores, number: int, values: Sequence[float], spreads: Sequence[float] | None) -> dict[str, Value]:
        if number in scores.failures:
            return failure(self.dimensions, *scores.failures[number])
        found = {}
        for column, dimension in enumerate(self.dimensions):
            value = measured(values[column], spread=spreads[column] if spreads else None)
            note = value.detail or scores.notes.get(number)
            found[dimension] = Value(value=value.value, spread=value.spread, status=value.status, detail=note)
        return found

    def _on_device(self, pixels: Stacked) -> Pixels:
        """Prepared pixels as a batch on the device; those in 8 bits cross as such, a quarter of the bytes."""
        there = pixels.to(self.device, non_blocking=True).movedim(-1, -3)
        return there.float() / 255 if there.dtype == torch.uint8 else there


def _check_pixels(role: str, pixels: Tensor, *, video: bool) -> None:
    """Raise `CurateError` for what is not RGB in [0, 1]; a little over is what an optimiser's step leaves."""
    axes = (5, "frames, 3") if video else (4, "3")
    if not isinstance(pixels, Tensor):
        raise CurateError(
            f"{role}: pixels are a tensor (batch, {axes[1]}, height, width) of torch, not {type(pixels).__name__}; other "
            "pictures go to score"
        )
    fits = pixels.ndim == axes[0] and pixels.shape[-3] == 3 and pixels.numel() > 0
    if not fits or pixels.dtype not in (torch.float32, torch.float64):
        raise CurateError(
            f"{role}: pixels are (batch, {axes[1]}, height, width) in float32, not {tuple(pixels.shape)} in "
            f"{str(pixels.dtype)[6:]}"
        )
    least, most = (float(one) for one in pixels.detach().aminmax())
    if least < -_BEYOND or most > 1 + _BEYOND:
        raise CurateError(f"{role}: pixels are RGB in [0, 1], and these go from {least:g} to {most:g}")
