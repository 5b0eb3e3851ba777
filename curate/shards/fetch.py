"""Any member of a shard again, by where it lies, without reading what stands before it where the storage allows that."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections import OrderedDict
from types import TracebackType
from typing import IO, Any, Protocol

from curate.errors import ShardError
from curate.records import Member
from curate.shards.compress import MAGIC_BYTES, DamagedStreamError, is_compressed
from curate.shards.sources import filesystem_of, is_local, local_path, open_stream

OPEN_SHARDS = 16
"""Shards kept open at a time."""

_SKIP_BYTES = 1 << 20


class _Place(Protocol):
    """A shard whose decompressed bytes can be had by range."""

    def read(self, offset: int, length: int) -> bytes: ...

    def close(self) -> None: ...


class MemberReader:
    """Reads members of any shards. Keeps the shards used last open; safe to share between threads.

    Local uncompressed shards are read where the member lies, remote ones by byte range. A compressed shard is read forwards
    as far as asked; going back in it unpacks the whole shard once into a temporary file.
    """

    def __init__(self) -> None:
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._lock = threading.RLock()

    def read(self, shard: str, member: Member, *, sha256: str | None = None) -> bytes:
        """The bytes of `member`; with `sha256` (hex) only when they are the very bytes that had it.

        Raises `ShardError` where the shard is gone, shorter than it was, or holds other bytes now.
        """
        if member.offset < 0:
            raise ShardError(f"{member.name!r} came from a stream, so there is no place to read it from again")
        try:
            data = self._read(shard, member)
        except (OSError, DamagedStreamError) as problem:
            raise ShardError(f"reading {member.name!r} in {shard} failed: {problem}") from problem
        if len(data) != member.length:
            raise ShardError(f"{shard} ends before {member.name!r}; it was changed or cut since it was rated")
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise ShardError(f"{member.name!r} in {shard} is not what was rated: the shard was changed since")
        return data

    def close(self) -> None:
        with self._lock:
            while self._places:
                self._places.popitem()[1].close()

    def __enter__(self) -> MemberReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _read(self, shard: str, member: Member) -> bytes:
        with self._lock:
            try:
                return self._place(shard).read(member.offset, member.length)
            except BaseException:
                # Where a stream stands after that, nobody knows; the next read opens the shard anew.
                if (place := self._places.pop(shard, None)) is not None:
                    place.close()
                raise

    def _place(self, shard: str) -> _Place:
        if shard not in self._places:
            while len(self._places) >= OPEN_SHARDS:
                self._places.popitem(last=False)[1].close()
            self._places[shard] = _open_place(shard)
        self._places.move_to_end(shard)
        return self._places[shard]


def read_member(shard: str, member: Member, *, sha256: str | None = None) -> bytes:
    """The bytes of one member, as `MemberReader.read`; for more than one, a reader saves opening the shard each time."""
    with MemberReader() as reader:
        return reader.read(shard, member, sha256=sha256)


def _open_place(shard: str) -> _Place:
    plain = _LocalFile(shard) if is_local(shard) else _RemoteFile(shard)
    try:
        if not is_compressed(plain.read(0, MAGIC_BYTES), where=shard):
            return plain
    except BaseException:
        plain.close()
        raise
    plain.close()
    return _Compressed(shard)


class _LocalFile:
    def __init__(self, shard: str) -> None:
        # Without O_NONBLOCK, opening a pipe that took the shard's place would wait for ever.
        self._descriptor = os.open(local_path(shard), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)

    def read(self, offset: int, length: int) -> bytes:
        parts = []
        while length and (part := os.pread(self._descriptor, length, offset)):  # one call returns at most 2 GiB
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        os.close(self._descriptor)


class _RemoteFile:
    def __init__(self, shard: str) -> None:
        self._shard = shard
        self._filesystem: Any
        self._filesystem, self._path = filesystem_of(shard)

    def read(self, offset: int, length: int) -> bytes:
        if length == 0:
            return b""
        try:
            data: bytes = self._filesystem.cat_file(self._path, start=offset, end=offset + length)
        except Exception as problem:
            raise ShardError(f"reading {self._shard} failed: {str(problem) or type(problem).__name__}") from problem
        if len(data) > length:
            raise ShardError(f"the server of {self._shard} does not serve parts of a file; copy the shard here first")
        return data

    def close(self) -> None:
        """Nothing is held open."""


class _Compressed:
    """A position in the decompressed stream, and once that is not enough the whole of it in a temporary file."""

    def __init__(self, shard: str) -> None:
        self._shard = shard
        self._stream: IO[bytes] = open_stream(shard)
        self._position = 0
        self._spooled = False

    def read(self, offset: int, length: int) -> bytes:
        if offset < self._position and not self._spooled:
            self._spool()
        if self._spooled:
            self._stream.seek(offset)
            return self._stream.read(length)
        while self._position < offset:
            skipped = len(self._stream.read(min(_SKIP_BYTES, offset - self._position)))
            if not skipped:
                return b""
            self._position += skipped
        data = self._stream.read(length)
        self._position += len(data)
        return data

    def _spool(self) -> None:
        whole = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close(), once it is the stream
        try:
            with open_stream(self._shard) as packed:
                shutil.copyfileobj(packed, whole, _SKIP_BYTES)
        except BaseException:
            whole.close()
            raise
        self._stream.close()
        self._stream, self._spooled = whole, True

    def close(self) -> None:
        self._stream.close()
