"""Members that share a key, as records; what cannot be trusted to be whole, as rejects with a reason.

The convention is webdataset's: the key is the name up to the first dot of its last part, what follows (lower-cased) is the
field, and members of one key stand next to each other. Where the convention is broken webdataset passes on half records
without a word; here each run of members with one key becomes exactly one `Record` or one `Reject`, and the `ShardEnd` that
comes last says whether the shard was read to its end and which records a later part of the shard took back.

Memory: one record, a buffer, and the set of the shard's keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from curate.errors import ShardError
from curate.records import Member, Reject, RejectReason
from curate.shards.limits import DEFAULT_LIMITS, ShardLimits
from curate.shards.sources import open_stream
from curate.shards.tar import Entry, Fault, Problem, SoundFile, iter_members

UNKNOWN_OFFSET = -1
"""Offset of a member whose place is not known: it came from a stream of webdataset samples."""

_METADATA = re.compile(r"__[^/]*__(?:$|/)")

_SHOWN_KEY = 1024
"""Characters of a rejected key that are kept."""


class Record(NamedTuple):
    """All members of one key, with their bytes."""

    shard: str
    key: str
    members: tuple[Member, ...]
    """In archive order."""
    data: Mapping[str, bytes]
    """Contents by field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEnd:
    """What was read of a shard; comes once, last.

    Sound records are `records - len(retracted)`. Every member belongs to a record, to a reject, or is counted in `skipped`.
    """

    shard: str
    records: int
    """`Record`s that came, those of `retracted` included."""
    members: int
    """Entries of the archive that were read, folders included."""
    bytes: int
    """Length of what was read of the (decompressed) archive."""
    complete: bool
    """False where the archive is cut or damaged; what came after that place is not known."""
    retracted: frozenset[str]
    """Keys of records that came and then came again: no part of them can be trusted to be whole."""
    rejects: int = 0
    """`Reject`s that came."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Entries that belong to no record, by reason: folder, no_key, webdataset_metadata."""
    fault: str | None = None
    """Why it is not complete, in words."""


def split_name(name: str) -> tuple[str, str] | None:
    """A member's key and field: 'a/img.Final.JPG' -> ('a/img', 'final.jpg'); None for 'README' and 'a/.hidden'.

    webdataset groups the hidden files of a folder as records with keys such as 'a/'; they are nobody's samples, so here they
    are passed over and counted.
    """
    base = name.rfind("/") + 1
    dot = name.find(".", base)
    if dot <= base:
        return None
    return name[:dot], name[dot + 1 :].lower()


def is_metadata(name: str) -> bool:
    """Whether webdataset keeps such a name for itself and skips the member: '__index__', '__info__/size.json'."""
    return name.startswith("__") and _METADATA.match(name) is not None


def read_records(url: str, limits: ShardLimits = DEFAULT_LIMITS) -> Iterator[Record | Reject | ShardEnd]:
    """The records of a shard in order, rejects between them, and a `ShardEnd`.

    Raises `ShardError` where there is no such shard, it is not a tar, it holds no record at all, or reading fails.
    """
    grouping = _Grouping(url, limits)
    with open_stream(url) as stream:
        try:
            for found in iter_members(stream, limits):
                if (closed := grouping.add(found)) is not None:
                    yield closed
        except OSError as problem:
            raise ShardError(f"reading {url} failed: {problem}") from problem
    yield from grouping.close()


def record_from_webdataset(sample: Mapping[str, Any]) -> Record:
    """A sample of a webdataset pipeline that was not decoded: `__key__`, `__url__`, and bytes by field.

    The places of its members are not known, so they cannot be fetched again later. Raises `ShardError` for a sample without
    key, and for one whose fields are decoded already.
    """
    key = sample.get("__key__")
    if not isinstance(key, str):
        raise ShardError("a webdataset sample has no '__key__'; pass what the pipeline yields, unchanged")
    data: dict[str, bytes] = {}
    for name, value in sample.items():
        if name.startswith("__"):
            continue
        if not isinstance(value, bytes):
            raise ShardError(f"field {name!r} of the sample {key!r} is {type(value).__name__}, not bytes; leave out .decode()")
        data[name] = value
    members = tuple(
        Member(name=f"{key}.{name}", field=name, offset=UNKNOWN_OFFSET, length=len(value)) for name, value in data.items()
    )
    return Record(shard=str(sample.get("__url__", "")), key=key, members=members, data=data)


