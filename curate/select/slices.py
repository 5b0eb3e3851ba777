"""A view cut into slices of whole groups: what everything after rating needs, and little enough to hold in memory.

Rows of a view are ordered by group, so a slice is read from one place of the file; how a view is cut depends on nothing but
its numbers of rows and groups, so it is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curate.records import View
from curate.select.engine import Engine
from curate.select.expression import Expression
from curate.select.samples import VALUE, Samples, parameters, with_column

if TYPE_CHECKING:
    import pyarrow as pa

Places = NDArray[np.int64]
"""Positions in a slice."""

SLICE_ROWS = 1 << 20
"""Rows of the view in one slice, about; more where a single group has more."""


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
    """Every slice in order. `columns` (SQL over the view's columns) and `expressions`, by name, become `Slice.extra`.

    Group functions of these look at the samples that enter.
    """
    named = {"group_no": "group_no", "row": "row", VALUE: VALUE, "sample": "sample", '"group"': '"group"', **columns}
    chosen = ", ".join([*(f"{sql} AS {name}" for name, sql in named.items()), *expressions])
    # Rows come in the view's order, but for window functions, which work through them group by group.
    windows = samples.grouped or any(expression.windows for expression in expressions.values())
    bound = {**samples.parameters, **parameters(*expressions.values())}
    for groups in cuts(samples.view):
        entering = samples.entering(groups)
        for name, expression in expressions.items():
            entering = with_column(entering, expression, name)
        table = engine.table(f"SELECT {chosen} FROM ({entering}){' ORDER BY row' if windows else ''}", bound)
        yield _slice(table, [*columns, *expressions])


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
    """Ranges of group numbers, each about `SLICE_ROWS` rows."""
    step = max(1, SLICE_ROWS * view.groups // max(1, view.rows))
    for first in range(0, view.groups, step):
        yield first, min(first + step, view.groups)


def _one_piece(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _array(table: pa.Table, name: str) -> NDArray[Any]:
    """A column of numbers as an array; a null becomes NaN."""
    array: NDArray[Any] = _one_piece(table, name).to_numpy(zero_copy_only=False)
    return array
