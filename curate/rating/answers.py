"""From a rater's judgement to rows: direction, finite values, and one status for the whole answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

from curate.cards import Card
from curate.raters import Value
from curate.records import Rating, Status, reason_of

SILENT = Value(status=Status.ERROR, detail="the rater gave no value for this dimension")


def overall(values: Mapping[str, Value]) -> Status:
    """The status of an answer: of its dimensions the first that is not ok; what does not apply counts only where nothing does."""
    said = [value.status for value in values.values()]
    applies = [status for status in said if status is not Status.NOT_APPLICABLE] or said
    return next((status for status in applies if status is not Status.OK), Status.OK)


def why_failed(values: Mapping[str, Value]) -> str | None:
    """Of an answer without a value, the reason of the dimension that decides its status (`curate.records.reason_of`)."""
    status = overall(values)
    return None if status is Status.OK else reason_of(status, deciding_detail(values))


def deciding_detail(values: Mapping[str, Value]) -> str | None:
    """The detail of the first dimension that decides the status of an answer."""
    status = overall(values)
    return next(value.detail for value in values.values() if value.status is status)


def complete(card: Card, values: Mapping[str, Value]) -> dict[str, Value]:
    """A value for every dimension of the card, in the card's order; a value that is not finite is a failure."""
    return {name: _finite(values.get(name, SILENT)) for name in card.dimensions}


def ratings_of(sample: str, card: Card, values: Mapping[str, Value]) -> list[Rating]:
    """The rows of an answer, larger is better."""
    sign = 1.0 if card.higher_is_better else -1.0
    return [
        Rating(
            sample=sample,
            rater=card.name,
            card=card.fingerprint,
            dimension=name,
            value=None if value.value is None or value.status is not Status.OK else sign * value.value,
            spread=value.spread,
            status=value.status,
            detail=value.detail,
            rationale=value.rationale,
        )
        for name, value in values.items()
    ]


def _finite(value: object) -> Value:
    """The value where it is sound; a failure that says what the rater gave where it is not."""
    if not isinstance(value, Value):
        return Value(status=Status.ERROR, detail=f"the rater gave {type(value).__name__} for a value")
    if value.status is not Status.OK:
        return value
    for number in cast(tuple[object, ...], (value.value, value.spread)):
        if number is not None and not isinstance(number, int | float):
            return Value(status=Status.ERROR, detail=f"the rater gave {type(number).__name__} for a number")
    if value.value is None or not math.isfinite(value.value):
        return Value(status=Status.NAN, detail=f"the rater returned {value.value}")
    if value.spread is not None and not (math.isfinite(value.spread) and value.spread >= 0):
        return Value(status=Status.NAN, detail=f"the rater returned a spread of {value.spread}")
    return value
