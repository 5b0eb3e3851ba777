"""The desk: every sample under way, the questions asked about it, and the answers that came in.

It belongs to one thread and knows nothing of threads, processes or stores: blocks of samples go in, chunks for the decode
workers and items for the raters come out, answers go in, and finished units come out.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from curate.errors import CurateError
from curate.raters import Item, Value, failure
from curate.rating.admission import Seat, bytes_of, media_for, task_for, unfit
from curate.rating.answers import complete, overall, ratings_of, why_failed
from curate.rating.pool import Chunk, Decoded
from curate.rating.reader import Block
from curate.rating.tasks import Outcome, Watched
from curate.rating.units import Entry, OpenUnit, UnitSource
from curate.rating.watching import FRAMES, combined
from curate.records import Member, Sample, Status
from curate.shards.grouping import Record, ShardEnd

Stored = Callable[[Seat, Sequence[str]], Sequence[Status | None]]
"""For each sample the status that is already stored for a rater, None where it is to be asked."""

HEALTHY = frozenset({Status.OK, Status.NOT_APPLICABLE, Status.PENDING})
"""Statuses that do not count towards `--max-failures`."""


@dataclass(slots=True, kw_only=True)
class Asked:
    """A video that is put to a rater frame by frame."""

    entry: Entry
    watched: Watched
    answers: dict[int, Mapping[str, Value]] = field(default_factory=dict)
    """By place among the frames asked about."""


class Desk:
    """All state of a run."""

    def __init__(self, seats: Sequence[Seat], stored: Stored) -> None:
        self._seats = {seat.card.fingerprint: seat for seat in seats}
        self._stored = stored
        self._numbers = itertools.count()
        self._entries: dict[int, Entry] = {}
        self._frames: dict[int, tuple[Asked, int]] = {}
        # By the number of a frame's item, the video and the frame's place among those that were asked about.
        self._to_ask: dict[int, tuple[list[Seat], Record]] = {}
        self._claimed: dict[str, dict[str, Entry]] = {fingerprint: {} for fingerprint in self._seats}
        # By card and sample, the entry that asked first.
        self._units: dict[int, OpenUnit] = {}
        self._finished: list[OpenUnit] = []
        self.answered = 0
        """Questions answered in this run: one for each sample and rater."""
        self.pending = 0
        """Of those, the ones that a later run has to ask again, since nothing came of them."""
        self.failures: dict[str, int] = {}
        """Of those, the failed ones by status."""
        self.reasons: dict[str, Counter[str]] = {}
        """By rater, why answers of this run have no value."""
        self.notes: dict[str, Counter[str]] = {}
        """By rater, what it said beside values that stand, and of how many samples."""
        self._new_settled = 0
        self._new_failures: dict[str, int] = {}

    @property
    def open(self) -> bool:
        """Whether any unit is still under way."""
        return bool(self._units)

    def begin(self, number: int, source: UnitSource) -> None:
        """A unit's blocks are about to come."""
        self._units[number] = OpenUnit(number=number, source=source)

    def end(self, number: int, end: ShardEnd) -> None:
        """All of a unit's blocks have come."""
        unit = self._units[number]
        unit.close(end)
        self._check(unit)

    def forget(self, number: int) -> OpenUnit:
        """Drop a unit that could not be read; answers that still come for it count for nobody."""
        unit = self._units.pop(number)
        self._release(unit)
        return unit

    def admit(self, block: Block) -> Chunk | None:
        """Take a block in; the chunk to be decoded, None where it holds no samples."""
        unit = self._units[block.unit]
        unit.rejects.extend(block.rejects)
        if not block.samples:
            return None
        ids = [sample.id for sample, _ in block.samples]
        stored = {fingerprint: self._stored(seat, ids) for fingerprint, seat in self._seats.items()}
        tasks, media = [], {}
        for position, (sample, record) in enumerate(block.samples):
            entry = self._enter(unit, sample)
            statuses = {fingerprint: found[position] for fingerprint, found in stored.items()}
            seats = self._questions(entry, statuses)
            task = task_for(entry.number, sample, seats)
            tasks.append(task)
            media[entry.number] = media_for(sample, task, _reader(record))
            self._to_ask[entry.number] = (seats, record)
        return Chunk(tasks=tasks, media=media)

    def decoded(self, decoded: Decoded) -> Iterator[tuple[Seat, Item]]:
        """Take the outcomes of a chunk in; the items for raters outside the decode workers."""
        for outcome in decoded.outcomes:
            entry = self._entries[outcome.number]
            seats, record = self._to_ask.pop(outcome.number)
            entry.width, entry.height, entry.format = outcome.width, outcome.height, outcome.format
            entry.decoded = True
            for seat in seats:
                for item in self._items(entry, seat, record, outcome):
                    yield seat, item
            self._settle(entry)

    def answer(self, seat: Seat, number: int, values: Mapping[str, Value]) -> None:
        """Take a rater's answer in, for its own entry and for those that wait for the same one.

        An answer to a frame of a video waits for those to its other frames.
        """
        if number in self._frames:
            self._answer_frame(seat, number, values)
            return
        fingerprint = seat.card.fingerprint
        entry = self._entries.get(number)
        if entry is None or fingerprint not in entry.waiting:
            raise CurateError(f"the rater '{seat.card.name}' answered item {number}, which it was not asked or had answered")
        values = complete(seat.card, values)
        status = overall(values)
        rows = [] if status is Status.PENDING else ratings_of(entry.sample.id, seat.card, values)
        self.answered += 1
        self.pending += status is Status.PENDING
        if (reason := why_failed(values)) is not None:
            self.reasons.setdefault(seat.card.name, Counter())[reason] += 1
        self._note(seat, values)
        if status not in HEALTHY:
            for counts in (self.failures, self._new_failures):
                counts[str(status)] = counts.get(str(status), 0) + 1
        told: set[int] = set()
        for each in (entry, *entry.borrowers.pop(fingerprint, ())):
            if each.unit.number not in told:
                told.add(each.unit.number)
                each.unit.ratings.extend(rows)
            self._resolve(each, fingerprint, status)

    def _note(self, seat: Seat, values: Mapping[str, Value]) -> None:
        """Count what was said beside values."""
        for value in values.values():
            # Which frames were seen differs from video to video; what else is said of them is worth counting.
            said = (value.detail or "").partition("; ")[2] if (value.detail or "").startswith(FRAMES) else value.detail
            if value.status is Status.OK and said:
                self.notes.setdefault(seat.card.name, Counter())[said] += 1
                return

    def unanswered(self, seat: Seat) -> None:
        """The rater has ended: what it was still asked has no answer."""
        fingerprint = seat.card.fingerprint
        for entry in [entry for entry in self._entries.values() if fingerprint in entry.waiting]:
            if self._claimed[fingerprint].get(entry.sample.id) is entry:
                self.answer(seat, entry.number, _failure(seat, Status.ERROR, "the rater ended without an answer"))

    def news(self) -> tuple[int, dict[str, int]]:
        """Since the last call: samples with nothing left to do or to ask, and failures by status."""
        settled, failures = self._new_settled, self._new_failures
        self._new_settled, self._new_failures = 0, {}
        return settled, failures

    def unfinished(self) -> list[OpenUnit]:
        """The units under way that hold answers which are not committed yet."""
        return [unit for unit in self._units.values() if len(unit.ratings) > unit.kept and unit not in self._finished]

    def finished(self) -> Iterator[OpenUnit]:
        """The units that became complete; each stays among them until it is taken."""
        while self._finished:
            unit = self._finished.pop(0)
            del self._units[unit.number]
            self._release(unit)
            yield unit

    def _enter(self, unit: OpenUnit, sample: Sample) -> Entry:
        entry = Entry(number=next(self._numbers), unit=unit, sample=sample)
        unit.entries.append(entry)
        unit.open_entries += 1
        self._entries[entry.number] = entry
        return entry

    def _questions(self, entry: Entry, stored: Mapping[str, Status | None]) -> list[Seat]:
        """The raters to be asked about an entry; those with a stored, a borrowed or an immediate answer are settled here."""
        seats = []
        for fingerprint, seat in self._seats.items():
            status = stored[fingerprint]
            if status is not None:
                entry.statuses[fingerprint] = status
                continue
            entry.waiting.add(fingerprint)
            first = self._claimed[fingerprint].setdefault(entry.sample.id, entry)
            if first is not entry:
                self._borrow(entry, first, fingerprint)
                continue
            why_not = unfit(entry.sample, seat.card)
            if why_not is not None:
                self.answer(seat, entry.number, _failure(seat, *why_not))
            else:
                seats.append(seat)
        return seats

    def _borrow(self, entry: Entry, first: Entry, fingerprint: str) -> None:
        """The same sample was met before in this run: its answer counts here too."""
        if fingerprint in first.waiting:
            first.borrowers.setdefault(fingerprint, []).append(entry)
            return
        if first.unit is not entry.unit:
            rows = [r for r in first.unit.ratings if r.sample == entry.sample.id and r.card == fingerprint]
            entry.unit.ratings.extend(rows)
        self._resolve(entry, fingerprint, first.statuses[fingerprint])

    def _items(self, entry: Entry, seat: Seat, record: Record, outcome: Outcome) -> list[Item]:
        """The items for a rater; none where the answer is known already: from the worker, or because decoding failed."""
        if seat.worker is not None and seat.worker in outcome.judgements:
            self.answer(seat, entry.number, outcome.judgements[seat.worker])
            return []
        for role in seat.roles:
            if role in outcome.failures and role in seat.decodes:
                self.answer(seat, entry.number, _failure(seat, *outcome.failures[role]))
                return []
        data = bytes_of(entry.sample, seat.roles, _reader(record)) if seat.rater.wants_bytes else {}
        item = Item(number=entry.number, samples=(entry.sample,), prepared=(seat.arrays(outcome),), data=(data,))
        return self._by_frames(entry, seat, item, outcome) if entry.sample.kind == "video" and seat.splits_videos else [item]

    def _by_frames(self, entry: Entry, seat: Seat, whole: Item, outcome: Outcome) -> list[Item]:
        """An item for each frame of a video that a rater of pictures sees; other videos of the sample go along with it."""
        frames = seat.card.frames
        watched = frames and outcome.watched.get(("response", frames.sampling))
        if not frames or not watched:
            self.answer(seat, entry.number, _failure(seat, Status.UNSUPPORTED_MEDIA, f"{seat.card.name} does not look at frames"))
            return []
        asked = Asked(entry=entry, watched=watched)
        items = []
        of_roles = {role: seen.positions for (role, wanted), seen in outcome.watched.items() if wanted == frames.sampling}
        for place in range(len(watched.positions)):
            # A source with fewer frames than the response begins again.
            shown = {role: positions[place % len(positions)] for role, positions in of_roles.items()}
            prepared = {
                (role, name): array[place % len(array)] if role in shown else array
                for (role, name), array in whole.prepared[0].items()
            }
            number = next(self._numbers)
            self._frames[number] = (asked, place)
            items.append(replace(whole, number=number, prepared=(prepared,), frames=shown))
        return items

    def _answer_frame(self, seat: Seat, number: int, values: Mapping[str, Value]) -> None:
        asked, place = self._frames.pop(number)
        asked.answers[place] = complete(seat.card, values)
        if len(asked.answers) == len(asked.watched.positions):
            answers = [asked.answers[each] for each in range(len(asked.answers))]
            self.answer(seat, asked.entry.number, combined(seat.card, answers, asked.watched))

    def _resolve(self, entry: Entry, fingerprint: str, status: Status) -> None:
        entry.waiting.discard(fingerprint)
        entry.statuses[fingerprint] = status
        if status is Status.PENDING:
            entry.unit.pending.add(fingerprint)
        self._settle(entry)

    def _settle(self, entry: Entry) -> None:
        if entry.settled and self._entries.pop(entry.number, None) is not None:
            self._new_settled += 1
            entry.unit.open_entries -= 1
            self._check(entry.unit)

    def _check(self, unit: OpenUnit) -> None:
        if unit.settled and unit.number in self._units and unit not in self._finished:
            self._finished.append(unit)

    def _release(self, unit: OpenUnit) -> None:
        """Let go of the samples a unit was the first to ask about."""
        for entry in (*unit.entries, *unit.retracted):
            for claimed in self._claimed.values():
                if claimed.get(entry.sample.id) is entry:
                    del claimed[entry.sample.id]


def _failure(seat: Seat, status: Status, detail: str) -> dict[str, Value]:
    return failure(seat.card.dimensions, status, detail)


def _reader(record: Record) -> Callable[[Member], bytes]:
    """Gives the bytes of a record's members."""
    return lambda member: record.data[member.field]
