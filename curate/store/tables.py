"""The tables of a store: their Arrow schemas, and how records become rows.

Ids and digests are raw bytes (16 and 32 of them). Text that names something (shards, keys, members, prompts) has to be UTF-8:
a lone surrogate in it is refused. In free text (details, rationales) a lone surrogate becomes U+FFFD. Metadata is
JSON in ASCII, so it comes back as it was, lone surrogates and NaN included.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from curate.errors import StoreError
from curate.records import Comparison, Media, Member, Rating, Reject, Sample
from curate.store.ids import ID_BYTES, hex_bytes, to_bytes
from curate.store.unit import SampleRow

Kind = Literal["samples", "rejects", "ratings", "comparisons"]

KINDS: tuple[Kind, ...] = ("samples", "rejects", "ratings", "comparisons")
"""Each is a folder of the store."""

ID = pa.binary(ID_BYTES)
DIGEST = pa.binary(32)

MEMBER = pa.struct([("name", pa.string()), ("field", pa.string()), ("offset", pa.int64()), ("length", pa.int64())])

MEDIUM = pa.struct([("kind", pa.string()), ("digest", DIGEST), ("member", pa.int32()), ("text", pa.string())])
"""`member` is a position in the row's members, null for a text that came from a field of JSON."""

CONDITION = pa.struct([("role", pa.string()), *((MEDIUM.field(i).name, MEDIUM.field(i).type) for i in range(MEDIUM.num_fields))])

LABELS = pa.map_(pa.string(), pa.float64())

SCHEMAS: dict[Kind, pa.Schema] = {
    "samples": pa.schema(
        [
            ("sample", ID),
            ("group", ID),
            ("shard", pa.string()),
            ("key", pa.string()),
            ("index", pa.int64()),
            ("prompt", pa.string()),
            ("generator", pa.string()),
            ("kind", pa.string()),
            ("digest", DIGEST),
            ("bytes", pa.int64()),
            ("format", pa.string()),
            ("width", pa.int64()),
            ("height", pa.int64()),
            ("status", pa.string()),
            ("detail", pa.string()),
            ("layout", pa.string()),
            ("response", pa.list_(MEDIUM)),
            ("conditions", pa.list_(CONDITION)),
            ("labels", LABELS),
            ("meta", pa.string()),
            ("members", pa.list_(MEMBER)),
        ]
    ),
    "rejects": pa.schema([("shard", pa.string()), ("key", pa.string()), ("reason", pa.string()), ("detail", pa.string())]),
    "ratings": pa.schema(
        [
            ("sample", ID),
            ("rater", pa.string()),
            ("card", pa.string()),
            ("dimension", pa.string()),
            ("value", pa.float64()),
            ("spread", pa.float64()),
            ("status", pa.string()),
            ("detail", pa.string()),
            ("rationale", pa.string()),
            ("replaces", pa.bool_()),
        ]
    ),
    "comparisons": pa.schema(
        [
            ("group", ID),
            ("first", ID),
            ("second", ID),
            ("rater", pa.string()),
            ("card", pa.string()),
            ("dimension", pa.string()),
            ("value", pa.float64()),
            ("orders_agree", pa.bool_()),
            ("position_bias", pa.float64()),
            ("status", pa.string()),
            ("detail", pa.string()),
            ("rationale", pa.string()),
            ("replaces", pa.bool_()),
        ]
    ),
}
"""`replaces`: the row takes the place of every row of an older commit with the same sample (or pair) and card."""


def samples_table(rows: Iterable[SampleRow], layout: str) -> pa.Table:
    """The samples of a unit, ordered by key and index, so that a row's position orders it within its shard."""
    rows = sorted(rows, key=lambda row: (row.sample.key, row.sample.index))
    samples = [row.sample for row in rows]
    columns = {
        "sample": _ids([one.id for one in samples]),
        "group": _ids([one.group for one in samples]),
        "shard": _names("shard", [one.shard for one in samples]),
        "key": _names("key", [one.key for one in samples]),
        "index": pa.array([one.index for one in samples], pa.int64()),
        "prompt": _names("prompt", [one.prompt for one in samples]),
        "generator": _free([one.generator for one in samples]),
        "kind": pa.array([one.kind for one in samples], pa.string()),
        "digest": _digests([one.digest for one in samples]),
        "bytes": pa.array([sum(map(_length, one.response)) for one in samples], pa.int64()),
        "format": _free([row.format for row in rows]),
        "width": pa.array([row.width for row in rows], pa.int64()),
        "height": pa.array([row.height for row in rows], pa.int64()),
        "status": pa.array([str(row.status) for row in rows], pa.string()),
        "detail": _free([row.detail for row in rows]),
        "layout": _names("layout", [layout] * len(rows)),
        "response": _responses(samples),
        "conditions": _conditions(samples),
        "labels": _labels(samples),
        "meta": pa.array([json.dumps(dict(one.meta), separators=(",", ":")) for one in samples], pa.string()),
        "members": _members(samples),
    }
    return pa.table(columns, schema=SCHEMAS["samples"])


def rejects_table(rejects: Sequence[Reject]) -> pa.Table:
    """The rejects of a unit; their keys may be damaged names, so they are free text."""
    columns = {
        "shard": _names("shard", [one.shard for one in rejects]),
        "key": _free([one.key for one in rejects]),
        "reason": pa.array([str(one.reason) for one in rejects], pa.string()),
        "detail": _free([one.detail for one in rejects]),
    }
    return pa.table(columns, schema=SCHEMAS["rejects"])


def ratings_table(ratings: Sequence[Rating], replaces: Sequence[bool]) -> pa.Table:
    """Ratings as rows, in the order given."""
    columns = {"sample": _ids([one.sample for one in ratings]), "spread": pa.array([one.spread for one in ratings], pa.float64())}
    return _judgements_table("ratings", ratings, replaces, columns)


