"""Images that are the same picture in other bytes: nothing to prefer, and so no pair.

To decode every image would take many times as long as to copy it. So each has a sign that is cheap to have and the same for the
same picture, and pixels are compared only where two signs are equal. Of PNG it is the first rows, whatever compressed them; of
JPEG the scan, whatever stands before it. Of other encodings it is the bytes: there `curate check` finds what is the same.
"""

from __future__ import annotations

import hashlib
import io
import warnings
import zlib

from PIL import Image

_ROWS = 8
_ROWS_TAKE = 1 << 16
"""Bytes in which the first rows of most PNGs lie, at the border of the pieces that most encoders write."""
_HEADER = slice(12, 29)
"""Of a PNG: the name and the fields of its first chunk, which its checksum covers."""
_HEIGHT = slice(20, 24)
_INTERLACE = 28
_SCAN = b"\xff\xda"


def sign_of(data: bytes, encoding: str) -> str:
    """The sign of an image that can be opened, as hex; `encoding` is its extension."""
    seen: bytes | memoryview = data
    if encoding == "png" and not data[_INTERLACE]:
        seen = _first_rows(data)
    elif encoding == "jpg":
        seen = memoryview(data)[max(data.rfind(_SCAN), 0) :]
    return hashlib.sha256(seen).hexdigest()


def same_pixels(one: bytes, other: bytes) -> bool:
    """Whether trainers see the same in two images; False where one cannot be decoded."""
    seen = _as_trained(one)
    return seen is not None and seen == _as_trained(other)


def _first_rows(data: bytes) -> bytes:
    """The pixels of the first rows of a PNG: with a header that speaks of no more rows, no more are decoded."""
    header = bytearray(data[:33])
    header[_HEIGHT] = min(_ROWS, int.from_bytes(header[_HEIGHT])).to_bytes(4)
    header[29:33] = zlib.crc32(header[_HEADER]).to_bytes(4)
    for end in (_ROWS_TAKE, len(data)):  # all of it, where they need more, or the cut is in a bad place
        rows = _as_trained(bytes(header) + data[33:end])
        if rows is not None:
            return rows
    return data


def _as_trained(data: bytes) -> bytes | None:
    """The pixels that trainers see, without transparency and as they are stored; None where decoding fails."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which were looked at before, and of palettes with transparency
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
                return f"{image.size}".encode() + image.convert("RGB").tobytes()
    except Exception:  # decoders raise anything at all
        return None
