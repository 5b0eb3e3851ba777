"""Pieces of SQL with what is known of them, and the guards that keep what is not a number out of results."""

from __future__ import annotations

from dataclasses import dataclass

from curate.select.names import Type


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """The SQL of a part of an expression."""

    sql: str
    """Complete in itself: names, parameters, calls, or in parentheses. Numbers are DOUBLE."""
    type: Type
    total: bool
    """Never null for a sample whose required ratings are ok."""
    finite: bool = True
    """Never NaN or infinite. Sums, products and logarithms hand these on; see `finite_or_null` for where that ends."""
    grouped: bool = False
    """Holds a group function."""


def finite_or_null(fragment: Fragment) -> Fragment:
    """The fragment with null in place of NaN and infinity.

    Division by zero, ln(0) and overflow make NaN or infinity, and arithmetic hands these on to its result. So one guard
    at the end is enough, and one before each step that could turn them into an ordinary number or answer again: a divisor,
    a power, a comparison, least, a group function.
    """
    if fragment.finite:
        return fragment
    sql = f"(CASE WHEN isfinite({fragment.sql}) THEN {fragment.sql} END)"
    return Fragment(sql=sql, type="number", total=False, grouped=fragment.grouped)


def combined(sql: str, type_: Type, parts: list[Fragment], *, finite: bool = True) -> Fragment:
    """A fragment made of others, which is null exactly where one of them is."""
    return Fragment(
        sql=sql,
        type=type_,
        total=all(part.total for part in parts),
        finite=finite,
        grouped=any(part.grouped for part in parts),
    )
