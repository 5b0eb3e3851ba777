"""One call of a rubric: asked with the data of a case, asked again where the reply cannot be read, and read.

Every method is made of calls. `Asking` is a call of a card, checked; `Question` is it about one case; `hear` puts questions and
gives, for each, what was read or why there is nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from curate.asks import Answer, Ask, Reply
from curate.cards import CardFile
from curate.errors import CardError
from curate.records import Status, canonical_json
from curate.rubrics.case import Case, NoJudgementError, needed
from curate.rubrics.distributions import MASS
from curate.rubrics.messages import Messages, Names, Shown
from curate.rubrics.readers import Reader, reader_of
from curate.rubrics.replies.base import Outputs, Unreadable, sound
from curate.rubrics.replies.refusals import is_refusal
from curate.rubrics.spec import Call

MOST_RATIONALE = 4096
"""Characters that are kept of what a judge said for its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A call about one case."""

    call: str
    """Names the call in messages to people."""
    ask: Ask
    """The first try."""
    reader: Reader
    seed_of: tuple[str | int, ...]
    """What the seed depends on, besides the try."""
    notes: tuple[str, ...]

    def attempt(self, number: int) -> Ask:
        """The ask of one try, from 0. A seed decides nothing at temperature 0, so it is then left the same for all cases."""
        if not self.ask.temperature:
            return replace(self.ask, attempt=number)
        return replace(self.ask, attempt=number, seed=seed_of(*self.seed_of, number))


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What was read of a reply."""

    outputs: Outputs
    kept: Mapping[str, str]
    """Texts that are kept beside the value, by output."""
    notes: tuple[str, ...] = ()


class Asking:
    """A call of a card, ready for any case."""

    def __init__(self, call: Call, names: Names, *, name: str, where: str, field: str) -> None:
        """`name` is for people; `field` is where the call stands in the card `where`: 'args.calls.0'.

        Raises `CardError` for what does not hold together.
        """
        self.name = name
        self.messages = Messages(call.messages, names, where=f"{where}, field '{field}.messages'")
        self.reader = reader_of(call.reads, where=f"{where}, field '{field}.reads'")
        self._call = call

    def about(
        self,
        case: Case,
        *,
        seed: Sequence[str | int] = (),
        temperature: float | None = None,
        order: Sequence[int] = (0, 1),
        data: Mapping[str, str] | None = None,
        own: Mapping[str, str] | None = None,
        pictures: Mapping[str, Shown] | None = None,
    ) -> Question:
        """The question about a case; raises `NoJudgementError` where the case lacks what is asked for.

        `seed` tells questions of one call and case apart that are to be sampled independently; `temperature` is used instead of
        the call's own, though not where labels are read: their distribution is the same each time. The others: `Messages.render`.
        """
        rendered = self.messages.render(case, order=order, data=data, own=own, pictures=pictures)
        sampled = self._call.temperature if temperature is None else temperature
        ask = Ask(
            turns=rendered.turns,
            labels=self.reader.labels,
            schema=self.reader.schema,
            max_tokens=self._call.tokens,
            temperature=0.0 if self.reader.labels else sampled,
            may_be_cut=self._call.may_be_cut or bool(self.reader.labels),
        )
        return Question(
            call=self.name,
            ask=ask,
            reader=self.reader.about(case.meta),
            seed_of=(case.key, self.name, *seed),
            notes=rendered.notes,
        )


Hearing = Generator[Sequence[Ask], Sequence[Answer], list[Heard | NoJudgementError]]


def hear(questions: Sequence[Question], *, attempts: int) -> Hearing:
    """Ask all questions at the same time, and those again whose replies cannot be read, up to `attempts` times.

    Gives, in the order of the questions, what was read or why nothing was. Distributions are asked for once: they would not
    change, and neither would the length of a reply at temperature 0.
    """
    heard: dict[int, Heard | NoJudgementError] = {}
    waiting = list(range(len(questions)))
    for attempt in range(attempts):
        answers = yield [questions[position].attempt(attempt) for position in waiting]
        for position, answer in zip(waiting, answers, strict=True):
            heard[position] = _outcome(questions[position], answer)
        waiting = [position for position in waiting if _is_worth_another(heard[position], questions[position])]
        if not waiting:
            break
    return [heard[position] for position in range(len(questions))]


