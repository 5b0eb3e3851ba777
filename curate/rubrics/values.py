"""The `values` of a card: arithmetic over what was read, in one pass or over several."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from curate.errors import CardError
from curate.rubrics.arithmetic import Expression
from curate.rubrics.case import NoJudgementError
from curate.rubrics.replies.base import Outputs
from curate.rubrics.spec import Passes

Read = Mapping[str, Outputs]
"""What was read in one pass, by call."""


class Measured(NamedTuple):
    """A value over all passes."""

    value: float
    spread: float | None
    """Standard deviation over the passes (population: divided by their number); None for a single one."""


class Values:
    """All values of a card, each of which may use those above it."""

    def __init__(
        self,
        texts: Mapping[str, str],
        known: Mapping[str, Mapping[str, int]],
        *,
        dimensions: Collection[str],
        where: str,
    ) -> None:
        """`known`: see `Expression`; `where` is the card. Raises `CardError`, also where nothing is said of a dimension."""
        for name in dimensions:
            if name not in texts:
                raise CardError(f"{where}, field 'args.values': nothing says what the dimension '{name}' is")
        self._expressions: dict[str, Expression] = {}
        for name, text in texts.items():
            above = tuple(self._expressions)
            self._expressions[name] = Expression(text, known, above, where=f"{where}, field 'args.values.{name}'")

    def over(self, passes: Sequence[Read], reduce: Passes | None = None) -> dict[str, Measured | NoJudgementError]:
        """Every value over what was read in each pass, or why it has none.

        `average_last` is the mean of a value over the passes. `average_first` makes a value that uses others of their means; the
        numbers of calls in it are still those of each pass.
        """
        each = [self._of_one(read) for read in passes]
        found: dict[str, Measured | NoJudgementError] = {}
        means: dict[str, float] = {}
        for name, expression in self._expressions.items():
            try:
                own = [_certain(values[name]) for values in each]
                if reduce is not None and reduce.reduce == "average_first" and expression.uses:
                    means[name] = statistics.fmean(expression(read, means) for read in passes)
                else:
                    means[name] = statistics.fmean(own)
                found[name] = Measured(means[name], statistics.pstdev(own) if len(own) > 1 else None)
            except NoJudgementError as why:
                found[name] = why
        return found

    def outputs_of(self, name: str) -> frozenset[tuple[str, str]]:
        """What a value itself takes: calls, and which of their outputs."""
        return frozenset(self._expressions[name].outputs)

    def calls_behind(self, name: str) -> frozenset[str]:
        """The calls whose numbers are in a value, also through other values."""
        expression = self._expressions[name]
        return expression.calls.union(*(self.calls_behind(used) for used in expression.uses))

    def _of_one(self, read: Read) -> dict[str, float | NoJudgementError]:
        """The values of one pass."""
        values: dict[str, float | NoJudgementError] = {}
        for name, expression in self._expressions.items():
            try:
                values[name] = expression(read, {used: _certain(values[used]) for used in expression.uses})
            except NoJudgementError as why:
                values[name] = why
        return values


def _certain(value: float | NoJudgementError) -> float:
    if isinstance(value, NoJudgementError):
        raise value
    return value
