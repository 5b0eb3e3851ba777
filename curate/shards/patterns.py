"""How a layout points at things: at members by a pattern of their field, at values inside JSON by a path.

    txt                 the member with the field 'txt'
    source.<image>      a member such as source.png, source.jpg …
    <n>.<image>         0.jpg, 1.jpg …: one for each number; `<n>` elsewhere is then the number of the same response
    json:info.prompt    the value at info → prompt of the JSON member 'json'
    json:models.<n>     the entry of a list (or object) that belongs to the response
    json:captions.<i>   as a response: one for each entry; elsewhere: the entry at the response's position

Words: `<image>` `<video>` `<text>` any extension of that kind, `<media>` of an image or a video, `<n>` a whole number,
`<name>` anything without a dot, `<i>` the position of a response in its record, from 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from curate.shards.kinds import IMAGES, TEXTS, VIDEOS

_WORD = re.compile(r"<([a-z]*)>")


def _one_of(extensions: frozenset[str]) -> str:
    return f"(?:{'|'.join(sorted(extensions))})"


_EXPRESSIONS = {
    "image": _one_of(IMAGES),
    "video": _one_of(VIDEOS),
    "media": _one_of(IMAGES | VIDEOS),
    "text": _one_of(TEXTS),
    "n": r"(?P<capture>\d+)",
    "name": r"(?P<capture>[^.]+)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a response stands among the responses of its record: what `<n>` (or `<name>`) and `<i>` mean for it."""

    capture: str | None = None
    index: int | None = None


NOWHERE = Place()


@dataclass(frozen=True, slots=True)
class Pointer:
    """A parsed pattern: of a member's field, with a path where it points inside JSON."""

    text: str
    field: str
    path: tuple[str, ...] | None

    @property
    def needs_response(self) -> bool:
        """Whether it means something only for one response: it holds `<n>`, `<name>` or `<i>`."""
        return any(word in self.text for word in ("<n>", "<name>", "<i>"))

    def match(self, field: str, place: Place = NOWHERE) -> re.Match[str] | None:
        """A match when `field` fits; its group 'capture' is what `<n>` stands for, unless `place` fixes that already."""
        return _compiled(self.field, place.capture).fullmatch(field)

    def steps(self, place: Place) -> tuple[str, ...] | None:
        """The path for one response; None where it asks for something the response does not have."""
        steps = []
        for step in self.path or ():
            for word, value in (("<n>", place.capture), ("<name>", place.capture), ("<i>", place.index)):
                if word in step:
                    if value is None:
                        return None
                    step = step.replace(word, str(value))
            steps.append(step)
        return tuple(steps)


def captured(match: re.Match[str]) -> str | None:
    """What `<n>` or `<name>` stands for in a match; None where the pattern holds neither."""
    return match["capture"] if "capture" in match.re.groupindex else None


@lru_cache(maxsize=4096)
def parse_pointer(text: str) -> Pointer:
    """Read one pattern; raises `ValueError` that says what is wrong with it."""
    field, colon, path = text.partition(":")
    steps = tuple(path.split(".")) if colon else None
    if not field or (steps is not None and not all(steps)):
        raise ValueError(f"{text!r} is not a pattern of a member, nor 'member:path.in.json'")
    if field != field.lower() or "/" in field:
        raise ValueError(f"{text!r}: fields are lower-cased and hold no slash, so this would never match")
    words = _WORD.findall(field)
    for word in words:
        if word not in _EXPRESSIONS:
            raise ValueError(
                f"{text!r}: there is no word <{word}> for members; known: {', '.join(f'<{one}>' for one in _EXPRESSIONS)}"
            )
    if words.count("n") + words.count("name") > 1:
        raise ValueError(f"{text!r}: <n> or <name> may stand in it once")
    return Pointer(text, field, steps)


@lru_cache(maxsize=4096)
def _compiled(field: str, capture: str | None) -> re.Pattern[str]:
    parts = _WORD.split(field)  # literal, word, literal, word …
    for position, part in enumerate(parts):
        if position % 2 == 0:
            parts[position] = re.escape(part)
        elif capture is not None and part in ("n", "name"):
            parts[position] = re.escape(capture)
        else:
            parts[position] = _EXPRESSIONS[part]
    return re.compile("".join(parts))


def follow(value: Any, steps: tuple[str, ...]) -> Any:
    """What stands at a path inside a JSON value; None where there is nothing."""
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value
