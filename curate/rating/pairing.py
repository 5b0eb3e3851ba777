"""Which pairs of a group are put to a rater of pairs: all of them, or the rounds of a tournament.

All pairs of k samples are k (k - 1) / 2. A tournament is played by the Swiss system: in each of ceil(log2 k) + 1 rounds every
sample meets a neighbour by win rate that it has not met yet, so at most k / 2 (ceil(log2 k) + 1) pairs are asked about, more
and more of them between samples that are hard to tell apart. Win rates are then earned against opponents of different strength;
Bradley-Terry strengths allow for that.

Who meets whom follows from the ids and from the answers of earlier rounds alone. So a run that was killed plays the rounds again
from what the store holds, and asks what an undisturbed one would have asked. A group that grew between two runs, by shards that
were added or came back, plays anew as what it is now: it asks about other pairs, and about more in all, than one run would.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import combinations, groupby, islice
from math import ceil, log2
from typing import Protocol

import numpy as np

from curate.cards import Card
from curate.records import Status
from curate.standings import win_rates
from curate.store import Chances, Known, Store

BLOCK_PAIRS = 256
"""Pairs that are decoded ahead and committed together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two samples of a group, in the order of their ids."""

    group: str
    first: str
    second: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A sample of a group."""

    sample: str
    digest: str
    """Of its response: between byte-identical ones there is nothing to prefer."""


Group = tuple[str, Sequence[Member]]
"""A group's id and its samples, ordered by id."""

Answers = Mapping[Pair, float | None]
"""For pairs that are settled the probability that the first is better; None for those that failed."""


class Pairing(Protocol):
    """A way to choose pairs."""

    def block(self) -> list[Pair]:
        """About `BLOCK_PAIRS` pairs to be asked about next; none where nothing is left."""
        ...

    def learn(self, answers: Answers) -> None:
        """What was answered of the last block. A pair that is missing here has no answer yet, and is not asked again."""
        ...


class AllPairs:
    """Every two samples of a group that are not compared yet, in the order of groups."""

    def __init__(self, groups: Iterable[Group], known: Known) -> None:
        self._pairs = _unknown(groups, known)

    def block(self) -> list[Pair]:
        return list(islice(self._pairs, BLOCK_PAIRS))

    def learn(self, answers: Answers) -> None:
        """Which pairs there are does not depend on answers."""


class Tournaments:
    """A tournament in each group; as many groups play at a time as fill a block with their rounds."""

    def __init__(self, groups: Iterable[Group], known: Known, earlier: Chances) -> None:
        self._coming = (Tournament(group, members) for group, members in groups)
        self._known, self._earlier = known, earlier
        self._playing: deque[Tournament] = deque()
        self._asked: list[Tournament] = []

    def block(self) -> list[Pair]:
        pairs: list[Pair] = []
        while len(pairs) < BLOCK_PAIRS:
            tournament = self._playing.popleft() if self._playing else next(self._coming, None)
            if tournament is None:
                break
            round_ = self._first_unknown_round(tournament)
            if round_:
                self._asked.append(tournament)
                pairs += round_
        return pairs

    def learn(self, answers: Answers) -> None:
        for tournament in self._asked:
            tournament.learn({pair: answers[pair] for pair in tournament.open if pair in answers})
            if not tournament.open:  # else a later run goes on: who meets whom depends on answers that are not there yet
                self._playing.append(tournament)
        self._asked = []

    def _first_unknown_round(self, tournament: Tournament) -> list[Pair]:
        """What is not answered of the first round that is not; nothing at the end of the tournament."""
        while round_ := tournament.next_round():
            seen = _are_known(round_, self._known)
            old = [pair for pair, there in zip(round_, seen, strict=True) if there]
            chances = self._earlier.of_pairs([pair.first for pair in old], [pair.second for pair in old])
            tournament.learn(dict(zip(old, chances, strict=True)))
            if tournament.open:
                return list(tournament.open)
        return []


