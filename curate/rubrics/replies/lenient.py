"""A reader of almost-JSON: forgives how things are quoted and separated, never what they are.

Strings may be in single or typographic quotes, hold line feeds, and hold quotes that are not escaped: a quote ends a string
where a comma, a colon, a bracket or the end follows. `True`, `False` and `None` are read, and a comma may trail. Numbers are
those of JSON to the letter, and a key that stands twice is an error, as everywhere; keys that differ only
in case are one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
"""A number of JSON."""

DEPTH = 32

_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»"}

_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}

_SPACE = re.compile(r"\s*")

_WORD = re.compile(r"[A-Za-z]+")

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class NotLenient(ValueError):
    """Not even almost JSON."""


class DuplicateKey(ValueError):
    """A key that stands twice in one object."""


def folded(key: str) -> str:
    """A key as it is compared: case and blanks around it make no difference."""
    return key.strip().casefold()


def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs; raises `DuplicateKey`."""
    seen: set[str] = set()
    for key, _ in pairs:
        if folded(key) in seen:
            raise DuplicateKey(f"the key {key[:40]!r} stands twice")
        seen.add(folded(key))
    return dict(pairs)


def keys_like(one: Mapping[str, Any], *names: str) -> list[str]:
    """The keys of an object that are one of `names`, however they are written."""
    wanted = {folded(name) for name in names}
    return [key for key in one if folded(key) in wanted]


def parse_lenient(text: str) -> Any:
    """The value that a text holds, all of it; raises `NotLenient` or `DuplicateKey`."""
    reader = _Reader(text)
    value = reader.value(0)
    reader.skip()
    if reader.place != len(text):
        raise NotLenient(f"something follows at {reader.place}")
    return value


def _paired(text: str) -> str:
    """A text in which escaped surrogates that belong together are one character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self.place = 0

    def skip(self) -> None:
        """Go past blanks."""
        self.place = self._match(_SPACE).end()

    def value(self, depth: int) -> Any:
        if depth > DEPTH:
            raise NotLenient("nested too deeply")
        self.skip()
        if self._taken("{"):
            return no_duplicates(self._items("}", lambda: self._pair(depth)))
        if self._taken("["):
            return self._items("]", lambda: self.value(depth + 1))
        if self._next() in _QUOTES:
            return self._string()
        if number := NUMBER.match(self._text, self.place):
            self.place = number.end()
            return float(number[0]) if set(number[0]) & set(".eE") else int(number[0])
        word = _WORD.match(self._text, self.place)
        if word is None or word[0] not in _WORDS:
            raise NotLenient(f"no value at {self.place}")
        self.place = word.end()
        return _WORDS[word[0]]

    def _items(self, closing: str, item: Any) -> list[Any]:
        """What stands between commas up to `closing`; one comma may trail."""
        items: list[Any] = []
        while True:
            self.skip()
            if self._taken(closing):
                return items
            items.append(item())
            self.skip()
            if not self._taken(","):
                self.skip()
                if not self._taken(closing):
                    raise NotLenient(f"neither a comma nor {closing} at {self.place}")
                return items

    def _pair(self, depth: int) -> tuple[str, Any]:
        if self._next() not in _QUOTES:
            raise NotLenient(f"no key at {self.place}")
        key = self._string()
        self.skip()
        if not self._taken(":"):
            raise NotLenient(f"no colon at {self.place}")
        return key, self.value(depth + 1)

    def _string(self) -> str:
        closing = _QUOTES[self._text[self.place]]
        self.place += 1
        said: list[str] = []
        while self.place < len(self._text):
            character = self._text[self.place]
            self.place += 1
            if character == "\\":
                said.append(self._escaped())
            elif character == closing and self._ends_here():
                return _paired("".join(said))
            else:
                said.append(character)
        raise NotLenient("a string without an end")

    def _ends_here(self) -> bool:
        """Whether what follows a quote can follow a string."""
        after = self._match(_SPACE).end()
        return self._text[after : after + 1] in {",", ":", "}", "]", ""}

    def _escaped(self) -> str:
        character = self._next()
        self.place += 1
        if character == "u" and re.fullmatch("[0-9a-fA-F]{4}", code := self._text[self.place : self.place + 4]):
            self.place += 4
            return chr(int(code, 16))
        return _ESCAPES.get(character, character)

    def _next(self) -> str:
        return self._text[self.place : self.place + 1]

    def _taken(self, character: str) -> bool:
        taken = self._next() == character
        self.place += taken
        return taken

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self._text, self.place)
        assert match is not None, "matches nothing too"
        return match
