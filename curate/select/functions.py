"""The functions of the language. What is not in these tables cannot be called.

Numbers go in and come out as DOUBLE. A result that is not a finite number becomes null on its way out (see `fragments`),
so a division by zero or ln(0) makes a sample drop out with a reason and never an infinite value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from curate.select.closeness import rounded
from curate.select.fragments import Fragment, combined, finite_or_null
from curate.select.names import Type

_WHOLE_GROUP = "(PARTITION BY group_no ORDER BY row ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)"
"""Ordered by row, because floating-point sums depend on their order, and the order of arrival on the threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function of the language."""

    takes: tuple[Type, ...]
    """Types of its arguments; where `repeats`, the last stands for any further ones."""
    build: Callable[[Sequence[Fragment]], Fragment]
    repeats: bool = False


def _handing_on(name: str) -> Callable[[Sequence[Fragment]], Fragment]:
    """A function of one number that hands NaN and infinity on to its result, and makes none of its own."""
    return lambda parts: combined(f"{name}({parts[0].sql})", "number", list(parts), finite=parts[0].finite)


def _partial(name: str) -> Callable[[Sequence[Fragment]], Fragment]:
    """A function of one number that is not defined everywhere, and hands NaN and infinity on."""
    return lambda parts: combined(f"{name}({parts[0].sql})", "number", list(parts), finite=False)


def _guarded(name: str) -> Callable[[Sequence[Fragment]], Fragment]:
    """A function that may leave the finite numbers, and that could turn infinity into a finite number."""

    def build(parts: Sequence[Fragment]) -> Fragment:
        finite = [finite_or_null(part) for part in parts]
        return combined(f"{name}({', '.join(part.sql for part in finite)})", "number", finite, finite=False)

    return build


def _extreme(name: str) -> Callable[[Sequence[Fragment]], Fragment]:
    """least or greatest; null where any argument is null, so that a missing value is never outvoted."""

    def build(parts: Sequence[Fragment]) -> Fragment:
        finite = [finite_or_null(part) for part in parts]
        chosen = f"{name}({', '.join(part.sql for part in finite)})"
        doubtful = [part for part in finite if not part.total]
        if doubtful:
            there = " AND ".join(f"{part.sql} IS NOT NULL" for part in doubtful)
            chosen = f"(CASE WHEN {there} THEN {chosen} END)"
        return combined(chosen, "number", finite)

    return build


def _of_texts(name: str, type_: Type) -> Callable[[Sequence[Fragment]], Fragment]:
    return lambda parts: combined(f"{name}({', '.join(part.sql for part in parts)})", type_, list(parts))


def _length(parts: Sequence[Fragment]) -> Fragment:
    return combined(f"CAST(length({parts[0].sql}) AS DOUBLE)", "number", list(parts))


FUNCTIONS: Mapping[str, Function] = {
    "abs": Function(takes=("number",), build=_handing_on("abs")),
    "floor": Function(takes=("number",), build=_handing_on("floor")),
    "ceil": Function(takes=("number",), build=_handing_on("ceil")),
    "ln": Function(takes=("number",), build=_partial("ln")),
    "log10": Function(takes=("number",), build=_partial("log10")),
    "sqrt": Function(takes=("number",), build=_partial("sqrt")),
    "exp": Function(takes=("number",), build=_guarded("exp")),
    "pow": Function(takes=("number", "number"), build=_guarded("pow")),
    "least": Function(takes=("number", "number"), build=_extreme("least"), repeats=True),
    "greatest": Function(takes=("number", "number"), build=_extreme("greatest"), repeats=True),
    "length": Function(takes=("text",), build=_length),
    "lower": Function(takes=("text",), build=_of_texts("lower", "text")),
    "upper": Function(takes=("text",), build=_of_texts("upper", "text")),
    "starts_with": Function(takes=("text", "text"), build=_of_texts("starts_with", "boolean")),
    "contains": Function(takes=("text", "text"), build=_of_texts("contains", "boolean")),
}
"""Functions of one sample."""

SPECIAL = frozenset({"coalesce", "round", "regexp_matches", "spread", "count_in_group"})
"""Functions with rules of their own about their arguments: `expression` builds them."""


Window = Callable[[str], str]
"""Has a window function computed once, before the expression, and gives the name of its column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFunction:
    """A function of a sample's place in its group."""

    build: Callable[[Sequence[Fragment], Window], Fragment]
    repeats: bool = False
    """Takes one number; where it repeats, any further ones."""


def _in_group(aggregate: str) -> Callable[[Sequence[Fragment], Window], Fragment]:
    """An aggregate over the group's samples that have a value."""

    def build(parts: Sequence[Fragment], window: Window) -> Fragment:
        value = finite_or_null(parts[0])
        column = window(f"{aggregate}({value.sql}) OVER {_WHOLE_GROUP}")
        return _of_group(column, [value], finite=aggregate in ("min", "max"))  # sums overflow

    return build


