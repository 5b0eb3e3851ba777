r"""Vision-SR1: a description that needs no picture any more, thoughts, and an answer (Li et al., arXiv 2508.19652).

    <description> … </description> <think> … </think> \boxed{…}

Whether the description is self-contained shows when the same model answers the question from it alone: a later call, which gets
`description` as data. The paper calls the block visual reasoning, the repository description.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from curate.rubrics.replies.base import Outputs, Unreadable, sound
from curate.rubrics.replies.formats.parts import settings
from curate.rubrics.replies.locating import located, tagged
from curate.strict import Strict


class VisionSR1Params(Strict):
    """The params of `vision-sr1`."""

    block: Literal["description", "visual reasoning"] = "description"
    """The tag of the description."""
    answer: Literal["boxed", "answer"] = "boxed"
    """Where the answer stands: in a box, or in <answer>."""


_PARTS = re.compile("(.*?)<think>.*</think>(.*)", re.DOTALL | re.IGNORECASE)


class VisionSR1:
    """`vision-sr1`: the texts `description` and `answer`."""

    texts = ("description", "answer")
    outputs = texts

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._params = settings(VisionSR1Params, params)

    def read(self, text: str) -> Outputs:
        """See `Format`."""
        parts = _PARTS.fullmatch(text)
        if parts is None:
            raise Unreadable("wrong_format", "there are no thoughts between <think> and </think>")
        # What stands before the thoughts is no answer, and what stands in or behind them no description.
        before, behind = parts.groups()
        descriptions = tagged(before, self._params.block)
        if len(descriptions) != 1 or not descriptions[0] or f"</{self._params.block}>" not in before.lower():
            raise Unreadable("wrong_format", f"there is not one whole <{self._params.block}> before the thoughts")
        answer = located(behind, self._params.answer)
        if not answer:
            raise Unreadable("empty", "the answer is empty")
        return {"description": sound(descriptions[0]), "answer": sound(answer)}
