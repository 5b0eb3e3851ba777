"""Conversations with a judge that says what it is told to say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from curate.asks import Answer, Ask, Distribution, Picture, Reply
from curate.cards import Card, CardFile
from curate.raters import Value
from curate.rubrics.case import Candidate, Case, Method

Judge = Callable[[Ask], Answer]


def picture(name: str = "a") -> Picture:
    """A picture of its own for each name; judges here do not look."""
    return Picture(data=name.encode(), mime="image/png", width=1, height=1)


def case(prompt: str | None = "a red kite", *, response: tuple[str, ...] = ("response",), **more: Any) -> Case:
    """A sample with pictures named in `response`, and a picture of its source."""
    pictures = {"response": tuple(map(picture, response)), "source": (picture("source"),)}
    return Case(key="sample", candidates=(Candidate(pictures=pictures),), prompt=prompt, **more)


def card(args: Mapping[str, Any], *, dimensions: tuple[str, ...] = ("score",), **more: Any) -> CardFile:
    """A card of a rubric."""
    fields = {
        "name": "mine",
        "version": 1,
        "about": "a test",
        "target": "curate.judges.rater:RubricRater",
        "takes": {"response": "image", "prompt": "required", "conditions": ["source"]},
        "args": args,
        "dimensions": {name: {} for name in dimensions},
        "main": dimensions[0],
    }
    return CardFile(card=Card.model_validate({**fields, **more}), where="mine.yaml", shipped=False)


def talk(method: Method, about: Case, judge: Judge) -> tuple[dict[str, Value], list[list[Ask]]]:
    """What a conversation comes to, and the asks of each of its rounds."""
    conversation = method.converse(about)
    rounds: list[list[Ask]] = []
    answers: list[Answer] | None = None
    while True:
        try:
            asks = list(next(conversation) if answers is None else conversation.send(answers))
        except StopIteration as end:
            return end.value, rounds
        rounds.append(asks)
        answers = [judge(ask) for ask in asks]


def distribution(probabilities: Mapping[str, Mapping[str, float]], floor: float | None = None) -> Distribution:
    """From probabilities of spellings, by label; `floor` is a probability too."""
    logs = {label: {one: math.log(p) for one, p in spellings.items()} for label, spellings in probabilities.items()}
    return Distribution(logprobs=logs, floor=None if floor is None else math.log(floor))


def said_of(ask: Ask) -> str:
    """All texts of an ask."""
    return "\n".join(part for turn in ask.turns for part in turn.parts if isinstance(part, str))


def saying(*texts: str) -> Judge:
    """A judge that says these texts, one after another, and then the last again and again."""
    waiting = list(texts)

    def judge(ask: Ask) -> Answer:
        return Reply(text=waiting.pop(0) if len(waiting) > 1 else waiting[0])

    return judge
