"""From an ask to the body of a request, in the dialect of the server.

Bodies are joined from pieces of JSON rather than made by `json.dumps` as a whole: pictures are megabytes of base64, which needs
no escaping. Pictures travel in the request, as bytes that curate made; there is no way to send an address.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from curate.asks import Ask, Picture, Turn
from curate.client.capabilities import Capabilities

_OVERHEAD = 1024
"""Bytes of a body besides texts and pictures, about."""


class Encoder:
    """Makes bodies of requests. A picture is encoded once for all asks that show it, for as long as one of them is about."""

    def __init__(self, capabilities: Capabilities, dialect: Mapping[str, object]) -> None:
        """`dialect`: fields that every body has besides."""
        self.capabilities = capabilities
        self._dialect = dict(dialect)
        self._head = b'{"model":' + _json(capabilities.served) + b',"messages":['
        self._pictures: WeakKeyDictionary[Picture, bytes] = WeakKeyDictionary()

    def body(self, ask: Ask, token_ids: Mapping[str, Sequence[int]] | None = None) -> bytes:
        """The body; `token_ids` are the tokens of each spelling of its labels, where the server can be asked for the first."""
        pieces = [self._head]
        for number, turn in enumerate(ask.turns):
            if number:
                pieces.append(b",")
            pieces.extend(self._turn(turn))
        pieces.append(b"],")
        pieces.append(_json(self._options(ask, token_ids))[1:])  # goes on with the object that was begun
        return b"".join(pieces)

    def _turn(self, turn: Turn) -> Iterator[bytes]:
        """A text alone is sent as one: some templates take no parts, above all for the system's turn."""
        yield b'{"role":' + _json(turn.role) + b',"content":'
        if not any(isinstance(part, Picture) for part in turn.parts):
            yield _json("".join(part for part in turn.parts if isinstance(part, str)))
            yield b"}"
            return
        yield b"["
        for number, part in enumerate(_merged(turn.parts)):
            if number:
                yield b","
            if isinstance(part, str):
                yield b'{"type":"text","text":' + _json(part) + b"}"
            else:
                yield self._picture(part)
        yield b"]}"

    def _picture(self, picture: Picture) -> bytes:
        encoded = self._pictures.get(picture)
        if encoded is None:
            before = b'{"type":"image_url","image_url":{"url":"data:' + picture.mime.encode() + b";base64,"
            # Joined at once: each step in between would copy megabytes.
            encoded = self._pictures[picture] = b"".join((before, base64.b64encode(picture.data), b'"}}'))
        return encoded

    def _options(self, ask: Ask, token_ids: Mapping[str, Sequence[int]] | None) -> dict[str, Any]:
        able = self.capabilities
        options: dict[str, Any] = {**self._dialect, able.length_field: ask.max_tokens, "temperature": ask.temperature}
        if able.seed:
            options["seed"] = ask.seed
        if ask.labels:
            # Never a grammar here: it masks the logits before probabilities are taken, and the labels' would always sum to one.
            options |= {"logprobs": True, "top_logprobs": able.top_logprobs}
            if token_ids:
                first = list(dict.fromkeys(tokens[0] for tokens in token_ids.values()))
                options |= {"logprob_token_ids": first, "return_tokens_as_token_ids": True}
        elif ask.schema is not None and able.schema:
            options["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": ask.schema}}
        return options


def body_size(ask: Ask) -> int:
    """About how many bytes the body of an ask has, before it is made."""
    size = _OVERHEAD
    for turn in ask.turns:
        for part in turn.parts:
            size += len(part) if isinstance(part, str) else (len(part.data) + 2) // 3 * 4 + 100
    return size


def _merged(parts: tuple[str | Picture, ...]) -> Iterator[str | Picture]:
    """Texts that stand next to each other made one, since servers differ in what they put between two; empty ones left out."""
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
            continue
        if text:
            yield text
            text = ""
        yield part
    if text:
        yield text


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")
