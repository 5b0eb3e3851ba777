"""What a rubric is about, and the shape of a conversation about it."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from curate.asks import Answer, Ask, Picture, Reply, Trouble
from curate.raters import Value
from curate.records import Status
from curate.rubrics.replies.base import sound
from curate.rubrics.spec import Pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One response, ready to be shown."""

    pictures: Mapping[str, tuple[Picture, ...]] = field(default_factory=dict)
    """By role ('response', 'source', 'reference' …): one picture, several views, or the frames of a video in order."""
    text: str | None = None
    """The response where it is a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is judged: one candidate, or two of a group in the order of their ids."""

    key: str
    """Names the case: seeds are derived from it, so that they depend on nothing else."""
    candidates: tuple[Candidate, ...]
    prompt: str | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    """Conditions that are texts, by role."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What the record's JSON said besides."""


Conversation = Generator[Sequence[Ask], Sequence[Answer], dict[str, Value]]
"""Gives asks that may be answered at the same time, is sent their answers in the same order, and returns the values."""


class Method(Protocol):
    """A way of judging: built from the `args` of a card."""

    pictures: Pictures
    """How pictures are sent."""
    shown: frozenset[str]
    """The media whose pictures are shown: 'response', and roles of conditions."""
    reads_labels: bool
    """Whether it needs the probabilities of tokens, which not every server gives."""

    def converse(self, case: Case) -> Conversation:
        """A conversation about one case. Raises `NoJudgementError` from within where there can be no value."""
        ...


class NoJudgementError(Exception):
    """There is no value, and why: becomes the status of all dimensions of the rating."""

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def needed(answer: Answer) -> Reply:
    """The reply; raises `NoJudgementError` for trouble, for a refusal in so many words, and for a content filter."""
    if isinstance(answer, Trouble):
        raise NoJudgementError(answer.status, answer.detail)
    if answer.refusal is not None:
        raise NoJudgementError(Status.REFUSED, f"refusal: {sound(answer.refusal[:500])}")
    if answer.finish == "content_filter":
        raise NoJudgementError(Status.REFUSED, "content_filter: the server stopped the answer")
    return answer
