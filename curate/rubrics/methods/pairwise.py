"""Two responses against each other, always shown in both orders, since judges prefer a place as well as a picture.

For each dimension arithmetic gives the probability that the one shown first is better, and p = (p_AB(1) + 1 - p_BA(1)) / 2 is
the comparison. Where only verdicts are read, orders that name different winners make a tie. How far the orders are apart is kept
as position bias, p_AB(1) + p_BA(1) - 1 (OneReward, arXiv 2508.21066: such judges are not commutative).

All of that holds of shares that sum to 1. Of P(yes) over the whole vocabulary the sum of both orders also falls with what the
judge says besides yes and no, which would look like a bias, so such readings are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from pydantic import Field, model_validator

from curate.cards import CardFile
from curate.errors import CardError
from curate.raters import Value
from curate.records import Status, canonical_json
from curate.rubrics.calling import Asking, Heard, all_heard, detail_of, mass_of, shortened
from curate.rubrics.case import Case, Conversation, NoJudgementError
from curate.rubrics.distributions import OVER_ALL
from curate.rubrics.messages import Names
from curate.rubrics.replies.base import Outputs
from curate.rubrics.spec import Common, NamedCall, unique
from curate.rubrics.values import Measured, Values

ORDERS = ((0, 1), (1, 0))

EVEN = 0.5

ROUNDING = 1e-9
"""Further than this outside of 0 … 1 a number is no probability that was rounded, and up to this far from `EVEN` it is even."""


class PairwiseArguments(Common):
    """The `args` of a card with `rubric: pairwise`."""

    rubric: Literal["pairwise"]
    calls: tuple[NamedCall, ...] = Field(min_length=1)
    """Each is asked once in each order; their pictures are `first` and `second`."""
    values: Mapping[str, str]
    """For each dimension, arithmetic over what was read: the probability that the one shown first is better."""
    verdict: Literal["soft", "hard"] = "soft"
    """`soft` takes the mean of the two orders' probabilities; `hard` only which side each order is on."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> PairwiseArguments:
        unique((call.name for call in self.calls), "calls")
        for call in self.calls:
            if call.reads.labels is not None and call.reads.labels.reading == "full":
                raise ValueError(
                    f"'{call.name}' reads shares of the whole vocabulary, which do not sum to 1; read them renormalised"
                )
        return self


class Pairwise:
    """The method `pairwise`."""

    Arguments = PairwiseArguments

    def __init__(self, arguments: PairwiseArguments, file: CardFile) -> None:
        if file.card.judges != "pairs":
            raise CardError(f"{file.where}: a card with 'rubric: pairwise' says 'judges: pairs'")
        self.pictures = arguments.pictures
        self._arguments = arguments
        self._dimensions = tuple(file.card.dimensions)
        names = Names.of(file.card)
        self._calls = [
            Asking(call, names, name=call.name, where=file.where, field=f"args.calls.{position}")
            for position, call in enumerate(arguments.calls)
        ]
        known = {asking.name: asking.reader.outputs for asking in self._calls}
        self._values = Values(arguments.values, known, dimensions=self._dimensions, where=file.where)
        self._check_shares(arguments.values, file.where)
        self.shown = frozenset(role for asking in self._calls for role in asking.messages.shown)
        self.reads_labels = any(asking.reader.labels for asking in self._calls)

    def converse(self, case: Case) -> Conversation:
        """Both orders at the same time, and the comparison that they make; see `Method`."""
        questions = [
            asking.about(case, order=order, seed=(number,)) for number, order in enumerate(ORDERS) for asking in self._calls
        ]
        heard = yield from all_heard(questions, attempts=self._arguments.attempts)
        half = len(self._calls)
        orders = (heard[:half], heard[half:])
        measured = [self._values.over([self._read(order)]) for order in orders]
        return {
            name: compared(
                measured[0][name],
                measured[1][name],
                verdict=self._arguments.verdict,
                notes=[note for one in heard for note in one.notes],
                said=self._kept(orders),
                mass=mass_of(self._behind(name, heard)),
            )
            for name in self._dimensions
        }

    def _check_shares(self, names: Iterable[str], where: str) -> None:
        labels = {asking.name for asking in self._calls if asking.reader.labels}
        for name in names:
            for call, output in sorted(self._values.outputs_of(name)):
                if call in labels and output in OVER_ALL:
                    raise CardError(
                        f"{where}, field 'args.values.{name}': {call}.{output} is a share of the whole vocabulary, which the two "
                        f"orders cannot be compared by; take {call}.value"
                    )

    def _behind(self, name: str, heard: Sequence[Heard]) -> list[Heard]:
        """What was heard, in both orders, of labels that a dimension is made of."""
        calls = self._values.calls_behind(name)
        asked = [*self._calls, *self._calls]
        return [one for asking, one in zip(asked, heard, strict=True) if asking.reader.labels and asking.name in calls]

    def _read(self, heard: Sequence[Heard]) -> dict[str, Outputs]:
        return {asking.name: one.outputs for asking, one in zip(self._calls, heard, strict=True)}

    def _kept(self, orders: Iterable[Sequence[Heard]]) -> dict[str, str]:
        """What the judge said, by order and call."""
        return {
            f"{order}: {asking.name}.{output}": text
            for order, heard in zip(("as they are", "swapped"), orders, strict=True)
            for asking, one in zip(self._calls, heard, strict=True)
            for output, text in one.kept.items()
        }


def compared(
    as_they_are: Measured | NoJudgementError,
    swapped: Measured | NoJudgementError,
    *,
    verdict: Literal["soft", "hard"],
    notes: Iterable[str],
    said: Mapping[str, str],
    mass: Mapping[str, float] = MappingProxyType({}),
) -> Value:
    """One dimension, of what each order says of the one it showed first.

    Kept beside it are both orders' probabilities, `mass` (`mass_of`), and `said`, what the judge wrote in each order.
    """
    try:
        first, second = _probability(as_they_are), _probability(swapped)
    except NoJudgementError as why:
        return Value(status=why.status, detail=why.detail)
    agree = _side(first) == _side(1 - second)
    if verdict == "soft":
        value = (first + 1 - second) / 2
    else:
        value = _side(first) if agree else EVEN
    # Capitals come first in canonical JSON: where long texts are cut, the numbers stay.
    kept = {"P(first)": {"as they are": round(first, 4), "swapped": round(second, 4)}, **mass}
    return Value(
        value=value,
        orders_agree=agree,
        position_bias=first + second - 1,
        detail=detail_of(notes),
        rationale=shortened(canonical_json(kept | {name: text for name, text in said.items() if text})),
    )


def _probability(measured: Measured | NoJudgementError) -> float:
    if isinstance(measured, NoJudgementError):
        raise measured
    if not -ROUNDING <= measured.value <= 1 + ROUNDING:
        raise NoJudgementError(Status.PARSE_ERROR, f"out_of_range: {measured.value:g} is no probability")
    return min(max(measured.value, 0.0), 1.0)


def _side(probability: float) -> float:
    """1 where the first is better, 0 where the second is, 0.5 where neither."""
    return EVEN if abs(probability - EVEN) <= ROUNDING else float(probability > EVEN)
