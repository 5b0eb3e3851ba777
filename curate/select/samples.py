"""Which samples enter a selection, as SQL, and why the others do not.

The order is: the ratings that `where` needs are ok, `where` holds, the ratings that `by` needs are ok, `by` is a finite
number. Group functions look at the samples of the group that have come as far as their own expression.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from curate.records import Funnel, RaterColumns, View
from curate.select.engine import Engine, Parameters
from curate.select.expression import Expression
from curate.select.names import quoted, status_column

VALUE = "_value"
"""The column of `by` in `Samples.entering`."""

NOT_A_NUMBER = "value is null or not finite"
VETOED = "vetoed"
UNDECIDED = "where is null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """The samples of a view that a selection is about."""

    view: View
    where: Expression | None = None
    by: Expression | None = None
    """None where no value is needed."""
    also: Expression | None = None
    """Another expression whose required ratings have to be ok."""

    @property
    def grouped(self) -> bool:
        """Whether they cannot be told without looking at whole groups."""
        return any(expression is not None and expression.windows for expression in (self.where, self.by))

    @property
    def parameters(self) -> Parameters:
        """For the SQL of `entering`."""
        return parameters(self.where, self.by)

    def entering(self, groups: tuple[int, int] | None = None) -> str:
        """A query for the samples that enter: the view's columns and `VALUE`. `groups` are the first and the one past the end."""
        kept = self._kept(groups)
        if self.by is None:
            return kept
        return f"SELECT * FROM ({with_column(kept, self.by, VALUE, self._required)}) WHERE {VALUE} IS NOT NULL"

    def funnel(self, engine: Engine, step: str, entering: int) -> Funnel:
        """What became of every sample of the view; `entering` is the number that came through, which the caller has seen.

        Counts as little as it can: what can only be the rest is the rest.
        """
        funnel = Funnel(step=step, unit="samples", taken=self.view.rows, kept=entering)
        if self.where is not None:
            _drop_missing(funnel, engine, self.view, _all(), self.where.required, {})
            if not self.where.total:
                undecided = f"SELECT 1 FROM ({with_column(_all(), self.where, '_keep')}) WHERE _keep IS NULL"
                funnel.drop(UNDECIDED, _count(engine, undecided, parameters(self.where)))
        kept = self._kept(None)
        before = {} if self.where is None else self.where.required
        left = {column: rater for column, rater in self._required.items() if column not in before}
        _drop_missing(funnel, engine, self.view, kept, left, parameters(self.where))
        if self.where is not None and self.by is not None and not self.by.total:
            null = f"SELECT 1 FROM ({with_column(kept, self.by, VALUE, self._required)}) WHERE {VALUE} IS NULL"
            funnel.drop(NOT_A_NUMBER, _count(engine, null, self.parameters))
        rest = funnel.taken - funnel.kept - sum(funnel.dropped.values())
        funnel.drop(NOT_A_NUMBER if self.where is None else VETOED, rest)
        return funnel

    @property
    def _required(self) -> Mapping[str, str]:
        """Value columns that have to be there after `where`, and their raters."""
        return {column: rater for one in (self.by, self.also) if one is not None for column, rater in one.required.items()}

    def _kept(self, groups: tuple[int, int] | None) -> str:
        if self.where is None:
            return _all(groups)
        return f"SELECT * FROM ({with_column(_all(groups), self.where, '_keep')}) WHERE _keep"


def parameters(*expressions: Expression | None) -> dict[str, float | str]:
    """The bound literals of several expressions."""
    return {name: value for one in expressions if one is not None for name, value in one.parameters.items()}


def with_column(relation: str, expression: Expression, name: str, required: Mapping[str, str] | None = None) -> str:
    """A query for the rows of `relation` whose required ratings are there, with the expression as a further column."""
    needed = expression.required if required is None else required
    there = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in needed) or "TRUE"
    windows = "".join(f", {sql} AS {column}" for sql, column in expression.windows.items())
    return f"SELECT *, {expression.sql} AS {name} FROM (SELECT *{windows} FROM ({relation}) WHERE {there})"


def _all(groups: tuple[int, int] | None = None) -> str:
    if groups is None:
        return "SELECT * FROM samples"
    return f"SELECT * FROM samples WHERE group_no >= {groups[0]} AND group_no < {groups[1]}"


def _drop_missing(
    funnel: Funnel, engine: Engine, view: View, relation: str, required: Mapping[str, str], bound: Parameters
) -> None:
    """Count the rows of which a required rating is not ok, each for the first such rater and what it said."""
    if not required:
        return
    missing = {column: _is_missing(column, view.raters[rater], rater) for column, rater in required.items()}
    cases = []
    for column, rater in required.items():
        status = quoted(status_column(rater))
        said = f"CASE WHEN {status} IS NULL THEN 'not rated' WHEN {status} = 'ok' THEN 'no value' ELSE {status} END"
        cases.append(f"WHEN {missing[column]} THEN {_text(f'{rater}: ')} || {said}")
    reasons = f"SELECT CASE {' '.join(cases)} END AS reason FROM ({relation}) WHERE {' OR '.join(missing.values())}"
    for reason, count in engine.rows(f"SELECT reason, count(*) FROM ({reasons}) GROUP BY reason ORDER BY reason", bound):
        funnel.drop(reason, count)


def _is_missing(column: str, columns: RaterColumns, rater: str) -> str:
    """SQL for whether a rating is not ok. The status of a rater's only dimension says it as well, and is read much faster."""
    if len(columns.dimensions) == 1:
        return f"({quoted(status_column(rater))} IS DISTINCT FROM 'ok')"
    return f"({quoted(column)} IS NULL)"


def _count(engine: Engine, query: str, bound: Parameters) -> int:
    return int(engine.rows(f"SELECT count(*) FROM ({query})", bound)[0][0])


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
