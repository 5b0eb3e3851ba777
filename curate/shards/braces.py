"""Brace patterns as in a shell: `{000..099}`, `{a..e}`, `{0..10..2}`, `{a,b}`, one inside another."""

from __future__ import annotations

import re
from collections.abc import Iterator

_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?|([A-Za-z])\.\.([A-Za-z])(?:\.\.(-?\d+))?")


def expand_braces(pattern: str) -> Iterator[str]:
    """The names a pattern stands for, in the shell's order, lazily. A brace that opens no pattern is an ordinary character."""
    start = pattern.find("{")
    while start >= 0:
        end = _closing(pattern, start)
        choices = _choices(pattern[start + 1 : end]) if end is not None else None
        if end is not None and choices is not None:
            for choice in choices:
                for rest in expand_braces(pattern[end + 1 :]):
                    yield pattern[:start] + choice + rest
            return
        start = pattern.find("{", start + 1)
    yield pattern


def _closing(pattern: str, start: int) -> int | None:
    depth = 0
    for position in range(start, len(pattern)):
        depth += {"{": 1, "}": -1}.get(pattern[position], 0)
        if depth == 0:
            return position
    return None


def _choices(body: str) -> Iterator[str] | None:
    """What stands between braces, expanded; None where it is no pattern (`{x}`, `{}`)."""
    if match := _RANGE.fullmatch(body):
        return _range(match)
    parts = _split(body)
    if len(parts) < 2:
        return None
    return (name for part in parts for name in expand_braces(part))


def _split(body: str) -> list[str]:
    """Split at the commas that are not inside inner braces."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(body):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(body[start:position])
            start = position + 1
    return [*parts, body[start:]]


def _range(match: re.Match[str]) -> Iterator[str]:
    first, last, step, first_letter, last_letter, letter_step = match.groups()
    if first_letter:
        return map(chr, _count(ord(first_letter), ord(last_letter), letter_step))
    padded = any(re.match(r"-?0\d", number) for number in (first, last))
    width = max(len(first), len(last)) if padded else 0
    return (f"{number:0{width}d}" for number in _count(int(first), int(last), step))


def _count(first: int, last: int, step: str | None) -> range:
    size = abs(int(step or 1)) or 1
    return range(first, last + 1, size) if first <= last else range(first, last - 1, -size)
