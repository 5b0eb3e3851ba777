"""What a server is asked, as a record that a test can make of its own asks too."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from curate.asks import Ask
from curate.records import canonical_json

if TYPE_CHECKING:
    from PIL import Image

SIGNATURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}

EVEN = 8
"""Levels, of 255, by which the pixels of a picture of one colour may differ: JPEG is not exact."""


class Refused(Exception):
    """A request that is answered with an error, as servers do."""

    def __init__(self, status: int, message: str, kind: str = "BadRequestError") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture that was sent, without its bytes."""

    digest: str
    """SHA-256 of the bytes, hex: that of `curate.asks.Picture`."""
    mime: str
    width: int
    height: int
    colour: tuple[int, int, int] | None
    """RGB of a picture that has one colour all over."""


Part = str | Seen


@dataclass(frozen=True, kw_only=True)
class Request:
    """All of a chat request that may decide its answer."""

    turns: tuple[tuple[str, tuple[Part, ...]], ...]
    """Roles, and what they say and show in order; texts that stand next to each other are joined."""
    model: str = ""
    max_tokens: int = 1
    temperature: float = 0.0
    seed: int = 0
    logprobs: bool = False
    top: int = 0
    """How many of the likeliest tokens are wanted."""
    as_ids: bool = False
    """Whether tokens are to be told as 'token_id:' and their id, in place of their text."""
    labels: tuple[str, ...] | None = None
    """The tokens whose log-probabilities are wanted, where the request names ids."""
    allowed: tuple[str, ...] | None = None
    """The tokens that may come first, where the request restricts them."""
    grammar: bool = False
    """Whether a grammar restricts them: it masks log-probabilities too, which a plain list of tokens does not."""
    schema: Mapping[str, Any] | None = None

    @cached_property
    def key(self) -> str:
        """SHA-256, hex, over texts, pictures and sampling. The same question asked with and without label ids has one key."""
        turns = [
            [role, [part if isinstance(part, str) else {"picture": part.digest} for part in parts]] for role, parts in self.turns
        ]
        decides = canonical_json([turns, self.max_tokens, self.temperature, self.seed])
        return hashlib.sha256(decides.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def texts(self) -> list[str]:
        return [part for _, parts in self.turns for part in parts if isinstance(part, str)]

    @property
    def pictures(self) -> list[Seen]:
        return [part for _, parts in self.turns for part in parts if isinstance(part, Seen)]

    @classmethod
    def of(cls, ask: Ask, *, seed: int | None = None, label_ids: bool = True) -> Request:
        """The request that asks this, for the key and the oracle's answer in a test.

        `seed` where the client sends another than the ask's; `label_ids` is whether it names the ids of labels, or takes the
        likeliest tokens.
        """
        labels = tuple(dict.fromkeys(spelling for label in ask.labels for spelling in label.spellings))
        return cls(
            turns=tuple(
                (turn.role, joined([part if isinstance(part, str) else seen(part.data, part.mime) for part in turn.parts]))
                for turn in ask.turns
            ),
            max_tokens=ask.max_tokens,
            temperature=ask.temperature,
            seed=ask.seed if seed is None else seed,
            logprobs=bool(labels),
            labels=(labels or None) if label_ids else None,
            schema=ask.schema,
        )


def joined(parts: list[Part]) -> tuple[Part, ...]:
    """Parts with neighbouring texts made one, and empty ones left out."""
    found: list[Part] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        elif part != "":
            found.append(part)
    return tuple(found)


def seen(data: bytes, mime: str) -> Seen:
    """What a picture is; `Refused` where it is not the PNG or JPEG that it is said to be."""
    name = (hashlib.sha256(data).hexdigest(), mime)
    found = _SEEN.get(name)
    if found is None:
        if len(_SEEN) >= MOST_REMEMBERED:
            _SEEN.clear()
        found = _SEEN[name] = _look(*name, data)
    return found


MOST_REMEMBERED = 4096

_SEEN: dict[tuple[str, str], Seen] = {}
"""Pictures are sent again and again: with retries, with other questions."""


def _look(digest: str, mime: str, data: bytes) -> Seen:
    from PIL import Image

    signature = SIGNATURES.get(mime)
    if signature is None or not data.startswith(signature):
        raise Refused(400, f"the picture is not {mime}" if signature else f"pictures of type {mime} are not taken")
    try:
        with Image.open(io.BytesIO(data)) as picture:
            pixels = picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as problem:
        raise Refused(400, f"the picture cannot be decoded: {problem}") from problem
    return Seen(digest, mime, *pixels.size, _only_colour(pixels))


def _only_colour(pixels: Image.Image) -> tuple[int, int, int] | None:
    """The colour in the middle of an RGB picture, where all others are near it."""
    import numpy as np

    levels = np.asarray(pixels)
    low, high = levels.min(axis=(0, 1)).astype(int), levels.max(axis=(0, 1)).astype(int)
    if (high - low > EVEN).any():
        return None
    red, green, blue = ((low + high) // 2).tolist()
    return red, green, blue
