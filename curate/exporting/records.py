"""Whole records on their way into an export: copied byte for byte, once they are known to be what was judged.

A shard may hold something else than it did, at the same places and of the same size: built again in another order, or with
another caption. What the samples of a record were made of is therefore compared with what is copied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curate.exporting.media import CHANGED, MediaProblem, read_member
from curate.exporting.source import SampleInfo, Source
from curate.records import Media, Member, Sample
from curate.shards.limits import DEFAULT_LIMITS
from curate.shards.tar_header import HEADER_BYTES, NAME_BYTES, checksum_fits, parse_number, short_name
from curate.shards.texts import BadMetadataError, clean_text, read_json, read_text


def record_fields(source: Source, samples: Sequence[SampleInfo]) -> dict[str, bytes]:
    """The members of the record that `samples` share, by field, in archive order.

    Raises `MediaProblem` where one cannot be read, and where the record is another one now: a member no longer stands behind
    a header of its name and length; a response or condition has another SHA-256; or a text that the samples were made of,
    such as the prompt, stands in no member any more. Of a side file that nothing was made of, only name and length are known.
    """
    first = samples[0].sample
    fields = {member.field: _contents(source, first.shard, member) for member in first.members}
    if not all(_is_made_of(info.sample, fields) for info in samples):
        raise MediaProblem(CHANGED)
    return fields


def _contents(source: Source, shard: str, member: Member) -> bytes:
    """The bytes of a member, read together with the header before them."""
    data = read_member(source, shard, member._replace(offset=member.offset - HEADER_BYTES, length=member.length + HEADER_BYTES))
    if not _is_header_of(member, data[:HEADER_BYTES]):
        raise MediaProblem(CHANGED)
    return data[HEADER_BYTES:]


def _is_header_of(member: Member, header: bytes) -> bool:
    """Whether a sound header is that of a member, as far as it says; long and foreign names stand in a header before it."""
    if len(header) < HEADER_BYTES or not checksum_fits(header) or parse_number(header[124:136]) != member.length:
        return False
    is_elsewhere = not member.name.isascii() or len(member.name) > NAME_BYTES
    return is_elsewhere or short_name(header) == member.name.encode()


def _is_made_of(sample: Sample, fields: Mapping[str, bytes]) -> bool:
    """Whether the request and the response of a sample are still those of the record."""
    media = [*sample.response, *sample.conditions.values()]
    if not all(_is_medium(medium, fields[medium.member.field]) for medium in media if medium.member is not None):
        return False
    texts = {medium.digest for medium in media if medium.member is None}
    if sample.prompt is not None:
        texts.add(_sha256(sample.prompt.encode()))
    return _hold(fields, texts)


def _is_medium(medium: Media, data: bytes) -> bool:
    return medium.digest in ([_sha256(text.encode()) for text in _text(data)] if medium.kind == "text" else [_sha256(data)])


def _hold(fields: Mapping[str, bytes], digests: set[str]) -> bool:
    """Whether a text with each of these digests stands in some member."""
    missing = set(digests)
    texts = _texts(fields)
    while missing and (text := next(texts, None)) is not None:
        missing.discard(_sha256(text.encode()))
    return not missing


def _texts(fields: Mapping[str, bytes]) -> Iterator[str]:
    """Every text of a record, as layouts read them: of its members, and of the values in its JSON."""
    for field, data in fields.items():
        if field == "json" or field.endswith(".json"):
            yield from _texts_of_json(data, field)
        else:
            yield from _text(data)


def _text(data: bytes) -> list[str]:
    """The text of a member; none where it is no text."""
    try:
        return [read_text(data, where="", limits=DEFAULT_LIMITS)]
    except BadMetadataError:
        return []


def _texts_of_json(data: bytes, field: str) -> Iterator[str]:
    try:
        values: list[Any] = [read_json(data, where=field, limits=DEFAULT_LIMITS)]
    except BadMetadataError:
        return
    while values:
        value = values.pop()
        if isinstance(value, dict | list):
            values.extend(value.values() if isinstance(value, dict) else value)
        elif isinstance(value, int | str) and not isinstance(value, bool):
            yield from _cleaned(str(value), field)


def _cleaned(text: str, field: str) -> list[str]:
    try:
        return [clean_text(text, where=field, limits=DEFAULT_LIMITS)]
    except BadMetadataError:
        return []


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
