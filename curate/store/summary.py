"""What a store holds, in numbers for people."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.store.compared import judges_pairs
from curate.store.feeds import UUID, Places, card_batches, card_schema
from curate.store.health import Deviation, Moments, count_reasons, declared_range, deviation, reasons_of, span_of, warning
from curate.store.ids import Ids, find, order, unpack_bytes
from curate.store.judgements import LiveRows, id_bytes
from curate.store.known import STATUSES
from curate.store.manifest import Snapshot
from curate.store.replies import CostOfCard, costs
from curate.store.table_files import read_batches
from curate.store.tables import SCHEMAS
from curate.store.unit import StoredCard
from curate.store.view import rater_columns
from curate.store.workspace import Workspace, open_workspace

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """How the values of one dimension spread."""

    count: int
    mean: float
    low: float
    quantiles: Mapping[float, float]
    """Values that stand at those shares of the sorted ones; no value is made up between two."""
    high: float
    deviation: Deviation
    warning: str | None
    """What is wrong with how they spread (`curate.store.health`); None where nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterSummary:
    """The ratings of one card; those that judge pairs give none."""

    name: str
    card: str
    latest: bool
    """Whether it is what the bare name means."""
    statuses: Mapping[str, int]
    """Rated samples that a unit holds, by status, the worst over their dimensions."""
    orphans: int
    """Rated samples that no unit holds any more, counted here alone; their ratings are found again if they come back."""
    dimensions: Mapping[str, Distribution | None]
    """Of the samples that a unit holds; None where no rating is ok."""
    reasons: Mapping[str, Mapping[str, int]]
    """By dimension, how many of these samples have no value for which reason (`curate.records.reason_of`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonSummary:
    """The comparisons of one card on one dimension."""

    name: str
    card: str
    dimension: str
    statuses: Mapping[str, int]
    """Compared pairs by status, of samples that a unit holds both."""
    orphans: int
    """Compared pairs with a sample that no unit holds any more, counted here alone; they are found again if it comes back."""
    ties: int
    """Those with the value 0.5."""
    both_orders: int
    """Those that were asked in both orders."""
    disagreeing: int
    """Of these, the ones whose two orders named different winners."""
    position_bias: float | None
    """Mean over those that have one; see `curate.records.Comparison`. None where none has."""
    reasons: Mapping[str, int]
    """Why pairs have no value (`curate.records.reason_of`)."""
    deviation: float | None
    """Standard deviation of the probabilities."""
    warning: str | None
    """What is wrong with how they spread; None where nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardCost:
    """What the replies for one card cost: those that are remembered, all runs together."""

    name: str
    """Empty for a card that rated nothing into this store."""
    card: str
    cost: CostOfCard


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A store in numbers."""

    path: str
    bytes: int
    """Of its table files."""
    units: int
    missing: tuple[str, ...]
    """Shards that were not where they had been."""
    truncated: tuple[str, ...]
    """Shards whose archive was cut."""
    unfinished: tuple[str, ...]
    """Shards of which only a part was rated, since a run was stopped inside them."""
    samples: int
    """Distinct ones."""
    places: int
    """Rows of samples: more than samples where some lie in several places."""
    groups: int
    group_sizes: Mapping[int, int]
    """How many groups have how many samples."""
    media_bytes: int
    """Of the distinct responses."""
    rejects: Mapping[str, int]
    """By reason."""
    raters: tuple[RaterSummary, ...]
    comparisons: tuple[ComparisonSummary, ...]
    costs: tuple[CardCost, ...]
    """Of judges that are asked."""


def summarise(
    folder: Path, cache: Path, snapshot: Snapshot, of: Collection[str] | None, *, memory: str, threads: int | None
) -> Summary:
    """The summary of a store's state; see `Store.summary`."""
    cards = [card for card in snapshot.cards if of is None or card.fingerprint in of]
    with open_workspace(cache, memory=memory, threads=threads) as workspace:
        _load_samples(workspace, folder, snapshot)
        ((samples, media_bytes),) = workspace.run("SELECT count(*), coalesce(sum(bytes), 0)::BIGINT FROM samples")
        group_sizes: dict[int, int] = dict(
            workspace.run(
                'SELECT size, count(*) FROM (SELECT count(*) AS size FROM samples GROUP BY "group") GROUP BY size ORDER BY size'
            )
        )
        raters = tuple(_rater(workspace, folder, snapshot, card) for card in cards if not judges_pairs(card))
        comparisons = tuple(_comparisons(workspace, folder, snapshot, cards))
    return Summary(
        path=str(folder),
        bytes=sum(file.bytes for file in snapshot.files),
        units=len(snapshot.units),
        missing=tuple(unit.shard for unit in snapshot.units if not unit.present),
        truncated=tuple(unit.shard for unit in snapshot.units if not unit.complete),
        unfinished=tuple(unit.shard for unit in snapshot.units if not unit.finished),
        samples=samples,
        places=sum(file.rows for file in snapshot.files if file.kind == "samples"),
        groups=sum(group_sizes.values()),
        group_sizes=group_sizes,
        media_bytes=media_bytes,
        rejects=_rejects(folder, snapshot),
        raters=raters,
        comparisons=comparisons,
        costs=tuple(cost for cost in _costs(folder, snapshot) if of is None or cost.card in of),
    )


