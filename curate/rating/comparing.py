"""Raters that judge pairs: the pairs that were not compared yet, put to them block by block.

Comparisons are kept by the two samples, not by shard, so each block is committed with a unit that some of its samples lie in.
"""

from __future__ import annotations

import queue
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING

from curate.cards import Card, CardFile
from curate.errors import CardError, CurateError, ShardError
from curate.progress import Meter
from curate.raters import Item, Rater, Value, failure
from curate.rating.admission import bytes_of, task_for, unfit
from curate.rating.answers import complete, deciding_detail, overall, why_failed
from curate.rating.desk import HEALTHY
from curate.rating.engine import loaded, open_pool, seats_for, ticking, told_by
from curate.rating.notices import Failed, noticed_by, said_beside
from curate.rating.options import RateOptions
from curate.rating.pairing import Pair, pairing_of
from curate.rating.pool import Chunk, Decoded
from curate.rating.report import RateReport
from curate.rating.tasks import Outcome
from curate.records import Comparison, Sample, Status
from curate.shards.fetch import MemberReader
from curate.store import Store, Unit, UnitState

if TYPE_CHECKING:
    from curate.store.lookup import Lookup

CHUNK_SAMPLES = 8


def compare_into(store: Store, file: CardFile, shards: Set[str] | None, options: RateOptions, report: RateReport) -> None:
    """Put the pairs that the store does not know yet to a rater of pairs; what became of them goes into the report.

    Which pairs that are is told by the card and the shards (`curate.rating.pairing`); those of byte-identical responses are not
    asked about: there is nothing to prefer. Call inside `store.writing()`.
    """
    meter = Meter(lanes={"decode": max(options.processes, 1)})
    pairing = pairing_of(file.card, store, shards, options.retry)
    pairs = pairing.block()
    if not pairs:
        store.add_card(file.card.fingerprint, file.card.name, file.card.model_dump_json())
        report.compared[file.card.name] = Counter()
        return
    with (
        ticking(meter, options.on_progress),
        loaded([file], options.settings, meter) as raters,
        _Comparing(store, file, raters, options, meter) as comparing,
    ):
        store.add_card(file.card.fingerprint, file.card.name, file.card.model_dump_json())
        while pairs:
            pairing.learn(comparing.block(pairs))
            pairs = pairing.block()
        comparing.check_failures()
        report.told |= told_by([file], raters)
        report.notices += noticed_by([file], raters)
    report.compared[file.card.name] = comparing.statuses
    if comparing.reasons:
        report.reasons[file.card.name] = comparing.reasons
    report.notices += [*said_beside({file.card.name: comparing.notes}, of="pairs"), *comparing.failed.notices()]


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
        self.reasons: Counter[str] = Counter()
        self.failed = Failed()
        self.notes: Counter[str] = Counter()
        """What the rater said beside comparisons that stand, and of how many pairs."""

    def __enter__(self) -> _Comparing:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()
        self._reader.close()

    def block(self, pairs: list[Pair]) -> dict[Pair, float | None]:
        """Ask about some pairs, and commit what was answered: the main dimension of each, without what is pending."""
        ids = sorted({one for pair in pairs for one in (pair.first, pair.second)})
        with self._store.lookup(ids) as lookup:
            samples = _found(lookup, ids)
        home = self._home(samples)
        media = {id_: self._media(sample) for id_, sample in samples.items()}
        outcomes = self._decode(samples, media)
        comparisons: list[Comparison] = []
        answers: dict[Pair, float | None] = {}
        try:
            for number, values in self._answers_to(pairs, samples, media, outcomes):
                rows = {} if overall(values) is Status.PENDING else _rows(pairs[number], self._seat.card, values)
                if rows:
                    comparisons += rows.values()
                    answers[pairs[number]] = rows[self._seat.card.main].value
                self._count(values, f"{samples[pairs[number].first].key} and {samples[pairs[number].second].key}")
        finally:  # Ctrl-C, too many failures, a rater that gave up: what is answered is answered.
            self._commit(home, comparisons)
        return answers

    def _answers_to(
        self,
        pairs: list[Pair],
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
        with self._meter.working(self._seat.card.name):
            for judgement in self._seat.rater.judge(items):
                if judgement.item not in waiting:
                    raise CurateError(
                        f"the rater '{self._seat.card.name}' answered item {judgement.item}, which it was not asked"
                    )
                waiting.remove(judgement.item)
                values = complete(self._seat.card, judgement.values)
                yield judgement.item, {name: _probable(value) for name, value in values.items()}
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

    def _count(self, values: Mapping[str, Value], pair: str) -> None:
        status = overall(values)
        self.statuses[str(status)] += 1
        if (reason := why_failed(values)) is not None:
            self.reasons[reason] += 1
        if status not in (Status.OK, Status.PENDING):
            self.failed.tell(self._seat.card.name, status, pair, deciding_detail(values))
        self.notes.update({value.detail for value in values.values() if value.status is Status.OK and value.detail})
        failed = {} if status in HEALTHY else {str(status): 1}
        self._meter.add(samples=1, failures=failed)
        if failed:
            self._failures[str(status)] = self._failures.get(str(status), 0) + 1
            self._options.max_failures.check(self._failures, self.statuses.total())

    def check_failures(self) -> None:
        """Raise `TooManyFailures` where, now that all is answered, too many answers are failures."""
        self._options.max_failures.check(self._failures, self.statuses.total(), last=True)

    def _home(self, samples: Mapping[str, Sample]) -> UnitState:
        """The unit with which comparisons of some samples are committed: the first that is a shard and is there.

        A commit says of its unit that it is there, so one that is not must not be taken.
        """
        for shard in sorted({sample.shard for sample in samples.values()}):
            state = self._store.unit_state(shard)
            if state is not None and state.signature and state.present:
                return state
        raise CurateError(
            f"the rater '{self._seat.card.name}' looks at two samples again, and {min(samples)} came from a stream, of which no "
            "place is known; rate its shards by their paths"
        )

    def _commit(self, home: UnitState, comparisons: Sequence[Comparison]) -> None:
        retried = {(one.first, one.second, one.card) for one in comparisons} if self._options.retry else ()
        self._store.commit(
            Unit(
                shard=home.shard,
                signature=home.signature,
                layout=home.layout,
                complete=home.complete,
                samples=None,
                comparisons=comparisons,
                replaces=retried,
                counts=home.counts,
            )
        )


def _found(lookup: Lookup, ids: Sequence[str]) -> dict[str, Sample]:
    return {row.sample.id: row.sample for row in lookup.samples(ids) if row is not None}


def _rows(pair: Pair, card: Card, values: Mapping[str, Value]) -> dict[str, Comparison]:
    """The rows of an answer, by dimension; their values are probabilities that the first is better."""
    sign = 1 if card.higher_is_better else -1
    rows = {}
    for dimension, value in values.items():
        chance, bias = value.value, value.position_bias
        rows[dimension] = Comparison(
            group=pair.group,
            first=pair.first,
            second=pair.second,
            rater=card.name,
            card=card.fingerprint,
            dimension=dimension,
            value=chance if chance is None or sign > 0 else 1 - chance,
            orders_agree=value.orders_agree,
            position_bias=None if bias is None else sign * bias,
            status=value.status,
            detail=value.detail,
            rationale=value.rationale,
        )
    return rows


def _probable(value: Value) -> Value:
    """The value where its numbers can be what they are said to be; a failure that says what the rater gave where not."""
    if value.value is not None and not 0 <= value.value <= 1:
        return Value(status=Status.ERROR, detail=f"the rater gave {value.value}, which is no probability")
    if value.position_bias is not None and not -1 <= value.position_bias <= 1:
        return Value(status=Status.ERROR, detail=f"the rater gave a position bias of {value.position_bias}, which none can have")
    return value
