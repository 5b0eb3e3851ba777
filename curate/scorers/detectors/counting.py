"""How far the number of objects in a picture is from the number wanted: the counting loss of PFCD, and its other half.

    missing    scale / N * sum over objects of sum over the c largest confidences s of max(0, threshold - s)
    extra      scale / N * sum over objects of sum over all others of max(0, s - threshold)
    counting   missing + extra

N is the number of all wanted objects together, c the number of one of them. `missing` is that of 00why00/PFCD
(`grounded_sam/grounding_dino.py`), which punishes too few only: by it alone a picture full of dogs is a perfect picture of two.
`extra` is ours. For `missing` every token of a name in every box is a confidence, as in the original, so one box may stand for
two objects where a name has two tokens; `extra` takes the surest token of each box. Both are losses, 0 at best: the card flips
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from curate.cards import CardFile
from curate.rater_settings import Settings
from curate.scorers.arguments import arguments
from curate.scorers.detectors.grounding import Confidences, GroundingArguments, GroundingRater


class CountingArguments(GroundingArguments):
    """The `args` of a card for `Counting`."""

    threshold: float = Field(default=0.1, gt=0, lt=1)
    """Confidence from which a box counts as an object."""
    scale: float = Field(default=0.5, gt=0)


class Counting(GroundingRater):
    """Judges pictures by how far their numbers of objects are from those wanted."""

    gives = ("counting", "missing", "extra")

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, CountingArguments)
        super().__init__(file, settings, args)
        self._threshold, self._scale = args.threshold, args.scale

    def judge_objects(self, found: Sequence[Confidences], counts: Sequence[int]) -> Mapping[str, Float[Tensor, ""]]:
        share = self._scale / sum(counts)
        pairs = list(zip(found, counts, strict=True))
        missing = share * torch.stack([shortfall(one, count, self._threshold) for one, count in pairs]).sum()
        extra = share * torch.stack([excess(one, count, self._threshold) for one, count in pairs]).sum()
        return {"counting": missing + extra, "missing": missing, "extra": extra}


def shortfall(confidences: Confidences, count: int, threshold: float) -> Float[Tensor, ""]:
    """By how much the `count` largest confidences stay under the threshold, summed; one that does not exist counts as 0."""
    largest = confidences.flatten().topk(min(count, confidences.numel())).values
    nowhere = threshold * (count - len(largest))
    return torch.relu(threshold - largest).sum() + nowhere


def excess(confidences: Confidences, count: int, threshold: float) -> Float[Tensor, ""]:
    """By how much all boxes but the `count` surest pass the threshold, summed."""
    boxes = confidences.amax(dim=-1).sort(descending=True).values
    return torch.relu(boxes[count:] - threshold).sum()
