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
from curate.shards.tar import Entry, Fault, Problem, iter_members

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
            for entry in iter_members(stream, limits):
                if (closed := grouping.add(entry)) is not None:
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
        self._prefix = ""  # what the names of its members begin with; empty where that does not tell
        self._members: list[Member] = []
        self._data: dict[str, bytes] = {}
        self._size = 0
        self._problem: Problem | None = None  # of the open record: the first one found
        self._seen: dict[str, bool] = {}  # by key: whether a record came of it
        self._retracted: set[str] = set()
        self._skipped: dict[str, int] = {}
        self._entries = self._records = self._rejects = self._end = 0
        self._fault: Fault | None = None

    def add(self, entry: Entry | Fault) -> Record | Reject | None:
        """Take what comes next in the archive; what it closes, or rejects by itself, comes out."""
        if isinstance(entry, Fault):
            return self._stop(entry)
        self._entries += 1
        self._end = entry.offset + entry.size
        if self._continues(entry):
            return None
        parts = split_name(entry.name)
        if parts is None or entry.kind == "folder" or is_metadata(entry.name):
            return self._outside(entry, parts)
        key, name = parts
        closed = None
        if key != self._key:
            closed = self._flush()
            self._open(key)
        if not self._continues(entry):
            self._take(entry, name)
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

    def _outside(self, entry: Entry, parts: tuple[str, str] | None) -> Reject | None:
        """An entry that belongs to no record. The open record stays open: such entries may stand between its members."""
        if entry.problem is not None and entry.kind != "folder":
            return self._reject(entry.name, entry.problem)
        reason = "folder" if entry.kind == "folder" else "no_key" if parts is None else "webdataset_metadata"
        self._skipped[reason] = self._skipped.get(reason, 0) + 1
        return None

    def _continues(self, entry: Entry) -> bool:
        """Take a sound member of the open record, as most are, without taking its name apart."""
        name, _, offset, size, data, _ = entry
        prefix = self._prefix
        if not prefix or data is None or not name.startswith(prefix):
            return False
        field_name = name[len(prefix) :].lower()
        if field_name in self._data or "/" in field_name or len(self._members) >= self._limits.record_members:
            return False
        if self._problem is not None or self._size + size > self._limits.record_bytes:
            return False
        self._size += size
        self._members.append(Member(name, field_name, offset, size))
        self._data[field_name] = data
        return True

    def _open(self, key: str) -> None:
        self._key = key
        # webdataset's own names need a look at the whole of them.
        self._prefix = "" if key.startswith("__") else f"{key}."
        if key in self._seen:
            if self._seen[key]:
                self._retracted.add(key)
            self._problem = Problem(RejectReason.KEY_REAPPEARS, "members of this key stand apart in the shard")

    def _take(self, entry: Entry, name: str) -> None:
        if self._problem is None:
            self._problem = entry.problem or self._problem_of(entry, name)
        if self._problem is None and entry.data is not None:
            self._members.append(Member(entry.name, name, entry.offset, entry.size))
            self._data[name] = entry.data
        else:
            self._members.clear()  # nothing of a record that will be rejected is held
            self._data.clear()

    def _problem_of(self, entry: Entry, name: str) -> Problem | None:
        """What is wrong with adding a sound member to the open record."""
        self._size += entry.size
        if name in self._data:
            return Problem(RejectReason.DUPLICATE_MEMBER, f"the field {name!r} stands twice in the record")
        if len(self._members) >= self._limits.record_members:
            return Problem(RejectReason.TOO_LARGE, f"more than {self._limits.record_members} members")
        if self._size > self._limits.record_bytes:
            return Problem(RejectReason.TOO_LARGE, f"more than {self._limits.record_bytes} bytes")
        return None

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
        self._key, self._prefix, self._members, self._data, self._size, self._problem = None, "", [], {}, 0, None
        return closed

    def _reject(self, key: str, problem: Problem) -> Reject:
        self._rejects += 1
        return Reject(shard=self._shard, key=key[:_SHOWN_KEY], reason=problem.reason, detail=problem.detail)

    def _stop(self, fault: Fault) -> Record | Reject | None:
        """The archive cannot be read on: the record that is open may miss members, those before it are whole."""
        if fault.offset == 0 and not self._entries:
            raise ShardError(f"{self._shard} is not a tar archive that can be read: {fault.detail}")
        self._fault = fault
        closed = None
        parts = split_name(fault.name) if fault.name is not None else None
        if parts is not None and parts[0] != self._key:
            closed = self._flush()
            self._open(parts[0])
        if self._key is not None and self._problem is None:
            self._problem = Problem(RejectReason.TRUNCATED, fault.detail)
        return closed

    def _why_empty(self) -> str:
        if self._fault is not None:
            return f"{self._shard} holds no whole record: {self._fault.detail}"
        if self._skipped.get("no_key"):
            return f"{self._shard} holds no record: none of its members has a name with an extension, as in 0001.jpg"
        return f"{self._shard} is empty: a tar archive without any record"
