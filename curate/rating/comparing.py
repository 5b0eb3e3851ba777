"""Raters that judge pairs: every two samples of a group that were not compared yet, put to them block by block.

Comparisons are kept by the two samples, not by shard, so each block of groups is committed with the unit that its first
sample lies in.
"""

from __future__ import annotations

import queue
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, groupby

from curate.cards import Card, CardFile
from curate.errors import CardError, CurateError
from curate.raters import Item, Rater, Value
from curate.rating.admission import Seat, task_for, unfit
from curate.rating.answers import complete, overall
from curate.rating.engine import Options, seats_for
from curate.rating.pool import Chunk, Decoded, Pool
from curate.rating.tasks import Config, Outcome
from curate.records import Comparison, Sample, Status
from curate.shards.fetch import read_member
from curate.store import Store, Unit

BLOCK_PAIRS = 512
"""About how many pairs are decoded ahead and committed together."""

CHUNK_SAMPLES = 16


@dataclass(slots=True)
class _Asked:
    """A pair that a rater is being asked about."""

    group: str
    first: str
    second: str


@dataclass(slots=True, kw_only=True)
class _Block:
    """Groups whose missing comparisons are made together."""

    pairs: list[_Asked] = field(default_factory=list)
    shard: str = ""
    """Of the first pair's first sample."""

    @property
    def ids(self) -> set[str]:
        return {one for pair in self.pairs for one in (pair.first, pair.second)}


def compare_into(store: Store, file: CardFile, rater: Rater, options: Options) -> Counter[str]:
    """Put every pair within a group that the store does not know yet to a rater of pairs; how many ended with which status.

    Pairs of byte-identical responses are not asked about: there is nothing to prefer. Call inside `store.writing()`.
    """
    if rater.place != "main":
        raise CardError(f"{file.where}: a rater of pairs needs both samples, so it cannot live in a decode worker")
    (seat,), preparations = seats_for([(file, rater)])
    answers: queue.Queue[Decoded | BaseException] = queue.Queue()
    config = Config(
        raters=(), settings=options.settings, preparations=preparations, limits=options.limits, memory_bytes=options.memory_bytes
    )
    pool = Pool(config, workers=options.workers, seconds_per_sample=options.seconds_per_sample, deliver=answers.put)
    statuses: Counter[str] = Counter()
    try:
        for block in _blocks(store, seat.card):
            comparisons = _compare(store, seat, block, pool, answers)
            statuses.update(str(one.status) for one in comparisons if one.dimension == seat.card.main)
            _commit(store, block, comparisons)
    finally:
        pool.close()
        rater.close()
    return statuses


def _blocks(store: Store, card: Card) -> Iterator[_Block]:
    """The pairs that are not compared yet, in the order of groups."""
    import pyarrow.parquet as pq

    known = store.known_pairs(card.fingerprint)
    block = _Block()
    with pq.ParquetFile(store.view().path) as file:
        rows = (row for batch in file.iter_batches(columns=["group", "sample", "digest"]) for row in batch.to_pylist())
        for group, members in groupby(rows, key=lambda row: row["group"]):
            pairs = [
                _Asked(group, first["sample"], second["sample"])
                for first, second in combinations(sorted(members, key=lambda row: row["sample"]), 2)
                if first["digest"] != second["digest"]
            ]
            if pairs:
                seen = known.has_pairs([pair.first for pair in pairs], [pair.second for pair in pairs])
                block.pairs += [pair for pair, old in zip(pairs, seen, strict=True) if not old]
            if len(block.pairs) >= BLOCK_PAIRS:
                yield block
                block = _Block()
    if block.pairs:
        yield block


