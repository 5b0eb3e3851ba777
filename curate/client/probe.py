"""What a server is and can do, found out by asking it a few things before the run.

Requests are made as the run will make them; what the server refuses or passes over is left out from then on.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from curate.asks import Ask, Label, Model, Reply, Turn
from curate.client.answers import Again, Outcome, model_and_id
from curate.client.budget import Budget
from curate.client.capabilities import MOST_PICTURES_TRIED, Capabilities, Ids
from curate.client.connection import Connection, without_version
from curate.client.exchange import Exchange
from curate.client.identity import Served, chosen, software
from curate.client.retries import Retrying
from curate.client.secrets import Redactor, read_key
from curate.client.swatches import swatch
from curate.client.token_ids import TokenIds, speaks_token_ids
from curate.errors import BudgetSpent, ServerError
from curate.records import canonical_json
from curate.serving import Serving

CERTAIN = 0.95
"""Labels that nothing asked for and that are more probable than this together were forced."""

_FIELDS_REFUSED = ("http_400", "http_422")
"""How errors about a request begin."""

FEW = 3
"""Tries after which what does not come is held to be missing: once may be chance."""

_LABELS = (Label(name="yes", spellings=("Yes", "yes")), Label(name="no", spellings=("No", "no")))

_NOT_LABELLED = (
    "How much is seven plus five? Answer with the number alone.",
    "Which city is the capital of France? Answer with its name alone.",
)
"""Questions whose natural answer is neither of these labels."""

PLAIN = Ask(turns=(Turn(role="user", parts=("Say hello.",)),), max_tokens=4, may_be_cut=True)
"""A question that every model answers, well enough however the answer ends."""

_SCHEMA = {
    "type": "object",
    "properties": {"side": {"type": "string", "enum": ["left", "right"]}},
    "required": ["side"],
    "additionalProperties": False,
}

_COUNTS = (MOST_PICTURES_TRIED, 4, 2, 1)

_TOPS = (20, 10, 5, 1, 0)
"""How many of the likeliest tokens are asked for: the most that OpenAI and, unless told otherwise, vLLM give; then fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A server, examined."""

    served: Served
    model: Model
    capabilities: Capabilities


async def examine(connection: Connection, serving: Serving, budget: Budget, retrying: Retrying) -> Found:
    """Who answers, and how to speak to it.

    Raises `BudgetSpent`, and `ServerError` where it is not there, serves something else, or forces the labels it is asked for.
    """
    served = await chosen(connection, serving)
    backend = await software(connection, served)
    name = served.name if not serving.dialect else f"{served.name} {canonical_json(serving.dialect)}"
    model = Model(name=name, revision=serving.revision, backend=backend)
    probe = _Probe(connection, serving, budget, retrying, served.name)
    await probe.run()
    return Found(served=served, model=model, capabilities=probe.able)


def only_model(serving: Serving) -> str:
    """The name of the only model that a server serves; raises `ServerError` where there is no such."""

    async def name() -> str:
        key = read_key(serving)
        async with Connection(serving, key, Redactor(key)) as connection:
            return (await chosen(connection, serving)).name

    with ThreadPoolExecutor(1) as aside:  # there may be an event loop in this thread already: notebooks have one
        return aside.submit(lambda: asyncio.run(name())).result()


class _Probe:
    """Finds out one thing after the other, each with what is known by then."""

    def __init__(self, connection: Connection, serving: Serving, budget: Budget, retrying: Retrying, served: str) -> None:
        self.able = Capabilities(
            served=served, top_logprobs=_TOPS[0], pictures=MOST_PICTURES_TRIED, schema=True, ids="none", answers_as=frozenset()
        )
        self._connection = connection
        self._serving = serving
        self._budget = budget
        self._retrying = retrying
        self._names: list[str] = []
        self._echoed = False
        self._models: set[str | None] = set()
        self._says_end = False

    async def run(self) -> None:
        self.able = replace(self.able, label_ids=await speaks_token_ids(TokenIds(self._connection, self.able.served)))
        await self._probabilities()
        await self._pictures()
        await self._schema()
        # An answer under another name may be a fault where others come under the right one; else the name was an alias.
        known = {self.able.served} if self.able.served in self._models else self._models
        self.able = replace(self.able, answers_as=frozenset(known), ids=self._ids(), says_end=self._says_end)

    async def _probabilities(self) -> None:
        """Whether they come back, of how many tokens, of given ones, and whether they are those before any constraint."""
        masses = []
        for question in _NOT_LABELLED:
            distribution = (await self._first_probabilities(question)).distribution
            if distribution is None:
                return
            masses.append(distribution.total)
            if masses[-1] <= CERTAIN:
                return
        raise ServerError(
            f"{self._connection.url} says that labels nobody would answer with are certain ({min(masses):.2f}), so its "
            "log-probabilities are taken after a constraint on the answer; start it so that it returns raw ones"
        )

    async def _first_probabilities(self, question: str) -> Reply:
        """The answer to a question with labels, after giving up one thing after the other that the server will not have."""
        while True:
            ask = _question(question, labels=_LABELS if self.able.top_logprobs else ())
            outcome = await self._asked(ask, given_up=_lacks_probabilities)
            if isinstance(outcome, Again):
                self.able = _without_probabilities(self.able)
                continue
            if isinstance(outcome, Reply):
                return outcome
            adapted = _adapted(self.able, outcome.detail) if outcome.detail.startswith(_FIELDS_REFUSED) else None
            if adapted is None:
                lost = outcome.detail.startswith("http_404")
                hint = without_version(self._connection.url) if lost else ""
                raise ServerError(f"{self._connection.url} refuses a plain question ({outcome.detail}){hint}")
            self.able = adapted

    async def _pictures(self) -> None:
        """How many a request may hold."""
        for count in _COUNTS:
            outcome = await self._asked(_question("Which colour is this?", count=count))
            if isinstance(outcome, Reply):
                self.able = replace(self.able, pictures=count)
                return
        self.able = replace(self.able, pictures=0)

    async def _schema(self) -> None:
        """Whether replies follow one."""
        ask = Ask(turns=PLAIN.turns, schema=_SCHEMA, max_tokens=32, may_be_cut=True)
        outcome = await self._asked(ask)
        self.able = replace(self.able, schema=isinstance(outcome, Reply) and _follows(outcome.text))

    async def _asked(self, ask: Ask, given_up: Callable[[Again], bool] = lambda again: False) -> Outcome:
        """An answer, tried again as any other; or what came instead after a few tries, where `given_up` knows the reason."""
        exchange = Exchange(self._connection, self._serving, self.able)
        tries = 0
        while True:
            tries += 1
            reserved = self._budget.needs(ask)
            if self._budget.reserve(reserved) != "granted":
                raise BudgetSpent(f"the limit on requests or tokens is too low to find out what {self._connection.url} can do")
            outcome = await exchange.once(ask)
            self._budget.end(ask, reserved, outcome)
            self._budget.examined(outcome.usage)
            if isinstance(outcome, Reply):
                self._note(exchange)
                self._says_end |= outcome.finish != "other"
            if not isinstance(outcome, Again) or (tries >= FEW and given_up(outcome)):
                return outcome
            if tries >= self._retrying.tries:
                raise ServerError(f"{self._connection.url} does not answer a plain question ({outcome.reason}: {outcome.detail})")
            await asyncio.sleep(self._retrying.seconds(tries, outcome.wait))

    def _note(self, exchange: Exchange) -> None:
        """What an answer tells of how the server names things."""
        if exchange.response is not None:
            model, name = model_and_id(exchange.response.body)
            self._models.add(model)
            self._names.append(name or "")
            self._echoed |= exchange.last_name in (name or "")

    def _ids(self) -> Ids:
        if self._echoed:
            return "echoed"
        return "unique" if len(self._names) > 1 and len(set(self._names)) == len(self._names) and all(self._names) else "none"


def _question(text: str, *, labels: tuple[Label, ...] = (), count: int = 0) -> Ask:
    """A question that one token answers, after so many pictures."""
    pictures = (swatch((255, 0, 0)),) * count
    return Ask(turns=(Turn(role="user", parts=(*pictures, text)),), labels=labels, may_be_cut=True)


def _lacks_probabilities(again: Again) -> bool:
    return again.reason in {"no_logprobs", "bad_logprobs"}


def _without_probabilities(able: Capabilities) -> Capabilities:
    """What is left to try where no usable probabilities came back."""
    return replace(able, label_ids=False) if able.label_ids else replace(able, top_logprobs=0)


def _adapted(able: Capabilities, said: str) -> Capabilities | None:
    """What is left to try after an error about a request; None where nothing is."""
    if "max_completion_tokens" in said and able.length_field == "max_tokens":
        return replace(able, length_field="max_completion_tokens")
    if re.search(r"\bseed\b", said) and able.seed:
        return replace(able, seed=False)
    if able.label_ids:
        return replace(able, label_ids=False)
    if able.top_logprobs:
        return replace(able, top_logprobs=next(top for top in _TOPS if top < able.top_logprobs))
    return None


def _follows(text: str) -> bool:
    """Whether a reply is what the schema of the probe asks for; nobody would say that unasked."""
    try:
        return json.loads(text) in ({"side": "left"}, {"side": "right"})
    except (ValueError, RecursionError):
        return False
