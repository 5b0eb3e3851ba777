"""What tells a good rater from one that fails, or says the same of everything: reasons and spreads, counted in the store.

A rater whose values hardly differ within the groups it is to rank has nothing to teach; RewardDance (arXiv 2509.08826) watches
that variance, since it goes away when a judge is being fooled.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from curate.records import Status, reason_of
from curate.store.feeds import UUID
from curate.store.judgements import LiveRows
from curate.store.workspace import Workspace

LEAST_VALUES = 50
"""Before so many nothing is said of how little they differ."""

LEAST_GROUPS = 20

SAME = 0.005
"""Values are nearly the same where their standard deviation is less than this share of what they range over."""

SAME_WITHIN = 0.05
"""So they are within groups where it is there less than this share of what it is over all."""

LARGEST = 1e150
"""Beyond this a square is no number any more."""

Reasons = dict[str, dict[str, int]]
"""By dimension, how many judgements have no value for which reason (`curate.records.reason_of`)."""

FAILED = pa.schema([("sample", UUID), ("dimension", pa.string()), ("reason", pa.string())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """How far values are apart, as standard deviations (population)."""

    overall: float | None = None
    """None where there is no value, and where values are too large for it."""
    within: float | None = None
    """Root of the mean variance in groups with several values; None where there are none."""
    groups: int = 0
    """Such groups."""


def failed_rows(live: LiveRows) -> Iterator[pa.RecordBatch]:
    """The ratings without a value, as `FAILED`."""
    for batch in live.every(["dimension", "status", "detail"]):
        batch = batch.filter(pc.not_equal(batch.column("status"), str(Status.OK)))
        samples = pa.ExtensionArray.from_storage(UUID, batch.column("sample"))
        yield pa.RecordBatch.from_arrays([samples, batch.column("dimension"), reasons_of(batch)], schema=FAILED)


def reasons_of(batch: pa.RecordBatch) -> pa.Array:
    """The reason of each row, by its columns `status` and `detail`."""
    pairs = zip(batch.column("status").to_pylist(), batch.column("detail").to_pylist(), strict=True)
    return pa.array([reason_of(status, detail) for status, detail in pairs], pa.string())


def count_reasons(workspace: Workspace, live: LiveRows) -> Reasons:
    """Why ratings of samples in the table `samples` have no value."""
    workspace.feed("failed", FAILED, failed_rows(live))
    rows = workspace.run(
        "SELECT dimension, reason, count(*) FROM failed SEMI JOIN samples USING (sample) GROUP BY ALL ORDER BY ALL"
    )
    counted: Reasons = {}
    for dimension, reason, count in rows:
        counted.setdefault(dimension, {})[reason] = count
    return counted


def deviation(workspace: Workspace, column: str, *, low: float, high: float) -> Deviation:
    """How far the values of a column of the table `judged` are apart, of rows that are `held`; they lie from `low` to `high`."""
    if max(abs(low), abs(high)) > LARGEST:
        return Deviation()
    ((overall,),) = workspace.run(f"SELECT stddev_pop({column}) FROM judged WHERE held")
    of_groups = f'SELECT var_pop({column}) AS variance FROM judged WHERE held GROUP BY "group" HAVING count({column}) > 1'
    ((groups, variance),) = workspace.run(f"SELECT count(*), avg(variance) FROM ({of_groups})")
    return Deviation(overall=overall, within=math.sqrt(variance) if groups else None, groups=groups)


def warning(found: Deviation, *, count: int, span: float) -> str | None:
    """What there is to worry about in so many values that can range over `span`; None where there is nothing."""
    if found.overall is None or count < LEAST_VALUES:
        return None
    if found.overall <= SAME * span:
        return "nearly constant"
    if found.within is not None and found.groups >= LEAST_GROUPS and found.within <= SAME_WITHIN * found.overall:
        return "nearly constant within groups"
    return None


def span_of(declared: Iterable[float | None], *, low: float, high: float) -> float:
    """What values range over: what the card declares where that has two ends, else as far as the largest is from 0."""
    ends = [end for end in declared if end is not None]
    return ends[1] - ends[0] if len(ends) == 2 else max(abs(low), abs(high))


@dataclass(slots=True)
class Moments:
    """Mean and spread of probabilities that come in batches; summed around one half, which loses nothing."""

    count: int = 0
    _sums: list[float] = field(default_factory=list)
    _squares: list[float] = field(default_factory=list)

    def add(self, values: pa.Array) -> None:
        """Count a batch in; nulls do not count."""
        apart = pc.subtract(values, 0.5)
        self.count += len(values) - values.null_count
        self._sums.append(pc.sum(apart, min_count=0).as_py())
        self._squares.append(pc.sum(pc.multiply(apart, apart), min_count=0).as_py())

    @property
    def deviation(self) -> float | None:
        """Their standard deviation (population); None of none."""
        if not self.count:
            return None
        mean = math.fsum(self._sums) / self.count
        return math.sqrt(max(math.fsum(self._squares) / self.count - mean * mean, 0.0))


def declared_range(card: Mapping[str, object], dimension: str) -> list[float | None]:
    """The lowest and the highest value of a dimension, as a card (its JSON) says; empty where it does not."""
    dimensions = card.get("dimensions")
    said = dimensions.get(dimension) if isinstance(dimensions, dict) else None
    ends = said.get("range") if isinstance(said, dict) else None
    return list(ends) if isinstance(ends, list) else []