def _load_samples(workspace: Workspace, folder: Path, snapshot: Snapshot) -> None:
    places = Places(folder, snapshot)
    places.find_repeated(workspace)
    columns = {"sample": UUID, "group": UUID, "bytes": pa.int64()}
    workspace.feed("fed", pa.schema(list(columns.items())), places.batches(columns))
    workspace.run("CREATE TEMP TABLE samples AS SELECT * FROM fed")


def _rater(workspace: Workspace, folder: Path, snapshot: Snapshot, card: StoredCard) -> RaterSummary:
    columns = rater_columns(snapshot, card)
    live = LiveRows(folder, "ratings", snapshot.parts_of("ratings", card.fingerprint))
    workspace.feed("fed", card_schema(columns), card_batches(live, columns))
    workspace.run(
        'CREATE OR REPLACE TEMP TABLE judged AS SELECT fed.*, samples."group", samples.sample IS NOT NULL AS held'
        " FROM fed LEFT JOIN samples ON fed.sample = samples.sample"
    )
    statuses = workspace.run("SELECT status, count(*) FROM judged WHERE held GROUP BY status ORDER BY status")
    ((orphans,),) = workspace.run("SELECT count(*) FROM judged WHERE NOT held")
    said = json.loads(card.text)
    return RaterSummary(
        name=card.name,
        card=card.fingerprint,
        latest=card.seq == max(other.seq for other in snapshot.cards if other.name == card.name),
        statuses={str(STATUSES[code]): count for code, count in statuses},
        orphans=orphans,
        dimensions={
            name: _distribution(workspace, position, declared_range(said, name))
            for position, name in enumerate(columns.dimensions)
        },
        reasons=count_reasons(workspace, live),
    )


def _distribution(workspace: Workspace, position: int, declared: Sequence[float | None]) -> Distribution | None:
    """The distribution of the card's dimension at `position`; one at a time, since exact quantiles hold all its values.

    `declared` is the range that the card says it has.
    """
    value = f"value{position}"
    ((count, mean, low, quantiles, high),) = workspace.run(
        f"SELECT count({value}), avg({value}), min({value}), quantile_disc({value}, {list(QUANTILES)}), max({value})"
        " FROM judged WHERE held"
    )
    if not count:
        return None
    found = deviation(workspace, value, low=low, high=high)
    return Distribution(
        count=count,
        mean=mean,
        low=low,
        quantiles=dict(zip(QUANTILES, quantiles, strict=True)),
        high=high,
        deviation=found,
        warning=warning(found, count=count, span=span_of(declared, low=low, high=high)),
    )


