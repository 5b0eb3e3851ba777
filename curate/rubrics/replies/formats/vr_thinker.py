"""VR-Thinker: two videos compared over several rounds, in which the judge asks for frames (Wang et al., arXiv 2510.10518).

    <snapshot> what the frames so far have shown </snapshot> <think> … </think>
    <recommend answer> TA = 2, MQ = 1, VQ = 0, OA = 0, CF = 2 </recommend answer>
    <tool_call> {"name": "select_frames", "arguments": {"target_frames": [12, 16, 76, 80]}} </tool_call>

and in the last round `<answer> TA = 2, MQ = 0, VQ = 2, OA = 2, CF = 2 </answer>`: 1 is the first video, 2 the second, 0 a tie; OA
is overall; CF, which may be missing, is how sure the judge is, from 1 (most) to 3.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, field_validator

from curate.rubrics.checks import unique
from curate.rubrics.replies.base import Outputs, Unreadable, shown, sound
from curate.rubrics.replies.formats.parts import field, one_object, settings
from curate.rubrics.replies.locating import located, tagged, without_thoughts
from curate.strict import Strict

SIDES = {"1": 1.0, "2": 0.0, "0": 0.5}
"""What a choice is worth: the probability that the first video is better."""

_OVERALL = "oa"

_CONFIDENCE = "cf"


class VRThinkerParams(Strict):
    """The params of `vr-thinker`."""

    dimensions: tuple[Annotated[str, Field(pattern=r"^[a-z]{1,8}$")], ...] = ("ta", "mq", "vq")
    """The dimensions that are asked about besides OA, in small letters."""

    @field_validator("dimensions")
    @classmethod
    def _are_free(cls, dimensions: tuple[str, ...]) -> tuple[str, ...]:
        unique((*dimensions, _OVERALL, _CONFIDENCE, "value", "snapshot", "text"), "outputs")
        return dimensions


class VRThinker:
    """`vr-thinker`, the last round: `value` (OA), one number for each of `dimensions`, and `snapshot`.

    Numbers are 1 where the first video is better, 0 where the second is, 0.5 for a tie. A round that asks for frames is read by
    `frames_asked_for`, and is unreadable here.
    """

    texts = ("snapshot",)

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._dimensions = settings(VRThinkerParams, params).dimensions
        self.outputs = ("value", *self._dimensions, "snapshot")

    def read(self, text: str) -> Outputs:
        """See `Format`."""
        said = _said(text)
        if tagged(said, "tool_call"):
            raise Unreadable("unfinished", "the judge asks for frames instead of answering")
        choices = _choices(located(said, "answer"), self._dimensions)
        overall = choices.pop(_OVERALL)
        return {"value": overall, **choices, "snapshot": snapshot_of(text)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRequest:
    """A round in which the judge asks for frames."""

    frames: tuple[int, ...]
    """Numbers of frames, from 1, each once, in the order asked for."""
    snapshot: str
    """What the frames so far have shown; it stays when they are forgotten. Empty where the judge says nothing."""


def frames_asked_for(text: str, *, last: int, most: int) -> FrameRequest | None:
    """The frames that a reply asks for, None for one that asks for none.

    `last` is the number of the last frame there is, and `most` how many may be asked for. Raises `Unreadable` for a request that
    is not as it should be, for one beyond these limits, and for one beside an answer.
    """
    said = _said(text)
    calls = tagged(said, "tool_call")
    if not calls:
        return None
    if len(set(calls)) > 1 or tagged(said, "answer"):
        raise Unreadable("ambiguous", "the judge asks for frames more than once, or answers as well")
    call = one_object(calls[0])
    if field(call, "name") != "select_frames":
        raise Unreadable("wrong_format", f"there is no tool {shown(str(call['name']))}")
    arguments = field(call, "arguments")
    listed = field(arguments, "target_frames") if isinstance(arguments, Mapping) else None
    if not isinstance(listed, list) or not listed or not all(type(one) is int for one in listed):
        raise Unreadable("wrong_type", "'target_frames' is no list of integers")
    frames = tuple(dict.fromkeys(listed))
    if len(frames) > most or not all(1 <= frame <= last for frame in frames):
        raise Unreadable("out_of_range", f"at most {most} frames from 1 to {last} can be asked for, not {shown(str(listed))}")
    return FrameRequest(frames=frames, snapshot=snapshot_of(text))


def snapshot_of(text: str) -> str:
    """What a reply says of the frames it has seen, empty where it says nothing."""
    return sound("\n".join(tagged(_said(text), "snapshot")))


def _said(text: str) -> str:
    """What stands beside the thoughts, with closing tags as they should be."""
    return without_thoughts(re.sub(r"</\s+", "</", text))


_CHOICE = re.compile(r"\s*([A-Za-z]{1,8})\s*[=:]\s*(\S+?)\.?\s*")


def _choices(answer: str, dimensions: Collection[str]) -> dict[str, float]:
    """What was chosen overall and in each dimension; an answer is a list of choices and nothing else."""
    listed = [(one, _CHOICE.fullmatch(one)) for one in re.split(r"[,;\n]", answer.strip()) if one.strip()]
    if wrong := [one for one, choice in listed if choice is None]:
        raise Unreadable("wrong_format", f"{shown(wrong[0])} is no choice like 'OA = 1'")
    found = [(choice[1].lower(), choice[2]) for _, choice in listed if choice is not None]
    keys = [key for key, _ in found]
    wanted = {_OVERALL, *dimensions}
    if len(set(keys)) < len(keys):
        raise Unreadable("ambiguous", f"a dimension stands twice in {shown(answer)}")
    if set(keys) - {_CONFIDENCE} != wanted:
        raise Unreadable("no_field", f"the answer is about {shown(', '.join(keys))}, not {', '.join(sorted(wanted))}")
    said = dict(found)
    if said.pop(_CONFIDENCE, "1") not in {"1", "2", "3"}:
        raise Unreadable("out_of_range", "CF is not 1, 2 or 3")
    if unknown := sorted(set(said.values()) - set(SIDES)):
        raise Unreadable("out_of_range", f"a choice is 0, 1 or 2, not {shown(unknown[0])}")
    return {key: SIDES[choice] for key, choice in said.items()}
