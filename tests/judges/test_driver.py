"""The driver: what is remembered when, what is asked again, and what is never put to a judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from curate.asks import Answer, Ask, Model, Reply, Trouble, Turn, Usage
from curate.judges.driver import Driver, Work
from curate.judges.memory import Memory
from curate.judges.showing import difference
from curate.raters import Value
from curate.records import Media, Sample, Status
from curate.rubrics.case import Conversation, NoJudgementError
from curate.store.replies import Replies

MODEL = Model(name="a model")


class Said:
    """A backend that says what it is told to, by the text of the ask; all that was put comes back at once."""

    model = MODEL
    slots = 64

    def __init__(self, says: Callable[[str], Answer]) -> None:
        self._says = says
        self._put: list[tuple[int, Ask]] = []
        self.asked: list[str] = []

    def put(self, tickets: Sequence[tuple[int, Ask]]) -> None:
        self._put.extend(tickets)

    def poll(self) -> Sequence[tuple[int, Answer]]:
        return []

    def get(self) -> Sequence[tuple[int, Answer]]:
        put, self._put = self._put, []
        self.asked += [text_of(ask) for _, ask in put]
        return [(ticket, self._says(text_of(ask))) for ticket, ask in put]

    def give_up(self) -> None:
        return None

    def close(self) -> None:
        return None


def text_of(ask: Ask) -> str:
    return str(ask.turns[0].parts[0])


def talk(text: str) -> Conversation:
    """Asks one thing; the reply has to be a number."""
    (answer,) = yield [Ask(turns=(Turn(role="user", parts=(text,)),))]
    if isinstance(answer, Trouble):
        raise NoJudgementError(answer.status, answer.detail)
    if not answer.text.isdigit():
        raise NoJudgementError(Status.PARSE_ERROR, "not_a_number: it is none")
    return {"value": Value(value=float(answer.text))}


def talks(*texts: str) -> list[tuple[int, Callable[[], Conversation]]]:
    return [(number, lambda text=text: talk(text)) for number, text in enumerate(texts)]  # type: ignore[misc]


def memory(replies: Replies) -> Memory:
    return Memory(replies, card="card", model=MODEL, backend="software 1")


def test_answers_that_came_together_are_remembered_before_any_is_handed_on(tmp_path: Path) -> None:
    with Replies(tmp_path / "replies") as replies:
        outcomes = Driver(Said(lambda _: Reply(text="7")), memory(replies)).run(talks("a", "b", "c"))
        next(outcomes)
        assert replies.last == 3


def test_what_failed_by_what_is_remembered_is_asked_anew_and_nothing_else_is(tmp_path: Path) -> None:
    with Replies(tmp_path / "replies") as replies:
        before = dict(
            Driver(Said(lambda text: Reply(text="7" if text == "good" else "?")), memory(replies)).run(talks("good", "bad"))
        )
        assert isinstance(before[1], NoJudgementError)
        backend = Said(lambda _: Reply(text="3"))
        after = dict(Driver(backend, memory(replies), again=[Status.PARSE_ERROR]).run(talks("good", "bad", "new")))
        assert sorted(backend.asked) == ["bad", "new"]
        assert not any(isinstance(outcome, NoJudgementError) for outcome in after.values())
        once_more = Said(lambda _: Reply(text="9"))
        dict(Driver(once_more, memory(replies), again=[Status.PARSE_ERROR]).run(talks("good", "bad", "new")))
        assert once_more.asked == []


def test_what_fails_anew_is_not_asked_for_ever(tmp_path: Path) -> None:
    with Replies(tmp_path / "replies") as replies:
        dict(Driver(Said(lambda _: Reply(text="?")), memory(replies)).run(talks("bad")))
        backend = Said(lambda _: Reply(text="?"))
        outcome = dict(Driver(backend, memory(replies), again=[Status.PARSE_ERROR]).run(talks("bad")))[0]
        assert isinstance(outcome, NoJudgementError)
        assert backend.asked == ["bad"]


def test_what_was_never_sent_is_not_counted_as_asked() -> None:
    never = Trouble(status=Status.PENDING, detail="budget: spent", usage=Usage(requests=0))
    work = Work()
    dict(Driver(Said(lambda text: Reply(text="1") if text == "a" else never), None, work).run(talks("a", "b", "c")))
    assert work.told()["asked"] == 1


def sample(prompt: str, source: str | None = None) -> Sample:
    conditions = {} if source is None else {"source": Media(kind="image", digest=source)}
    return Sample(
        id=prompt,
        group="g",
        shard="s",
        key="k",
        index=0,
        prompt=prompt,
        response=(Media(kind="image", digest="d"),),
        conditions=conditions,
    )


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        (sample("a cat"), sample("a cat"), None),
        (sample("a cat"), sample("a dog"), "prompt"),
        (sample("a cat", "x"), sample("a cat", "x"), None),
        (sample("a cat", "x"), sample("a cat", "y"), "source"),
        (sample("a cat", "x"), sample("a cat"), "source"),
    ],
)
def test_samples_of_different_requests_are_told_apart(first: Sample, second: Sample, wanted: str | None) -> None:
    assert difference((first, second)) == wanted
    assert difference((first,)) is None
