"""What a run says once: of its raters licences, weights that may change, what they said beside values, and how they failed.

And of its shards what in them became no sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from curate.cards import CardFile
from curate.raters import Noticing, Rater
from curate.rating.units import OpenUnit
from curate.records import Rating, Reject, RejectReason, Status

UNPINNED = "unpinned"

MOST_NOTES = 5
"""Of one rater."""

MOST_SHARDS = 3
"""Named in one sentence."""


def notices_of(files: Sequence[CardFile]) -> list[str]:
    """A sentence for the raters whose licence forbids commercial use, and one for those with weights of no fixed revision."""
    cards = [file.card for file in files]
    forbidden = [f"{card.name} ({card.licence})" for card in cards if card.commercial is False]
    loose = [card.name for card in cards if any(one.hub and one.revision == UNPINNED for one in card.weights.values())]
    notices = []
    if forbidden:
        notices.append(f"not for commercial use, by the licence of the rater: {', '.join(forbidden)}")
    if loose:
        notices.append(f"the weights are unpinned, so another day may bring other ratings: {', '.join(loose)}")
    return notices


def noticed_by(files: Sequence[CardFile], raters: Sequence[Rater]) -> list[str]:
    """What raters have to say at the end of their work, each with its name."""
    both = zip(files, raters, strict=True)
    return [f"{file.card.name}: {notice}" for file, rater in both if isinstance(rater, Noticing) for notice in rater.notices()]


def said_beside(notes: Mapping[str, Counter[str]], *, of: str = "samples") -> list[str]:
    """A sentence for each thing that a rater said beside values that stand, with the number of samples, or of what `of` says."""
    return [f"{name}, of {count:,} {of}: {note}" for name, said in notes.items() for note, count in said.most_common(MOST_NOTES)]


class Failed:
    """The ways in which raters gave no value, each with the first sample, or pair, that is kept so."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, Status], str] = {}

    def add(self, unit: OpenUnit) -> None:
        """Look at what raters said in this run of the samples that a shard turned out to have."""
        said: dict[tuple[str, str, Status], Rating] = {}
        for rating in unit.ratings:
            if rating.status is not Status.OK:
                said.setdefault((rating.sample, rating.card, rating.status), rating)
        for entry in unit.entries:
            for card, status in entry.statuses.items():
                if row := said.get((entry.sample.id, card, status)):
                    self.tell(row.rater, status, f"{entry.sample.key} in {entry.sample.shard}", row.detail)

    def tell(self, rater: str, status: Status, example: str, why: str | None) -> None:
        """Keep an example of a status, and what the rater said of it, unless there is one."""
        self._first.setdefault((rater, status), f"{example}: {why}")

    def notices(self) -> list[str]:
        """A sentence for each."""
        return [f"{name} {status}, for example {example}" for (name, status), example in self._first.items()]


class Dropped:
    """What did not become a sample, as examples, and the shards that another layout may fit better."""

    def __init__(self) -> None:
        self._first: dict[RejectReason, Reject] = {}
        self._unlike: list[str] = []
        self._some_fit = False

    def add(self, shard: str, rejects: Sequence[Reject], samples: int) -> None:
        """Look at the rejects of a shard, which has so many samples besides."""
        for reject in rejects:
            self._first.setdefault(reject.reason, reject)
        without = sum(reject.reason is RejectReason.MISSING_RESPONSE for reject in rejects)
        if without > samples:
            self._unlike.append(shard)
        elif samples:
            self._some_fit = True

    def notices(self, layout: str) -> list[str]:
        """A sentence for each reason, with the first that was dropped for it, and one for shards unlike the layout of the run."""
        said = [
            f"{one.reason}, for example {one.key} in {one.shard}{f': {one.detail}' if one.detail else ''}"
            for _, one in sorted(self._first.items())
        ]
        if self._unlike and self._some_fit:
            unlike = sorted(self._unlike)
            shown = ", ".join(unlike[:MOST_SHARDS]) + (" …" if len(unlike) > MOST_SHARDS else "")
            said.append(
                f"most records have no response as the layout '{layout}' reads them in {shown}; where they follow another, rate "
                "these shards by themselves, and say which with --layout"
            )
        return said
