"""What the probabilities of a closed set of labels are worth.

With p the probability of a label, all its spellings together, and v its value:

    full              sum of v * p, over the whole vocabulary        VQAScore: P("Yes")
    renormalised      the same, divided by the sum of all p          Edit-R1, Q-Align; P(yes) / (P(yes) + P(no)) of PaCo
    averaged_logits   v weighted by a softmax over the mean logarithm of each label's spellings    RealGen's Forensic-Chat
    logodds           log p of the first label minus log p of the second                           NP-Edit, VLM3D

Sums of probabilities are taken as logarithms, so that a set of labels may be very improbable. Papers: Lin et al., VQAScore, 2024;
Li et al., Uniworld-V2 (Edit-R1), 2025; Wu et al., Q-Align, 2023; PaCo-RL, 2025; Ye et al., RealGen, 2025; NP-Edit, 2025.

A spelling that a server did not return is not impossible: it is at most as probable as the least that came back, or as a token
that came back with which it begins, and all that did not come back share what is left of 1. Where no share of that can change the
value by more than `MOST_CHANGE`, it counts nothing; else there is no value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from curate.asks import LEAST_LOG, Distribution, Label
from curate.rubrics.reads import Labels, LabelSpec
from curate.rubrics.replies.base import Unreadable

MOST_CHANGE = 0.05
"""Of the span of the labels' values: what unknown spellings may be able to change."""

MASS = "p_mass"
"""The output that says how probable all labels are together."""

OVER_ALL = (MASS, "full")
"""Outputs that are shares of the whole vocabulary, so that those of two labels do not sum to 1."""

_ROUNDING = 1e-2
"""By how much probabilities may sum to more than 1: servers round, and bfloat16 has three digits."""


def asked_labels(labels: Labels) -> tuple[Label, ...]:
    """The labels as they stand in a request."""
    return tuple(Label(name=label.name, spellings=label.spellings) for label in labels.labels)


def label_outputs(labels: Labels) -> tuple[str, ...]:
    """Names of what `read_distribution` gives."""
    return ("value", *OVER_ALL, *(f"p_{label.name}" for label in labels.labels))


def read_distribution(distribution: Distribution | None, labels: Labels) -> dict[str, float]:
    """The value of the labels, `p_mass` (their probability together), `full` (the reading of that name), and `p_<label>`.

    `p_<label>` is the weight that the value of a label has in the value; for logodds its share among the two. Raises `Unreadable`
    with `no_logprobs`, `bad_logprobs`, `low_mass`, and `censored` where labels that the server did not return could matter.
    """
    if distribution is None:
        raise Unreadable("no_logprobs", "the reply has no probabilities of the labels")
    logs = _checked(distribution, labels)
    sums = {name: _log_sum(spellings.values()) for name, spellings in logs.items()}
    mass = min(math.fsum(map(math.exp, sums.values())), 1.0)
    nothing = all(log == -math.inf for log in sums.values())
    if mass < labels.least_mass or (nothing and labels.absent == "bound"):
        raise Unreadable("low_mass", f"the labels together have a probability of {mass:.3g}, less than {labels.least_mass:g}")
    values = [label.value for label in labels.labels]
    masses = [math.exp(sums[label.name]) for label in labels.labels]
    weights = _weights(labels, logs, sums)
    if labels.absent == "bound":
        _check_what_is_unknown(distribution, labels, logs, masses, mass)
    value = _value(labels, weights, sums)
    named = {f"p_{label.name}": weight for label, weight in zip(labels.labels, weights, strict=True)}
    return {"value": value, MASS: mass, "full": _dot(values, masses), **named}


def _checked(distribution: Distribution, labels: Labels) -> dict[str, dict[str, float]]:
    """For each label the logarithms of its spellings that came back."""
    logs = {
        label.name: {
            spelling: log for spelling, log in distribution.logprobs.get(label.name, {}).items() if spelling in label.spellings
        }
        for label in labels.labels
    }
    everything = [log for spellings in logs.values() for log in spellings.values()]
    if any(math.isnan(log) or log > _ROUNDING for log in everything) or sum(map(math.exp, everything)) > 1 + _ROUNDING:
        raise Unreadable("bad_logprobs", "what came back for the labels are no logarithms of probabilities")
    return logs


