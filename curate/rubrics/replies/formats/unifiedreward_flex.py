"""UnifiedReward-Flex: a comparison in categories and dimensions that the judge makes up (CodeGoat24/UnifiedReward).

    {"categories": [{"name": …, "dims": [{"name": …, "score_1": 7, "score_2": 3, …}, …], "cat_winner": "Image 1", …}, …],
     "winner": "Image 1", …}

Three categories are always there, under names that vary a little, and a fourth may be. The two scores of a dimension sum to 10.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import Field, field_validator

from curate.rubrics.checks import NAME
from curate.rubrics.replies.base import Outputs, Reason, Unreadable, shown
from curate.rubrics.replies.formats.parts import as_json, field, number_field, one_object, settings, text_field
from curate.rubrics.replies.locating import without_thoughts
from curate.strict import Strict

TOGETHER = 10.0
"""What the two scores of a dimension sum to."""

_OFF = 1e-6

_SIDE = re.compile(r"(?:(?:image|video)\s*)?([12])\.?", re.IGNORECASE)

_TIES = {"tie", "equal", "both", "image 1/2", "video 1/2", "both images", "both videos"}


class FlexParams(Strict):
    """The params of `unifiedreward-flex`."""

    categories: Mapping[Annotated[str, Field(pattern=NAME)], str] = Field(
        default={"semantic": "semantic", "quality": "quality", "aesthetics": "aesthetic"}, min_length=1
    )
    """For each output the word by which its category is known: exactly one category has it in its name."""

    @field_validator("categories")
    @classmethod
    def _are_free(cls, categories: Mapping[str, str]) -> Mapping[str, str]:
        taken = sorted({"value", "share", "findings", "text"} & set(categories))
        if taken:
            raise ValueError(f"a category cannot be called '{taken[0]}', which is another output")
        return categories


class _Category(NamedTuple):
    name: str
    winner: float
    """1 for the first, 0 for the second, 0.5 for neither."""
    dimensions: Mapping[str, tuple[float, float]]

    def share(self) -> float:
        """What the first has of all scores."""
        return math.fsum(first for first, _ in self.dimensions.values()) / (TOGETHER * len(self.dimensions))


class Flex:
    """`unifiedreward-flex`: `value`, `share`, one winner for each of `categories`, and `findings`, all names and scores as JSON.

    Winners are 1 for the first, 0 for the second and 0.5 for neither; `share` is what the first has of all scores, 0 to 1.

    The winner of a category does not have the lower scores in it, and the overall winner has won or drawn at least one category;
    a reply that contradicts itself there is unreadable.
    """

    texts = ("findings",)

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._words = settings(FlexParams, params).categories
        self.outputs = ("value", "share", *self._words, "findings")

    def read(self, text: str) -> Outputs:
        """See `Format`."""
        one = one_object(without_thoughts(text))
        listed = field(one, "categories")
        if not isinstance(listed, list) or not listed:
            raise Unreadable("wrong_type", "'categories' is no list of categories")
        categories = [_category(each) for each in listed]
        value = _winner(one, "winner")
        if value != 0.5 and all(abs(category.winner - value) == 1 for category in categories):
            raise Unreadable("inconsistent", "the winner has lost every category")
        scores = [pair for category in categories for pair in category.dimensions.values()]
        return {
            "value": value,
            "share": math.fsum(first for first, _ in scores) / (TOGETHER * len(scores)),
            **{output: _named(categories, word).winner for output, word in self._words.items()},
            "findings": as_json([category._asdict() for category in categories]),
        }


def _category(one: Any) -> _Category:
    if not isinstance(one, Mapping):
        raise Unreadable("wrong_type", f"{shown(str(one))} is no category")
    name = text_field(one, "name")
    listed = field(one, "dims", "dimensions")
    if not isinstance(listed, list) or not listed:
        raise Unreadable("wrong_type", f"{shown(name)} has no list of dimensions")
    dimensions: dict[str, tuple[float, float]] = {}
    for each in listed:
        called, pair = _dimension(each)
        if called in dimensions:
            raise Unreadable("ambiguous", f"the dimension {shown(called)} stands twice in its category")
        dimensions[called] = pair
    category = _Category(name=name, winner=_winner(one, "cat_winner"), dimensions=dimensions)
    if (category.share() - 0.5) * (category.winner - 0.5) < -_OFF:
        raise Unreadable("inconsistent", f"the winner of {shown(name)} has the lower scores in it")
    return category


def _dimension(one: Any) -> tuple[str, tuple[float, float]]:
    if not isinstance(one, Mapping):
        raise Unreadable("wrong_type", f"{shown(str(one))} is no dimension")
    name = text_field(one, "name")
    first, second = (number_field(one, key, limits=(0, TOGETHER)) for key in ("score_1", "score_2"))
    if abs(first + second - TOGETHER) > _OFF:
        raise Unreadable("inconsistent", f"the scores of {shown(name)} are {first:g} and {second:g}, not {TOGETHER:g} together")
    return name, (first, second)


def _winner(one: Mapping[str, Any], key: str) -> float:
    said = " ".join(text_field(one, key).split())
    if side := _SIDE.fullmatch(said):
        return 1.0 if side[1] == "1" else 0.0
    if said.casefold() in _TIES:
        return 0.5
    raise Unreadable("no_choice", f"{key!r} is {shown(said)}")


def _named(categories: list[_Category], word: str) -> _Category:
    found = [category for category in categories if word.casefold() in category.name.casefold()]
    if len(found) != 1:
        reason: Reason = "ambiguous" if found else "no_field"
        raise Unreadable(reason, f"there are {len(found)} categories with {word!r} in their names, not one")
    return found[0]
