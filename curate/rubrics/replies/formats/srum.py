"""SRUM: a score for each region of a picture, and one for its layout (WayneJin0918/SRUM, arXiv 2510.12784).

    Region ID: 1                                    Composition Analysis: …
    Identified Object: A running dog.               Score: -0.7
    Score: 0.95                                     Reason: …

Regions are numbered from 1, as they were shown; scores are from -1 to 1. `curate.rubrics.measures.srum` makes a map of them.
(The released reader sees one region of those between two empty lines, and takes a missing layout for 0.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from curate.rubrics.replies.base import Outputs, Unreadable, sound
from curate.rubrics.replies.formats.parts import Plain, as_json, labelled, settings
from curate.rubrics.replies.locating import without_thoughts
from curate.strict import Strict

SCORES = (-1.0, 1.0)


class RegionsParams(Strict):
    """The params of `srum-regions`."""

    count: int | None = Field(default=None, ge=1)
    """How many regions were shown; where a card does not say it, only that their numbers have no gap."""


class Regions:
    """`srum-regions`: `regions` (how many), `mean` and `least` of their scores, `findings` (number, object, score, as JSON)."""

    texts = ("findings",)
    outputs = ("regions", "mean", "least", "findings")

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._count = settings(RegionsParams, params).count

    def read(self, text: str) -> Outputs:
        """See `Format`."""
        found = _regions(without_thoughts(text))
        wanted = self._count or len(found)
        if sorted(found) != list(range(1, wanted + 1)):
            raise Unreadable("wrong_count", f"there are scores of {len(found)} regions, and not of each from 1 to {wanted}")
        scores = [score for _, score in found.values()]
        findings = [{"region": number, "object": name, "score": score} for number, (name, score) in sorted(found.items())]
        return {
            "regions": float(len(scores)),
            "mean": sum(scores) / len(scores),
            "least": min(scores),
            "findings": as_json(findings),
        }


_REGION = re.compile(r"region\s+id[*_`\s]{0,8}[:：][*_`\s]{0,8}(\d{1,4})\b", re.IGNORECASE)

_OBJECT = re.compile(r"identified\s+object[*_`\s]{0,8}[:：][*_`\s]{0,8}([^\n]+)", re.IGNORECASE)


def _regions(text: str) -> dict[int, tuple[str, float]]:
    """The object and the score of each region, by its number."""
    starts = list(_REGION.finditer(text))
    if not starts:
        raise Unreadable("no_field", "there is no 'Region ID'")
    ends = [*(one.start() for one in starts[1:]), len(text)]
    regions: dict[int, tuple[str, float]] = {}
    for start, end in zip(starts, ends, strict=True):
        number, said = int(start[1]), text[start.end() : end]
        objects = _OBJECT.findall(said)
        if number in regions or len(objects) > 1:
            raise Unreadable("ambiguous", f"the region {number} stands twice, or has two objects")
        if not objects:
            raise Unreadable("no_field", f"the region {number} has no 'Identified Object'")
        regions[number] = (sound(objects[0]).strip(" *_`"), labelled(said, "(?:region )?score", SCORES))
    return regions


class Layout(Plain):
    """`srum-layout`: `score`."""

    outputs = ("score",)

    def read(self, text: str) -> Outputs:
        """See `Format`."""
        return {"score": labelled(without_thoughts(text), "(?:layout |composition )?score", SCORES)}
