"""The body of a chat request, checked strictly and read into a record.

Whatever a client has no business sending is an error, so that its slips show in tests: fields that do not exist, pictures by
address, pictures that are not what they say, several choices, streams.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from curate.testing.server.requests import Part, Refused, Request, joined, seen
from curate.testing.server.tokens import Vocabulary

Json = dict[str, Any]

IGNORED = frozenset({
    *("user", "stop", "top_p", "top_k", "min_p", "n", "stream", "presence_penalty", "frequency_penalty", "repetition_penalty"),
    *("mm_processor_kwargs", "chat_template_kwargs", "add_generation_prompt", "cache_salt"),
    *("reasoning_effort", "service_tier", "store", "priority", "request_id", "skip_special_tokens"),
})  # fmt: skip
"""Fields that servers know and that change nothing of what the script answers."""

READ = frozenset({
    *("model", "messages", "max_tokens", "max_completion_tokens", "temperature", "seed", "logprobs", "top_logprobs"),
    *("logprob_token_ids", "return_tokens_as_token_ids", "allowed_token_ids", "response_format", "structured_outputs"),
})  # fmt: skip

ROLES = frozenset({"system", "developer", "user", "assistant"})

_DATA_URL = re.compile(r"data:(image/[a-z+.-]+);base64,")


def read_request(body: bytes, vocabulary: Vocabulary) -> tuple[Request, Json]:
    """The record of a request, and its body with digests in place of pictures; `Refused` where anything about it is wrong."""
    try:
        fields = _DECODER.decode(body.decode("utf-8"))
    except (ValueError, RecursionError) as problem:
        raise Refused(400, f"the body is not JSON: {problem}") from problem
    if not isinstance(fields, dict):
        raise Refused(400, "the body is not an object")
    unknown = sorted(fields.keys() - READ - IGNORED)
    if unknown:
        raise Refused(400, f"unknown fields: {', '.join(unknown)}")
    if fields.get("n", 1) != 1 or fields.get("stream", False) is not False:
        raise Refused(400, "one choice a request, and no stream, is what the script answers")
    return _request(fields, vocabulary), fields


def _request(fields: Json, vocabulary: Vocabulary) -> Request:
    wants = _typed(fields, "logprobs", bool, False)
    top = _typed(fields, "top_logprobs", int, 0)
    if (top or fields.get("logprob_token_ids") is not None) and not wants:
        raise Refused(400, "top_logprobs and logprob_token_ids need logprobs: true")
    allowed, grammar = _allowed(fields, vocabulary)
    return Request(
        turns=_turns(fields.get("messages")),
        model=_typed(fields, "model", str, ""),
        max_tokens=_length(fields),
        temperature=float(_typed(fields, "temperature", (int, float), 1.0)),
        seed=_typed(fields, "seed", int, 0),
        logprobs=wants,
        top=top,
        as_ids=_typed(fields, "return_tokens_as_token_ids", bool, False),
        labels=_spellings(fields, "logprob_token_ids", vocabulary),
        allowed=allowed,
        grammar=grammar,
        schema=_schema(fields),
    )


def _object(pairs: list[tuple[str, Any]]) -> Json:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return names


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_object)


def _typed(fields: Json, name: str, kind: type | tuple[type, ...], default: Any) -> Any:
    """The value of a field; absent and null are the default."""
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Refused(400, f"{name} has the wrong type: {value!r:.80}")
    return value


def _length(fields: Json) -> int:
    """How many tokens may be said, under either of its names."""
    length = _typed(fields, "max_completion_tokens", int, None) or _typed(fields, "max_tokens", int, 1 << 20)
    if length < 1:
        raise Refused(400, "max_tokens has to be at least 1")
    return int(length)


def _spellings(fields: Json, name: str, vocabulary: Vocabulary) -> tuple[str, ...] | None:
    """The tokens whose ids stand in a field."""
    ids = _typed(fields, name, list, None)
    if ids is None:
        return None
    try:
        return tuple(vocabulary.decode(one) for one in ids)
    except (IndexError, TypeError) as problem:
        raise Refused(400, f"{name} holds what is no token of the vocabulary: {problem}") from problem


def _allowed(fields: Json, vocabulary: Vocabulary) -> tuple[tuple[str, ...] | None, bool]:
    """The tokens that may come first, and whether a grammar says so."""
    structure = _typed(fields, "structured_outputs", dict, {})
    choices = structure.get("choice")
    if choices is None:
        return _spellings(fields, "allowed_token_ids", vocabulary), False
    if not isinstance(choices, list) or not choices or not all(isinstance(one, str) and one for one in choices):
        raise Refused(400, "structured_outputs.choice is no list of texts")
    return tuple(dict.fromkeys(vocabulary.decode(vocabulary.encode(one)[0]) for one in choices)), True


def _schema(fields: Json) -> Json | None:
    """The JSON Schema that the answer is to follow, in either of its places."""
    structure = _typed(fields, "structured_outputs", dict, {})
    if len(structure) > 1:
        raise Refused(400, "structured_outputs takes exactly one constraint")
    wanted = _typed(fields, "response_format", dict, {})
    schema = structure.get("json")
    if wanted.get("type") == "json_schema":
        named = wanted.get("json_schema")
        if not isinstance(named, dict) or not isinstance(named.get("name"), str):
            raise Refused(400, "response_format.json_schema needs a name and a schema")
        schema = named.get("schema")
    elif wanted.get("type") not in (None, "text", "json_object"):
        raise Refused(400, f"response_format has no type {wanted.get('type')!r:.40}")
    if schema is not None and not isinstance(schema, dict):
        raise Refused(400, "the schema is no object")
    return schema


def _turns(messages: object) -> tuple[tuple[str, tuple[Part, ...]], ...]:
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "messages has to be a list with at least one message")
    turns = []
    for message in messages:
        if not isinstance(message, dict) or message.keys() - {"role", "content", "name"}:
            raise Refused(400, "a message has a role and a content, and a name at most")
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise Refused(400, f"there is no role {role!r:.40}")
        parts: list[Part] = [content] if isinstance(content, str) else _parts(content)
        if role != "user" and any(not isinstance(part, str) for part in parts):
            raise Refused(400, f"a message of the {role} shows no pictures")
        turns.append((role, joined(parts)))
    return tuple(turns)


def _parts(content: object) -> list[Part]:
    if not isinstance(content, list) or not content:
        raise Refused(400, "the content of a message is a text or a list of parts")
    return [_part(part) for part in content]


def _part(part: object) -> Part:
    if isinstance(part, dict) and part.get("type") == "text" and part.keys() <= {"type", "text"}:
        if isinstance(part.get("text"), str):
            return str(part["text"])
    elif isinstance(part, dict) and part.get("type") == "image_url" and part.keys() <= {"type", "image_url", "uuid"}:
        address = part.get("image_url")
        if isinstance(address, dict) and address.keys() <= {"url", "detail"} and isinstance(address.get("url"), str):
            found = seen(*_decoded(address["url"]))
            address["url"] = f"sha256:{found.digest}"
            return found
    raise Refused(400, f"a part of a message is not well formed: {part!r:.80}")


def _decoded(url: str) -> tuple[bytes, str]:
    """The bytes that a data URL holds, and their type."""
    head = _DATA_URL.match(url)
    if head is None:
        raise Refused(400, f"pictures are sent as data URLs in base64, not as {url!r:.40}")
    try:
        return base64.b64decode(url[head.end() :], validate=True), head[1]
    except binascii.Error as problem:
        raise Refused(400, f"a picture is not base64: {problem}") from problem
