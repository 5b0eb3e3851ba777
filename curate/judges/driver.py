"""Conversations about many cases at once, over a backend that answers in any order.

Each conversation is a generator that gives asks and is sent their answers (`curate.rubrics.case.Conversation`). As many are
kept open as the backend has slots. An answer that is remembered is not asked for again, and one that is on its way is waited for
by all who ask for the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from curate.asks import Answer, Ask, Backend, Reply, Usage
from curate.judges.memory import Memory
from curate.raters import Value
from curate.records import Status
from curate.rubrics.case import Conversation, NoJudgementError

Outcome = dict[str, Value] | NoJudgementError
"""What became of a conversation."""


@dataclass(slots=True, kw_only=True)
class Work:
    """What a driver has had asked."""

    asks: int = 0
    remembered: int = 0
    """Asks whose answers were known, or on their way already."""
    usage: Usage = field(default_factory=lambda: Usage(requests=0))
    """Of all of them; answers that were waited for at the same time count their seconds in full."""

    def add(self, answer: Answer) -> None:
        """Count an answer; one to what was never sent is none."""
        self.asks += isinstance(answer, Reply) or answer.usage.requests > 0
        self.usage += answer.usage

    def told(self) -> dict[str, float]:
        """The numbers, by the names that people read."""
        seconds = self.usage.seconds / self.asks if self.asks else 0.0
        return {"asked": self.asks, "known already": self.remembered, **worked(self.usage), "seconds a reply": seconds}


def worked(usage: Usage) -> dict[str, float]:
    """What was asked of a server, by the names that people read."""
    return {
        "requests": usage.requests,
        "prompt tokens": usage.prompt_tokens,
        "of them cached": usage.cached_tokens,
        "reply tokens": usage.completion_tokens,
    }


@dataclass(slots=True, eq=False)
class _Open:
    """A conversation under way, and the asks it waits for."""

    number: int
    make: Callable[[], Conversation]
    conversation: Conversation
    anew: bool = False
    """Whether replies from before this run count for nothing."""
    used_old: bool = False
    """Whether a reply was remembered."""
    asks: Sequence[Ask] = ()
    answers: list[Answer | None] = field(default_factory=list)
    missing: int = 0


@dataclass(slots=True, eq=False)
class _Asked:
    """An ask on its way, and who waits for its answer: conversations, each at a position among its asks."""

    key: bytes
    waiting: list[tuple[_Open, int]]


class Driver:
    """Holds conversations with one backend; used from one thread."""

    def __init__(
        self,
        backend: Backend,
        memory: Memory | None = None,
        work: Work | None = None,
        *,
        again: Collection[Status] = (),
    ) -> None:
        """What ends with a status of `again` because of what is remembered is asked anew, once."""
        self._backend = backend
        self._again = frozenset(again)
        self.work = work or Work()
        self._memory = memory
        self._tickets: dict[int, _Asked] = {}
        self._on_the_way: dict[bytes, _Asked] = {}
        # The same by key; only with a memory, since keys belong to a model.
        self._next_ticket = 0
        self._open = 0

    def run(self, conversations: Iterable[tuple[int, Callable[[], Conversation]]]) -> Iterator[tuple[int, Outcome]]:
        """The outcome of each conversation, under its number, in any order. New ones are begun as slots become free."""
        coming = iter(conversations)
        more = True
        while True:
            while more and self._open < self._backend.slots:
                if (new := next(coming, None)) is None:
                    more = False
                    break
                yield from self._begin(*new)
                # New ones may come slowly, and an answer that is not taken is not remembered.
                yield from self._take(self._backend.poll())
            if not self._tickets:
                if not more:
                    return
                continue
            yield from self._take(self._backend.get())

    def _begin(self, number: int, make: Callable[[], Conversation]) -> Iterator[tuple[int, Outcome]]:
        self._open += 1
        yield from self._advance(_Open(number, make, make()), None)

    def _take(self, answers: Sequence[tuple[int, Answer]]) -> Iterator[tuple[int, Outcome]]:
        """Answers that came together: all are remembered before any goes on, since whoever takes the outcomes may be slow."""
        for ticket, answer in answers:
            if self._memory is not None and isinstance(answer, Reply):
                self._memory.add(self._tickets[ticket].key, answer)
        for ticket, answer in answers:
            yield from self._answered(ticket, answer)

    def _answered(self, ticket: int, answer: Answer) -> Iterator[tuple[int, Outcome]]:
        asked = self._tickets.pop(ticket)
        self.work.add(answer)
        if self._memory is not None:
            del self._on_the_way[asked.key]
        for one, position in asked.waiting:
            one.answers[position] = answer
            one.missing -= 1
        for one in dict.fromkeys(one for one, _ in asked.waiting):
            if not one.missing:
                yield from self._advance(one, [known for known in one.answers if known is not None])

    def _advance(self, one: _Open, answers: Sequence[Answer] | None) -> Iterator[tuple[int, Outcome]]:
        """Go on with a conversation until it waits for the backend or ends."""
        while True:
            try:
                one.asks = next(one.conversation) if answers is None else one.conversation.send(answers)
            except StopIteration as end:
                outcome: Outcome = end.value
            except NoJudgementError as why:
                outcome = why
            except Exception as problem:
                # A bug that one case brings to light is that case's; the others are judged all the same.
                outcome = NoJudgementError(Status.ERROR, f"{type(problem).__name__}: {problem}")
            else:
                if not self._put(one):
                    return
                answers = [known for known in one.answers if known is not None]
                continue
            if one.used_old and self._again & _statuses(outcome):
                # What was remembered led to what is to be tried again, so now it is asked anew.
                one.conversation, one.anew, one.used_old, answers = one.make(), True, False, None
                continue
            self._open -= 1
            yield one.number, outcome
            return

    def _put(self, one: _Open) -> bool:
        """Ask what is not remembered; True where all of it is, so that there is nothing to wait for."""
        one.answers = [None] * len(one.asks)
        one.missing = 0
        wanted = []
        for position, ask in enumerate(one.asks):
            key, known = self._known(ask, one)
            if known is not None:
                one.answers[position] = known
                one.used_old = True
                self.work.remembered += 1
                continue
            one.missing += 1
            if key in self._on_the_way:
                self._on_the_way[key].waiting.append((one, position))
                self.work.remembered += 1
                continue
            asked = self._tickets[self._next_ticket] = _Asked(key, [(one, position)])
            if self._memory is not None:
                self._on_the_way[key] = asked
            wanted.append((self._next_ticket, ask))
            self._next_ticket += 1
        if wanted:
            self._backend.put(wanted)
        return not one.missing

    def _known(self, ask: Ask, one: _Open) -> tuple[bytes, Reply | None]:
        """The key of an ask, and the reply where it is remembered."""
        if self._memory is None:
            return b"", None
        key = self._memory.key(ask)
        return key, self._memory.find(key, anew=one.anew)


def _statuses(outcome: Outcome) -> set[Status]:
    """What became of the dimensions of an outcome."""
    return {outcome.status} if isinstance(outcome, NoJudgementError) else {value.status for value in outcome.values()}
