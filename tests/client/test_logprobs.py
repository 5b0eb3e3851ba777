"""From what a server returns of the first token to the value of a rubric: near the truth, or none."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.client.logprobs import read_distribution as read_logprobs
from curate.rubrics.distributions import MOST_CHANGE, asked_labels, read_distribution
from curate.rubrics.reads import Labels
from curate.rubrics.replies.base import Unreadable

LEVELS = {"Excellent": 1.0, "Good": 0.75, "Fair": 0.5, "Poor": 0.25, "Bad": 0.0}

TOKENS = ("Good", " Good", "Fair", " Fair", "Poor", "Bad", " Bad", "Excellent", "Ex", " Ex", "E", "Po", "The", "Exactly", "F")
"""Of a vocabulary in which some levels are one token, some are several, and some are either."""


def spec(reading: str = "renormalised") -> Labels:
    labels = [{"name": name.lower(), "value": value, "spellings": [name, f" {name}"]} for name, value in LEVELS.items()]
    return Labels.model_validate({"labels": labels, "least_mass": 0.1, "reading": reading})


def returned(top: list[tuple[str, float]]) -> dict[str, Any]:
    entries = [{"token": token, "logprob": log} for token, log in top]
    return {"content": [{**entries[0], "top_logprobs": entries}]}


def value(top: list[tuple[str, float]], reading: str = "renormalised", **how: Any) -> float:
    labels = spec(reading)
    return read_distribution(read_logprobs(returned(top), asked_labels(labels), **how), labels)["value"]


def test_the_first_piece_of_a_level_is_not_something_else() -> None:
    """'Ex' is the start of 'Excellent': taken for another word, the value would be 0.75, where the truth is 0.86."""
    fading = [(f"w{number}", -16.0) for number in range(18)]
    with pytest.raises(Unreadable, match="censored"):
        value([("Good", math.log(0.55)), ("Ex", math.log(0.44)), *fading])
    assert value([("Good", math.log(0.55)), ("Ax", math.log(0.44)), *fading]) == pytest.approx(0.75, abs=1e-3)
    assert value([("Good", math.log(0.98)), ("Ex", math.log(0.01)), *fading]) == pytest.approx(0.75, abs=1e-3)


def test_the_first_piece_of_a_level_counts_where_tokens_are_asked_for_by_id() -> None:
    tokens: dict[str, tuple[int, ...]] = {one: (number,) for number, name in enumerate(LEVELS) for one in (name, f" {name}")}
    tokens["Excellent"] = (7, 8)
    top = [("token_id:1", math.log(0.55)), *((f"token_id:{number}", -12.0) for number in (0, 2, 3, 4))]
    with pytest.raises(Unreadable, match="censored"):
        value([*top, ("token_id:7", math.log(0.44))], token_ids=tokens)
    assert value([*top, ("token_id:7", -9.0)], token_ids=tokens) == pytest.approx(0.75, abs=1e-3)


def test_two_spellings_that_are_one_token_count_once() -> None:
    """Some tokenizers leave blanks out."""
    tokens = {one: (number,) for number, name in enumerate(LEVELS) for one in (name, f" {name}")}
    top = [("token_id:1", math.log(0.6)), ("token_id:3", math.log(0.3)), *((f"token_id:{one}", -15.0) for one in (0, 2, 4))]
    assert value(top, token_ids=tokens) == pytest.approx((0.6 * 0.75 + 0.3 * 0.25) / 0.9, abs=1e-4)


def test_padding_hides_no_label() -> None:
    padding = [(f"!{number}", -9999.0) for number in range(19)]
    with pytest.raises(Unreadable, match="censored"):
        value([("Good", math.log(0.6)), *padding])
    assert value([("Good", math.log(0.98)), *padding]) == pytest.approx(0.75, abs=1e-9)


@given(
    st.lists(st.floats(1e-4, 1), min_size=len(TOKENS), max_size=len(TOKENS)),
    st.integers(1, len(TOKENS)),
    st.booleans(),
    st.dictionaries(st.sampled_from(["Ex", " Ex", "E", "Po", "F"]), st.floats(0, 1)),
    st.sampled_from(["renormalised", "full"]),
)
def test_a_value_is_near_the_truth(weights: list[float], count: int, padded: bool, whole: dict[str, float], reading: str) -> None:
    """`whole` says how often each piece goes on to the level that it begins. Weights are steep, as models' are."""
    steep = [weight**4 for weight in weights]
    p = {token: one / math.fsum(steep) for token, one in zip(TOKENS, steep, strict=True)}
    truth = dict.fromkeys(LEVELS, 0.0)
    for token, share in p.items():
        for name in LEVELS:
            if token.strip() == name:
                truth[name] += share
            elif name.startswith(token.strip()):
                truth[name] += share * whole.get(token, 0.0)
    mass = math.fsum(truth.values())
    right = math.fsum(LEVELS[name] * one for name, one in truth.items()) / (mass if reading == "renormalised" else 1.0)
    top = [(token, math.log(p[token])) for token in sorted(p, key=lambda one: -p[one])[:count]]
    padding = [(f"!{number}", -9999.0) for number in range(20 - count)] if padded else []
    with suppress(Unreadable):
        assert abs(value([*top, *padding], reading) - right) <= MOST_CHANGE + 1e-6
