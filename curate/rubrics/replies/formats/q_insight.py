"""Q-Insight: quality without a reference, after thoughts and in <answer> (ByteDance/Q-Insight, arXiv 2503.22679)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curate.rubrics.reads import Choice, Json
from curate.rubrics.replies.base import Outputs, Unreadable, shown
from curate.rubrics.replies.choices import read_choice
from curate.rubrics.replies.formats.parts import Plain, field, one_object
from curate.rubrics.replies.locating import located, without_thoughts
from curate.rubrics.replies.objects import read_object

_RATING = Json.model_validate({"in": "answer", "fields": {"rating": {"type": "number", "range": [1.0, 5.0]}}})


class Rating(Plain):
    """`q-insight-rating`: `rating`, 1 to 5, of `{"rating": 3.25}`."""

    outputs = ("rating",)

    def read(self, text: str) -> Outputs:
        """See `Format`."""
        return read_object(without_thoughts(text), _RATING)


_NOTHING = "null"

DISTORTIONS = ("noise", "compression", "blur", "darken", _NOTHING)

SEVERITIES = (_NOTHING, "slight", "moderate", "obvious", "serious", "catastrophic")
"""From 0 upwards."""


class Degradation(Plain):
    """`q-insight-degradation`: `severity`, 0 (none) to 5 (catastrophic), and `distortion`, its kind or 'null'.

    Of `{"distortion_class": "blur", "severity": "obvious"}`; both are null, in quotes or not, where there is none.
    """

    texts = ("distortion",)
    outputs = ("severity", "distortion")

    def read(self, text: str) -> Outputs:
        """See `Format`."""
        one = one_object(located(without_thoughts(text), "answer"))
        distortion = _word(one, "distortion_class", DISTORTIONS)
        severity = _word(one, "severity", SEVERITIES)
        if (distortion == _NOTHING) != (severity == _NOTHING):
            raise Unreadable("inconsistent", f"the distortion is {distortion} and its severity {severity}")
        return {"severity": float(SEVERITIES.index(severity)), "distortion": distortion}


def _word(one: Mapping[str, Any], key: str, words: tuple[str, ...]) -> str:
    said = field(one, key)
    word = _NOTHING if said is None else said.strip().casefold().rstrip(".!") if isinstance(said, str) else ""
    if word not in words:
        raise Unreadable("no_choice", f"{key!r} is {shown(str(said))}")
    return word


_COMPARISON = Choice.model_validate(
    {
        "in": "answer",
        "options": [{"name": "Image A", "value": 1.0}, {"name": "Image B", "value": 0.0}, {"name": "Similar", "value": 0.5}],
    }
)


class Comparison(Plain):
    """`q-insight-comparison`: `value`, 1 for 'Image A', the one shown first, 0 for 'Image B', 0.5 for 'Similar'.

    'Image A is better' says the same; an answer that says more of a picture ('Image A is blurry') is unreadable.
    """

    outputs = ("value",)

    def read(self, text: str) -> Outputs:
        """See `Format`."""
        return {"value": read_choice(without_thoughts(text), _COMPARISON)["value"]}
