"""Answers in the form of the protocol: bodies of JSON, right ones and wrong ones."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from curate.testing.server.behaviour import Behaviour
from curate.testing.server.faults import Fault
from curate.testing.server.oracle import NOTHING, Scripted, masked, ranked, shown
from curate.testing.server.requests import Request
from curate.testing.server.tokens import FILLERS, Vocabulary

Json = dict[str, Any]

REFUSAL = "I'm sorry, but I can't help with that."

PATCH = 28
"""Pixels along a side of one visual token."""


def error(status: int, message: str, kind: str) -> Json:
    """The body of an error."""
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


def completion(
    request: Request, answer: Scripted, *, vocabulary: Vocabulary, behaviour: Behaviour, model: str, name: str
) -> Json:
    """The body of an answer; `model` and `name` are the model and the id that it gives."""
    mask = behaviour.masked_to or (request.allowed if request.grammar else None)
    if mask is not None and request.logprobs and answer.refusal is None:
        answer = masked(answer, mask)
    text = "" if answer.refusal is not None else answer.text or _first(answer, request)
    said = vocabulary.encode(text)
    if answer.logprobs is None and said:
        answer = replace(answer, logprobs={vocabulary.decode(said[0]): 0.0})  # it could say nothing else
    returned = shown(answer, request, top=request.top)
    kept = said[: request.max_tokens]
    if len(kept) < len(said):
        text = b"".join(map(vocabulary.raw, kept)).decode("utf-8", "replace")
    finish = answer.finish or ("length" if len(said) >= request.max_tokens else "stop")
    logprobs = None
    if request.logprobs and answer.refusal is None:
        logprobs = {"content": _content(request, kept, answer, returned, vocabulary), "refusal": None}
    message = {"role": "assistant", "content": None if answer.refusal is not None else text, "refusal": answer.refusal}
    prompt = _prompt_tokens(request)
    return {
        "id": name,
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": len(kept),
            "total_tokens": prompt + len(kept),
            "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
        },
    }


def altered(answer: Scripted, fault: Fault | None, request: Request) -> Scripted:
    """An answer with which a fault of what is said, rather than of how it is sent, has happened."""
    if fault is Fault.REFUSAL:
        return Scripted(refusal=REFUSAL)
    if fault is Fault.REFUSAL_TEXT:
        return Scripted(text=REFUSAL, logprobs={"I": math.log(0.99), "As": math.log(0.005)})
    if fault is Fault.FILTERED:
        return replace(answer, text="", finish="content_filter")
    if fault is Fault.LENGTH:
        return replace(answer, text=answer.text[: len(answer.text) // 2], finish="length")
    if fault is Fault.LABEL_ABSENT and request.logprobs:
        return Scripted(logprobs={word: math.log(0.5) * (place + 1) for place, word in enumerate(FILLERS)})
    return answer


def _first(answer: Scripted, request: Request) -> str:
    """The likeliest token, of those that may be said."""
    return ranked(answer.logprobs or {"": 0.0}, request.allowed)[0]


def _content(
    request: Request, said: list[int], answer: Scripted, returned: Mapping[str, float], vocabulary: Vocabulary
) -> list[Json]:
    """Token by token what was said; the alternatives of the first alone, since scripts say nothing of later ones."""

    def told(word: str, logprob: float) -> Json:
        # As vLLM has it: the bytes are those of what is told, also where that is an id.
        name = f"token_id:{vocabulary.encode(word)[0]}" if request.as_ids else word
        return {"token": name, "logprob": logprob, "bytes": _bytes(name)}

    content = []
    for place, token in enumerate(said):
        word = vocabulary.decode(token)
        logprob = returned.get(word, (answer.logprobs or {}).get(word, NOTHING)) if place == 0 else 0.0
        others = [told(one, value) for one, value in returned.items()] if place == 0 else []
        content.append({**told(word, logprob), "top_logprobs": others})
    return content


@lru_cache(maxsize=4096)
def _bytes(word: str) -> tuple[int, ...]:
    return tuple(word.encode("utf-8", "surrogatepass"))


def _prompt_tokens(request: Request) -> int:
    """About as many as a model counts: a quarter of the characters, and one for each patch of a picture."""
    pictures = sum(math.ceil(one.width / PATCH) * math.ceil(one.height / PATCH) for one in request.pictures)
    return sum(len(text) for text in request.texts) // 4 + pictures + 8 * len(request.turns)


def encoded(body: Json) -> bytes:
    """A body as bytes."""
    return _ENCODER.encode(body).encode()


_ENCODER = json.JSONEncoder(separators=(",", ":"))
