"""From a record to its samples, as a layout says: responses, conditions, prompt, group, generator, labels, and the rest."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Any

from curate.records import Media, Member, Reject, RejectReason, Sample, group_id, sample_id
from curate.shards.grouping import Record
from curate.shards.kinds import kind_of
from curate.shards.layouts import Layout
from curate.shards.limits import DEFAULT_LIMITS, ShardLimits
from curate.shards.patterns import NOWHERE, Place, Pointer, parse_pointer
from curate.shards.texts import BadMetadataError, clean_text, read_text
from curate.shards.values import RecordValues


class _MissingResponseError(Exception):
    """No response, or more than one where the layout expects one."""


def build_samples(layout: Layout, record: Record, limits: ShardLimits = DEFAULT_LIMITS) -> list[Sample | Reject]:
    """The samples of a record in the order of their index, or the one `Reject` that says why there are none.

    Numbered responses come in the order of their numbers, others in that of their names, whatever the order in the archive.
    A blank prompt counts as none.
    """
    try:
        return [*_Builder(layout, record, limits).samples()]
    except _MissingResponseError as problem:
        return [Reject(shard=record.shard, key=record.key, reason=RejectReason.MISSING_RESPONSE, detail=str(problem))]
    except BadMetadataError as problem:
        return [Reject(shard=record.shard, key=record.key, reason=RejectReason.BAD_METADATA, detail=str(problem))]


class _Builder:
    """One record on its way to samples."""

    def __init__(self, layout: Layout, record: Record, limits: ShardLimits) -> None:
        self._layout = layout
        self._record = record
        self._limits = limits
        self._values = RecordValues(record, limits)

    def samples(self) -> list[Sample]:
        layout = self._layout
        conditions = self._conditions()
        responses = self._responses(claimed={media.member.field for media in conditions.values() if media.member})
        prompt = self._text(layout.prompt, NOWHERE)
        name = self._text(layout.group, NOWHERE)
        generators = [self._text(layout.generator, place) for place, _ in responses]
        labels = [self._labels(place) for place, _ in responses]
        meta = self._meta()
        group = group_id(prompt, conditions, name=name, responses=[one.digest for _, media in responses for one in media])
        return [
            Sample(
                id=sample_id(prompt, conditions, media, group_name=name),
                group=group,
                shard=self._record.shard,
                key=self._record.key,
                index=index,
                prompt=prompt,
                response=media,
                conditions=conditions,
                generator=generators[index],
                labels=labels[index],
                meta=meta,
                members=self._record.members,
            )
            for index, (_, media) in enumerate(responses)
        ]

    def _responses(self, claimed: set[str]) -> list[tuple[Place, tuple[Media, ...]]]:
        """The responses with their places: of the first pattern that finds any."""
        for pointer in map(parse_pointer, self._layout.responses):
            found = self._response_texts(pointer) if pointer.path is not None else self._response_members(pointer, claimed)
            if not found:
                continue
            if self._layout.count == "views":
                return [(NOWHERE, tuple(media for _, media in found))]
            if self._layout.count == "one" and len(found) > 1:
                names = ", ".join(media.member.field if media.member else "a text" for _, media in found[:4])
                raise _MissingResponseError(f"{names} could each be the response; a layout that names one of them settles it")
            return [(Place(capture=place.capture, index=index), (media,)) for index, (place, media) in enumerate(found)]
        wanted = " or ".join(self._layout.responses)
        raise _MissingResponseError(
            f"there is no {wanted} among {', '.join(member.field for member in self._record.members)[:200]}"
        )

    def _response_members(self, pointer: Pointer, claimed: set[str]) -> list[tuple[Place, Media]]:
        found = [(match, member) for match, member in self._values.matches(pointer) if member.field not in claimed]
        found.sort(key=lambda pair: _natural(pair[0], pair[1]))
        return [(Place(capture=capture), self._media(member)) for capture, member in found]

    def _response_texts(self, pointer: Pointer) -> list[tuple[Place, Media]]:
        """Texts out of JSON: one, or with `<i>` in the path one for each entry of the list there."""
        count = 1
        if "<i>" in (path := pointer.path or ()):
            entries = self._values.at(pointer, path[: path.index("<i>")])
            count = len(entries) if isinstance(entries, list) else 0
        found = []
        for index in range(count):
            value = self._values.value(pointer, Place(index=index))
            if value is None and count > 1:
                raise _MissingResponseError(f"entry {index} of {pointer.text} is empty")
            if value is not None:
                found.append((Place(capture=str(index), index=index), _text_media(self._as_text(value, pointer.text))))
        return found

    def _conditions(self) -> Mapping[str, Media]:
        """By role. A pattern with `<n>` that fits several members makes the roles 'reference_0', 'reference_1' …"""
        conditions: dict[str, Media] = {}
        for role, pointers in self._layout.conditions.items():
            for pointer in map(parse_pointer, pointers):
                found = self._condition(role, pointer)
                conditions.update(found)
                if found:
                    break
        return conditions

    def _condition(self, role: str, pointer: Pointer) -> dict[str, Media]:
        if pointer.path is not None:
            value = self._values.value(pointer, NOWHERE)
            return {} if value is None else {role: _text_media(self._as_text(value, pointer.text))}
        found = self._values.matches(pointer)
        if len(found) > 1 and len({capture for capture, _ in found}) < len(found):
            names = ", ".join(member.field for _, member in found[:4])
            raise BadMetadataError(f"{names} could each be the condition {role!r}")
        return {role if capture is None else f"{role}_{capture}": self._media(member) for capture, member in found}

    def _media(self, member: Member) -> Media:
        """A member as a medium. A name that does not say what it is (jpg_0) is taken for an image: decoding will tell."""
        data = self._record.data[member.field]
        kind = kind_of(member.field) or "image"
        if kind == "text":
            text = read_text(data, where=member.field, limits=self._limits)
            return Media(kind=kind, digest=_sha256(text.encode()), member=member, text=text)
        return Media(kind=kind, digest=_sha256(data), member=member)

    def _text(self, pointers: Iterable[str], place: Place) -> str | None:
        """The first text that is there and not blank."""
        for pointer in map(parse_pointer, pointers):
            value = self._values.value(pointer, place)
            if value is not None and (text := self._as_text(value, pointer.text)).strip():
                return text
        return None

    def _labels(self, place: Place) -> Mapping[str, float]:
        labels = {}
        for name, pointers in self._layout.labels.items():
            values = (self._values.value(pointer, place) for pointer in map(parse_pointer, pointers))
            value = next((one for one in values if one is not None and one != ""), None)
            if value is not None:
                labels[name] = _number(value, name)
        return labels

    def _meta(self) -> Mapping[str, Any]:
        """What the first of the layout's JSON members says beyond what became part of the sample already."""
        for pointer in map(parse_pointer, self._layout.meta):
            value = self._values.value(pointer, NOWHERE)
            if isinstance(value, dict):
                top = pointer.path is None
                return {key: one for key, one in value.items() if not (top and (pointer.field, key) in self._values.used)}
            if value is not None:
                return {pointer.field: value}
        return {}

    def _as_text(self, value: Any, where: str) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)  # groups and generators may be numbered
        if not isinstance(value, str):
            raise BadMetadataError(f"{where} is {type(value).__name__}, not text")
        return clean_text(value, where=where, limits=self._limits)


def _natural(capture: str | None, member: Member) -> tuple[bool, int, str]:
    """Numbers in their order, before names; so 2 comes before 10, whatever the order in the archive."""
    number = capture is not None and capture.isdecimal()
    return not number, int(capture) if number and capture else 0, member.field


def _number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as problem:
        raise BadMetadataError(f"the label {name!r} is {str(value)[:40]!r}, not a number") from problem
    if not math.isfinite(number):
        raise BadMetadataError(f"the label {name!r} is {number}, not a finite number")
    return number


def _text_media(text: str) -> Media:
    return Media(kind="text", digest=_sha256(text.encode()), text=text)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
