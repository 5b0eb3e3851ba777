"""Raters that judge pairs: every two samples of a group that were not compared yet, put to them block by block.

Comparisons are kept by the two samples, not by shard, so each block is committed with the unit that its first sample
lies in.
"""

from __future__ import annotations

import queue
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby, islice
from typing import TYPE_CHECKING

from curate.cards import Card, CardFile
from curate.errors import CardError, CurateError, ShardError
from curate.progress import Meter
from curate.raters import Item, Rater, Value, failure
from curate.rating.admission import bytes_of, task_for, unfit
from curate.rating.answers import complete, overall
from curate.rating.desk import HEALTHY
from curate.rating.engine import loaded, open_pool, seats_for, ticking
from curate.rating.options import RateOptions
from curate.rating.pool import Chunk, Decoded
from curate.rating.tasks import Outcome
from curate.records import Comparison, Sample, Status
from curate.shards.fetch import MemberReader
from curate.store import Store, Unit

if TYPE_CHECKING:
    from curate.store import Known
    from curate.store.lookup import Lookup

BLOCK_PAIRS = 256
"""Pairs that are decoded ahead and committed together."""

CHUNK_SAMPLES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """Two samples of a group, in the order of their ids."""

    group: str
    first: str
    second: str


def compare_into(store: Store, file: CardFile, options: RateOptions) -> Counter[str]:
    """Put every pair within a group that the store does not know yet to a rater of pairs; how many ended with which status.

    Pairs of byte-identical responses are not asked about: there is nothing to prefer. Call inside `store.writing()`.
    """
    meter = Meter(lanes={"decode": max(options.processes, 1)})
    known = store.known_pairs(file.card.fingerprint, retry=options.retry)
    pairs = _missing(store, known)
    block = list(islice(pairs, BLOCK_PAIRS))
    if not block:
        return Counter()
    with (
        loaded([file], options.settings) as raters,
        _Comparing(store, file, raters, options, meter) as comparing,
        ticking(meter, options.on_progress),
    ):
        store.add_card(file.card.fingerprint, file.card.name, file.card.model_dump_json())
        while block:
            comparing.block(block)
            block = list(islice(pairs, BLOCK_PAIRS))
    return comparing.statuses


