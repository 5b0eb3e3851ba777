"""Pictures of one colour, made without an imaging library."""

from __future__ import annotations

import struct
import zlib

from curate.asks import Picture

SIDE = 64
"""Pixels; no vision tower is known that takes less than two patches of 28."""

Colour = tuple[int, int, int]


def swatch(colour: Colour, side: int = SIDE) -> Picture:
    """A square PNG of one RGB colour."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)  # 8 bits a channel, RGB
    row = b"\0" + bytes(colour) * side
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(row * side)), _chunk(b"IEND", b""))
    return Picture(data=b"\x89PNG\r\n\x1a\n" + b"".join(chunks), mime="image/png", width=side, height=side)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
