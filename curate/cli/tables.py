"""Tables for people: funnels that add up, statuses by rater, cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from curate.showing import counted

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Column, Table

    from curate.records import Funnel


MOST_WORD = 48
"""Letters of a word that a column has room for where there is no window to fit."""

_BETWEEN = 3
"""Columns beside each column of a table."""


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table in which columns of numbers stand to the right; None is a dash. Without names of columns it has no head."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = [list(row) for row in rows]
    named = any(columns)
    lines = box.SIMPLE_HEAD if named else box.SIMPLE
    made = Table(title=title or None, title_justify="left", box=lines, title_style="bold", pad_edge=False, show_header=named)
    for at, name in enumerate(columns):
        numbers = any(_is_number(row[at]) for row in rows) and all(row[at] is None or _is_number(row[at]) for row in rows)
        made.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        # Text, not markup: a prompt with square brackets stays what it is.
        made.add_row(*(Text(spell(cell)) for cell in row))
    return made


def width_for_words(part: RenderableType) -> int:
    """The columns that a table takes without breaking a word; 0 for what is no table.

    Longer words than `MOST_WORD`, such as paths, are broken all the same.
    """
    from rich.table import Table

    return sum(_longest_word(column) + _BETWEEN for column in part.columns) if isinstance(part, Table) else 0


def fit(part: Table, width: int) -> None:
    """Set the columns of a table so that it is no wider, and no word broken where there is room for all.

    What room is left beside the longest words goes to the columns that need least of it to stand in one line.
    """
    spare = width - width_for_words(part)
    if spare < 0:
        return
    wanted = [(min(column.max_width or width, max(map(len, _lines(column)), default=0)), column) for column in part.columns]
    wanted = [(longest - _longest_word(column), column) for longest, column in wanted]
    for left, (more, column) in enumerate(sorted(wanted, key=lambda one: one[0])):
        given = min(max(more, 0), spare // (len(wanted) - left))
        column.width = _longest_word(column) + given
        spare -= given


def _longest_word(column: Column) -> int:
    return min(MOST_WORD, max((len(word) for line in _lines(column) for word in line.split()), default=0))


def _lines(column: Column) -> list[str]:
    return [line for cell in (column.header, *column.cells) for line in str(cell).splitlines()]


def turned(part: Table) -> Table:
    """The same table with a line for each cell, for a window that is too narrow for it; empty cells are left out."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(
        title=part.title,
        title_justify="left",
        box=box.SIMPLE,
        title_style="bold",
        pad_edge=False,
        show_header=False,
        padding=(0, 1),
    )
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for row in zip(*(column.cells for column in part.columns), strict=True):
        for column, cell in zip(part.columns, row, strict=True):
            if str(cell) != "-":
                made.add_row(Text(str(column.header)), cell)
        made.add_section()
    return made


def spell(value: object) -> str:
    """A cell as text: thousands apart, four digits of a fraction, a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}"
    return str(value)


def number_of(count: int, thing: str) -> str:
    """A count with its word: '1 shard', '2,000 shards'."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def funnel_table(funnels: Sequence[Funnel]) -> Table:
    """One row a step: what came in, what went out, and what was dropped for which reason."""
    rows = [
        (funnel.step, funnel.unit, funnel.taken, funnel.kept, sum(funnel.dropped.values()), counted(funnel.dropped))
        for funnel in funnels
    ]
    return table("What became of it", ("step", "counted", "in", "out", "dropped", "why"), rows)


def status_table(statuses: Mapping[str, Mapping[str, int]]) -> Table:
    """Raters by status, over samples; `ok` first, then what failed most."""
    totals: dict[str, int] = {}
    for counts in statuses.values():
        for status, count in counts.items():
            totals[str(status)] = totals.get(str(status), 0) + count
    names = sorted(totals, key=lambda status: (status != "ok", -totals[status], status))
    rows = [(rater, *(counts.get(name, 0) for name in names), sum(counts.values())) for rater, counts in sorted(statuses.items())]
    return table("Ratings by status", ("rater", *names, "samples"), rows)


def told_table(told: Mapping[str, Mapping[str, float]]) -> Table:
    """What raters counted of their own work: requests, tokens; one row a rater."""
    names = _names_of(told)
    rows = [(rater, *(numbers.get(name) for name in names)) for rater, numbers in sorted(told.items())]
    return table("What the judges were asked", ("rater", *names), rows)


def _names_of(told: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The names of all numbers, in the order of who has most of them."""
    return list(dict.fromkeys(name for numbers in sorted(told.values(), key=len, reverse=True) for name in numbers))


def reasons_table(reasons: Mapping[str, Mapping[str, int]]) -> Table:
    """Why answers of a run have no value: a row for each rater and reason, what failed most first."""
    rows = [
        (rater, reason, count)
        for rater, counts in sorted(reasons.items())
        for reason, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    ]
    return table("Without a value in this run", ("rater", "reason", "answers"), rows)


def estimate_table(told: Mapping[str, Mapping[str, float]], prices: tuple[float, float] | None) -> Table | str:
    """What would be asked at least, about; with what it would cost where prices of a million tokens are known. A sentence where
    that is nothing."""
    if not told:
        return "Nothing would be asked."
    names = _names_of(told)
    rows = [(rater, *(numbers.get(name) for name in names), *_cost(numbers, prices)) for rater, numbers in sorted(told.items())]
    return table("What would be asked at least, about", ("rater", *names, *(("price",) if prices else ())), rows)


def _cost(numbers: Mapping[str, float], prices: tuple[float, float] | None) -> tuple[float, ...]:
    if prices is None:
        return ()
    return ((numbers.get("prompt tokens", 0) * prices[0] + numbers.get("reply tokens", 0) * prices[1]) / 1e6,)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
