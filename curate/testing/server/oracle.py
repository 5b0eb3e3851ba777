"""What the scripted model says: a pure function of the request, so that a test can work out every answer itself."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from curate.asks import Distribution, Label
from curate.testing.server.requests import Request
from curate.testing.server.tokens import FILLERS, PALETTE

YES_NO = ("Yes", "No", "yes", "no", " Yes", " No", " yes", " no")

NOTHING = -40.0
"""The logarithm of a probability that a script says nothing about."""

DIGITS = 6
"""Of the logarithms after the point."""

_COLOUR = re.compile(r"\b(which|what)\b[^.?!]*\bcolou?r\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripted:
    """An answer, before it is cut to the tokens allowed and put into the protocol."""

    text: str = ""
    """Empty: the likeliest token."""
    logprobs: Mapping[str, float] | None = None
    """Of the first token: natural logarithms of probabilities over the whole vocabulary. Tokens left out have next to none;
    None where the text's first token is certain."""
    finish: str | None = None
    """None: 'stop', or 'length' where the tokens allowed are used up."""
    refusal: str | None = None
    """Said in the field of its own that some servers have; then there is no text."""
    cached_tokens: int = 0
    """How many of the prompt's tokens the server says it did not have to compute."""


Oracle = Callable[[Request], Scripted]


class HashOracle:
    """Answers by a hash of the request's key: always the same, and of no meaning.

    Without words of its own it shares the probability between the labels whose ids a request names, and between spellings of
    yes and no where it names none. Two things it does as a model would, so that a client's self-tests find what they look for.
    Where no label stands in the question (as a word, in any spelling), the labels together get little probability. And asked
    which or what colour a picture has that is of one colour, it names the colour; of several pictures, the last.
    """

    def __init__(self, words: Sequence[str] | None = None) -> None:
        """`words` are the tokens that always share the probability, whatever ids a request names."""
        self.words = None if words is None else tuple(words)

    def __call__(self, request: Request) -> Scripted:
        words = self.words or request.labels or YES_NO
        named = _colour(request)
        numbers = _numbers(request.key)
        if named is not None:
            return _named(named, words if request.labels else (), numbers)
        sizes = {word: -math.log(one) for word, one in zip(words, numbers, strict=False)}
        mass = 0.6 + 0.39 * next(numbers) if _mentions(request.texts, words) else 0.01 + 0.2 * next(numbers)
        rest = math.log(1 - mass)
        logprobs = _shared(sizes, mass) | {word: round(log + rest, DIGITS) for word, log in _fading(words)}
        text = "" if request.logprobs else _said(request, numbers)
        return Scripted(text=text, logprobs=logprobs)


hash_oracle = HashOracle()


def shown(answer: Scripted, request: Request, *, top: int) -> dict[str, float]:
    """The log-probabilities that a server returns of an answer's first token.

    Of the tokens whose ids were asked for, where there are some; else of the `top` likeliest, likeliest first.
    """
    logprobs = answer.logprobs or {}
    chosen = ranked(logprobs)[:top] if request.labels is None else request.labels
    return {word: logprobs.get(word, NOTHING) for word in chosen}


def masked(answer: Scripted, words: Iterable[str]) -> Scripted:
    """The answer of a model that can say nothing but these words first, with log-probabilities taken after that: they are
    certain together."""
    every = answer.logprobs or {}
    return replace(answer, text="", logprobs=_shared({word: math.exp(every.get(word, NOTHING)) for word in words}, 1.0))


def ranked(logprobs: Mapping[str, float], among: Iterable[str] | None = None) -> list[str]:
    """Tokens, likeliest first: all that have a probability, or those named."""
    # Sorted twice rather than by pairs: sorting is stable, and thousands of answers a second are ranked.
    return sorted(sorted(logprobs if among is None else among), key=lambda word: -logprobs.get(word, NOTHING))


def distribution(answer: Scripted, request: Request, labels: Iterable[Label], *, top: int = 20) -> Distribution:
    """What a right client reads of an answer at the spellings of the labels."""
    returned = shown(answer, request, top=top)
    logprobs = {label.name: {one: returned[one] for one in label.spellings if one in returned} for label in labels}
    absent = any(one not in returned for label in labels for one in label.spellings)
    return Distribution(logprobs=logprobs, floor=min(returned.values(), default=0.0) if absent else None)


def _numbers(seed: str) -> Iterator[float]:
    """Uniform numbers between 0 and 1, both excluded, drawn from a hash; as many as one likes."""
    for block in itertools.count():
        digest = hashlib.sha512(f"{seed}/{block}".encode()).digest()
        yield from ((int.from_bytes(digest[at : at + 4]) + 0.5) / 2**32 for at in range(0, len(digest), 4))


def _shared(sizes: Mapping[str, float], mass: float) -> dict[str, float]:
    """Logarithms of a probability shared out in proportion to sizes, to as many digits as servers compute."""
    scale = math.log(mass) - math.log(math.fsum(sizes.values()))
    return {word: round(math.log(size) + scale, DIGITS) for word, size in sizes.items()}


@lru_cache(maxsize=64)
def _fading(taken: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    """What models begin with if not with a label, with logarithms of shares, each half of the one before."""
    return tuple(_shared({word: 0.5**place for place, word in enumerate(FILLERS) if word not in taken}, 1.0).items())


def _mentions(texts: Sequence[str], words: Iterable[str]) -> bool:
    said = {one for text in texts for one in re.findall(r"[^\W\d_]+|\d", text.casefold())}
    return any(word.strip().casefold() in said for word in words)


def _colour(request: Request) -> str | None:
    """The name of the colour that is asked for, where a picture of one colour is asked about."""
    pictures = request.pictures
    shade = pictures[-1].colour if pictures else None
    if shade is None or not any(_COLOUR.search(text) for text in request.texts):
        return None
    return min(PALETTE, key=lambda name: math.dist(PALETTE[name], shade))


def _named(name: str, labels: Sequence[str], numbers: Iterator[float]) -> Scripted:
    """The answer that names a colour: at the labels that spell it, or as it stands."""
    right = [label for label in labels if label.strip().casefold() == name] or [name]
    others = {label: next(numbers) for label in labels or PALETTE if label not in right}
    logprobs = _shared(dict.fromkeys(right, 1.0), 0.97) | (_shared(others, 0.02) if others else {})
    return Scripted(text=right[0], logprobs=logprobs)


def _said(request: Request, numbers: Iterator[float]) -> str:
    """A text for asks of texts: JSON where a schema is given."""
    if request.schema is not None:
        return json.dumps(_instance(request.schema, numbers), ensure_ascii=False)
    return f"The answer to {request.key[:12]} is {math.floor(next(numbers) * 101)} of 100."


def _instance(schema: Mapping[str, Any], numbers: Iterator[float]) -> Any:
    """Something that follows a schema, as far as its types, enumerations, bounds and required fields say."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][int(next(numbers) * len(schema["enum"]))]
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return _instance(schema[several][0], numbers)
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        return {name: _instance(inner, numbers) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        count = max(schema.get("minItems", 1), min(2, schema.get("maxItems", 2)))
        return [_instance(schema.get("items", {"type": "string"}), numbers) for _ in range(count)]
    if kind in ("integer", "number"):
        low, high = schema.get("minimum", 0), schema.get("maximum", 10)
        return low + int(next(numbers) * (high - low + 1)) if kind == "integer" else low + next(numbers) * (high - low)
    if kind == "boolean":
        return next(numbers) < 0.5
    return None if kind == "null" else f"text {int(next(numbers) * 10**6)}"
