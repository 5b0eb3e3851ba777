"""What a store holds, in numbers for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from curate.store.feeds import UUID, Places, card_batches, card_schema
from curate.store.judgements import LiveRows
from curate.store.known import STATUSES
from curate.store.manifest import Snapshot
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterSummary:
    """The ratings of one card."""

    name: str
    card: str
    latest: bool
    """Whether it is what the bare name means."""
    statuses: Mapping[str, int]
    """Rated samples by status, the worst over their dimensions."""
    orphans: int
    """Rated samples that no unit holds any more; their ratings are found again if they come back."""
    dimensions: Mapping[str, Distribution | None]
    """None where no rating is ok."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonSummary:
    """The comparisons of one card."""

    name: str
    card: str
    statuses: Mapping[str, int]
    disagreeing: int
    """Comparisons whose two orders named different winners."""


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


def summarise(folder: Path, cache: Path, snapshot: Snapshot, *, memory: str, threads: int | None) -> Summary:
    """The summary of a store's state; see `Store.summary`."""
    with open_workspace(cache, memory=memory, threads=threads) as workspace:
        _load_samples(workspace, folder, snapshot)
        ((samples, media_bytes),) = workspace.run("SELECT count(*), coalesce(sum(bytes), 0)::BIGINT FROM samples")
        group_sizes: dict[int, int] = dict(
            workspace.run(
                'SELECT size, count(*) FROM (SELECT count(*) AS size FROM samples GROUP BY "group") GROUP BY size ORDER BY size'
            )
        )
        raters = tuple(_rater(workspace, folder, snapshot, card) for card in snapshot.cards)
    return Summary(
        path=str(folder),
        bytes=sum(file.bytes for file in snapshot.files),
        units=len(snapshot.units),
        missing=tuple(unit.shard for unit in snapshot.units if not unit.present),
        truncated=tuple(unit.shard for unit in snapshot.units if not unit.complete),
        samples=samples,
        places=sum(file.rows for file in snapshot.files if file.kind == "samples"),
        groups=sum(group_sizes.values()),
        group_sizes=group_sizes,
        media_bytes=media_bytes,
        rejects=_rejects(folder, snapshot),
        raters=raters,
        comparisons=tuple(_comparisons(folder, snapshot)),
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
    workspace.run("CREATE OR REPLACE TEMP TABLE judged AS SELECT * FROM fed")
    statuses = workspace.run("SELECT status, count(*) FROM judged GROUP BY status ORDER BY status")
    ((orphans,),) = workspace.run("SELECT count(*) FROM judged ANTI JOIN samples USING (sample)")
    return RaterSummary(
        name=card.name,
        card=card.fingerprint,
        latest=card.seq == max(other.seq for other in snapshot.cards if other.name == card.name),
        statuses={str(STATUSES[code]): count for code, count in statuses},
        orphans=orphans,
        dimensions={name: _distribution(workspace, position) for position, name in enumerate(columns.dimensions)},
    )


def _distribution(workspace: Workspace, position: int) -> Distribution | None:
    """The distribution of the card's dimension at `position`; one at a time, since exact quantiles hold all its values."""
    value = f"value{position}"
    ((count, mean, low, quantiles, high),) = workspace.run(
        f"SELECT count({value}), avg({value}), min({value}), quantile_disc({value}, {list(QUANTILES)}), max({value}) FROM judged"
    )
    if not count:
        return None
    return Distribution(count=count, mean=mean, low=low, quantiles=dict(zip(QUANTILES, quantiles, strict=True)), high=high)


def _rejects(folder: Path, snapshot: Snapshot) -> dict[str, int]:
    reasons: Counter[str] = Counter()
    for _, file in snapshot.files_of("rejects"):
        for batch in read_batches(folder / file.name, SCHEMAS["rejects"], file.rows, columns=["reason"]):
            reasons.update(batch.column("reason").to_pylist())
    return dict(sorted(reasons.items()))


def _comparisons(folder: Path, snapshot: Snapshot) -> Iterator[ComparisonSummary]:
    for card in snapshot.cards:
        parts = snapshot.parts_of("comparisons", card.fingerprint)
        statuses: Counter[str] = Counter()
        disagreeing = 0
        for batch in LiveRows(folder, "comparisons", parts).every(["status", "orders_agree"]):
            statuses.update(batch.column("status").to_pylist())
            disagreeing += batch.column("orders_agree").false_count
        if parts:
            yield ComparisonSummary(
                name=card.name, card=card.fingerprint, statuses=dict(sorted(statuses.items())), disagreeing=disagreeing
            )