def _compare(
    store: Store, seat: Seat, block: _Block, pool: Pool, answers: queue.Queue[Decoded | BaseException]
) -> list[Comparison]:
    """The comparisons of a block, without those still pending."""
    with store.lookup(block.ids) as lookup:
        samples = {row.sample.id: row.sample for row in lookup.samples(sorted(block.ids)) if row is not None}
    block.shard = samples[block.pairs[0].first].shard
    media = {id_: _media(sample, seat) for id_, sample in samples.items()}
    outcomes = _decode(samples, media, seat, pool, answers)
    comparisons: list[Comparison] = []
    items = []
    for number, pair in enumerate(block.pairs):
        both = (samples[pair.first], samples[pair.second])
        why_not = next(filter(None, (_why_not(sample, seat, outcomes[sample.id]) for sample in both)), None)
        if why_not is not None:
            values = {name: Value(status=why_not[0], detail=why_not[1]) for name in seat.card.dimensions}
            comparisons += _rows(pair, seat.card, values)
        else:
            items.append(_item(number, both, seat, outcomes, media))
    for judgement in seat.rater.judge(items):
        values = complete(seat.card, judgement.values)
        if overall(values) is not Status.PENDING:
            comparisons += _rows(block.pairs[judgement.item], seat.card, values)
    return comparisons


def _media(sample: Sample, seat: Seat) -> dict[str, bytes]:
    """The bytes a rater needs of a sample, read from its shard."""
    roles = set(seat.decodes) | (set(seat.roles) if seat.rater.wants_bytes else set())
    found = {}
    for role in sorted(roles):
        medium = sample.response[0] if role == "response" else sample.conditions.get(role)
        if medium is not None and medium.member is not None:
            found[role] = read_member(sample.shard, medium.member)
        elif medium is not None and medium.text is not None:
            found[role] = medium.text.encode()
    return found


def _decode(
    samples: Mapping[str, Sample],
    media: Mapping[str, Mapping[str, bytes]],
    seat: Seat,
    pool: Pool,
    answers: queue.Queue[Decoded | BaseException],
) -> dict[str, Outcome]:
    ids = list(samples)
    chunks = 0
    for start in range(0, len(ids), CHUNK_SAMPLES):
        part = range(start, min(start + CHUNK_SAMPLES, len(ids)))
        tasks = [task_for(number, samples[ids[number]], [seat], probe=False) for number in part]
        pool.submit(
            Chunk(tasks=tasks, media={task.number: {r: media[ids[task.number]][r] for r in task.decode} for task in tasks})
        )
        chunks += 1
    outcomes = {}
    for _ in range(chunks):
        answer = answers.get()
        if isinstance(answer, BaseException):
            raise answer
        outcomes.update({ids[outcome.number]: outcome for outcome in answer.outcomes})
    return outcomes


def _why_not(sample: Sample, seat: Seat, outcome: Outcome) -> tuple[Status, str] | None:
    return unfit(sample, seat.card) or next((outcome.failures[role] for role in seat.decodes if role in outcome.failures), None)


def _item(
    number: int,
    both: tuple[Sample, Sample],
    seat: Seat,
    outcomes: Mapping[str, Outcome],
    media: Mapping[str, Mapping[str, bytes]],
) -> Item:
    return Item(
        number=number,
        samples=both,
        prepared=[outcomes[sample.id].arrays for sample in both],
        data=[media[sample.id] for sample in both] if seat.rater.wants_bytes else (),
    )


def _rows(pair: _Asked, card: Card, values: Mapping[str, Value]) -> list[Comparison]:
    """The rows of an answer; a value is the probability that the first is better."""
    return [_row(pair, card, name, value) for name, value in values.items()]


def _row(pair: _Asked, card: Card, dimension: str, value: Value) -> Comparison:
    chance = value.value
    if chance is not None and not 0 <= chance <= 1:
        raise CurateError(f"the rater '{card.name}' gave {chance} for a pair, which is no probability")
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


def _commit(store: Store, block: _Block, comparisons: Sequence[Comparison]) -> None:
    state = store.unit_state(block.shard)
    assert state is not None, "a sample's shard is a unit of its store"
    store.commit(
        Unit(
            shard=block.shard,
            signature=state.signature,
            layout=state.layout,
            complete=state.complete,
            samples=None,
            comparisons=comparisons,
            counts=state.counts,
        )
    )
