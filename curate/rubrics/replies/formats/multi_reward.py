"""Three perspectives on an edit, each with a score and what is wrong (Gu et al., Multi-Reward as Condition, arXiv 2411.04713).

    [{"Score": 4.5, "Negative Prompt": "None"}, {"Score": 3, "Negative Prompt": "the hat is gone"}, {…}]

in the order of the dataset RewardEdit20K: following of the instruction, preserving of detail, quality. Integers count like
floats, and quotes may be single or double (the released reader takes floats in single quotes alone).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curate.rubrics.replies.base import Outputs, Unreadable, shown
from curate.rubrics.replies.formats.parts import Plain, number_field, text_field
from curate.rubrics.replies.lenient import DuplicateKey, parse_lenient
from curate.rubrics.replies.locating import without_thoughts

PERSPECTIVES = ("following", "preserving", "quality")

SCORES = (0.0, 5.0)


class ThreePerspectives(Plain):
    """`multi-reward`: `following`, `preserving` and `quality`, 0 to 5; and what is wrong: `following_negative` and so on."""

    _NEGATIVE = tuple(f"{name}_negative" for name in PERSPECTIVES)
    texts = _NEGATIVE
    outputs = (*PERSPECTIVES, *_NEGATIVE)

    def read(self, text: str) -> Outputs:
        """See `Format`."""
        perspectives = _list(without_thoughts(text))
        if len(perspectives) != len(PERSPECTIVES):
            raise Unreadable("wrong_count", f"there are {len(perspectives)} perspectives, not {len(PERSPECTIVES)}")
        scores = [number_field(one, "Score", limits=SCORES) for one in perspectives]
        negatives = [text_field(one, "Negative Prompt", "negative_prompt") for one in perspectives]
        return {**dict(zip(PERSPECTIVES, scores, strict=True)), **dict(zip(self._NEGATIVE, negatives, strict=True))}


def _list(text: str) -> list[Mapping[str, Any]]:
    """The one list of objects in a text."""
    start, end = text.find("["), text.rfind("]")
    if not 0 <= start < end:
        raise Unreadable("not_json", f"there is no list in {shown(text)}")
    try:
        listed = parse_lenient(text[start : end + 1])
    except DuplicateKey as problem:
        raise Unreadable("ambiguous", str(problem)) from problem
    except (ValueError, RecursionError) as problem:
        raise Unreadable("not_json", f"{shown(text[start:])} is no list") from problem
    if not all(isinstance(one, Mapping) for one in listed):
        raise Unreadable("wrong_type", "a perspective is no object")
    return listed  # type: ignore[no-any-return]
