"""Which way is up: the EXIF orientation of a file, read without Pillow's EXIF reader, and pixels turned by it.

Pillow's reader warns of damaged blocks and remembers half of them, so its answer would depend on who asked before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

_ORIENTATION_TAG = 0x0112
_INTEGER_BYTES = {1: 1, 3: 2, 4: 4}
"""Bytes of the TIFF types that an orientation is written in: BYTE, SHORT (the standard's), LONG."""
_BYTE_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II": "little", b"MM": "big"}
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=\"|>)([0-9])")
_LATE_IN_PNG = (b"eXIf", b"XML:com.adobe.xmp", b"Raw profile type exif")
"""Metadata that may lie behind the pixels of a PNG, where only decoding all of it finds them."""


def orientation_of(image: Image.Image, data: bytes) -> int:
    """The orientation still to be applied to an image opened from `data`, 1 to 8; 1 where none is said or it cannot be read."""
    if image.format == "TIFF":
        return 1  # Pillow turns TIFFs itself, size and pixels
    if image.format == "PNG" and any(mark in data for mark in _LATE_IN_PNG):
        image.load()
    orientation = exif_orientation(_exif_block(image))
    if orientation is None:
        xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
        said = _XMP_ORIENTATION.search(xmp.encode() if isinstance(xmp, str) else xmp)
        orientation = int(said[1]) if said else 1
    return orientation if 1 <= orientation <= 8 else 1


def _exif_block(image: Image.Image) -> bytes:
    block = image.info.get("exif")
    if isinstance(block, bytes):
        return block
    profile = image.info.get("Raw profile type exif")  # ImageMagick's way: three lines of heading, then hexadecimal
    try:
        return bytes.fromhex("".join(profile.split("\n")[3:])) if isinstance(profile, str) else b""
    except ValueError:
        return b""


def exif_orientation(block: bytes) -> int | None:
    """What an EXIF block says of the orientation, whatever number that is; None where it says nothing that can be read."""
    tiff = re.sub(rb"\A(?:Exif\x00\x00)+", b"", block)
    order = _BYTE_ORDERS.get(tiff[:2])
    if order is None:
        return None
    directory = int.from_bytes(tiff[4:8], order)
    entries = int.from_bytes(tiff[directory : directory + 2], order)
    for entry in range(directory + 2, min(directory + 2 + 12 * entries, len(tiff) - 11), 12):
        if int.from_bytes(tiff[entry : entry + 2], order) == _ORIENTATION_TAG:
            length = _INTEGER_BYTES.get(int.from_bytes(tiff[entry + 2 : entry + 4], order), 0)
            return int.from_bytes(tiff[entry + 8 : entry + 8 + length], order) if length else None
    return None


def upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Pixels (height, width, 3), C-contiguous, turned and mirrored the way EXIF `orientation` 1 to 8 asks."""
    if orientation == 1:
        return pixels
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
