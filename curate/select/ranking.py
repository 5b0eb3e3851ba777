"""Rankings: the samples of every group in order, best first, with ties as ties."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curate.ahead import ahead
from curate.errors import Option
from curate.records import Funnel, View
from curate.select.closeness import rounding
from curate.select.engine import Engine
from curate.select.expression import Expression, wins_of
from curate.select.judging import Fate
from curate.select.names import quoted
from curate.select.options import Limits, check_seed, check_tie, parse_split
from curate.select.output import known, write_result
from curate.select.run import engine_for, how_made, parse_by, parse_where
from curate.select.samples import Samples
from curate.select.slices import Slice, read_slices
from curate.select.splits import split_hash, split_names, split_numbers

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_ROWS = 1 << 18
"""Rows that are written together."""

_SPREAD, _WINS, _SPLIT = "_spread", "_wins", "_split"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rankings:
    """Rankings on disk."""

    path: Path
    """Parquet with the columns of `rank_schema`, ordered by group, rank, value and sample id."""
    groups: int
    rows: int
    funnels: list[Funnel]
    """Of samples and of groups."""


def rank(
    view: View,
    *,
    by: str,
    out: str | Path,
    where: str | None = None,
    tie: float = 0.0,
    wins: Sequence[str] = (),
    split: str | Mapping[str, float] | None = None,
    seed: int = 0,
    memory: str | int = "2GB",
    threads: int | None = None,
    timeout: float | None = None,
) -> Rankings:
    """Put the samples of every group in order by an expression, and write the rankings as Parquet.

    A value not more than `tie` below the best of its rank shares that rank, so ranks run 1, 2, 2, 4. `wins` are expressions,
    each a judge, from which RankDPO's φ is computed: by strict wins, whatever `tie` is, which is in the units of `by`. Samples
    without a rating for any of them take no part, nor do those for which `where` does not hold. `split`, such as `test=5%`,
    shares prompts out by their hash with `seed`; the rest is `train`. A group that the data names, with prompts that lie in two
    splits, is left out: whatever is taken out of a ranking later, no prompt comes to lie in both.

    `memory`, `threads` and `timeout` (seconds) change no result: the file's bytes are the same. Raises `ExpressionError`,
    `CurateError` for other options, `OutputError` where `out` cannot be written.
    """
    check_tie(tie)
    check_seed(seed)
    limits = Limits(memory=memory, threads=threads, timeout=timeout)
    judges = wins_of(wins, view, what=Option("wins")) if wins else None
    samples = Samples(view=view, where=parse_where(where, view), by=parse_by(by, view), also=judges)
    ranking = _Ranking(samples=samples, judges=judges, tie=tie, splits=parse_split(split), seed=seed)
    asked = {"by": by, "where": where, "tie": tie, "wins": list(wins), "split": split, "seed": seed}
    out = Path(out)
    with engine_for(view, out, limits) as engine:
        made = partial(how_made, "rank", view, asked, [samples.where, samples.by, judges], ranking.funnels)
        rows = write_result(out, rank_schema(), ranking.batches(engine), made)
    return Rankings(path=out, groups=ranking.funnels[1].kept, rows=rows, funnels=ranking.funnels)


def rank_schema() -> pa.Schema:
    """The columns of rankings: `k` is the size of the group's ranking, `row` the position in the view.

    A null spread is not known; a null in wins was not asked for, or its judges have no value.
    """
    import pyarrow as pa

    columns: dict[str, pa.DataType] = {
        "group": pa.dictionary(pa.int32(), pa.string()),
        "sample": pa.string(),
        "rank": pa.int64(),
        "value": pa.float64(),
        "spread": pa.float64(),
        "k": pa.int64(),
        "wins": pa.float64(),
        "row": pa.int64(),
        "split": pa.dictionary(pa.int32(), pa.string()),
    }
    return pa.schema(list(columns.items()))


def ranks(values: NDArray[np.float64], starts: NDArray[np.int64], sizes: NDArray[np.int64], tie: float) -> NDArray[np.int64]:
    """The ranks of groups whose values lie side by side and fall, as (samples,) integers from 1.

    The best value opens rank 1; the first that is more than `tie` below it opens the next rank, numbered by its place, and so
    on. So a rank holds nothing further apart than `tie`, and a long row of small steps does not become one tie. Values that only
    rounding keeps apart are equal; see `closeness`.
    """
    places = np.arange(len(values)) - np.repeat(starts, sizes)
    opens = places == 0
    if tie == 0:
        opens[1:] |= values[1:] < values[:-1] - rounding(values[1:], values[:-1])
    else:
        best_of_rank = values[starts]
        # One place of every group at a time, and only of groups that have so many.
        for place in range(1, int(sizes.max(initial=0))):
            groups = np.flatnonzero(sizes > place)
            here = starts[groups] + place
            best = best_of_rank[groups]
            below = groups[best > values[here] + (tie + rounding(best, values[here]))]
            best_of_rank[below] = values[starts[below] + place]
            opens[starts[below] + place] = True
    opened_at = np.maximum.accumulate(np.where(opens, np.arange(len(values)), 0))
    return places[opened_at] + 1 if len(values) else places


@dataclass(kw_only=True)
class _Ranking:
    """Makes the rankings of one selection, and counts them."""

    samples: Samples
    judges: Expression | None
    tie: float
    splits: Sequence[tuple[str, Fraction]]
    seed: int
    funnels: list[Funnel] = field(default_factory=list, init=False)
    """Of samples and of groups; complete when all batches have been read."""

    def batches(self, engine: Engine) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        by = self.samples.by
        columns = {_SPREAD: quoted(by.spread)} if by is not None and by.spread is not None else {}
        if self.splits:
            columns[_SPLIT] = split_hash(self.seed)
        expressions = {_WINS: self.judges} if self.judges is not None else {}
        groups = Funnel(step="rank", unit="groups", taken=self.samples.view.groups)
        entering = torn = 0
        slices = read_slices(engine, self.samples, columns=columns, expressions=expressions)
        with closing(ahead(slices)) as coming:
            for one in coming:
                engine.check_time()
                places = ranks(one.values, one.starts, one.sizes, self.tie)
                splits, whole = self._splits_of(one)
                groups.kept += int(whole.sum())
                groups.drop(Fate.OTHER_SPLIT.reason, int((~whole).sum()))
                entering += len(one.values)
                torn += int(one.sizes[~whole].sum())
                for begin in range(0, len(one.values), BLOCK_ROWS):
                    part = slice(begin, begin + BLOCK_ROWS)
                    batch = self._batch(one, places, splits, part)
                    yield batch if whole.all() else batch.filter(pa.array(whole[one.segments[part]]))
        groups.drop("no_sample", groups.taken - groups.kept - sum(groups.dropped.values()))
        samples = self.samples.funnel(engine, "rank", entering)
        samples.kept -= torn
        samples.drop(Fate.OTHER_SPLIT.reason, torn)
        self.funnels += [samples, groups]

    def _batch(self, one: Slice, places: NDArray[np.int64], splits: NDArray[np.int64], part: slice) -> pa.RecordBatch:
        import pyarrow as pa

        here = np.arange(len(one.values))[part]
        unknown = pa.nulls(len(here), pa.float64())
        columns = {
            "group": one.repeated_groups_of(one.segments[part]),
            "sample": one.ids_of(here),
            "rank": pa.array(places[part]),
            "value": pa.array(one.values[part]),
            "spread": known(one.extra[_SPREAD][part]) if _SPREAD in one.extra else unknown,
            "k": pa.array(np.repeat(one.sizes, one.sizes)[part]),
            "wins": known(one.extra[_WINS][part]) if _WINS in one.extra else unknown,
            "row": pa.array(one.rows[part]),
            "split": pa.DictionaryArray.from_arrays(
                pa.array(splits[one.segments[part]].astype(np.int32)), pa.array(split_names(self.splits))
            ),
        }
        return pa.RecordBatch.from_pydict(columns, schema=rank_schema())

    def _splits_of(self, one: Slice) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The number of each group's split, and whether all of its prompts lie in it."""
        if not self.splits:
            return np.zeros(len(one.starts), dtype=np.int64), np.ones(len(one.starts), dtype=np.bool_)
        numbers = split_numbers(one.extra[_SPLIT], self.splits)
        lowest: NDArray[np.int64] = np.minimum.reduceat(numbers, one.starts)
        return lowest, lowest == np.maximum.reduceat(numbers, one.starts)
