"""A view cut into slices of whole groups: what everything after rating needs, and little enough to hold in memory.

Rows of a view are ordered by group, so a slice is read from one place of the file; how a view is cut depends on nothing but
its numbers of rows and groups, so it is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    first_row: int
    """Position in the view of the first sample of the slice, whether it enters or not."""
    sample_ids: pa.Array
    """Of every sample of the slice in the view's order, whether it enters or not."""
    group_ids: pa.Array
    """The group of each of these."""

    @cached_property
    def segments(self) -> NDArray[np.int64]:
        """(samples,) number within the slice of the group that each sample is in."""
        return np.repeat(np.arange(len(self.starts)), self.sizes)

    def ids_of(self, places: NDArray[np.integer[Any]]) -> pa.Array:
        """Sample ids at these places of the slice."""
        import pyarrow as pa

        return self.sample_ids.take(pa.array(self.rows[places] - self.first_row))

    def groups_of(self, segments: NDArray[np.integer[Any]]) -> pa.Array:
        """Group ids of these groups of the slice, which are in order; each is held once."""
        import pyarrow as pa

        first, last = (int(segments[0]), int(segments[-1])) if len(segments) else (0, -1)
        held = self.group_ids.take(pa.array(self.rows[self.starts[first : last + 1]] - self.first_row))
        return pa.DictionaryArray.from_arrays(pa.array((segments - first).astype(np.int32)), held)


def read_slices(
    engine: Engine, samples: Samples, *, columns: Mapping[str, str], expressions: Mapping[str, Expression]
) -> Iterator[Slice]:
    """Every slice in order. `columns` (SQL over the view's columns) and `expressions`, by name, become `Slice.extra`.

    Group functions of these look at the samples that enter.
    """
    names = [*columns, *expressions]
    bound = {**samples.parameters, **parameters(*expressions.values())}
    first_row = 0
    for groups in cuts(samples.view):
        inside = f"group_no >= {groups[0]} AND group_no < {groups[1]}"
        ids = engine.table(f'SELECT sample, "group" FROM samples WHERE {inside}', {})
        entering = samples.entering(groups)
        for name, expression in expressions.items():
            entering = with_column(entering, expression, name)
        chosen = ", ".join(["group_no", "row", VALUE, *(f"{sql} AS {name}" for name, sql in columns.items()), *expressions])
        numbers = engine.table(f"SELECT {chosen} FROM ({entering}) ORDER BY group_no, {VALUE} DESC, row", bound)
        starts, sizes = runs(_array(numbers, "group_no"))
        yield Slice(
            values=_array(numbers, VALUE),
            rows=_array(numbers, "row"),
            starts=starts,
            sizes=sizes,
            extra={name: _array(numbers, name) for name in names},
            first_row=first_row,
            sample_ids=_one_piece(ids, "sample"),
            group_ids=_one_piece(ids, "group"),
        )
        first_row += ids.num_rows


def runs(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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
