"""What a run would ask and what that would cost, with nothing asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from curate.asks import Ask
from curate.judges.memory import Memory
from curate.raters import Judgement, failure
from curate.records import Status
from curate.rubrics.case import Conversation, NoJudgementError

LETTERS_PER_TOKEN = 4.0
"""Of English in today's vocabularies, about."""

PATCH = 28
"""Pixels along the side of one visual token of Qwen2-VL and Qwen2.5-VL; other families are of the same order."""


@dataclass(slots=True, kw_only=True)
class Estimate:
    """What one rater would ask. Conversations that depend on what was answered are counted by their first asks."""

    cases: int = 0
    requests: int = 0
    remembered: int = 0
    """Asks whose replies are known, or will be from another one just like it."""
    prompt_tokens: int = 0
    """About: visual tokens as of Qwen2.5-VL, a token for four letters."""
    completion_tokens: int = 0
    """At most."""

    def told(self) -> dict[str, float]:
        """The numbers, by the names that people read."""
        return {
            "cases": self.cases,
            "requests": self.requests,
            "known already": self.remembered,
            "prompt tokens": self.prompt_tokens,
            "reply tokens": self.completion_tokens,
        }


def tokens_of(ask: Ask) -> int:
    """About how many tokens an ask's prompt has."""
    letters = sum(len(part) for turn in ask.turns for part in turn.parts if isinstance(part, str))
    visual = sum(max(1, round(one.width / PATCH)) * max(1, round(one.height / PATCH)) for one in ask.pictures)
    return round(letters / LETTERS_PER_TOKEN) + visual


def estimated(
    conversations: Iterable[tuple[int, Conversation]], estimate: Estimate, memory: Memory | None, dimensions: Iterable[str]
) -> Iterator[Judgement]:
    """Count what would be asked, each question once; every judgement is pending."""
    counted: set[bytes] = set()
    for number, conversation in conversations:
        estimate.cases += 1
        try:
            asks = next(conversation)
        except (StopIteration, NoJudgementError):
            asks = ()
        conversation.close()
        for ask in asks:
            key = memory.key(ask) if memory is not None else ask.key({})
            if key in counted or (memory is not None and memory.find(key) is not None):
                estimate.remembered += 1
                continue
            counted.add(key)
            estimate.requests += 1
            estimate.prompt_tokens += tokens_of(ask)
            estimate.completion_tokens += ask.max_tokens
        yield Judgement(item=number, values=failure(dimensions, Status.PENDING, "estimated"))
