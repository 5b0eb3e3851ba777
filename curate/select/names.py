"""What a name in an expression means: a field of the sample, or a rater's value, spread or status in the view."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from curate.errors import ExpressionError, UnknownRater, nearest
from curate.records import RaterColumns, View
from curate.select.syntax import Name, NamePart
from curate.select.tokens import problem_at

_SHOWN = 24
"""Names in the list of all that are known: there are more fields than raters, so both are to be seen."""

Type = Literal["number", "text", "boolean", "null"]

_NOT_IN_VIEW = frozenset({"labels", "meta"})
"""Fields of the sample that the view lacks, since they differ from record to record."""

NUMBER_FIELDS = frozenset({"index", "width", "height", "bytes"})
"""The fields of `View.FIELDS` that are numbers; the others are text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of the view that an expression names."""

    name: str
    """As the view calls it."""
    type: Type
    part: Literal["field", "value", "spread", "status"]
    rater: str | None = None
    """The card whose column it is; None for a sample field."""
    value: str | None = None
    """For a value or a spread: the value column it belongs to, which is null exactly where the rating is not ok."""
    spread: str | None = None
    """For a value: its spread column, where the view has one."""


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def status_column(rater: str) -> str:
    """The view's column with the statuses of a rater."""
    return f"{rater}.status"


_DASHED = re.compile(r"[a-z][a-z0-9_]*(?:-[a-z0-9_]+)+")
"""A name as cards have it, which is a difference in an expression."""


def resolve(name: Name, view: View, what: str, *, text: str = "") -> Column:
    """The column that `name` means. Raises `UnknownRater` with the nearest name where there is none; `text` is the expression.

    A sample field goes before a rater of the same name, which can still be written with its dimension.
    """
    first, *more = name.parts
    if not more and first.text in View.FIELDS:
        return Column(name=first.text, type="number" if first.text in NUMBER_FIELDS else "text", part="field")
    rater = _find(first, view.raters)
    if rater is None:
        found = None if first.quoted else _DASHED.match(text, name.start)
        dashed = found[0] if found else ""
        problem = problem_at(what, name.start, _no_such_name(first, bool(more), view, dashed))
        raise UnknownRater(*problem.args, name=first.text, dashed=dashed)
    return _rater_column(name, rater, view.raters[rater], more, what)


def _rater_column(name: Name, rater: str, columns: RaterColumns, more: list[NamePart], what: str) -> Column:
    if len(more) == 1 and more[0].text == "status":
        return Column(name=status_column(rater), type="text", part="status", rater=rater)
    wants_spread = bool(more) and more[-1].text == "spread"
    dimension_parts = more[:-1] if wants_spread else more
    if len(dimension_parts) > 1:
        raise _wrong_dimension(name, rater, columns, dimension_parts[-1].text, what)
    dimension = _find(dimension_parts[0], columns.dimensions) if dimension_parts else columns.main
    if dimension is None:
        raise _wrong_dimension(name, rater, columns, dimension_parts[0].text, what)
    value = f"{rater}.{dimension}"
    spread = f"{value}.spread" if dimension in columns.spreads else None
    if not wants_spread:
        return Column(name=value, type="number", part="value", rater=rater, value=value, spread=spread)
    if spread is None:
        raise problem_at(what, name.start, f"the rater '{rater}' gives no spread for '{dimension}'{_with_spreads(columns)}")
    return Column(name=spread, type="number", part="spread", rater=rater, value=value)


def _find(part: NamePart, known: Iterable[str]) -> str | None:
    """The known name that `part` means: itself, or, where it is bare, the one that has dashes for its underscores."""
    names = list(known)
    if part.text in names:
        return part.text
    alike = [] if part.quoted else [name for name in names if name.replace("-", "_") == part.text]
    return alike[0] if len(alike) == 1 else None


def _no_such_name(part: NamePart, dotted: bool, view: View, dashed: str) -> str:
    whole = max((rater for rater in view.raters if f"{dashed}-".startswith(f"{rater}-")), key=len, default="")
    if "-" in whole:
        return f"here a dash is a minus: write the rater '{whole}' as {whole.replace('-', '_')}"
    if part.text in _NOT_IN_VIEW:
        return f"the {part.text} of samples go into datasets, and expressions cannot read them"
    twins = [] if part.quoted else [rater for rater in view.raters if rater.replace("-", "_") == part.text]
    if twins:
        return f"'{part.text}' may mean {' or '.join(repr(twin) for twin in twins)}; write the one you mean in double quotes"
    raters = {rater.replace("-", "_"): columns.dimensions for rater, columns in view.raters.items()}  # as they are written
    dimensions = [f"{rater}.{dimension}" for rater, found in raters.items() for dimension in found]
    # Fields are few and the same everywhere, so they come before the dimensions of many raters.
    known = [*raters] if dotted else [*raters, *View.FIELDS, *dimensions]
    meant = [] if dotted else [name for name in dimensions if name.partition(".")[2] == part.text]
    hint = nearest(part.text, known, ordered=True, shown=_SHOWN)
    if meant:
        hint = f"Did you mean {' or '.join(map(repr, meant[:3]))}?"
    return f"there is no {'rater' if dotted else 'rater or sample field'} '{part.text[:80]}'. {hint}".rstrip()


def _wrong_dimension(name: Name, rater: str, columns: RaterColumns, wrong: str, what: str) -> ExpressionError:
    return problem_at(what, name.start, f"the rater '{rater}' has no '{wrong[:80]}'; it has {', '.join(columns.dimensions)}")


def _with_spreads(columns: RaterColumns) -> str:
    return f"; it does for {', '.join(columns.spreads)}" if columns.spreads else ""
