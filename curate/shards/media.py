"""The one door through which image bytes become pixels: hostile until shown otherwise, RGB the right way, upright once.

The first bytes decide the format, never a name; only formats of the allow-list reach a decoder, and only the one decoder
of that format. Sizes are checked from the header, before any pixel is decoded. Whatever is wrong is a `MediaError` with a
status, so that one bad file costs one sample. Nothing here touches global state, so any number of threads may decode.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

from curate.records import Status
from curate.shards.image_formats import DECODERS, sniff
from curate.shards.jpeg import decode_plain_jpeg, read_jpeg_header
from curate.shards.limits import DEFAULT_MEDIA_LIMITS, MediaLimits
from curate.shards.orientation import orientation_of, upright
from curate.shards.rgb import to_rgb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST_JPEG_SCANS = 500
"""A progressive JPEG decodes its whole area once a scan; encoders make about 10, attacks thousands."""


class MediaError(Exception):
    """Bytes that do not become pixels, and the status to say so. One sample's failure, never a run's."""

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.status}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodedImage:
    """An upright picture in 8-bit RGB, and what its file was."""

    pixels: NDArray[np.uint8]
    """RGB (height, width, 3), C-contiguous, writable, its own memory."""
    format: str
    """Lower-case name of the file format, from its bytes: jpeg, png, webp …"""
    mode: str
    """Pillow's name for the pixels as stored: RGB, L, P, CMYK, I;16 …"""
    frames: int = 1
    """Pictures in the file; `pixels` is the first."""

    @property
    def width(self) -> int:
        """After rotation."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """After rotation."""
        return int(self.pixels.shape[0])


def decode_image(data: bytes, limits: MediaLimits = DEFAULT_MEDIA_LIMITS) -> DecodedImage:
    """The first picture in `data`, upright, in RGB; raises `MediaError` and nothing else.

    The EXIF orientation is applied once, here, for every rater. Transparency is composited on white; colour profiles are
    ignored (see `curate.shards.rgb`). A JPEG without its end marker is cut, whatever part of it could be shown.
    """
    name = _format_of(data, limits)
    with _failures_as_statuses():
        plain = _decode_jpeg(data, limits) if name == "jpeg" else None
        return plain if plain is not None else _decode_with_pillow(data, name, limits)


def probe_image(data: bytes, limits: MediaLimits = DEFAULT_MEDIA_LIMITS) -> tuple[int, int, str]:
    """Width and height after rotation, and the format, from the header alone; what `decode_image` would give.

    Raises `MediaError` where the header already says no; that it does not raise promises nothing about the pixels.
    """
    name = _format_of(data, limits)
    with _failures_as_statuses(), _open(data, name, limits) as image:
        width, height = image.size
        return (height, width, name) if orientation_of(image, data) >= 5 else (width, height, name)


def _format_of(data: bytes, limits: MediaLimits) -> str:
    if not data:
        raise MediaError(Status.DECODE_ERROR, "the file is empty")
    if len(data) > limits.bytes:
        raise MediaError(Status.TOO_LARGE, f"{len(data)} bytes are over the limit of {limits.bytes}")
    name = sniff(data)
    if name is None:
        raise MediaError(Status.DECODE_ERROR, "the bytes begin like no image format that is known")
    if name not in DECODERS:
        raise MediaError(Status.UNSUPPORTED_MEDIA, f"{name} is not among the formats that are decoded")
    return name


# JPEG -----------------------------------------------------------------------------------------------------------------


def _decode_jpeg(data: bytes, limits: MediaLimits) -> DecodedImage | None:
    """A plain JPEG; None where Pillow is to decode it. What is refused here is refused whichever decoder would follow."""
    header = read_jpeg_header(data)
    if header is None:
        raise MediaError(Status.DECODE_ERROR, "the JPEG is cut or damaged: its markers do not lead to an end marker")
    if header.precision != 8 or not header.is_dct:
        raise MediaError(Status.UNSUPPORTED_MEDIA, f"a JPEG of {header.precision} bits, process {header.process:#x}")
    if header.scans > _MOST_JPEG_SCANS:
        raise MediaError(Status.TOO_LARGE, f"{header.scans} scans in one JPEG are over the limit of {_MOST_JPEG_SCANS}")
    _check_size(header.width, header.height, limits)
    if header.metadata_bytes > limits.metadata:
        return None  # Pillow joins segments into blocks, and the limit is on blocks
    pixels = decode_plain_jpeg(data, header)
    if pixels is None:
        return None
    mode = "L" if header.components == 1 else "RGB"
    return DecodedImage(pixels=upright(pixels, header.orientation), format="jpeg", mode=mode)


# Everything, by Pillow ------------------------------------------------------------------------------------------------


def _decode_with_pillow(data: bytes, name: str, limits: MediaLimits) -> DecodedImage:
    with _open(data, name, limits) as image:
        frames = _frames(image, data, name, limits)
        image.load()
        _check_size(*image.size, limits)
        mode = image.mode
        orientation = orientation_of(image, data)
        try:
            pixels = to_rgb(image)
        except ValueError as problem:
            raise MediaError(Status.UNSUPPORTED_MEDIA, str(problem)) from problem
    return DecodedImage(pixels=upright(pixels, orientation), format=name, mode=mode, frames=frames)


def _open(data: bytes, name: str, limits: MediaLimits) -> Image.Image:
    """The image with its header read and its limits checked, and no pixel decoded."""
    image = Image.open(io.BytesIO(data), formats=[DECODERS[name]])
    _check_size(*image.size, limits)
    for key, value in image.info.items():
        if isinstance(value, bytes | str) and len(value) > limits.metadata:
            raise MediaError(Status.TOO_LARGE, f"{len(value)} bytes of '{key}' are over the limit of {limits.metadata}")
    return image


@contextmanager
def _failures_as_statuses() -> Iterator[None]:
    """The seam to the decoders, which raise anything at all on hostile bytes."""
    try:
        yield
    except MediaError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as problem:
        raise MediaError(Status.TOO_LARGE, str(problem)) from problem
    except UnidentifiedImageError as problem:
        # Its message holds an address in memory, which would make equal runs unequal.
        raise MediaError(Status.DECODE_ERROR, "the header is damaged, or of a variant that is not read") from problem
    except MemoryError as problem:
        raise MediaError(Status.OOM, "not enough memory to decode the image") from problem
    except Exception as problem:
        raise MediaError(Status.DECODE_ERROR, f"{type(problem).__name__}: {problem}") from problem


def _check_size(width: int, height: int, limits: MediaLimits) -> None:
    if width < 1 or height < 1:
        raise MediaError(Status.DECODE_ERROR, f"{width} x {height} pixels are no picture")
    if max(width, height) > limits.side:
        raise MediaError(Status.TOO_LARGE, f"a side of {max(width, height)} pixels is over the limit of {limits.side}")
    if width * height > limits.pixels:
        raise MediaError(Status.TOO_LARGE, f"{width} x {height} pixels are over the limit of {limits.pixels}")


# Pictures in one file -------------------------------------------------------------------------------------------------


def _frames(image: Image.Image, data: bytes, name: str, limits: MediaLimits) -> int:
    """How many pictures the file holds; counting stops at the limit, since a small file can name millions."""
    if name == "gif":
        frames = _gif_frames(data, most=limits.frames + 1)
    elif name == "tiff":
        frames = _tiff_frames(data, most=limits.frames + 1)
    else:
        frames = int(getattr(image, "n_frames", 1))
    if frames > limits.frames:
        raise MediaError(Status.TOO_LARGE, f"more than {limits.frames} pictures in one file")
    return frames


def _gif_frames(data: bytes, *, most: int) -> int:
    """Pictures in a GIF, by its blocks alone; Pillow would decode its way through them."""
    position = 13 + _palette_bytes(data[10])
    frames = 0
    while frames < most and position < len(data):
        block = data[position]
        if block == 0x2C and position + 10 <= len(data):
            frames += 1
            position += 11 + _palette_bytes(data[position + 9])
        elif block == 0x21:
            position += 2
        else:
            break
        while position < len(data) and data[position]:
            position += data[position] + 1
        position += 1
    return max(frames, 1)


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _tiff_frames(data: bytes, *, most: int) -> int:
    """Pages of a TIFF; on an image of its own, since seeking moves Pillow's."""
    with Image.open(io.BytesIO(data), formats=["TIFF"]) as image:
        for page in range(1, most):
            try:
                image.seek(page)
            except Exception:  # the end; or a page that cannot be read, which takes nothing from the first
                return page
    return most
