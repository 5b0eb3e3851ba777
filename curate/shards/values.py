"""What the pointers of a layout point at in one record: members, their texts, and values inside their JSON."""

from __future__ import annotations

from typing import Any

from curate.records import Member
from curate.shards.grouping import Record
from curate.shards.limits import ShardLimits
from curate.shards.patterns import NOWHERE, Place, Pointer, captured, follow
from curate.shards.texts import read_json, read_text


class RecordValues:
    """One record, looked into; its JSON is parsed once. Raises `BadMetadataError` for what cannot be read."""

    def __init__(self, record: Record, limits: ShardLimits) -> None:
        self._record = record
        self._limits = limits
        self._json: dict[str, Any] = {}  # parsed, by field
        self.used: set[tuple[str, str]] = set()
        """JSON members and their top-level keys that were asked for and found."""

    def matches(self, pointer: Pointer) -> list[tuple[str | None, Member]]:
        """Members that fit, with what `<n>` stands for."""
        pairs = ((pointer.match(member.field), member) for member in self._record.members)
        return [(captured(match), member) for match, member in pairs if match]

    def value(self, pointer: Pointer, place: Place) -> Any:
        """What a pointer points at: a JSON value, or the text of a member; None where there is nothing."""
        if pointer.path is not None:
            steps = pointer.steps(place)
            if steps is None:
                return None
            value = self.at(pointer, steps, place)
            if value is not None and all(step in ("<n>", "<name>", "<i>") for step in pointer.path[1:]):
                self.used.add((pointer.field, steps[0]))
            return value
        for member in self._record.members:
            if pointer.match(member.field, place):
                if _is_json(member.field):
                    return self._parsed(member.field)
                return read_text(self._record.data[member.field], where=member.field, limits=self._limits)
        return None

    def at(self, pointer: Pointer, steps: tuple[str, ...], place: Place = NOWHERE) -> Any:
        for member in self._record.members:
            if pointer.match(member.field, place):
                return follow(self._parsed(member.field), steps)
        return None

    def _parsed(self, field: str) -> Any:
        if field not in self._json:
            self._json[field] = read_json(self._record.data[field], where=field, limits=self._limits)
        return self._json[field]


def _is_json(field: str) -> bool:
    return field == "json" or field.endswith(".json")