def _told_apart(part: Fragment) -> Fragment:
    """A number to the digits by which values are told apart, with null in place of NaN and infinity."""
    value = finite_or_null(part)
    return replace(value, sql=rounded(value.sql))


def _z(parts: Sequence[Fragment], window: Window) -> Fragment:
    """(x - mean) / population standard deviation of the group; 0 in a group without spread, null where that is no number."""
    value = _told_apart(parts[0])
    low, high, mean, deviation = (
        window(f"{aggregate}({value.sql}) OVER {_WHOLE_GROUP}") for aggregate in ("min", "max", "avg", "stddev_pop")
    )
    # A deviation that overflows, or is 0 because squares underflow, would make ties of values that differ.
    spread = f"WHEN {deviation} > 0 AND isfinite({deviation}) THEN ({value.sql} - {mean}) / {deviation}"
    standard = f"CASE WHEN {low} = {high} THEN 0.0 {spread} END"
    return _of_group(_where_there([value], standard), [value], finite=False)


def _rank(parts: Sequence[Fragment], window: Window) -> Fragment:
    """1 for the best; equal values share the better rank."""
    value = _told_apart(parts[0])
    rank = window(f"CAST(rank() OVER (PARTITION BY group_no ORDER BY {value.sql} DESC NULLS LAST) AS DOUBLE)")
    return _of_group(_where_there([value], rank), [value])


def _percentile(parts: Sequence[Fragment], window: Window) -> Fragment:
    """Share of the group's values that are not above this one: 1 for the best, 1/k for the worst of k."""
    value = _told_apart(parts[0])
    frame = "ASC NULLS LAST RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
    not_above = window(f"count({value.sql}) OVER (PARTITION BY group_no ORDER BY {value.sql} {frame})")
    share = f"{not_above} / CAST({window(f'count({value.sql}) OVER {_WHOLE_GROUP}')} AS DOUBLE)"
    return _of_group(_where_there([value], share), [value])


def wins(parts: Sequence[Fragment], window: Window) -> Fragment:
    """RankDPO's φ: C / (n (k - 1)), where C counts strict wins over n judges and the k - 1 others of the group.

    In [0, 1]. Integers are divided once, so that equal counts give equal values and ties stay ties. 0 in a group of one.
    Samples without a value from every judge neither win nor are beaten.
    """
    values = [_told_apart(part) for part in parts]
    compared = [_where_there(values, value.sql) for value in values]
    below = [window(f"rank() OVER (PARTITION BY group_no ORDER BY {sql} ASC NULLS LAST) - 1") for sql in compared]
    others = window(f"count({compared[0]}) OVER {_WHOLE_GROUP} - 1")
    share = f"CAST({' + '.join(below)} AS DOUBLE) / ({len(values)} * {others})"
    return _of_group(_where_there(values, f"CASE WHEN {others} > 0 THEN {share} ELSE 0.0 END"), values)


def count_in_group(parts: Sequence[Fragment], window: Window) -> Fragment:
    """How many samples the group has; of a number: that have one; of a condition: for which it holds."""
    counted = "*"
    if parts:
        value = finite_or_null(parts[0])
        counted = value.sql if value.type == "number" else f"CASE WHEN {value.sql} THEN 1 END"
    return _of_group(window(f"CAST(count({counted}) OVER {_WHOLE_GROUP} AS DOUBLE)"), [])


def _where_there(values: Sequence[Fragment], sql: str) -> str:
    """`sql`, or null for a sample without one of the values."""
    there = " AND ".join(f"{value.sql} IS NOT NULL" for value in values if not value.total)
    return f"(CASE WHEN {there} THEN {sql} END)" if there else f"({sql})"


def _of_group(sql: str, parts: Sequence[Fragment], *, finite: bool = True) -> Fragment:
    return Fragment(sql=sql, type="number", total=all(part.total for part in parts), finite=finite, grouped=True)


GROUP_FUNCTIONS: Mapping[str, GroupFunction] = {
    "z": GroupFunction(build=_z),
    "rank_in_group": GroupFunction(build=_rank),
    "percentile_in_group": GroupFunction(build=_percentile),
    "wins": GroupFunction(build=wins, repeats=True),
    "mean_in_group": GroupFunction(build=_in_group("avg")),
    "std_in_group": GroupFunction(build=_in_group("stddev_pop")),
    "min_in_group": GroupFunction(build=_in_group("min")),
    "max_in_group": GroupFunction(build=_in_group("max")),
}
"""Functions of a sample's place in its group: over the samples of the group that are still there at this step."""

ALL_NAMES = frozenset(FUNCTIONS) | SPECIAL | frozenset(GROUP_FUNCTIONS)
