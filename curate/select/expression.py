"""`--where` and `--by`: from text to checked SQL.

Three walls stand between a user's text and the machine. The text is parsed by an own grammar (`parser`) and SQL is made
anew from the tree: only known columns, listed functions, and literals as bound parameters can come out. The database runs
without access to files and with its settings locked, and under a time limit (`engine`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from curate.errors import ExpressionError
from curate.records import View
from curate.select import syntax
from curate.select.compiler import TYPE_NAMES, Compiler
from curate.select.fragments import Fragment, finite_or_null
from curate.select.functions import wins
from curate.select.names import Type, resolve
from curate.select.parser import parse_tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A checked expression over the columns of a view."""

    text: str
    sql: str
    """Over the view's columns and `windows`; a DOUBLE that is finite or null, or a BOOLEAN."""
    windows: Mapping[str, str]
    """SQL of its window functions, and the names under which `sql` uses them; they need whole groups."""
    parameters: Mapping[str, float | str]
    """For the `$names` in `sql`. Different expressions of one query have different names."""
    raters: tuple[str, ...]
    """Raters that it names anywhere."""
    required: Mapping[str, str]
    """Value columns that have to be there, and their raters: those named outside coalesce() and 'is null'."""
    total: bool
    """Has a value wherever the required ones are there."""
    spread: str | None
    """The spread column, where the expression is one rater's value and the rater gives its spread."""


def parse(text: str, view: View, *, what: str, wanted: Type = "number", lenient: bool = False) -> Expression:
    """Check an expression against a view.

    `what`, best an `Option`, names it in complaints (`where`, `by` …); `wanted` is the type it must have. A `lenient` expression
    requires no rating: it is null for a sample without one. Raises `ExpressionError`.
    """
    tree = parse_tree(text, what)
    compiler = Compiler(view, what, lenient=lenient)
    fragment = compiler.compile(text, tree)
    if fragment.type != wanted:
        hint = "; compare it with something, as in pickscore > 0.2" if wanted == "boolean" else ""
        is_not = f" is {TYPE_NAMES[fragment.type]}, and {TYPE_NAMES[wanted]} is needed"
        raise ExpressionError(what, f"{is_not}{hint}: {text.strip()[:200]}")
    if wanted == "number":
        # A column is finite by the store's promise; but one NaN would lead every ranking, so it is checked all the same.
        guarded = finite_or_null(replace(fragment, finite=False))
        fragment = replace(guarded, total=fragment.total and fragment.finite)
    spread = resolve(tree, view, what).spread if isinstance(tree, syntax.Name) else None
    return _expression(text, compiler, fragment, spread)


def wins_of(texts: Sequence[str], view: View, *, what: str) -> Expression:
    """The expression wins(texts[0], texts[1], …): RankDPO's φ with each text as one judge."""
    compiler = Compiler(view, what)
    parts = []
    for text in texts:
        part = compiler.compile(text, parse_tree(text, what))
        if part.type != "number" or part.grouped:
            takes = " takes a number of each sample, without group functions, and not: "
            raise ExpressionError(what, takes, text.strip()[:200])
        parts.append(part)
    return _expression(f"wins({', '.join(texts)})", compiler, wins(parts, compiler.window), None)


def _expression(text: str, compiler: Compiler, fragment: Fragment, spread: str | None) -> Expression:
    return Expression(
        text=text,
        sql=fragment.sql,
        windows=compiler.windows,
        parameters=compiler.parameters,
        raters=tuple(compiler.raters),
        required=compiler.required,
        total=fragment.total,
        spread=spread,
    )
