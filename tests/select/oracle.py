"""What filter, rank and pair should give, said a second time: plain Python over lists, pair by pair, without arrays or SQL."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations, pairwise

from tests.select.views import Given

Score = Callable[[Given], float | None]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """As `curate.select.pairing.pair` takes them, with functions for expressions."""

    score: Score
    veto: Callable[[Given], bool] = lambda one: False
    strategy: str = "best-worst"
    min_margin: float = 0.0
    in_spreads: bool = False
    tie: float = 0.0
    keep_ties: bool = False
    opinions: Sequence[Score] = ()
    at_least: int = 0
    max_per_group: int | None = None
    max_per_sample: int | None = None


@dataclass(kw_only=True)
class Made:
    """Pairs, as (chosen, rejected) to (margin, confidence), and what was dropped."""

    pairs: dict[tuple[str, str], tuple[float, float | None]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    candidates: int = 0


def groups_of(given: Iterable[Given]) -> list[list[Given]]:
    groups: dict[str, list[Given]] = {}
    for one in given:
        groups.setdefault(one.group, []).append(one)
    return [groups[name] for name in sorted(groups)]


def in_order(group: Sequence[Given], rules: Rules) -> list[Given]:
    """The samples of a group that take part, best first."""
    taking_part = [one for one in group if not rules.veto(one) and rules.score(one) is not None]
    return sorted(taking_part, key=lambda one: (-value(rules.score, one), one.sample))


def value(score: Score, one: Given) -> float:
    found = score(one)
    assert found is not None
    return found


def exact(number: float) -> Fraction:
    """The number that is meant: to twelve digits, and from there on without rounding."""
    return Fraction(f"{number:.12g}")


def made_pairs(given: Iterable[Given], rules: Rules) -> Made:
    made = Made()
    for group in groups_of(given):
        _pairs_of_group(in_order(group, rules), rules, made)
    return made


def _pairs_of_group(ranked: list[Given], rules: Rules, made: Made) -> None:
    values = [value(rules.score, one) for one in ranked]
    mean = sum(values) / len(values) if values else 0.0
    deviation = math.sqrt(sum((one - mean) ** 2 for one in values) / len(values)) if values else 0.0
    least = rules.min_margin * (deviation if rules.in_spreads else 1.0)
    kept = []
    for better, worse in _candidates(ranked, rules.strategy):
        made.candidates += 1
        margin = value(rules.score, better) - value(rules.score, worse)
        apart = exact(value(rules.score, better)) - exact(value(rules.score, worse))
        reason, confidence = _reason(better, worse, apart, least, rules)
        if reason is None:
            tied = apart <= exact(rules.tie)
            kept.append((0.0 if tied else margin, ranked.index(better), ranked.index(worse), None if tied else confidence))
        else:
            made.dropped[reason] += 1
    of_sample: Counter[int] = Counter()
    of_group = 0
    for margin, better_place, worse_place, confidence in sorted(kept, key=lambda one: (-one[0], one[1], one[2])):
        if rules.max_per_group is not None and of_group >= rules.max_per_group:
            made.dropped["over_max_per_group"] += 1
        elif rules.max_per_sample is not None and max(of_sample[better_place], of_sample[worse_place]) >= rules.max_per_sample:
            made.dropped["over_max_per_sample"] += 1
        else:
            of_group += 1
            of_sample[better_place] += 1
            of_sample[worse_place] += 1
            made.pairs[ranked[better_place].sample, ranked[worse_place].sample] = (margin, confidence)


def _candidates(ranked: list[Given], strategy: str) -> list[tuple[Given, Given]]:
    if len(ranked) < 2:
        return []
    return {
        "all": list(combinations(ranked, 2)),
        "best-worst": [(ranked[0], ranked[-1])],
        "adjacent": list(pairwise(ranked)),
        "top-vs-rest": [(ranked[0], one) for one in ranked[1:]],
    }[strategy]


def _reason(better: Given, worse: Given, apart: Fraction, least: float, rules: Rules) -> tuple[str | None, float | None]:
    if better.fields.get("digest", better.sample) == worse.fields.get("digest", worse.sample):
        return "identical", None
    if apart <= exact(rules.tie):
        return (None if rules.keep_ties else "tie"), None
    if apart < exact(least):
        return "too_close", None
    asked = [(a, b) for a, b in ((one(better), one(worse)) for one in rules.opinions) if a is not None and b is not None]
    votes = sum(exact(a) > exact(b) for a, b in asked)
    if rules.opinions and votes < rules.at_least:
        return "too_few_agree", None
    return None, votes / len(asked) if asked else None


def ranks(values: Sequence[float], tie: float) -> list[int]:
    """Ranks of falling values."""
    found: list[int] = []
    best = Fraction()
    for place, one in enumerate(map(exact, values)):
        if place and best - one <= exact(tie):
            found.append(found[-1])
        else:
            best = one
            found.append(place + 1)
    return found


def phi(scores: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """RankDPO's φ from the scores that n judges gave each of k samples."""
    judges = len(next(iter(scores.values())))
    wins = {
        one: sum(
            exact(scores[one][judge]) > exact(scores[other][judge]) for other in scores if other != one for judge in range(judges)
        )
        for one in scores
    }
    return {one: count / (judges * (len(scores) - 1)) if len(scores) > 1 else 0.0 for one, count in wins.items()}