def all_heard(questions: Sequence[Question], *, attempts: int) -> Generator[Sequence[Ask], Sequence[Answer], list[Heard]]:
    """Like `hear` where every answer is needed: raises the `NoJudgementError` that says best why one is missing."""
    outcomes = yield from hear(questions, attempts=attempts)
    if (worst := worst_of(outcomes)) is not None:
        raise worst
    return [outcome for outcome in outcomes if isinstance(outcome, Heard)]


def worst_of(outcomes: Iterable[Heard | NoJudgementError]) -> NoJudgementError | None:
    """Among failures the first that will not go away by itself, else the first of all; None where there are none."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, NoJudgementError)]
    return min(failures, key=lambda one: one.status in {Status.PENDING, Status.API_ERROR}, default=None)


def seed_of(*parts: str | int) -> int:
    """A seed of 31 bits that depends on the parts and on nothing else."""
    digest = hashlib.sha256(canonical_json(parts).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "little") >> 1


def check_judges_samples(file: CardFile) -> None:
    """Raises `CardError` for a card of pairs: a method that shows one order would take a liking for a place for a verdict."""
    if file.card.judges != "samples":
        method = file.card.args["rubric"]
        raise CardError(
            f"{file.where}, field 'args.rubric': '{method}' judges samples, one by one; pairs are for 'pairwise' and 'frames'"
        )


def mass_of(heard: Iterable[Heard]) -> dict[str, float]:
    """`p_mass` of the replies in which the judge was least about to say one of the labels; nothing where none were read."""
    masses = [mass for one in heard if isinstance(mass := one.outputs.get(MASS), float)]
    return {MASS: round(min(masses), 4)} if masses else {}


def rationale_of(texts: Mapping[str, str]) -> str | None:
    """What is kept of several texts: the one there is, or all as JSON by name; cut to `MOST_RATIONALE` characters."""
    if not texts:
        return None
    return shortened(next(iter(texts.values())) if len(texts) == 1 else canonical_json(dict(texts)))


def shortened(said: str) -> str:
    """A rationale as it is stored: whole characters, at most `MOST_RATIONALE` of them."""
    said = sound(said)
    return said if len(said) <= MOST_RATIONALE else f"{said[: MOST_RATIONALE - 1]}…"


def detail_of(notes: Iterable[str]) -> str | None:
    """What is said beside a value: each note once."""
    return "; ".join(dict.fromkeys(notes)) or None


def _is_worth_another(outcome: Heard | NoJudgementError, question: Question) -> bool:
    if isinstance(outcome, Heard) or question.reader.labels:
        return False
    return outcome.status is Status.PARSE_ERROR or (outcome.status is Status.TRUNCATED and question.ask.temperature > 0)


def _outcome(question: Question, answer: Answer) -> Heard | NoJudgementError:
    try:
        reply = needed(answer)
        outputs = _read(question, reply)
    except NoJudgementError as why:
        return why
    return Heard(outputs=outputs, kept=question.reader.kept(outputs), notes=question.notes)


def _read(question: Question, reply: Reply) -> Outputs:
    if reply.finish == "length" and not question.ask.may_be_cut:
        detail = f"length: the reply to '{question.call}' ends at {question.ask.max_tokens} tokens"
        raise NoJudgementError(Status.TRUNCATED, detail)
    if reply.finish == "other" and not question.ask.may_be_cut:
        detail = f"unfinished: nobody says whether the reply to '{question.call}' is whole"
        raise NoJudgementError(Status.TRUNCATED, detail)
    try:
        return question.reader.read(reply)
    except Unreadable as problem:
        if problem.reason == "refusal" or (not question.reader.labels and is_refusal(reply.text)):
            raise NoJudgementError(Status.REFUSED, f"refusal: the judge does not want to answer '{question.call}'") from problem
        raise NoJudgementError(Status.PARSE_ERROR, f"{problem.reason}: '{question.call}': {problem.detail}") from problem