def comparisons_table(comparisons: Sequence[Comparison], replaces: Sequence[bool]) -> pa.Table:
    """Comparisons as rows, in the order given."""
    columns = {
        "group": _ids([one.group for one in comparisons]),
        "first": _ids([one.first for one in comparisons]),
        "second": _ids([one.second for one in comparisons]),
        "orders_agree": pa.array([one.orders_agree for one in comparisons], pa.bool_()),
        "position_bias": pa.array([one.position_bias for one in comparisons], pa.float64()),
    }
    return _judgements_table("comparisons", comparisons, replaces, columns)


def _judgements_table(
    kind: Kind, rows: Sequence[Rating] | Sequence[Comparison], replaces: Sequence[bool], columns: dict[str, pa.Array]
) -> pa.Table:
    columns |= {
        "rater": _names("rater", [one.rater for one in rows]),
        "card": _names("card", [one.card for one in rows]),
        "dimension": _names("dimension", [one.dimension for one in rows]),
        "value": pa.array([one.value for one in rows], pa.float64()),
        "status": pa.array([str(one.status) for one in rows], pa.string()),
        "detail": _free([one.detail for one in rows]),
        "rationale": _free([one.rationale for one in rows]),
        "replaces": pa.array(replaces, pa.bool_()),
    }
    return pa.table({name: columns[name] for name in SCHEMAS[kind].names}, schema=SCHEMAS[kind])


def hex_column(column: pa.Array) -> pa.Array:
    """A column of fixed-size bytes, none of them null, as hex text."""
    width = column.type.byte_width
    raw = np.frombuffer(column.buffers()[1], dtype=np.uint8)[column.offset * width : (column.offset + len(column)) * width]
    ends = pa.py_buffer(np.arange(len(column) + 1, dtype=np.int32) * 2 * width)
    return pa.StringArray.from_buffers(len(column), ends, pa.py_buffer(hex_bytes(raw)))


def check_name(what: str, text: str) -> None:
    """Raise `StoreError` where `text` is not valid Unicode."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise StoreError(f"the {what} {text!r} holds a lone surrogate, which no table can hold; rename it") from None


def _names(what: str, texts: Sequence[str | None]) -> pa.Array:
    """Texts that name something; nothing of them may be changed."""
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        for text in filter(None, texts):
            check_name(what, text)
        raise


def _free(texts: Sequence[str | None]) -> pa.Array:
    """Texts for people, where a replacement character does no harm."""
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        return pa.array([None if text is None else _without_surrogates(text) for text in texts], pa.string())


def _without_surrogates(text: str) -> str:
    return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text)


def _ids(ids: Sequence[str]) -> pa.Array:
    return pa.FixedSizeBinaryArray.from_buffers(ID, len(ids), [None, pa.py_buffer(to_bytes(ids))])


def _digests(digests: Sequence[str]) -> pa.Array:
    return pa.array([bytes.fromhex(one) for one in digests], DIGEST)


def _length(medium: Media) -> int:
    """Bytes of a medium."""
    return medium.member.length if medium.member else len((medium.text or "").encode("utf-8", "surrogatepass"))


def _offsets(lists: Iterable[Sequence[Any]]) -> pa.Array:
    """Where each list begins in the chain of them all, and where the last one ends."""
    return pa.array(np.cumsum([0, *map(len, lists)]), pa.int32())


def _structs(kind: pa.StructType, columns: Sequence[pa.Array]) -> pa.Array:
    return pa.StructArray.from_arrays(columns, fields=[kind.field(i) for i in range(kind.num_fields)])


def _members(samples: Sequence[Sample]) -> pa.Array:
    members = list(chain.from_iterable(one.members for one in samples))
    columns = [
        _names("member", [one.name for one in members]),
        _names("field", [one.field for one in members]),
        pa.array([one.offset for one in members], pa.int64()),
        pa.array([one.length for one in members], pa.int64()),
    ]
    return pa.ListArray.from_arrays(_offsets([one.members for one in samples]), _structs(MEMBER, columns))


def _responses(samples: Sequence[Sample]) -> pa.Array:
    media = [(medium, one.members) for one in samples for medium in one.response]
    return pa.ListArray.from_arrays(_offsets([one.response for one in samples]), _structs(MEDIUM, _media(media)))


def _conditions(samples: Sequence[Sample]) -> pa.Array:
    roles = [sorted(one.conditions) for one in samples]
    media = [(one.conditions[role], one.members) for one, own in zip(samples, roles, strict=True) for role in own]
    columns = [_names("role", list(chain.from_iterable(roles))), *_media(media)]
    return pa.ListArray.from_arrays(_offsets(roles), _structs(CONDITION, columns))


def _media(media: Sequence[tuple[Media, tuple[Member, ...]]]) -> list[pa.Array]:
    return [
        pa.array([medium.kind for medium, _ in media], pa.string()),
        _digests([medium.digest for medium, _ in media]),
        pa.array([_position(medium.member, members) for medium, members in media], pa.int32()),
        _names("text", [medium.text for medium, _ in media]),
    ]


def _position(member: Member | None, members: tuple[Member, ...]) -> int | None:
    if member is None:
        return None
    if member not in members:
        raise ValueError(f"the medium {member.name} is not among the members of its record")
    return members.index(member)


def _labels(samples: Sequence[Sample]) -> pa.Array:
    pairs = [sorted(one.labels.items()) for one in samples]
    flat = list(chain.from_iterable(pairs))
    names, values = _names("label", [name for name, _ in flat]), pa.array([value for _, value in flat], pa.float64())
    return pa.MapArray.from_arrays(_offsets(pairs), names, values)