class _Grouping:
    """The record that is open, and what was seen of the shard."""

    def __init__(self, shard: str, limits: ShardLimits) -> None:
        self._shard = shard
        self._limits = limits
        self._key: str | None = None  # of the open record
        self._prefix: str | None = None  # what the names of its members begin with; None where that does not tell
        self._members: list[Member] = []
        self._data: dict[str, bytes] = {}
        self._size = 0
        self._problem: Problem | None = None  # of the open record: the first one found
        self._seen: dict[str, bool] = {}  # by key: whether a record came of it
        self._retracted: set[str] = set()
        self._skipped: dict[str, int] = {}
        self._entries = self._records = self._rejects = self._end = 0
        self._fault: Fault | None = None

    def add(self, found: SoundFile | Entry | Fault) -> Record | Reject | None:
        """Take what comes next in the archive; what it closes, or rejects by itself, comes out."""
        if isinstance(found, Fault):
            return self._stop(found)
        if isinstance(found, Entry):
            return self._add_entry(found)
        name, offset, data = found
        prefix = self._prefix
        if prefix is not None and name.startswith(prefix) and "/" not in (ending := name[len(prefix) :]):
            self._take(name, ending.lower(), offset, data)  # as most are: `split_name` would say the same
            return None
        parts = split_name(name)
        if parts is None or is_metadata(name):
            self._pass_over("no_key" if parts is None else "webdataset_metadata", offset + len(data))
            return None
        closed = self._turn_to(parts[0])
        self._take(name, parts[1], offset, data)
        return closed

    def _add_entry(self, entry: Entry) -> Record | Reject | None:
        """Folders belong to no record; anything else spoils the record it belongs to, or is rejected by itself."""
        end = entry.offset + entry.size
        if entry.kind == "folder" or entry.problem is None:
            self._pass_over("folder", end)
            return None
        self._entries += 1
        self._end = end
        parts = split_name(entry.name)
        if parts is None or is_metadata(entry.name):
            return self._reject(entry.name, entry.problem)
        closed = self._turn_to(parts[0])
        self._spoil(entry.problem)
        return closed

    def close(self) -> Iterator[Record | Reject | ShardEnd]:
        """The last record and the end of the shard."""
        if (closed := self._flush()) is not None:
            yield closed
        if not self._records and not self._rejects:
            raise ShardError(self._why_empty())
        yield ShardEnd(
            shard=self._shard,
            records=self._records,
            members=self._entries,
            bytes=self._end if self._fault is None else self._fault.offset,
            complete=self._fault is None,
            retracted=frozenset(self._retracted),
            rejects=self._rejects,
            skipped=dict(self._skipped),
            fault=self._fault.detail if self._fault else None,
        )

    def _pass_over(self, reason: str, end: int) -> None:
        """Count what belongs to no record. The open record stays open: such entries may stand between its members."""
        self._entries += 1
        self._end = end
        self._skipped[reason] = self._skipped.get(reason, 0) + 1

    def _turn_to(self, key: str) -> Record | Reject | None:
        """Make the record of `key` the open one; what it closes comes out."""
        if key == self._key:
            return None
        closed = self._flush()
        self._key = key
        # webdataset's own names need a look at the whole of them.
        self._prefix = None if key.startswith("__") else f"{key}."
        if key in self._seen:
            if self._seen[key]:
                self._retracted.add(key)
            self._problem = Problem(RejectReason.KEY_REAPPEARS, "members of this key stand apart in the shard")
        return closed

    def _take(self, name: str, field_name: str, offset: int, data: bytes) -> None:
        """Add a sound member to the open record."""
        size = len(data)
        held = self._data
        self._entries += 1
        self._end = offset + size
        self._size += size
        if self._problem is not None:
            return
        if field_name in held or len(held) >= self._limits.record_members or self._size > self._limits.record_bytes:
            self._spoil(self._problem_of(field_name))
            return
        self._members.append(Member(name, field_name, offset, size))
        held[field_name] = data

    def _problem_of(self, field_name: str) -> Problem:
        """Why one more member is too many."""
        if field_name in self._data:
            return Problem(RejectReason.DUPLICATE_MEMBER, f"the field {field_name!r} stands twice in the record")
        if len(self._members) >= self._limits.record_members:
            return Problem(RejectReason.TOO_LARGE, f"more than {self._limits.record_members} members")
        return Problem(RejectReason.TOO_LARGE, f"more than {self._limits.record_bytes} bytes")

    def _spoil(self, problem: Problem) -> None:
        """The open record will be rejected, for the first problem that was found; nothing of it is held any longer."""
        if self._problem is None:
            self._problem = problem
        self._members.clear()
        self._data.clear()

    def _flush(self) -> Record | Reject | None:
        """Close the open record: one `Record` or one `Reject`; None where none is open."""
        key, problem = self._key, self._problem
        if key is None:
            return None
        self._seen[key] = problem is None
        closed: Record | Reject
        if problem is None:
            self._records += 1
            closed = Record(self._shard, key, tuple(self._members), self._data)
        else:
            closed = self._reject(key, problem)
        self._key, self._prefix, self._members, self._data, self._size, self._problem = None, None, [], {}, 0, None
        return closed

    def _reject(self, key: str, problem: Problem) -> Reject:
        self._rejects += 1
        return Reject(shard=self._shard, key=key[:_SHOWN_KEY], reason=problem.reason, detail=problem.detail)

    def _stop(self, fault: Fault) -> Record | Reject | None:
        """The archive cannot be read on: the record that is open may miss members, those before it are whole."""
        if fault.offset == 0 and not self._entries:
            raise ShardError(f"{self._shard} is not a tar archive that can be read: {fault.detail}")
        self._fault = fault
        parts = split_name(fault.name) if fault.name is not None else None
        closed = self._turn_to(parts[0]) if parts is not None else None
        if self._key is not None and self._problem is None:
            self._problem = Problem(RejectReason.TRUNCATED, fault.detail)
        return closed

    def _why_empty(self) -> str:
        if self._fault is not None:
            return f"{self._shard} holds no whole record: {self._fault.detail}"
        if self._skipped.get("no_key"):
            return f"{self._shard} holds no record: none of its members has a name with an extension, as in 0001.jpg"
        return f"{self._shard} is empty: a tar archive without any record"