class Tournament:
    """The rounds of one group."""

    def __init__(self, group: str, members: Sequence[Member]) -> None:
        self.open: list[Pair] = []
        """Pairs of the current round that are not answered."""
        self._group = group
        self._members = members
        self._places = {member.sample: place for place, member in enumerate(members)}
        self._rounds_left = ceil(log2(len(members))) + 1
        self._met: set[tuple[int, int]] = set()
        self._results: list[tuple[int, int, float]] = []

    def next_round(self) -> list[Pair]:
        """The pairs of the next round; none when all rounds were played, or everybody has met."""
        if self.open:
            raise ValueError("a round begins when the one before it is answered")
        if self._rounds_left:
            self._rounds_left -= 1
            self.open = self._neighbours()
        return list(self.open)

    def learn(self, answers: Answers) -> None:
        """Take in what is known of the current round; a failed comparison is one that happened and tells nothing."""
        for pair, chance in answers.items():
            result = math.nan if chance is None else chance
            self._results.append((self._places[pair.first], self._places[pair.second], result))
        self.open = [pair for pair in self.open if pair not in answers]

    def _neighbours(self) -> list[Pair]:
        """From the best down, each with the next one that it has not met; of equal ones the smaller id comes first."""
        rates = self._rates()
        waiting = sorted(range(len(self._members)), key=lambda place: (-rates[place], place))
        pairs = []
        while waiting:
            one = waiting.pop(0)
            other = next((other for other in waiting if self._may_meet(one, other)), None)
            if other is not None:
                waiting.remove(other)
                first, second = min(one, other), max(one, other)
                self._met.add((first, second))
                pairs.append(Pair(group=self._group, first=self._members[first].sample, second=self._members[second].sample))
        return pairs

    def _may_meet(self, one: int, other: int) -> bool:
        met = (min(one, other), max(one, other)) in self._met
        return not met and self._members[one].digest != self._members[other].digest

    def _rates(self) -> list[float]:
        """Win rates so far; half for a sample of which nothing is known."""
        results = np.array(self._results).reshape(-1, 3)
        places = results[:, :2].astype(np.int64)
        rates: list[float] = np.nan_to_num(
            win_rates(places[:, 0], places[:, 1], results[:, 2], len(self._members)), nan=0.5
        ).tolist()
        return rates


def pairing_of(card: Card, store: Store, shards: Set[str] | None, retry: Collection[Status]) -> Pairing:
    """The pairs that a card's rater is to be asked about, by the card's own way of pairing.

    Of groups that have a sample in one of `shards`; None is every group of the store. Pairs that ended with a status of `retry`
    are asked about again.
    """
    known = store.known_pairs(card.fingerprint, retry=retry)
    groups = _groups(store, None if shards is None or shards >= store.presence().keys() else store.groups_in(shards))
    if card.pairing == "tournament":
        return Tournaments(groups, known, store.chances(card.fingerprint, card.main))
    return AllPairs(groups, known)


def _groups(store: Store, wanted: Collection[str] | None) -> Iterator[Group]:
    """The groups of a store that have several samples, or the wanted ones of them, without samples of shards that are gone.

    What cannot be looked at now is asked about once it is back, rather than failed for good.
    """
    import pyarrow.parquet as pq

    gone = [shard for shard, there in store.presence().items() if not there]
    with pq.ParquetFile(store.view(raters={}, gone=gone).path) as file:
        rows = (row for batch in file.iter_batches(columns=["group", "sample", "digest"]) for row in batch.to_pylist())
        # A view is ordered by group, then by sample.
        for group, own in groupby(rows, key=lambda row: row["group"]):
            if wanted is not None and group not in wanted:
                continue
            members = [Member(sample=row["sample"], digest=row["digest"]) for row in own]
            if len(members) > 1:
                yield group, members


def _unknown(groups: Iterable[Group], known: Known) -> Iterator[Pair]:
    """The pairs that are not known, in the order of groups."""
    for group, members in groups:
        both = combinations(members, 2)
        different = (
            Pair(group=group, first=one.sample, second=other.sample) for one, other in both if one.digest != other.digest
        )
        while some := list(islice(different, BLOCK_PAIRS)):
            yield from (pair for pair, old in zip(some, _are_known(some, known), strict=True) if not old)


def _are_known(pairs: Sequence[Pair], known: Known) -> list[bool]:
    seen: list[bool] = known.has_pairs([pair.first for pair in pairs], [pair.second for pair in pairs]).tolist()
    return seen
