"""ImageDoctor: regions that may be wrong with a picture, thoughts about them, and four scores (Guo et al., arXiv 2510.01010).

    <think> … 1.[x1,y1,x2,y2]; 2.[…] … </think>
    <answer> Semantic Alignment score: 0.75; Misalignment Locations: …; Aesthetic score: … </answer>

Pictures are shown to it with the area of 512 x 512, and boxes are pixels of that (`pictures: {side: 512}`). The two maps that it
draws are not text, and only a local model gives them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from curate.rubrics.replies.base import Outputs, Unreadable, shown
from curate.rubrics.replies.formats.parts import as_json, labelled, settings, thoughts_and_answer
from curate.rubrics.replies.lenient import NUMBER
from curate.rubrics.replies.locating import located, without_thoughts
from curate.rubrics.replies.objects import within
from curate.strict import Strict

_LABELS = {
    "semantic_alignment": "semantic alignment score",
    "aesthetics": "aesthetics? score",
    "plausibility": "plausibility score",
    "overall": "overall impression score",
}

_ANY_LABEL = "|".join((*_LABELS.values(), "misalignment locations", "artifact locations"))


class ImageDoctorParams(Strict):
    """The params of `imagedoctor`."""

    side: int = Field(default=512, ge=1)
    """No box goes further than this, across or down, in pixels of the picture as it is shown."""
    regions: bool = True
    """Whether the thoughts are read too; else the output `regions` is missing, and so may be the thoughts."""


class ImageDoctor:
    """`imagedoctor`: `semantic_alignment`, `aesthetics`, `plausibility`, `overall`, 0 to 1; `regions`, boxes as JSON."""

    texts = ("regions",)

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._params = settings(ImageDoctorParams, params)
        self.outputs = (*_LABELS, "regions") if self._params.regions else (*_LABELS,)

    def read(self, text: str) -> Outputs:
        """See `Format`; a picture without a box is one where nothing looked wrong."""
        if not self._params.regions:
            return _scores(without_thoughts(text))
        thoughts, said = thoughts_and_answer(text)
        return {**_scores(said), "regions": as_json(_boxes(thoughts, self._params.side))}


def _scores(said: str) -> dict[str, float]:
    answer = located(said, "answer")
    return {name: labelled(answer, label, (0, 1), beside=_ANY_LABEL) for name, label in _LABELS.items()}


_NUMBERED = re.compile(r"(?<![\w.])(\d{1,3})\s{0,4}[.)]\s{0,4}\[([^\[\]\n]{0,200})\]")


def _boxes(thoughts: str, side: int) -> list[list[float]]:
    """The boxes of the numbered list; raises `Unreadable` for those that are none, and for a list with a gap."""
    boxes: list[list[float]] = []
    for number, inside in _NUMBERED.findall(thoughts):
        if int(number) != len(boxes) + 1:
            raise Unreadable("wrong_format", f"the box {number} stands where {len(boxes) + 1} should")
        corners = [one.strip() for one in inside.split(",")]
        if len(corners) != 4 or not all(NUMBER.fullmatch(one) for one in corners):
            raise Unreadable("wrong_format", f"{shown(inside)} is no box")
        left, top, right, bottom = (within(float(one), (0, side), f"a corner of the box {number}") for one in corners)
        if not (left < right and top < bottom):
            raise Unreadable("out_of_range", f"the box {number} has no area")
        boxes.append([left, top, right, bottom])
    return boxes
