"""What a rate run did, in numbers that add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from curate.records import Funnel, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCounts:
    """How many of a unit's samples there are, and what became of them."""

    samples: int
    rejects: Mapping[str, int]
    """By reason."""
    statuses: Mapping[str, Mapping[str, int]]
    """By card fingerprint and status."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON, for the store."""
        return {
            "samples": self.samples,
            "rejects": dict(self.rejects),
            "statuses": {k: dict(v) for k, v in self.statuses.items()},
        }

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> UnitCounts:
        """The counts of an earlier commit."""
        return cls(samples=stored["samples"], rejects=stored["rejects"], statuses=stored["statuses"])


@dataclass(slots=True, kw_only=True)
class RateReport:
    """The end of a run: every sample of the shards it was given, those of earlier runs included."""

    store: str
    raters: dict[str, str]
    """Card fingerprint by name."""
    shards: int = 0
    unchanged: int = 0
    """Shards that were complete already and were not read again."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Shards that could not be read, with the reason."""
    cut: list[str] = field(default_factory=list)
    """Shards that end before their archive does; what was whole in them is kept."""
    computed: int = 0
    """Ratings made in this run, failed ones included, one for each sample and rater; what is pending is none."""
    seconds: float = 0.0
    notices: list[str] = field(default_factory=list)
    """What the user should know: the layout that was guessed, licences, unpinned weights."""
    compared: dict[str, Counter[str]] = field(default_factory=dict)
    """By name of a rater of pairs, the pairs it was asked about in this run, by status."""
    told: dict[str, Mapping[str, float]] = field(default_factory=dict)
    """By name of a rater that counts its own work (requests, tokens), those numbers of this run."""
    reasons: dict[str, Counter[str]] = field(default_factory=dict)
    """By name of a rater, why answers of this run have no value (`curate.records.reason_of`), over samples or pairs."""
    samples: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    statuses: dict[str, Counter[str]] = field(default_factory=dict)
    """By rater name and status, over samples."""

    @property
    def comparisons(self) -> int:
        """Pairs that raters of pairs have compared in this run, failed ones included; what is pending is none."""
        return sum(one.total() - one.get(str(Status.PENDING), 0) for one in self.compared.values())

    @property
    def pending(self) -> int:
        """Ratings and comparisons that are asked for by the next run: a limit was met, or people have not answered yet."""
        return sum(one.get(str(Status.PENDING), 0) for one in (*self.statuses.values(), *self.compared.values()))

    def add(self, counts: UnitCounts) -> None:
        """Count a unit in."""
        self.samples += counts.samples
        self.rejects.update(counts.rejects)
        names = {fingerprint: name for name, fingerprint in self.raters.items()}
        for fingerprint, statuses in counts.statuses.items():
            if fingerprint in names:
                self.statuses.setdefault(names[fingerprint], Counter()).update(statuses)

    @property
    def ok(self) -> bool:
        """False where shards are unreadable or cut, nothing became a sample, or a rater failed on every sample."""
        return not (self.unreadable or self.cut or self.useless or self.samples == 0)

    @property
    def useless(self) -> list[str]:
        """The raters that failed on every sample."""
        harmless = {str(status) for status in (Status.OK, Status.NOT_APPLICABLE, Status.PENDING)}
        return [name for name, counts in self.statuses.items() if counts and not harmless & counts.keys()]

    @property
    def funnels(self) -> list[Funnel]:
        """Reading, then each rater: what came in, what is ok, what is not and why."""
        read = Funnel(step="read", unit="samples", taken=self.samples + self.rejects.total(), kept=self.samples)
        for reason, count in sorted(self.rejects.items()):
            read.drop(reason, count)
        rated = [_judged(f"rate {name}", "samples", self.samples, self.statuses.get(name, Counter())) for name in self.raters]
        compared = [_judged(f"compare {name}", "new pairs", one.total(), one) for name, one in self.compared.items()]
        shards = Funnel(step="open", unit="shards", taken=self.shards, kept=self.shards - len(self.unreadable))
        shards.drop("unreadable", len(self.unreadable))
        return [shards, read, *rated, *compared]

    def as_dict(self) -> dict[str, object]:
        return {
            "store": self.store,
            "raters": self.raters,
            "shards": self.shards,
            "unchanged": self.unchanged,
            "unreadable": self.unreadable,
            "cut": self.cut,
            "computed": self.computed,
            "compared": self.comparisons,
            "pending": self.pending,
            "seconds": round(self.seconds, 3),
            "funnels": [funnel.as_dict() for funnel in self.funnels],
            "notices": self.notices,
            "reasons": {name: dict(counts) for name, counts in self.reasons.items()},
            "told": {name: dict(numbers) for name, numbers in self.told.items()},
        }


def _judged(step: str, unit: str, taken: int, statuses: Counter[str]) -> Funnel:
    funnel = Funnel(step=step, unit=unit, taken=taken, kept=statuses.get(str(Status.OK), 0))
    for status, count in sorted(statuses.items()):
        if status != Status.OK:
            funnel.drop(status, count)
    return funnel