def _value(labels: Labels, weights: Sequence[float], sums: Mapping[str, float]) -> float:
    if labels.reading == "logodds":
        first, second = (sums[label.name] for label in labels.labels)
        return first - second
    values = [label.value for label in labels.labels]
    if not any(weights):
        return 0.0  # papers that take what is absent for zero
    value = _dot(values, weights)
    if not labels.normalise:
        return value
    least = min(values)
    return (value - least) / (max(values) - least)


def _weights(labels: Labels, logs: Mapping[str, Mapping[str, float]], sums: Mapping[str, float]) -> list[float]:
    """What the value of each label counts."""
    if labels.reading == "full":
        return [math.exp(sums[label.name]) for label in labels.labels]
    if labels.reading == "averaged_logits":
        # Mean logarithms differ from mean logits by one number for all labels, which a softmax does not see.
        return _softmax([_mean_log(label, logs[label.name]) for label in labels.labels])
    return _softmax([sums[label.name] for label in labels.labels])


def _mean_log(label: LabelSpec, logs: Mapping[str, float]) -> float:
    missing = [spelling for spelling in label.spellings if logs.get(spelling, -math.inf) == -math.inf]
    if missing:
        raise Unreadable(
            "censored", f"the mean over the spellings of '{label.name}' needs {missing[0]!r}, which did not come back"
        )
    return math.fsum(logs.values()) / len(logs)


def _check_what_is_unknown(
    distribution: Distribution, labels: Labels, logs: Mapping[str, Mapping[str, float]], masses: Sequence[float], mass: float
) -> None:
    """Raises `Unreadable` where spellings that did not come back could change the value by too much."""
    missing = [len(label.spellings) - len(logs[label.name]) for label in labels.labels]
    if not any(missing):
        return
    if not mass or (labels.reading == "logodds" and not all(masses)):
        raise Unreadable("censored", "labels that did not come back could change the value without bound")
    floor = distribution.floor
    each = 1.0 if floor is None or floor < LEAST_LOG else math.exp(min(floor, 0.0))
    rest = max(0.0, 1.0 - mass)
    room = [min(count * each, rest) for count in missing]
    values = [label.value for label in labels.labels]
    if labels.reading == "logodds":
        change, span = max(math.log1p(more / p) for more, p in zip(room, masses, strict=True)), 1.0
    else:
        renormalise = labels.reading == "renormalised"
        highest = _extreme(values, masses, room, rest, renormalise=renormalise)
        lowest = -_extreme([-value for value in values], masses, room, rest, renormalise=renormalise)
        known = _dot(values, masses) / (math.fsum(masses) if renormalise else 1.0)
        change, span = max(highest - known, known - lowest), (max(values) - min(values)) or abs(values[0]) or 1.0
    if change > MOST_CHANGE * span:
        raise Unreadable("censored", f"labels that did not come back could change the value by {change:.3g}")


def _extreme(values: Sequence[float], masses: Sequence[float], room: Sequence[float], rest: float, *, renormalise: bool) -> float:
    """The largest value that is possible where each label may have up to `room` more, and all together `rest` more.

    More of a label raises a mean exactly where the label is worth more than the mean, so the best labels are filled first.
    """
    total, weight = _dot(values, masses), math.fsum(masses)
    for value, more in sorted(zip(values, room, strict=True), reverse=True):
        taken = min(more, rest)
        if value <= (total / weight if renormalise else 0.0):
            break
        total, weight, rest = total + value * taken, weight + taken, rest - taken
    return total / weight if renormalise else total


def _dot(values: Iterable[float], weights: Iterable[float]) -> float:
    return math.fsum(value * weight for value, weight in zip(values, weights, strict=True))


def _log_sum(logs: Iterable[float]) -> float:
    """The logarithm of the sum of the exponentials; minus infinity for none."""
    logs = list(logs)
    most = max(logs, default=-math.inf)
    if most == -math.inf:
        return most
    return most + math.log(math.fsum(math.exp(log - most) for log in logs))


def _softmax(logs: Sequence[float]) -> list[float]:
    """Shares that sum to 1; zeros where all is minus infinity."""
    total = _log_sum(logs)
    return [0.0 if total == -math.inf else math.exp(log - total) for log in logs]
