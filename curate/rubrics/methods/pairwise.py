"""Two responses against each other, always shown in both orders, since judges prefer a place as well as a picture.

For each dimension arithmetic gives the probability that the one shown first is better, and p = (p_AB(1) + 1 - p_BA(1)) / 2 is
the comparison. Where only verdicts are read, orders that name different winners make a tie. How far the orders are apart is kept
as position bias, p_AB(1) + p_BA(1) - 1 (OneReward, arXiv 2508.21066: such judges are not commutative).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import Field, model_validator

from curate.cards import CardFile
from curate.errors import CardError
from curate.raters import Value
from curate.records import Status
from curate.rubrics.calling import Asking, Heard, all_heard, detail_of, rationale_of
from curate.rubrics.case import Case, Conversation, NoJudgementError
from curate.rubrics.messages import Names
from curate.rubrics.replies.base import Outputs
from curate.rubrics.spec import Common, NamedCall, unique
from curate.rubrics.values import Measured, Values

ORDERS = ((0, 1), (1, 0))

EVEN = 0.5

ROUNDING = 1e-9
"""Further than this outside of 0 … 1 a number is no probability that was rounded."""


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
            )
            for name in self._dimensions
        }

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
) -> Value:
    """One dimension, of what each order says of the one it showed first; `said` is what the judge wrote in each."""
    try:
        first, second = _probability(as_they_are), _probability(swapped)
    except NoJudgementError as why:
        return Value(status=why.status, detail=why.detail)
    agree = _side(first) == _side(1 - second)
    if verdict == "soft":
        value = (first + 1 - second) / 2
    else:
        value = _side(first) if agree else EVEN
    return Value(
        value=value,
        orders_agree=agree,
        position_bias=first + second - 1,
        detail=detail_of(notes),
        rationale=rationale_of({name: text for name, text in said.items() if text}),
    )


def _probability(measured: Measured | NoJudgementError) -> float:
    if isinstance(measured, NoJudgementError):
        raise measured
    if not -ROUNDING <= measured.value <= 1 + ROUNDING:
        raise NoJudgementError(Status.PARSE_ERROR, f"out_of_range: {measured.value:g} is no probability")
    return min(max(measured.value, 0.0), 1.0)


def _side(probability: float) -> float:
    """1 where the first is better, 0 where the second is, 0.5 where neither."""
    return EVEN if probability == EVEN else float(probability > EVEN)
