"""A unit under way: one shard's samples, rejects and ratings, gathered until they can be committed together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from curate.records import Rating, Reject, RejectReason, Sample, Status
from curate.shards.grouping import Record, ShardEnd


class UnitSource(Protocol):
    """Where a unit's records come from: a shard, or a piece of somebody's own stream."""

    @property
    def name(self) -> str:
        """Path or URL of the shard, or a name for the piece."""
        ...

    @property
    def signature(self) -> str:
        """Equal as long as the contents are known to be the same; empty where that cannot be told."""
        ...

    def records(self) -> Iterator[Record | Reject | ShardEnd]:
        """The records in order, then a `ShardEnd`."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class Entry:
    """A sample of a unit, what the decode workers found of it, and what became of the questions about it."""

    number: int
    unit: OpenUnit
    sample: Sample
    width: int | None = None
    height: int | None = None
    format: str | None = None
    statuses: dict[str, Status] = field(default_factory=dict)
    """By card fingerprint: the status of the answer, stored answers included."""
    waiting: set[str] = field(default_factory=set)
    """Fingerprints whose answer is still to come."""
    borrowers: dict[str, list[Entry]] = field(default_factory=dict)
    """By fingerprint: entries of the same sample elsewhere that wait for the answer given here."""
    decoded: bool = False

    @property
    def settled(self) -> bool:
        return self.decoded and not self.waiting


@dataclass(slots=True, kw_only=True, eq=False)
class OpenUnit:
    """The rows of a unit that is being read or rated."""

    number: int
    source: UnitSource
    entries: list[Entry] = field(default_factory=list)
    retracted: list[Entry] = field(default_factory=list)
    """Entries whose key came back later in the shard, so that none of its parts is known to be whole."""
    rejects: list[Reject] = field(default_factory=list)
    ratings: list[Rating] = field(default_factory=list)
    pending: set[str] = field(default_factory=set)
    """Cards with answers still to come: the unit is not done for them."""
    end: ShardEnd | None = None
    open_entries: int = 0
    kept: int = 0
    """Ratings of it that were committed before it was finished."""

    @property
    def settled(self) -> bool:
        """Everything of it is read and answered."""
        return self.end is not None and self.open_entries == 0

    def statuses(self) -> dict[str, dict[str, int]]:
        """By card fingerprint, how many of the unit's samples have which status."""
        counts: dict[str, Counter[str]] = {}
        for entry in self.entries:
            for card, status in entry.statuses.items():
                counts.setdefault(card, Counter())[str(status)] += 1
        return {card: dict(sorted(count.items())) for card, count in counts.items()}

    def close(self, end: ShardEnd) -> None:
        """No more records come. Takes back what came of keys that turned out not to be whole."""
        self.end = end
        if not end.retracted:
            return
        self.retracted = [entry for entry in self.entries if entry.sample.key in end.retracted]
        self.entries = [entry for entry in self.entries if entry.sample.key not in end.retracted]
        detail = "its members are not adjacent in the shard, so none of its parts is known to be whole"
        for key in sorted(end.retracted):
            self.rejects.append(Reject(shard=self.source.name, key=key, reason=RejectReason.KEY_REAPPEARS, detail=detail))
