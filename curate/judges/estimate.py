"""What a run would ask and what that would cost, with nothing asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from curate.asks import Ask, Reply
from curate.client.canary import first_test
from curate.client.capabilities import LEAST_PROBES
from curate.judges.memory import Memory
from curate.raters import Judgement, failure
from curate.records import Status
from curate.rubrics.case import Conversation, NoJudgementError
from curate.serving import Serving

LETTERS_PER_TOKEN = 4.0
"""Of English in today's vocabularies, about."""

PATCH = 28
"""Pixels along the side of one visual token of Qwen2-VL and Qwen2.5-VL; other families are of the same order."""


@dataclass(slots=True, kw_only=True)
class Estimate:
    """What one rater would ask at least: questions that depend on an answer which is not known yet are not among it."""

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


def examining(serving: Serving) -> dict[str, float]:
    """What it takes at least to find out what a server can do, and to test it at the start, by the names of `Estimate.told`."""
    tests = first_test(serving.concurrency) if serving.canary else []
    return {
        "requests": LEAST_PROBES + len(tests),
        "prompt tokens": sum(map(tokens_of, tests)),
        "reply tokens": sum(ask.max_tokens for ask in tests),
    }


def estimated(
    conversations: Iterable[tuple[int, Callable[[], Conversation]]],
    estimate: Estimate,
    memory: Memory | None,
    dimensions: Iterable[str],
) -> Iterator[Judgement]:
    """Count what would be asked, each question once; every judgement is pending.

    What a judge will be asked next depends on what it says, so a conversation is followed only as far as its replies are known.
    """
    counted: set[bytes] = set()
    for number, make in conversations:
        estimate.cases += 1
        conversation = make()
        known: list[Reply | None] | None = None
        while known is None or None not in known:
            try:
                asks = next(conversation) if known is None else conversation.send([one for one in known if one is not None])
            except (StopIteration, NoJudgementError):
                break
            known = [_counted(ask, estimate, memory, counted) for ask in asks]
        conversation.close()
        yield Judgement(item=number, values=failure(dimensions, Status.PENDING, "estimated"))


def _counted(ask: Ask, estimate: Estimate, memory: Memory | None, counted: set[bytes]) -> Reply | None:
    """The reply to an ask where it is known; else the ask is counted, unless it was before."""
    key = memory.key(ask) if memory is not None else ask.key({})
    reply = memory.find(key) if memory is not None else None
    if reply is not None or key in counted:
        estimate.remembered += 1
        return reply
    counted.add(key)
    estimate.requests += 1
    estimate.prompt_tokens += tokens_of(ask)
    estimate.completion_tokens += ask.max_tokens
    return None
