"""GenEval's rules: what a record may ask of a picture, and whether the objects found in it are what was asked.

Ghosh et al., GenEval, An Object-Focused Framework for Evaluating Text-to-Image Alignment, NeurIPS 2023; rules after
`evaluation/evaluate_images.py` of djghosh13/geneval, metadata as its `prompts/evaluation_metadata.jsonl` has them:

    {"tag": "position", "include": [{"class": "dog", "count": 1}, {"class": "cat", "count": 1, "position": ["left of", 0]}]}

- a clause of `include` holds where *at least* `count` are found; "exactly two" is two included and three excluded;
- colour and position are asked of the `count` surest ones only, and position of all of them against all those of another clause;
- position compares centres, after taking `margin` times both boxes' sizes off their distance.

Nothing here touches a network. A record that cannot be read is refused with a status.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from pydantic import ConfigDict, Field, ValidationError, model_validator

from curate.records import Status
from curate.scorers.detectors.wanted import LONGEST_NAME, Refusal
from curate.strict import Strict

M = TypeVar("M")

Relation = Literal["left of", "right of", "above", "below"]

MOST_CLAUSES = 64

COUNTING = "counting"
"""The tag under which objects have to be surer to be counted."""

_LEAST_SHARE = 0.5
"""Of the distance that one direction needs; at 45 degrees two relations hold at once."""


class _Read(Strict):
    # Records carry more than what is read here.
    model_config = ConfigDict(extra="ignore")


class Clause(_Read):
    """What is asked of the objects of one class."""

    name: str = Field(alias="class", min_length=1, max_length=LONGEST_NAME)
    count: int = Field(ge=1, le=1000)
    color: str | None = None
    position: tuple[Relation, int] | None = None
    """How each lies to those of the clause of that number."""


class Request(_Read):
    """What a record asks of its picture; all clauses have to hold."""

    tag: str = ""
    include: tuple[Clause, ...] = Field(default=(), max_length=MOST_CLAUSES)
    exclude: tuple[Clause, ...] = Field(default=(), max_length=MOST_CLAUSES)
    """Of these, fewer than `count` may be there."""

    @model_validator(mode="after")
    def _holds_together(self) -> Request:
        if not (self.include or self.exclude):
            raise ValueError("nothing is asked")
        for number, clause in enumerate(self.include):
            if clause.position is not None and not 0 <= clause.position[1] < number:
                raise ValueError(f"the position of clause {number} is to one of the clauses before it")
        return self


def read_request(meta: Mapping[str, Any], otherwise: Request | None = None) -> Request | Refusal:
    """What a record asks; `otherwise` is what holds where it asks nothing."""
    if not (meta.get("include") or meta.get("exclude")):
        if otherwise is not None:
            return otherwise
        return Refusal(Status.NOT_APPLICABLE, "the record has neither 'include' nor 'exclude', as GenEval's metadata do")
    try:
        return Request.model_validate({name: meta[name] for name in Request.model_fields if meta.get(name) is not None})
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))[:80]
        return Refusal(Status.PARSE_ERROR, f"the record's metadata are not GenEval's: {where}: {first['msg']}"[:300])


@dataclass(frozen=True, slots=True)
class Found(Generic[M]):
    """An object in a picture."""

    box: tuple[float, float, float, float]
    """Left, top, right, bottom, in pixels."""
    confidence: float
    mask: M


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which clauses of a request hold."""

    held: int
    asked: int
    reasons: tuple[str, ...]
    """One for each that does not."""

    @property
    def correct(self) -> bool:
        return self.held == self.asked


ColoursOf = Callable[[str, Sequence[Found[M]]], Sequence[str]]
"""From the name of a class and objects of it to a colour for each."""


def judge(request: Request, found: Mapping[str, Sequence[Found[M]]], colours_of: ColoursOf[M], *, margin: float) -> Verdict:
    """Whether the objects found, by class and the surest first, are what was asked. Colours are asked for only where needed."""
    reasons: list[str] = []
    matched: list[Sequence[Found[M]] | None] = []
    for clause in request.include:
        surest = found.get(clause.name, ())[: clause.count]
        reason = _why_not(clause, surest, matched, colours_of, margin)
        matched.append(surest if reason is None else None)
        if reason is not None:
            reasons.append(reason)
    for clause in request.exclude:
        there = len(found.get(clause.name, ()))
        if there >= clause.count:
            reasons.append(f"wanted fewer than {clause.count} {clause.name}, found {there}")
    asked = len(request.include) + len(request.exclude)
    return Verdict(held=asked - len(reasons), asked=asked, reasons=tuple(reasons))


def _why_not(
    clause: Clause,
    surest: Sequence[Found[M]],
    matched: Sequence[Sequence[Found[M]] | None],
    colours_of: ColoursOf[M],
    margin: float,
) -> str | None:
    if len(surest) < clause.count:
        return f"wanted {clause.count} {clause.name}, found {len(surest)}"
    if clause.color is not None:
        colours = list(colours_of(clause.name, surest))
        if colours.count(clause.color) < clause.count:
            return f"wanted {clause.count} {clause.color} {clause.name}, found {', '.join(colours)}"
    if clause.position is not None:
        relation, target = clause.position
        others = matched[target]
        if others is None:
            return f"there is nothing for {clause.name} to be {relation}"
        for one in surest:
            for other in others:
                if relation not in (seen := relations(one.box, other.box, margin)):
                    return f"wanted {clause.name} {relation} the other, found it {' and '.join(sorted(seen)) or 'upon it'}"
    return None


def relations(one: Sequence[float], other: Sequence[float], margin: float) -> set[Relation]:
    """How the first box lies to the other; none where they are too near, at most two."""
    centres = [((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) for box in (one, other)]
    offset = [centres[0][axis] - centres[1][axis] for axis in (0, 1)]
    sizes = [abs(one[axis + 2] - one[axis]) + abs(other[axis + 2] - other[axis]) for axis in (0, 1)]
    beyond = [math.copysign(max(abs(offset[axis]) - margin * sizes[axis], 0), offset[axis]) for axis in (0, 1)]
    if max(map(abs, beyond)) < 1e-3:
        return set()
    across, down = (distance / math.hypot(*offset) for distance in beyond)
    held: dict[Relation, bool] = {
        "left of": across < -_LEAST_SHARE,
        "right of": across > _LEAST_SHARE,
        "above": down < -_LEAST_SHARE,
        "below": down > _LEAST_SHARE,
    }
    return {relation for relation, holds in held.items() if holds}
