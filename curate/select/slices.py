"""A view cut into slices of whole groups: what everything after rating needs, and little enough to hold in memory.

Rows of a view are ordered by group, so slices are cut from one stream of rows; how a view is cut depends on nothing but its
numbers of rows and groups, so it is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curate.ahead import ahead
from curate.records import View
from curate.select.engine import Engine
from curate.select.expression import Expression
from curate.select.samples import VALUE, Samples, parameters, with_column

if TYPE_CHECKING:
    import pyarrow as pa

Places = NDArray[np.int64]
"""Positions in a slice."""

QUERY_ROWS = 1 << 20
"""Rows of the view, about, that a query with group functions looks at; more where a single group has more."""

SLICE_ROWS = 1 << 16
"""Rows of the view in one slice, likewise. Arrays of so many stay in the cache; and where a result names its ids several times,
two bytes number each of so many: larger numbers compress worse and take longer."""


@dataclass(frozen=True, kw_only=True)  # no slots, for the cached property
class Slice:
    """The samples of some whole groups that enter a selection: group by group, in each the best first, then by sample id."""

    values: NDArray[np.float64]
    """(samples,) of the expression; finite."""
    rows: NDArray[np.int64]
    """(samples,) positions in the view."""
    starts: NDArray[np.int64]
    """(groups,) position here of each group's best sample."""
    sizes: NDArray[np.int64]
    """(groups,) samples of each group that enter; 1 or more."""
    extra: Mapping[str, NDArray[Any]]
    """(samples,) each: further columns that were asked for; NaN for a null number."""
    order: NDArray[np.int64]
    """(samples,) place of each sample in the view's order, in which the ids are."""
    sample_ids: pa.Array
    """(samples,) in the view's order."""
    group_ids: pa.Array
    """(samples,) in the view's order."""

    @cached_property
    def segments(self) -> NDArray[np.int64]:
        """(samples,) number within the slice of the group that each sample is in."""
        return np.repeat(np.arange(len(self.starts)), self.sizes)

    def ids_of(self, places: Places) -> pa.Array:
        """Sample ids at these places of the slice."""
        import pyarrow as pa

        return self.sample_ids.take(pa.array(self.order[places]))

    def repeated_ids_of(self, places: Places) -> pa.DictionaryArray:
        """Sample ids at these places of the slice, which lie close together and stand several times; each is held once."""
        import pyarrow as pa

        low, high = (int(places.min()), int(places.max())) if len(places) else (0, -1)
        used = np.zeros(high - low + 1, dtype=bool)
        used[places - low] = True
        numbers = np.cumsum(used, dtype=np.int32) - 1
        return pa.DictionaryArray.from_arrays(pa.array(numbers[places - low]), self.ids_of(np.flatnonzero(used) + low))

    def groups_of(self, segments: Places) -> pa.Array:
        """Group ids of these groups of the slice."""
        import pyarrow as pa

        return self.group_ids.take(pa.array(self.starts[segments]))  # groups stand in the same place in both orders

    def repeated_groups_of(self, segments: Places) -> pa.DictionaryArray:
        """Group ids of these groups of the slice, which are in order and stand several times; each is held once."""
        import pyarrow as pa

        first, last = (int(segments[0]), int(segments[-1])) if len(segments) else (0, -1)
        held = self.groups_of(np.arange(first, last + 1))
        return pa.DictionaryArray.from_arrays(pa.array((segments - first).astype(np.int32)), held)


def read_slices(
    engine: Engine, samples: Samples, *, columns: Mapping[str, str], expressions: Mapping[str, Expression]
) -> Iterator[Slice]:
    """Every slice that has samples, in order. Group functions look at the samples that enter.

    `columns` (SQL over the view's columns) and `expressions`, by name, become `Slice.extra`.
    """
    stream = _rows(engine, samples, columns=columns, expressions=expressions)
    with closing(ahead(stream)) as coming:
        for table in _in_slices(coming, _groups_in(samples.view, SLICE_ROWS)):
            yield _slice(table, [*columns, *expressions])


