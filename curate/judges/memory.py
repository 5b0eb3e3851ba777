"""Replies that are remembered: as records to the driver, as text in the store."""

from __future__ import annotations

import json
from typing import Any

from curate.asks import Ask, Distribution, Model, Reply, Usage
from curate.errors import StoreError
from curate.store.replies import Replies


class Memory:
    """Finds the replies that one card's judge gave before."""

    def __init__(self, replies: Replies, *, card: str, model: Model, backend: str = "") -> None:
        """`card` is the fingerprint; `backend` the software that answers, which is written down with each reply."""
        self._replies = replies
        self._card = card
        self._model = model.as_dict()
        self._backend = backend
        self._before = replies.last

    def key(self, ask: Ask) -> bytes:
        """What the reply to an ask is found by."""
        return ask.key(self._model)

    def find(self, key: bytes, *, anew: bool = False) -> Reply | None:
        """The reply under a key, at no cost; None where there is none. `anew` passes over those from before this run."""
        text = self._replies.find(key, after=self._before if anew else 0)
        return None if text is None else _reply(text)

    def add(self, key: bytes, reply: Reply) -> None:
        """Remember a reply."""
        self._replies.add(key, self._card, _text(reply), reply.usage, self._backend)


def _text(reply: Reply) -> str:
    fields: dict[str, Any] = {"text": reply.text, "finish": reply.finish}
    if reply.refusal is not None:
        fields["refusal"] = reply.refusal
    if reply.distribution is not None:
        fields["logprobs"] = reply.distribution.logprobs
        fields["floor"] = reply.distribution.floor
    return json.dumps(fields, ensure_ascii=True)


def _reply(text: str) -> Reply:
    try:
        fields = json.loads(text)
        distribution = Distribution(logprobs=fields["logprobs"], floor=fields["floor"]) if "logprobs" in fields else None
        return Reply(
            text=fields["text"],
            finish=fields["finish"],
            refusal=fields.get("refusal"),
            distribution=distribution,
            usage=Usage(requests=0),
        )
    except (ValueError, KeyError, TypeError) as problem:
        raise StoreError(f"a remembered reply cannot be read ({problem}); move replies.sqlite away to ask again") from problem
