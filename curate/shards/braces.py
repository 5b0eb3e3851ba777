"""Brace patterns as in a shell: `{000..099}`, `{a..e}`, `{0..10..2}`, `{a,b}`, one inside another.

A pattern is parsed once, and counted before anything is written out: thirty short braces stand for a billion names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, product

from curate.errors import ShardError

MOST_NESTED = 50
"""How deep braces may stand in one another."""

# Numbers that do not fit into 64 bits are no range, as in a shell.
_RANGE = re.compile(
    r"(-?[0-9]{1,18})\.\.(-?[0-9]{1,18})(?:\.\.(-?[0-9]{1,18}))?|([A-Za-z])\.\.([A-Za-z])(?:\.\.(-?[0-9]{1,18}))?"
)


@dataclass(frozen=True, slots=True)
class _Range:
    """`{3..11}`, `{008..011}`, `{a..e}`."""

    values: range
    width: int | None
    """Digits to pad to; None for letters."""

    def count(self) -> int:
        return len(self.values)

    def names(self) -> Iterator[str]:
        return (chr(value) if self.width is None else f"{value:0{self.width}d}" for value in self.values)


@dataclass(frozen=True, slots=True)
class _Sequence:
    """Pieces that follow one another."""

    pieces: Sequence[str | _Range | _Choice]

    def count(self) -> int:
        return math.prod(1 if isinstance(piece, str) else piece.count() for piece in self.pieces)

    def names(self) -> Iterator[str]:
        names = ((piece,) if isinstance(piece, str) else piece.names() for piece in self.pieces)
        return map("".join, product(*names))


@dataclass(frozen=True, slots=True)
class _Choice:
    """`{a,b}`: one of several."""

    parts: Sequence[_Sequence]

    def count(self) -> int:
        return sum(part.count() for part in self.parts)

    def names(self) -> Iterator[str]:
        return chain.from_iterable(part.names() for part in self.parts)


def expand_braces(pattern: str, *, most: int) -> list[str]:
    """The names a pattern stands for, in the shell's order. A brace that opens no pattern is an ordinary character.

    Raises `ShardError` at once where they are more than `most`, or where braces stand in one another too deep.
    """
    parsed = _Parser(pattern).sequence(0, len(pattern))
    if parsed.count() > most:
        raise ShardError(f"{pattern!r} stands for more than {most} shards; name fewer at a time")
    return list(parsed.names())


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._closing = _closing_braces(pattern)
        """For each brace that is closed, where."""

    def sequence(self, start: int, end: int, depth: int = 0) -> _Sequence:
        """What stands from `start` up to `end`."""
        if depth > MOST_NESTED:
            raise ShardError(f"{self._pattern!r} has braces in one another more than {MOST_NESTED} deep")
        pieces: list[str | _Range | _Choice] = []
        literal, at = start, start
        while (at := self._pattern.find("{", at, end)) >= 0:
            piece = self._braces(at, depth)
            if piece is None:
                at += 1
                continue
            pieces += [self._pattern[literal:at], piece]
            literal = at = self._closing[at] + 1
        return _Sequence([*pieces, self._pattern[literal:end]])

    def _braces(self, start: int, depth: int) -> _Range | _Choice | None:
        """What the braces at `start` stand for; None where they are no pattern (`{x}`, `{}`, one that is not closed)."""
        end = self._closing.get(start)
        if end is None:
            return None
        if match := _RANGE.fullmatch(self._pattern, start + 1, end):
            return _range(match)
        cuts = [start, *self._commas(start + 1, end), end]
        if len(cuts) == 2:
            return None
        return _Choice([self.sequence(left + 1, right, depth + 1) for left, right in pairwise(cuts)])

    def _commas(self, start: int, end: int) -> Iterator[int]:
        """The commas that are not inside inner braces."""
        at = start
        while at < end:
            if self._pattern[at] == ",":
                yield at
            at = self._closing.get(at, at) + 1


def _closing_braces(pattern: str) -> dict[int, int]:
    closing: dict[int, int] = {}
    waiting: list[int] = []
    for position, character in enumerate(pattern):
        if character == "{":
            waiting.append(position)
        elif character == "}" and waiting:
            closing[waiting.pop()] = position
    return closing


def _range(match: re.Match[str]) -> _Range:
    first, last, step, first_letter, last_letter, letter_step = match.groups()
    if first_letter:
        return _Range(_values(ord(first_letter), ord(last_letter), letter_step), None)
    padded = any(re.match(r"-?0[0-9]", number) for number in (first, last))
    return _Range(_values(int(first), int(last), step), max(len(first), len(last)) if padded else 0)


def _values(first: int, last: int, step: str | None) -> range:
    size = abs(int(step or 1)) or 1
    return range(first, last + 1, size) if first <= last else range(first, last - 1, -size)