def _missing(store: Store, known: Known) -> Iterator[_Pair]:
    """The pairs that are not compared yet, in the order of groups."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(store.view().path) as file:
        rows = (row for batch in file.iter_batches(columns=["group", "sample", "digest"]) for row in batch.to_pylist())
        for group, members in groupby(rows, key=lambda row: row["group"]):
            both = combinations(sorted(members, key=lambda row: row["sample"]), 2)
            different = (pair for pair in both if pair[0]["digest"] != pair[1]["digest"])
            while some := list(islice(different, BLOCK_PAIRS)):
                seen = known.has_pairs([first["sample"] for first, _ in some], [second["sample"] for _, second in some])
                for (first, second), old in zip(some, seen, strict=True):
                    if not old:
                        yield _Pair(group=group, first=first["sample"], second=second["sample"])


class _Comparing:
    """A run of one rater of pairs over blocks of pairs."""

    def __init__(self, store: Store, file: CardFile, raters: Sequence[Rater], options: RateOptions, meter: Meter) -> None:
        seats, preparations = seats_for([file], raters)
        self._seat = seats[0]
        if self._seat.worker is not None:
            raise CardError(f"{file.where}: a rater of pairs needs both samples, so it cannot live in a decode worker")
        self._store = store
        self._options = options
        self._meter = meter
        self._answers: queue.Queue[Decoded | BaseException] = queue.Queue()
        self._pool = open_pool(seats, preparations, options, self._answers.put)
        self._reader = MemberReader()
        self._failures: dict[str, int] = {}
        self._lost: dict[str, str] = {}
        self.statuses: Counter[str] = Counter()

    def __enter__(self) -> _Comparing:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()
        self._reader.close()

    def block(self, pairs: list[_Pair]) -> None:
        """Ask about some pairs, and commit what was answered."""
        ids = sorted({one for pair in pairs for one in (pair.first, pair.second)})
        with self._store.lookup(ids) as lookup:
            samples = _found(lookup, ids)
        media = {id_: self._media(sample) for id_, sample in samples.items()}
        outcomes = self._decode(samples, media)
        comparisons: list[Comparison] = []
        for number, values in self._answers_to(pairs, samples, media, outcomes):
            if overall(values) is not Status.PENDING:
                comparisons += [_row(pairs[number], self._seat.card, name, value) for name, value in values.items()]
            self._count(overall(values))
        self._commit(samples[pairs[0].first].shard, comparisons)

    def _answers_to(
        self,
        pairs: list[_Pair],
        samples: Mapping[str, Sample],
        media: Mapping[str, Mapping[str, bytes]],
        outcomes: Mapping[str, Outcome],
    ) -> Iterator[tuple[int, dict[str, Value]]]:
        """For each pair, by its position, what became of it."""
        items = []
        for number, pair in enumerate(pairs):
            both = (samples[pair.first], samples[pair.second])
            why_not = next(filter(None, (self._why_not(sample, outcomes[sample.id]) for sample in both)), None)
            if why_not is not None:
                yield number, failure(self._seat.card.dimensions, *why_not)
                continue
            prepared = [self._seat.arrays(outcomes[sample.id]) for sample in both]
            data = [media[sample.id] for sample in both] if self._seat.rater.wants_bytes else ()
            items.append(Item(number=number, samples=both, prepared=prepared, data=data))
        waiting = {item.number for item in items}
        started = time.perf_counter()
        for judgement in self._seat.rater.judge(items):
            if judgement.item not in waiting:
                raise CurateError(f"the rater '{self._seat.card.name}' answered item {judgement.item}, which it was not asked")
            waiting.remove(judgement.item)
            yield judgement.item, complete(self._seat.card, judgement.values)
        self._meter.busy(self._seat.card.name, time.perf_counter() - started)
        for number in sorted(waiting):
            yield number, failure(self._seat.card.dimensions, Status.ERROR, "the rater ended without an answer")

    def _media(self, sample: Sample) -> dict[str, bytes]:
        """The bytes the rater needs; without those that cannot be read any more, which become a failed decode."""
        roles = set(self._seat.decodes) | (set(self._seat.roles) if self._seat.rater.wants_bytes else set())
        try:
            return bytes_of(sample, sorted(roles), lambda member: self._reader.read(sample.shard, member))
        except ShardError as problem:
            self._lost[sample.id] = str(problem)
            return dict.fromkeys(roles, b"")

    def _decode(self, samples: Mapping[str, Sample], media: Mapping[str, Mapping[str, bytes]]) -> dict[str, Outcome]:
        """What the decode workers made of each sample."""
        ids = list(samples)
        chunks = 0
        for start in range(0, len(ids), CHUNK_SAMPLES):
            numbers = range(start, min(start + CHUNK_SAMPLES, len(ids)))
            tasks = [task_for(number, samples[ids[number]], [self._seat], probe=False) for number in numbers]
            wanted = {task.number: {role: media[ids[task.number]][role] for role in task.decode} for task in tasks}
            self._pool.submit(Chunk(tasks=tasks, media=wanted))
            chunks += 1
        outcomes = {}
        for _ in range(chunks):
            answer = self._answers.get()
            if isinstance(answer, BaseException):
                raise answer
            self._meter.busy("decode", answer.seconds)
            outcomes.update({ids[outcome.number]: outcome for outcome in answer.outcomes})
        return outcomes

    def _why_not(self, sample: Sample, outcome: Outcome) -> tuple[Status, str] | None:
        """Why the rater cannot be asked about a pair with this sample."""
        if sample.id in self._lost:
            return Status.UNREADABLE, self._lost[sample.id]
        broken = (outcome.failures[role] for role in sorted(self._seat.decodes) if role in outcome.failures)
        return unfit(sample, self._seat.card) or next(broken, None)

    def _count(self, status: Status) -> None:
        self.statuses[str(status)] += 1
        failed = {} if status in HEALTHY else {str(status): 1}
        self._meter.add(samples=1, failures=failed)
        if failed:
            self._failures[str(status)] = self._failures.get(str(status), 0) + 1
            self._options.max_failures.check(self._failures, self.statuses.total())

    def _commit(self, shard: str, comparisons: Sequence[Comparison]) -> None:
        state = self._store.unit_state(shard)
        assert state is not None, "a sample's shard is a unit of its store"
        retried = {(one.first, one.second, one.card) for one in comparisons} if self._options.retry else ()
        self._store.commit(
            Unit(
                shard=shard,
                signature=state.signature,
                layout=state.layout,
                complete=state.complete,
                samples=None,
                comparisons=comparisons,
                replaces=retried,
                counts=state.counts,
            )
        )


def _found(lookup: Lookup, ids: Sequence[str]) -> dict[str, Sample]:
    return {row.sample.id: row.sample for row in lookup.samples(ids) if row is not None}


def _row(pair: _Pair, card: Card, dimension: str, value: Value) -> Comparison:
    """A row of an answer; its value is the probability that the first is better."""
    if value.value is not None and not 0 <= value.value <= 1:
        value = Value(status=Status.ERROR, detail=f"the rater gave {value.value}, which is no probability")
    chance = value.value
    return Comparison(
        group=pair.group,
        first=pair.first,
        second=pair.second,
        rater=card.name,
        card=card.fingerprint,
        dimension=dimension,
        value=chance if chance is None or card.higher_is_better else 1 - chance,
        orders_agree=value.orders_agree,
        status=value.status,
        detail=value.detail,
        rationale=value.rationale,
    )
