"""Health: why there are no values, how far values are apart, what replies cost."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curate.asks import Usage
from curate.records import Rating, Status, reason_of
from curate.store import Store
from curate.store.health import LEAST_GROUPS, LEAST_VALUES, Deviation, warning
from curate.store.replies import FILE, Replies
from curate.store.summary import Distribution, Summary
from tests.store.world import SHARP, TASTE, compare, make_sample, make_store, make_unit, rate

GROUP = 4
"""Samples in a group of `make_sample`."""


def rated(path: Path, count: int, value: Callable[[int], float]) -> Distribution:
    """The distribution of so many values, four to a group, as a store summarises it."""
    ratings = [
        Rating(sample=make_sample(number).id, rater="sharp", card=SHARP, dimension="overall", value=value(number))
        for number in range(count)
    ]
    summary = make_store(path, [make_unit("a.tar", range(count), cards=[], ratings=ratings)]).summary()
    found = summary.raters[0].dimensions["overall"]
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("detail", "reason"),
    [
        ("low_mass: the labels have 0.1", "parse_error: low_mass"),
        ("http_400: no such model: x", "parse_error: http_400"),
        ("Not a reason: at all", "parse_error"),
        ("two words: of a sentence", "parse_error"),
        ("no colon", "parse_error"),
        (f"{'x' * 41}: too long for a reason", "parse_error"),
        ("", "parse_error"),
        (None, "parse_error"),
    ],
)
def test_a_reason_is_the_word_before_the_first_colon(detail: str | None, reason: str) -> None:
    assert reason_of(Status.PARSE_ERROR, detail) == reason


def failed(number: int, dimension: str, status: Status, detail: str) -> Rating:
    sample = make_sample(number).id
    return Rating(sample=sample, rater="taste", card=TASTE, dimension=dimension, value=None, status=status, detail=detail)


def test_failures_are_counted_by_dimension_and_reason(tmp_path: Path) -> None:
    fails = [failed(number, "beauty", Status.PARSE_ERROR, f"low_mass: {number}") for number in range(3)]
    fails += [failed(3, "beauty", Status.PARSE_ERROR, "not_json: {"), failed(3, "detail", Status.NOT_APPLICABLE, "no_field: x")]
    fails += [failed(4, "beauty", Status.OOM, "the sample alone is too large")]
    orphan = failed(99, "beauty", Status.REFUSED, "refusal: of a sample that is in no shard")
    units = [
        make_unit("a.tar", range(4), cards=[], ratings=[*fails[:5], *rate([5], TASTE), orphan]),
        make_unit("b.tar", range(3, 8), cards=[], ratings=fails[5:]),
    ]
    store = make_store(tmp_path / "s", units)
    sharp, taste = store.summary().raters
    assert sharp.reasons == {}
    assert taste.reasons == {
        "beauty": {"parse_error: low_mass": 3, "parse_error: not_json": 1, "oom": 1},
        "detail": {"not_applicable: no_field": 1},
    }
    with store.writing():
        again = rate([0], TASTE)
        store.commit(make_unit("c.tar", [50], cards=[], ratings=again, replaces={(make_sample(0).id, TASTE)}))
    assert store.summary().raters[1].reasons["beauty"]["parse_error: low_mass"] == 2, "what was asked again counts as it is now"


def test_deviations_are_those_of_all_and_within_groups(tmp_path: Path) -> None:
    rng = random.Random(0)
    values = [rng.gauss(3, 1) for _ in range(LEAST_VALUES + 2)]
    found = rated(tmp_path / "s", len(values), values.__getitem__)
    groups = [values[start : start + GROUP] for start in range(0, len(values), GROUP)]
    assert found.deviation.overall == pytest.approx(np.std(values))
    assert found.deviation.within == pytest.approx(np.sqrt(np.mean([np.var(group) for group in groups])))
    assert found.deviation.groups == len(groups)
    assert found.warning is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (lambda number: 4.0, "nearly constant"),
        (lambda number: 4.0 + 0.01 * (number % 2), "nearly constant"),
        (lambda number: float(number // GROUP) + 0.001 * (number % GROUP), "nearly constant within groups"),
        (lambda number: float(number % GROUP), None),
        (lambda number: 1e300 * (-1) ** number, None),
    ],
)
def test_values_that_hardly_differ_are_told_of(tmp_path: Path, value: Callable[[int], float], said: str | None) -> None:
    assert rated(tmp_path / "s", LEAST_GROUPS * GROUP, value).warning == said


def test_nothing_is_said_of_few_values() -> None:
    same = Deviation(overall=0.0, within=0.0, groups=3)
    assert warning(same, count=LEAST_VALUES - 1, span=1.0) is None
    assert warning(same, count=LEAST_VALUES, span=1.0) == "nearly constant"
    few_groups = Deviation(overall=1.0, within=0.0, groups=LEAST_GROUPS - 1)
    assert warning(few_groups, count=LEAST_VALUES, span=1.0) is None


def test_a_range_that_the_card_declares_is_what_values_are_measured_by(tmp_path: Path) -> None:
    """Probabilities around 0.0001 are nearly the same although one is twice the other."""
    store = make_store(tmp_path / "s", [])
    with store.writing():
        store.add_card(SHARP, "sharp", '{"main": "overall", "dimensions": {"overall": {"range": [0, 1]}}}')
        ratings = [
            Rating(sample=make_sample(number).id, rater="sharp", card=SHARP, dimension="overall", value=1e-4 * (1 + number % 2))
            for number in range(LEAST_VALUES)
        ]
        store.commit(make_unit("a.tar", range(LEAST_VALUES), cards=[], ratings=ratings))
    found = next(rater for rater in store.summary().raters if rater.card == SHARP).dimensions["overall"]
    assert found is not None
    assert found.warning == "nearly constant"


def test_comparisons_have_their_reasons_and_their_deviation(tmp_path: Path) -> None:
    values = [0.75, 0.5, 0.25]
    pairs = [one for number, value in enumerate(values) for one in compare([(number, number + 1)], value=value)]
    lost = compare([(4, 5), (5, 6)], value=None, status=Status.PARSE_ERROR)
    pairs += [replace(one, detail="ambiguous: both") for one in lost]
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(8), comparisons=pairs)])
    (found,) = store.summary().comparisons
    assert found.reasons == {"parse_error: ambiguous": 2}
    assert found.deviation == pytest.approx(np.std(values))
    assert found.warning is None


def test_a_judge_that_finds_all_pairs_equal_is_told_of(tmp_path: Path) -> None:
    pairs = compare([(number, number + 1) for number in range(LEAST_VALUES)], value=0.5)
    (found,) = make_store(tmp_path / "s", [make_unit("a.tar", range(LEAST_VALUES + 1), comparisons=pairs)]).summary().comparisons
    assert (found.deviation, found.warning) == (0.0, "nearly constant")


def asked(store: Store) -> Summary:
    """The summary after three replies to two cards."""
    with Replies(store.path / FILE) as replies:
        for number, card in enumerate((SHARP, SHARP, "ff" * 8)):
            cost = Usage(prompt_tokens=100, cached_tokens=40, completion_tokens=1, requests=1 + number, seconds=0.5 + number)
            replies.add(b"%d" % number, card, "{}", cost)
    return store.summary()


def test_what_replies_cost_is_told_by_card(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(4))])
    assert store.summary().costs == ()
    unknown, sharp = asked(store).costs
    assert (unknown.name, unknown.card, sharp.name, sharp.card) == ("", "ff" * 8, "sharp", SHARP)
    cost = sharp.cost
    assert (cost.replies, cost.requests, cost.prompt_tokens, cost.cached_tokens, cost.completion_tokens) == (2, 3, 200, 80, 2)
    assert cost.mean_seconds == pytest.approx(1.0)


def test_costs_are_read_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite wants to make files beside one that has a log; in a folder that is read only it must not try."""
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(4))])
    before = asked(store).costs
    listed = sorted(file.name for file in store.path.glob(f"{FILE}*"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert store.summary().costs == before
    assert sorted(file.name for file in store.path.glob(f"{FILE}*")) == listed
