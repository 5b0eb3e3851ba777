"""Which objects a picture is to show, and how many of each: read from what its record says, or from the card.

    {"objects": {"dog": 2, "red ball": 1}}          or, one of each:    {"objects": ["dog", "red ball"]}

A record is data of a stranger: what cannot be read becomes a refusal, which is a status, and never a crash or a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curate.records import Status

FIELD = "objects"
"""Of a record's JSON."""

MOST_OBJECTS = 64
"""Different ones in one picture."""
MOST_OF_ONE = 100
LONGEST_NAME = 100
"""In characters."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a sample gets no value."""

    status: Status
    detail: str


def wanted_objects(meta: Mapping[str, Any], otherwise: Mapping[str, int] | None = None) -> dict[str, int] | Refusal:
    """How many of each object, by name as `phrase` writes it; `otherwise` is what holds where the record says nothing."""
    said = meta.get(FIELD)
    if said is None:
        said = otherwise
    if said is None:
        return Refusal(Status.NOT_APPLICABLE, f"neither the record's '{FIELD}' nor the card says which objects are wanted")
    return read_objects(said)


def read_objects(said: object) -> dict[str, int] | Refusal:
    """What a record says of its objects, as names and numbers."""
    if isinstance(said, Mapping):
        entries: list[tuple[object, object]] = list(said.items())
    elif isinstance(said, list):
        entries = [(name, 1) for name in said]
    else:
        return _unreadable(f"is {type(said).__name__}, not names with numbers")
    if not entries:
        return Refusal(Status.NOT_APPLICABLE, f"the record's '{FIELD}' names no object")
    if len(entries) > MOST_OBJECTS:
        return _unreadable(f"names more than {MOST_OBJECTS} objects")
    wanted: dict[str, int] = {}
    for name, count in entries:
        if not isinstance(name, str) or len(name) > LONGEST_NAME or not phrase(name):
            return _unreadable(f"has {str(name)[:40]!r} where the name of an object should be")
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_OF_ONE:
            return _unreadable(f"wants {str(count)[:40]!r} of '{name[:40]}', not a number from 1 to {MOST_OF_ONE}")
        if phrase(name) in wanted:
            return _unreadable(f"names '{name[:40]}' twice")
        wanted[phrase(name)] = count
    return wanted


def phrase(name: str) -> str:
    """A name as detectors by text read it: small letters, and no mark that would end a phrase."""
    return " ".join(name.lower().replace(".", " ").replace("?", " ").split())


def _unreadable(why: str) -> Refusal:
    return Refusal(Status.PARSE_ERROR, f"the record's '{FIELD}' {why}")
