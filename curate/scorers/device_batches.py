"""Batches on a device, without gradients: put together ahead, sent, computed, fetched, halved where they do not fit in memory.

A GPU computes by itself and is not waited for: while it works on a batch, the pixels of the next one are put together, and what
it made of the one before is read.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Generator, Hashable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import ClassVar

import torch

from curate.ahead import ahead
from curate.batch_raters import BatchRater
from curate.cards import CardFile
from curate.errors import CardError
from curate.rater_settings import Settings
from curate.raters import Item, Judgement, Preparation, Value, failed, failure, measured
from curate.scorers.devices import is_out_of_memory, pick_device
from curate.scorers.passes import Inputs, Pixels, Scores
from curate.scorers.precision import full_precision
from curate.scorers.staging import Group, Stacked, Staged, Staging
from curate.scorers.transfers import Fetched


@dataclass(frozen=True, slots=True, kw_only=True)
class _Computed:
    """A batch whose scores are on their way from the device."""

    unfit: Sequence[Judgement]
    """Of items that could not go to the network."""
    scored: Sequence[tuple[Sequence[Item], Scores, Fetched]]
    """The others, by size; with what is fetched of the scores: values, and spreads where there are some."""


class DeviceBatches(BatchRater):
    """A rater of batches on a device; what is computed of one says `forward`."""

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

    def is_out_of_memory(self, problem: BaseException) -> bool:
        return is_out_of_memory(problem)

    def judge_batches(self, batches: Iterable[list[Item]]) -> Generator[list[Judgement]]:
        """As every rater of batches does, several of them under way at once."""
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
