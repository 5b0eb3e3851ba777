"""Asks, and what is done with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from curate.asks import Answer, Ask, Label, Turn
from curate.client.backend import ServerBackend
from curate.client.breaker import Breaking
from curate.client.retries import Retrying
from curate.client.session import Patience
from curate.client.swatches import swatch
from curate.serving import Serving
from curate.testing.server import Request, Scripted, hash_oracle

QUICK = Patience(
    retrying=Retrying(first_seconds=0.01, longest_seconds=0.05, least=100_000),
    breaking=Breaking(first_seconds=0.02, longest_seconds=0.1, patience_seconds=5.0),
)

YES_NO = (Label(name="yes", spellings=("Yes", "yes", " Yes")), Label(name="no", spellings=("No", "no", " No")))


def untested(url: str, **settings: Any) -> Serving:
    """A server that is not asked about pictures of one colour first, so that requests can be counted."""
    return Serving(url=url, canary=False, **settings)


def labelled(number: int) -> Ask:
    """An ask for a distribution about a picture of its own."""
    shown = swatch((number % 256, number // 256, 99), 8)
    return Ask(
        turns=(Turn(role="system", parts=("You judge.",)), Turn(role="user", parts=(shown, f"Is it {number}? Yes or no."))),
        labels=YES_NO,
        seed=number,
    )


def written(number: int) -> Ask:
    """An ask for a text."""
    return Ask(turns=(Turn(role="user", parts=(f"Describe {number}.",)),), max_tokens=64, temperature=0.7, seed=number)


def unsaid(request: Request) -> Scripted:
    """The answer of a server that does not say, in any known word, why its answers end."""
    return replace(hash_oracle(request), finish="perhaps")


def answered(backend: ServerBackend, asks: Sequence[Ask]) -> list[Answer]:
    """The answers to asks, in their order, each given once."""
    backend.put(list(enumerate(asks)))
    return collected(backend, len(asks))


def collected(backend: ServerBackend, count: int) -> list[Answer]:
    answers: dict[int, Answer] = {}
    while len(answers) < count:
        for number, answer in backend.get():
            assert number not in answers, "answered twice"
            answers[number] = answer
    return [answers[number] for number in range(count)]
