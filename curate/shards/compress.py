"""Compressed shards as plain streams: recognised by their first bytes, never by their name, with bounded memory."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from typing import BinaryIO, Protocol

import zstandard

from curate.errors import ShardError

BUFFER = 1 << 15
"""Bytes asked of the source at a time: few enough that what is read of a large member is not first copied into a buffer."""

WINDOW = 1 << 27
"""Largest zstd window accepted (128 MiB): what one stream may make us hold. The zstd tool writes up to this unasked."""

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_SKIPPABLE = tuple(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16))
_OTHERS = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip", b"Rar!": "rar", b"7z\xbc\xaf": "7z"}

MAGIC_BYTES = 6


class DamagedStreamError(Exception):
    """Compressed bytes that do not decompress. What came before them is sound."""


class _Codec(Protocol):
    def read1(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class _Decompressed(io.RawIOBase):
    """Decompressed bytes; every way in which a codec says 'damaged' is raised as `DamagedStreamError`."""

    def __init__(self, codec: _Codec, source: BinaryIO) -> None:
        self._codec = codec
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._codec.read1(len(buffer))  # one step: an error does not swallow what came before it
        except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as problem:
            raise DamagedStreamError(str(problem)) from problem
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._codec.close()
            self._source.close()
        super().close()


def decompressed(source: io.BufferedReader, *, where: str) -> io.BufferedReader:
    """`source` itself when it is not compressed, else a stream of what it decompresses to; closing that closes `source`.

    Only one layer is taken off. A compression that is known but not supported is a `ShardError` that names `where`.
    """
    open_codec = _codec_for(source.peek(MAGIC_BYTES)[:MAGIC_BYTES], where)
    if open_codec is None:
        return source
    return io.BufferedReader(_Decompressed(open_codec(source), source), BUFFER)


def is_compressed(magic: bytes, *, where: str) -> bool:
    """Whether a file that starts with `magic` (`MAGIC_BYTES` of it) is a compressed one."""
    return _codec_for(magic, where) is not None


def _codec_for(magic: bytes, where: str) -> Callable[[BinaryIO], _Codec] | None:
    if magic.startswith(GZIP):
        return lambda source: gzip.GzipFile(fileobj=source)
    if magic.startswith((ZSTD, *_SKIPPABLE)):
        return _open_zstd
    for start, name in _OTHERS.items():
        if magic.startswith(start):
            raise ShardError(f"{where} is a {name} file; shards are .tar, .tar.gz or .tar.zst: recompress it")
    return None


def _open_zstd(source: BinaryIO) -> _Codec:
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW)
    return decompressor.stream_reader(source, read_size=BUFFER, read_across_frames=True, closefd=False)