def _rows(
    engine: Engine, samples: Samples, *, columns: Mapping[str, str], expressions: Mapping[str, Expression]
) -> Iterator[pa.RecordBatch]:
    """The samples that enter, in the view's order, with the columns that a slice is made of."""
    named = {"group_no": "group_no", "row": "row", VALUE: VALUE, "sample": "sample", '"group"': '"group"', **columns}
    chosen = ", ".join([*(f"{sql} AS {name}" for name, sql in named.items()), *expressions])
    # Window functions work through some groups at a time, which they need in memory, and lose the view's order.
    windows = samples.grouped or any(expression.windows for expression in expressions.values())
    bound = {**samples.parameters, **parameters(*expressions.values())}
    for groups in cuts(samples.view) if windows else [None]:
        entering = samples.entering(groups)
        for name, expression in expressions.items():
            entering = with_column(entering, expression, name)
        yield from engine.batches(f"SELECT {chosen} FROM ({entering}){' ORDER BY row' if windows else ''}", bound)


def _in_slices(batches: Iterable[pa.RecordBatch], groups: int) -> Iterator[pa.Table]:
    """The same rows, those of the first `groups` groups of the view in one table, those of the next in another, and so on."""
    import pyarrow as pa

    waiting: list[pa.RecordBatch] = []
    number = -1
    for batch in batches:
        numbers = batch.column("group_no").to_numpy() // groups
        for start, size in zip(*runs(numbers), strict=True):
            if waiting and numbers[start] != number:
                yield pa.Table.from_batches(waiting).combine_chunks()
                waiting = []
            waiting.append(batch.slice(start, size))
            number = numbers[start]
    if waiting:
        yield pa.Table.from_batches(waiting).combine_chunks()


def _slice(table: pa.Table, extra: Sequence[str]) -> Slice:
    values = _array(table, VALUE)
    starts, sizes = runs(_array(table, "group_no"))
    order = best_first(values, starts, sizes)
    return Slice(
        values=values[order],
        rows=_array(table, "row")[order],
        starts=starts,
        sizes=sizes,
        extra={name: _array(table, name)[order] for name in extra},
        order=order,
        sample_ids=_one_piece(table, "sample"),
        group_ids=_one_piece(table, "group"),
    )


def best_first(values: NDArray[np.float64], starts: Places, sizes: Places) -> Places:
    """The order that puts the samples of each group best first, equal ones as they stood; groups stay where they are.

    Groups of one size are sorted together, as the rows of a matrix: ten times faster than sorting all samples by group and
    value. There are never many sizes, since n samples have groups of at most sqrt(2 n) different ones.
    """
    order = np.arange(len(values))
    for size in np.unique(sizes[sizes > 1]):
        places = starts[sizes == size][:, None] + np.arange(size)
        ranking = np.argsort(-values[places], axis=1, kind="stable")
        order[places] = np.take_along_axis(places, ranking, axis=1)
    return order


def runs(keys: NDArray[np.int64]) -> tuple[Places, Places]:
    """Where each run of equal keys starts, and how long it is."""
    starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(keys)), dtype=bool), keys[1:] != keys[:-1]]))
    return starts, np.diff(np.append(starts, len(keys)))


def cuts(view: View) -> Iterator[tuple[int, int]]:
    """Ranges of group numbers, each about `QUERY_ROWS` rows."""
    step = _groups_in(view, QUERY_ROWS)
    for first in range(0, view.groups, step):
        yield first, min(first + step, view.groups)


def _groups_in(view: View, rows: int) -> int:
    """How many groups have about so many rows; at least one."""
    return max(1, rows * view.groups // max(1, view.rows))


def _one_piece(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _array(table: pa.Table, name: str) -> NDArray[Any]:
    """A column of numbers as an array; a null becomes NaN."""
    array: NDArray[Any] = _one_piece(table, name).to_numpy(zero_copy_only=False)
    return array
