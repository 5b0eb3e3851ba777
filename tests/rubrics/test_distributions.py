"""Probabilities of labels: values of the papers, and no value where there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.asks import Distribution
from curate.rubrics.distributions import MOST_CHANGE, read_distribution
from curate.rubrics.reads import Labels
from curate.rubrics.replies.base import Unreadable
from tests.rubrics.talking import distribution

YES_NO = [{"name": "yes", "value": 1, "spellings": ["Yes", "yes"]}, {"name": "no", "value": 0, "spellings": ["No", "no"]}]

DIGITS = [{"name": str(digit), "value": digit, "spellings": [str(digit)]} for digit in range(6)]


def labels(of: Sequence[Mapping[str, Any]] = YES_NO, **more: Any) -> Labels:
    return Labels.model_validate({"labels": list(of), **more})


def of_logits(logits: Sequence[float]) -> Distribution:
    """Digits with these logits, and nothing else in the vocabulary."""
    total = math.log(math.fsum(math.exp(one) for one in logits))
    return Distribution(logprobs={str(digit): {str(digit): one - total} for digit, one in enumerate(logits)})


def reason(distribution: Distribution | None, spec: Labels) -> str:
    with pytest.raises(Unreadable) as problem:
        read_distribution(distribution, spec)
    return problem.value.reason


def test_expected_digit_of_edit_r1() -> None:
    read = read_distribution(of_logits([-1, 0, 0.5, 1.5, 2, 1]), labels(DIGITS, normalise=True))
    assert read["value"] == pytest.approx(0.691712, abs=1e-6)
    assert read["p_mass"] == pytest.approx(1)
    assert read["full"] == pytest.approx(5 * 0.691712, abs=1e-5)


def test_only_what_the_labels_share_counts() -> None:
    """A vocabulary with more than digits in it changes the mass and not the expectation."""
    half = Distribution(
        logprobs={name: {name: one[name] - math.log(2)} for name, one in of_logits([-1, 0, 0.5, 1.5, 2, 1]).logprobs.items()}
    )
    read = read_distribution(half, labels(DIGITS, normalise=True))
    assert read["value"] == pytest.approx(0.691712, abs=1e-6)
    assert read["p_mass"] == pytest.approx(0.5)


def test_spellings_are_summed() -> None:
    read = read_distribution(distribution({"yes": {"Yes": 0.3, "yes": 0.3}, "no": {"No": 0.1, "no": 0.1}}), labels())
    assert read == pytest.approx({"value": 0.75, "p_mass": 0.8, "full": 0.6, "p_yes": 0.75, "p_no": 0.25})


def test_full_is_over_the_whole_vocabulary() -> None:
    read = read_distribution(
        distribution({"yes": {"Yes": 0.3, "yes": 0.3}, "no": {"No": 0.1, "no": 0.1}}), labels(reading="full")
    )
    assert read["value"] == read["full"] == read["p_yes"] == pytest.approx(0.6)


def test_averaged_logits_of_forensic_chat() -> None:
    """Mean logits of two spellings each, then a softmax: sigma of their difference."""
    shown = distribution({"yes": {"Yes": 0.4, "yes": 0.1}, "no": {"No": 0.2, "no": 0.05}})
    difference = (math.log(0.4) + math.log(0.1) - math.log(0.2) - math.log(0.05)) / 2
    read = read_distribution(shown, labels(reading="averaged_logits"))
    assert read["value"] == pytest.approx(1 / (1 + math.exp(-difference)))
    assert read["value"] != pytest.approx(read_distribution(shown, labels())["full"])


def test_logodds_is_a_difference_of_logarithms() -> None:
    shown = distribution({"yes": {"Yes": 0.4, "yes": 0.2}, "no": {"No": 0.2, "no": 0.1}})
    assert read_distribution(shown, labels(reading="logodds"))["value"] == pytest.approx(math.log(2))


def test_very_improbable_labels_are_still_told_apart() -> None:
    shown = Distribution(logprobs={"yes": {"Yes": -900.0, "yes": -math.inf}, "no": {"No": -900.0 - math.log(3), "no": -math.inf}})
    assert read_distribution(shown, labels(least_mass=0.0))["value"] == pytest.approx(0.75)


@pytest.mark.parametrize(
    "shown",
    [
        None,
        Distribution(logprobs={}),
        Distribution(logprobs={"yes": {}, "no": {}}, floor=-3.0),
        distribution({"yes": {"Yes": 0.2, "yes": 0.1}, "no": {"No": 0.1, "no": 0.05}}),
        Distribution(logprobs={"yes": {"Yes": -math.inf, "yes": -math.inf}, "no": {"No": -math.inf, "no": -math.inf}}),
    ],
    ids=["no logprobs", "nothing", "none of the labels", "too little", "impossible"],
)
def test_no_value_where_the_model_would_say_something_else(shown: Distribution | None) -> None:
    assert reason(shown, labels()) == ("no_logprobs" if shown is None else "low_mass")


def test_nothing_at_all_is_no_value_even_where_any_mass_will_do() -> None:
    assert reason(Distribution(logprobs={}), labels(least_mass=0.0)) == "low_mass"


@pytest.mark.parametrize("bad", [math.nan, 0.5, math.inf])
def test_what_is_no_logarithm_of_a_probability_is_refused(bad: float) -> None:
    shown = Distribution(logprobs={"yes": {"Yes": bad, "yes": -5.0}, "no": {"No": -2.0, "no": -5.0}})
    assert reason(shown, labels()) == "bad_logprobs"


def test_probabilities_that_sum_to_more_than_one_are_refused() -> None:
    assert reason(distribution({"yes": {"Yes": 0.9, "yes": 0.9}, "no": {"No": 0.9, "no": 0.9}}), labels()) == "bad_logprobs"


def test_an_absent_spelling_counts_nothing_where_it_cannot_matter() -> None:
    read = read_distribution(distribution({"yes": {"Yes": 0.9}, "no": {"No": 0.05}}, floor=0.001), labels())
    assert read["value"] == pytest.approx(0.9 / 0.95)


def test_an_absent_label_that_could_matter_is_censored() -> None:
    """Seven tenths are yes, and of the rest as much as the floor may be no."""
    assert reason(distribution({"yes": {"Yes": 0.7, "yes": 0.01}}, floor=0.1), labels()) == "censored"


def test_without_a_floor_all_the_rest_may_be_an_absent_label() -> None:
    assert reason(distribution({"yes": {"Yes": 0.7}, "no": {"No": 0.1}}), labels()) == "censored"
    assert read_distribution(distribution({"yes": {"Yes": 0.97}, "no": {"No": 0.02}}), labels())["value"] > 0.97


@pytest.mark.parametrize("floor", [-9999.0, -3.4028235e38, -math.inf])
def test_padding_is_no_floor(floor: float) -> None:
    """Replies remembered from before this was known have such floors."""
    shown = Distribution(logprobs={"yes": {"Yes": math.log(0.6)}, "no": {}}, floor=floor)
    assert reason(shown, labels()) == "censored"


@pytest.mark.parametrize("reading", ["averaged_logits", "logodds"])
def test_readings_without_a_bound_need_every_label(reading: str) -> None:
    assert reason(distribution({"yes": {"Yes": 0.9, "yes": 0.05}}, floor=1e-6), labels(reading=reading)) == "censored"


def test_zero_for_what_is_absent_reproduces_paco() -> None:
    spec = labels(absent="zero", least_mass=0.0)
    assert read_distribution(distribution({"yes": {"Yes": 0.2}}, floor=0.1), spec)["value"] == 1.0
    assert read_distribution(Distribution(logprobs={}), spec)["value"] == 0.0
    assert reason(distribution({"yes": {"Yes": 0.2}}, floor=0.1), labels(absent="zero")) == "low_mass"


probabilities = st.lists(st.floats(1e-6, 1), min_size=4, max_size=4)


@given(probabilities, st.lists(st.booleans(), min_size=4, max_size=4), st.floats(1e-6, 1), st.data())
def test_what_did_not_come_back_never_changes_a_value_by_much(
    weights: list[float], kept: list[bool], outside: float, data: st.DataObject
) -> None:
    """Whatever the absent spellings are in truth, within what is known of them."""
    total = math.fsum(weights) + outside
    truth = {name: p / total for name, p in zip(("Yes", "yes", "No", "no"), weights, strict=True)}
    present = {name for name, keep in zip(truth, kept, strict=True) if keep}
    absent = [truth[name] for name in truth if name not in present]
    floor = data.draw(st.floats(max(absent, default=0.0), 1)) or 1.0
    every = {"yes": {one: truth[one] for one in ("Yes", "yes")}, "no": {one: truth[one] for one in ("No", "no")}}
    shown = {label: {one: p for one, p in of.items() if one in present} for label, of in every.items()}
    for reading in ("renormalised", "full"):
        spec = labels(reading=reading, least_mass=0.0)
        with suppress(Unreadable):
            read = read_distribution(distribution(shown, floor), spec)
            assert abs(read["value"] - read_distribution(distribution(every), spec)["value"]) <= MOST_CHANGE + 1e-6


@given(probabilities, st.floats(0.01, 1))
def test_laws_of_the_readings(weights: list[float], outside: float) -> None:
    total = math.fsum(weights) + outside
    yes, also_yes, no, also_no = (p / total for p in weights)
    assume(yes + also_yes + no + also_no > 1e-3)
    shown = distribution({"yes": {"Yes": yes, "yes": also_yes}, "no": {"No": no, "no": also_no}})
    read = {
        reading: read_distribution(shown, labels(reading=reading, least_mass=0.0))
        for reading in ("renormalised", "full", "averaged_logits", "logodds")
    }
    assert read["renormalised"]["value"] * read["renormalised"]["p_mass"] == pytest.approx(read["full"]["value"])
    assert 0 <= read["averaged_logits"]["value"] <= 1
    odds = read["logodds"]["value"]
    assert 1 / (1 + math.exp(-odds)) == pytest.approx(read["renormalised"]["value"])
    assert read["renormalised"]["p_yes"] + read["renormalised"]["p_no"] == pytest.approx(1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": []},
        {"labels": [{"name": True, "value": 1, "spellings": ["Yes"]}]},
        {"labels": [YES_NO[0], YES_NO[0]]},
        {"labels": [YES_NO[0], {"name": "no", "value": 0, "spellings": ["Yes"]}]},
        {"labels": DIGITS, "reading": "logodds"},
        {"labels": YES_NO, "reading": "logodds", "normalise": True},
        {"labels": YES_NO, "reading": "logodds", "absent": "zero"},
        {"labels": [YES_NO[0]], "normalise": True},
        {"labels": YES_NO, "least_mass": 1.0},
    ],
)
def test_labels_that_do_not_hold_together_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Labels.model_validate(wrong)