def _rejects(folder: Path, snapshot: Snapshot) -> dict[str, int]:
    reasons: Counter[str] = Counter()
    for _, file in snapshot.files_of("rejects"):
        for batch in read_batches(folder / file.name, SCHEMAS["rejects"], file.rows, columns=["reason"]):
            reasons.update(batch.column("reason").to_pylist())
    return dict(sorted(reasons.items()))


@dataclass(slots=True, kw_only=True)
class _Compared:
    """What is counted of the comparisons of one card on one dimension."""

    statuses: Counter[str] = field(default_factory=Counter)
    orphans: int = 0
    ties: int = 0
    both_orders: int = 0
    disagreeing: int = 0
    biases: list[float] = field(default_factory=list)
    """The sum of each batch."""
    biased: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    moments: Moments = field(default_factory=Moments)

    def add(self, batch: pa.RecordBatch, samples: Ids) -> None:
        """Count some rows; `samples` are those that a unit holds, in order."""
        sides = (unpack_bytes(id_bytes(batch.column(name))) for name in ("first", "second"))
        held = np.all([find(samples, side) >= 0 for side in sides], axis=0)
        self.orphans += int((~held).sum())
        batch = batch.filter(pa.array(held))
        agree, bias = batch.column("orders_agree"), batch.column("position_bias")
        self.statuses.update(batch.column("status").to_pylist())
        self.ties += pc.equal(batch.column("value"), 0.5).true_count
        self.both_orders += len(agree) - agree.null_count
        self.disagreeing += agree.false_count
        self.biases.append(pc.sum(bias, min_count=0).as_py())
        self.biased += len(bias) - bias.null_count
        self.reasons.update(reasons_of(batch.filter(pc.is_null(batch.column("value")))).to_pylist())
        self.moments.add(batch.column("value"))

    def summary(self, card: StoredCard, dimension: str) -> ComparisonSummary:
        return ComparisonSummary(
            name=card.name,
            card=card.fingerprint,
            dimension=dimension,
            statuses=dict(sorted(self.statuses.items())),
            orphans=self.orphans,
            ties=self.ties,
            both_orders=self.both_orders,
            disagreeing=self.disagreeing,
            position_bias=math.fsum(self.biases) / self.biased if self.biased else None,
            reasons=dict(sorted(self.reasons.items())),
            deviation=self.moments.deviation,
            warning=warning(Deviation(overall=self.moments.deviation), count=self.moments.count, span=1.0),
        )


def _comparisons(
    workspace: Workspace, folder: Path, snapshot: Snapshot, cards: Sequence[StoredCard]
) -> Iterator[ComparisonSummary]:
    cards = [card for card in cards if snapshot.parts_of("comparisons", card.fingerprint)]
    if not cards:
        return
    batches = workspace.stream("SELECT sample FROM samples")
    samples = np.concatenate([np.empty((0, 2), np.uint64), *(unpack_bytes(id_bytes(one.column(0).storage)) for one in batches)])
    samples = samples[order(samples)]
    for card in cards:
        live = LiveRows(folder, "comparisons", snapshot.parts_of("comparisons", card.fingerprint))
        found: dict[str, _Compared] = {}
        for batch in live.every(["dimension", "value", "orders_agree", "position_bias", "status", "detail"]):
            for dimension in batch.column("dimension").unique().to_pylist():
                mine = batch.filter(pc.equal(batch.column("dimension"), dimension))
                found.setdefault(dimension, _Compared()).add(mine, samples)
        yield from (compared.summary(card, dimension) for dimension, compared in sorted(found.items()))


def _costs(folder: Path, snapshot: Snapshot) -> Iterator[CardCost]:
    names = {card.fingerprint: card.name for card in snapshot.cards}
    for fingerprint, cost in sorted(costs(folder).items(), key=lambda one: (names.get(one[0], ""), one[0])):
        yield CardCost(name=names.get(fingerprint, ""), card=fingerprint, cost=cost)
