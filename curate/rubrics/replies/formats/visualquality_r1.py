"""VisualQuality-R1: a rating of quality, with or without thoughts, in <answer> (Wu et al., arXiv 2505.14460).

It is asked several times (`passes`); `curate.rubrics.measures.thurstone` compares pictures by their ratings. (The released code
puts a random number where it can read none.)
"""

from __future__ import annotations

from curate.rubrics.reads import Number
from curate.rubrics.replies.base import Outputs
from curate.rubrics.replies.choices import read_number
from curate.rubrics.replies.formats.parts import Plain
from curate.rubrics.replies.locating import without_thoughts

_RATING = Number.model_validate({"in": "answer", "range": (1.0, 5.0)})


class VisualQualityR1(Plain):
    """`visualquality-r1`: `rating`, 1 to 5, to two decimals as a rule."""

    outputs = ("rating",)

    def read(self, text: str) -> Outputs:
        """See `Format`."""
        return {"rating": read_number(without_thoughts(text), _RATING)["value"]}
