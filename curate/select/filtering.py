"""Filtering: the samples for which a condition holds, or the best of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import CurateError, Option
from curate.records import Funnel, View
from curate.select.engine import Engine, Parameters
from curate.select.names import quoted
from curate.select.options import Limits, Top, check_field, parse_top
from curate.select.output import regrouped, write_result
from curate.select.run import engine_for, how_made, parse_by, parse_where
from curate.select.samples import VALUE, Samples
from curate.select.slices import cuts

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_ROWS = 1 << 17
"""Rows that are written together; few, so that writing starts early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filtered:
    """Kept samples on disk."""

    path: Path
    """Parquet with `row`, the position in the view, and `sample`; ordered by row."""
    rows: int
    funnels: list[Funnel]
    """Of samples."""


def filter(  # noqa: A001 - the verb of the command line
    view: View,
    *,
    out: str | Path,
    where: str | None = None,
    top: str | int | None = None,
    by: str | None = None,
    per: str | None = None,
    memory: str | int = "2GB",
    threads: int | None = None,
    timeout: float | None = None,
) -> Filtered:
    """Keep the samples for which `where` holds, and of these the `top` ones `by` an expression; write their ids as Parquet.

    `top` is a number (`1000`) or a share (`12%`, of which a part of a sample counts as one), overall, or for each value of the
    sample field `per` (such as `generator` or `group`). Equal values are told apart by group, then sample id. Samples
    without a rating that an expression needs are dropped.

    `memory`, `threads` and `timeout` (seconds) change no result: the file's bytes are the same. Raises `ExpressionError`,
    `CurateError` for other options, `OutputError` where `out` cannot be written.
    """
    limits = Limits(memory=memory, threads=threads, timeout=timeout)
    _check_asked(where=where, top=top, by=by, per=per)
    samples = Samples(view=view, where=parse_where(where, view), by=None if top is None else parse_by(by, view))
    filtering = _Filtering(samples=samples, top=None if top is None else parse_top(top), per=per)
    asked = {"where": where, "top": top, "by": by, "per": per}
    out = Path(out)
    with engine_for(view, out, limits) as engine:
        made = partial(how_made, "filter", view, asked, [samples.where, samples.by], filtering.funnels)
        rows = write_result(out, filter_schema(), filtering.batches(engine), made)
    return Filtered(path=out, rows=rows, funnels=filtering.funnels)


def filter_schema() -> pa.Schema:
    """The columns of kept samples."""
    import pyarrow as pa

    return pa.schema([("row", pa.int64()), ("sample", pa.string())])


def _check_asked(*, where: str | None, top: str | int | None, by: str | None, per: str | None) -> None:
    if where is None and top is None:
        ways = (Option("where"), ", or ", Option("top"), " with ", Option("by"))
        raise CurateError("nothing is asked of the samples; give ", *ways)
    if top is None and (by is not None or per is not None):
        given = Option("by" if by is not None else "per")
        raise CurateError(given, " says how to choose the best; give ", Option("top"), " too, such as 12%")
    check_field(per)


@dataclass(kw_only=True)
class _Filtering:
    """Finds the samples of one selection, and counts them."""

    samples: Samples
    top: Top | None
    per: str | None
    funnels: list[Funnel] = field(default_factory=list, init=False)
    """Complete when all batches have been read."""

    def batches(self, engine: Engine) -> Iterator[pa.RecordBatch]:
        rows = 0
        for batch in regrouped(self._stream(engine), BLOCK_ROWS):
            rows += batch.num_rows
            yield batch
        entering = rows if self.top is None else _count(engine, self.samples)
        funnel = self.samples.funnel(engine, "filter", entering)
        funnel.drop("not in top", entering - rows)
        funnel.kept = rows
        self.funnels.append(funnel)

    def _stream(self, engine: Engine) -> Iterator[pa.RecordBatch]:
        if self.top is not None and self.per is None:
            yield from self._best(engine, self.top)
            return
        in_groups = self.per == "group" or (self.per is None and self.samples.grouped)
        for groups in cuts(self.samples.view) if in_groups else [None]:
            relation = self.samples.entering(groups)
            if self.top is not None:
                relation = f"SELECT * FROM ({_placed(relation, str(self.per))}) WHERE {_within(self.top)}"
            order = " ORDER BY row" if self.top is not None or self.samples.grouped else ""  # else they come in order
            yield from engine.batches(f"SELECT row, sample FROM ({relation}){order}", self.samples.parameters)

    def _best(self, engine: Engine, top: Top) -> Iterator[pa.RecordBatch]:
        """The best overall: the last of them is found first, and then everything that is not behind it."""
        entering = self.samples.entering()
        wanted = (
            top.count if top.share is None else -(-_count(engine, self.samples) * top.share.numerator // top.share.denominator)
        )
        if not wanted:
            return
        by_value = f"SELECT {VALUE}, row FROM (SELECT {VALUE}, row FROM ({entering}) ORDER BY {VALUE} DESC, row LIMIT {wanted})"
        last = engine.rows(f"{by_value} ORDER BY {VALUE}, row DESC LIMIT 1", self.samples.parameters)
        for value, row in last:
            not_behind = f"{VALUE} > $last OR ({VALUE} = $last AND row <= {int(row)})"
            order = " ORDER BY row" if self.samples.grouped else ""
            bound: Parameters = {**self.samples.parameters, "last": value}
            yield from engine.batches(f"SELECT row, sample FROM ({entering}) WHERE {not_behind}{order}", bound)


def _placed(relation: str, per: str) -> str:
    """The rows with their place among those of the same field, from 1, and the number of these."""
    key = "group_no" if per == "group" else quoted(per)
    place = f"row_number() OVER (PARTITION BY {key} ORDER BY {VALUE} DESC, row)"
    return f"SELECT *, {place} AS _place, count(*) OVER (PARTITION BY {key}) AS _number FROM ({relation})"


def _within(top: Top) -> str:
    if top.share is None:
        return f"_place <= {top.count}"
    # place <= ceil(share * number), in whole numbers
    return f"(_place - 1) * {top.share.denominator}::HUGEINT < _number * {top.share.numerator}::HUGEINT"


def _count(engine: Engine, samples: Samples) -> int:
    return int(engine.rows(f"SELECT count(*) FROM ({samples.entering()})", samples.parameters)[0][0])
