"""Replies that are remembered: as records to the driver, as text in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

from curate.asks import Ask, Distribution, Finish, Model, Reply, Usage
from curate.store.replies import Replies


class Memory:
    """Finds the replies that one card's judge gave before."""

    def __init__(self, replies: Replies, *, card: str, model: Model, backend: str = "", weights: str | None = None) -> None:
        """`card` is the fingerprint. `backend` is the software that answers, and `weights` what it says the model is: both are
        written down with the replies."""
        self._replies = replies
        self._card = card
        self._model = model
        self._backend = backend
        self._weights = weights
        self._before = replies.last
        self._unreadable: set[bytes] = set()

    def key(self, ask: Ask) -> bytes:
        """What the reply to an ask is found by."""
        return ask.key(self._model.as_dict())

    def find(self, key: bytes, *, anew: bool = False) -> Reply | None:
        """The reply under a key, at no cost; None where there is none. `anew` passes over those from before this run.

        What is there and cannot have been written by `add` is damaged, and no reply.
        """
        text = self._replies.find(key, after=self._before if anew else 0)
        if text is None:
            return None
        reply = _reply(text)
        if reply is None:
            self._unreadable.add(key)
        return reply

    def add(self, key: bytes, reply: Reply) -> None:
        """Remember a reply."""
        if self._weights is not None:  # not before there is a reply: a server that only was examined has no part in the store
            self._replies.note_weights(self._model, self._weights)
            self._weights = None
        self._replies.add(key, self._card, _text(reply), reply.usage, self._backend)

    @property
    def unreadable(self) -> int:
        """How many damaged replies were found."""
        return len(self._unreadable)


def _text(reply: Reply) -> str:
    fields: dict[str, Any] = {"text": reply.text, "finish": reply.finish}
    if reply.refusal is not None:
        fields["refusal"] = reply.refusal
    if reply.distribution is not None:
        fields["logprobs"] = reply.distribution.logprobs
        fields["floor"] = reply.distribution.floor
    return json.dumps(fields, ensure_ascii=True)


def _reply(text: str) -> Reply | None:
    """What `_text` wrote; None for anything else."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not _sound(fields):
        return None
    distribution = Distribution(logprobs=fields["logprobs"], floor=fields["floor"]) if "logprobs" in fields else None
    return Reply(
        text=fields["text"],
        finish=fields["finish"],
        refusal=fields.get("refusal"),
        distribution=distribution,
        usage=Usage(requests=0),
    )


def _sound(fields: Mapping[str, Any]) -> bool:
    """Whether each field is there, and of its kind."""
    said = isinstance(fields.get("text"), str) and fields.get("finish") in get_args(Finish)
    if not said or not isinstance(fields.get("refusal", ""), str):
        return False
    if "logprobs" not in fields:
        return True
    logprobs, floor = fields["logprobs"], fields.get("floor", "none")
    if not isinstance(logprobs, dict) or not (floor is None or _is_log(floor)):
        return False
    return all(isinstance(logs, dict) and all(map(_is_log, logs.values())) for logs in logprobs.values())


def _is_log(value: object) -> bool:
    """Whether this is the logarithm of a probability, -inf included and NaN not."""
    return isinstance(value, float) and value <= 0
