"""Where units come from: shards, or somebody's own stream of webdataset samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from curate.errors import ShardError
from curate.records import Reject
from curate.shards.grouping import Record, ShardEnd, read_records, record_from_webdataset
from curate.shards.sources import signature

STREAM_UNIT_RECORDS = 1000
"""Records of a stream that are committed together."""


class ShardUnit:
    """A shard, read anew at each call of `records`."""

    def __init__(self, url: str) -> None:
        self.name = url

    @cached_property
    def signature(self) -> str:
        """What the shard was when it was first looked at."""
        return signature(self.name)

    def records(self) -> Iterator[Record | Reject | ShardEnd]:
        """Raises `ShardError` at the end where the shard became another one meanwhile: half of each is worth nothing."""
        before = self.signature
        yield from read_records(self.name)
        if signature(self.name) != before:
            raise ShardError(f"{self.name} was changed while it was read; run the same command again")


@dataclass(frozen=True, slots=True)
class StreamUnit:
    """A piece of a stream that can be read only once; its name says where in the stream it lay."""

    name: str
    found: list[Record | Reject]
    signature: str = ""

    def records(self) -> Iterator[Record | Reject | ShardEnd]:
        yield from self.found
        records = [record for record in self.found if isinstance(record, Record)]
        yield ShardEnd(
            shard=self.name,
            records=len(records),
            members=sum(len(record.members) for record in records),
            bytes=sum(len(data) for record in records for data in record.data.values()),
            complete=True,
            retracted=frozenset(),
        )


def _record(sample: object) -> Record:
    if not isinstance(sample, Mapping):
        raise ShardError(
            f"a stream is of samples as webdataset gives them, not of {type(sample).__name__}; `rate` takes the names of shards"
        )
    return record_from_webdataset(sample)


def stream_units(samples: Iterable[Mapping[str, Any]], *, name: str = "stream") -> Iterator[StreamUnit]:
    """Pieces of a stream of webdataset samples (`__key__`, `__url__`, and bytes by field), in its order."""
    it = iter(samples)
    while piece := [_record(sample) for sample in islice(it, STREAM_UNIT_RECORDS)]:
        # Named by what it holds: another stream is other units, the same one again is the same.
        digest = hashlib.sha256()
        for record in piece:
            for part in (record.shard, record.key, *record.data):
                digest.update(f"{len(part)}:{part}".encode("utf-8", "surrogatepass"))
            for data in record.data.values():
                digest.update(hashlib.sha256(data).digest())
        yield StreamUnit(name=f"{name}/{digest.hexdigest()[:16]}", found=list(piece))
