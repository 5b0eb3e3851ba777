"""Images made in memory for tests: the golden set, one of each kind that readers get wrong, and the hostile set.

Everything is made by Pillow, or byte by byte where Pillow does not write it (16-bit colour, bombs, arithmetic JPEG).
"""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curate.records import Status

Pixels = NDArray[np.uint8]

ARITHMETIC_JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxOUlNSMj5aYVpQ"
    "YEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT0//yQARCAAQABAD"
    "ASIAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwD/AGjgq2TNH0nHsmzwr8WpLH9YZ72CWWeMmxxQ/9k="
)
"""16 x 16, red rising to the right, green downwards, blue 128; by cjpeg -arithmetic, which Pillow cannot write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A file, and the RGB picture that a person would see in it."""

    data: bytes
    format: str
    seen: Pixels
    """Upright RGB (height, width, 3)."""
    within: int = 0
    """Grey levels that a lossy format may differ by, anywhere."""
    frames: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """A file that must not become pixels, and the status it must become."""

    data: bytes
    status: Status


def scene(width: int, height: int) -> Pixels:
    """RGB (height, width, 3): red rising to the right, green downwards, blue on the diagonal; no two corners alike."""
    across = np.linspace(0, 255, width)[np.newaxis, :].repeat(height, axis=0)
    down = np.linspace(0, 255, height)[:, np.newaxis].repeat(width, axis=1)
    return np.stack([across, down, (across + down) / 2], axis=2).round().astype(np.uint8)


def encoded(pixels: NDArray[Any] | Image.Image, name: str, **options: Any) -> bytes:
    """The file that Pillow writes in the format of that name."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def png(width: int, height: int, *, depth: int, colour: int, rows: bytes, chunks: Mapping[bytes, bytes] | None = None) -> bytes:
    """A PNG byte by byte; `rows` holds the filter byte and the samples of each row, `chunks` come before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *(chunks or {}).items(), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, contents) for name, contents in parts)


def png_chunk(name: bytes, contents: bytes) -> bytes:
    """One chunk with its length and checksum."""
    return struct.pack(">I", len(contents)) + name + contents + struct.pack(">I", zlib.crc32(name + contents))


def exif(orientation: int) -> bytes:
    """An EXIF block that says nothing but an orientation."""
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def stored_for(orientation: int, upright: Pixels) -> Pixels:
    """The pixels to store so that a reader who applies `orientation` sees `upright`; by the definition in the EXIF standard."""
    first_row_and_column = {
        1: upright,
        2: upright[:, ::-1],  # row 0 is the top, column 0 the right side
        3: upright[::-1, ::-1],  # bottom, right
        4: upright[::-1],  # bottom, left
        5: upright.transpose(1, 0, 2),  # row 0 is the left side, column 0 the top
        6: upright[:, ::-1].transpose(1, 0, 2),  # right, top
        7: upright[::-1, ::-1].transpose(1, 0, 2),  # right, bottom
        8: upright[::-1].transpose(1, 0, 2),  # left, bottom
    }
    return np.ascontiguousarray(first_row_and_column[orientation])


def inked(cmyk: Pixels) -> Pixels:
    """What CMYK ink (height, width, 4) looks like on paper, by the ink formula."""
    ink = cmyk.astype(np.float64) / 255
    return np.round(255 * (1 - ink[..., :3]) * (1 - ink[..., 3:])).astype(np.uint8)


def on_white(rgba: Pixels) -> Pixels:
    """RGBA (height, width, 4) laid on white."""
    alpha = rgba[..., 3:].astype(np.float64) / 255
    return np.round(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


@cache
def golden() -> Mapping[str, Picture]:
    """One picture of each kind that readers get wrong, by name, with what must be seen in it."""
    return {**_sizes(), **_greys(), **_transparent(), **_inks(), **_turned(), **_several_in_one()}


def _sizes() -> dict[str, Picture]:
    landscape, portrait = scene(320, 200), scene(200, 320)
    pictures = {"rgb portrait": Picture(data=encoded(portrait, "JPEG", quality=95), format="jpeg", seen=portrait, within=8)}
    for name, pixels in {
        "rgb landscape": landscape,
        "224 x 150": scene(224, 150),
        "1 x 1": scene(1, 1),
        "4000 x 30": scene(4000, 30),
    }.items():
        pictures[name] = Picture(data=encoded(pixels, "PNG"), format="png", seen=pixels)
    return pictures


def _greys() -> dict[str, Picture]:
    deep = np.tile(np.linspace(0, 65535, 256).round().astype(np.uint16), (4, 1))
    deep_seen = _grey_seen((deep / 257).round().astype(np.uint8))
    level = scene(64, 48)[..., 0]
    bits = level > 127
    return {
        "16-bit grey png": Picture(data=encoded(deep, "PNG"), format="png", seen=deep_seen),
        "16-bit grey tiff": Picture(data=encoded(deep, "TIFF"), format="tiff", seen=deep_seen),
        "32-bit grey tiff": Picture(data=encoded(deep.astype(np.int32), "TIFF"), format="tiff", seen=deep_seen),
        "grey png": Picture(data=encoded(level, "PNG"), format="png", seen=_grey_seen(level)),
        "grey jpeg": Picture(data=encoded(level, "JPEG", quality=95), format="jpeg", seen=_grey_seen(level), within=4),
        "1 bit": Picture(data=encoded(Image.fromarray(bits), "PNG"), format="png", seen=_grey_seen(bits.astype(np.uint8) * 255)),
    }


def _grey_seen(level: Pixels) -> Pixels:
    return np.repeat(level[..., np.newaxis], 3, axis=2)


def _transparent() -> dict[str, Picture]:
    rgba = np.dstack([scene(48, 32), np.full((32, 48), 255, np.uint8)])
    rgba[8:16, 8:24] = (255, 0, 0, 0)
    rgba[16:24, 8:24, 3] = 100
    grey_alpha = np.dstack([rgba[..., 0], rgba[..., 3]])
    colours = np.array([(200, 10, 10), (10, 200, 10), (10, 10, 200)], np.uint8)
    indices = (np.arange(48, dtype=np.uint8) % 3).reshape(6, 8)
    palette = Image.fromarray(indices)
    palette.putpalette(colours.tobytes())
    holes = np.where(indices == 1, 255, 0)[..., np.newaxis]
    keyed_seen = np.maximum(colours[indices], holes).astype(np.uint8)
    deep_colour = (np.arange(2 * 3 * 3).reshape(2, 3, 3) * 3640).astype(">u2")
    return {
        "rgba png": Picture(data=encoded(rgba, "PNG"), format="png", seen=on_white(rgba), within=1),
        "rgba webp": Picture(data=encoded(rgba, "WEBP", lossless=True, exact=True), format="webp", seen=on_white(rgba), within=1),
        "grey with alpha": Picture(
            data=encoded(grey_alpha, "PNG"), format="png", seen=on_white(rgba[..., [0, 0, 0, 3]]), within=1
        ),
        "palette png": Picture(data=encoded(palette, "PNG"), format="png", seen=colours[indices]),
        "palette png with a hole": Picture(data=encoded(palette, "PNG", transparency=1), format="png", seen=keyed_seen),
        "palette gif with a hole": Picture(data=encoded(palette, "GIF", transparency=1), format="gif", seen=keyed_seen),
        "rgb with a colour key": Picture(
            data=png(8, 6, depth=8, colour=2, rows=_rows(colours[indices]), chunks={b"tRNS": struct.pack(">HHH", 10, 200, 10)}),
            format="png",
            seen=keyed_seen,
        ),
        "16-bit rgb": Picture(
            data=png(3, 2, depth=16, colour=2, rows=_rows(deep_colour)),
            format="png",
            seen=(deep_colour / 257).round().astype(np.uint8),
            within=1,
        ),
    }


def _rows(samples: NDArray[Any]) -> bytes:
    """PNG rows, unfiltered."""
    return b"".join(b"\x00" + row.tobytes() for row in samples)


def _inks() -> dict[str, Picture]:
    cmyk = np.dstack([scene(64, 48), np.full((48, 64), 60, np.uint8)])
    image = Image.frombytes("CMYK", (64, 48), cmyk.tobytes())
    jpeg = encoded(image, "JPEG", quality=100, subsampling=0)
    return {
        "cmyk tiff": Picture(data=encoded(image, "TIFF"), format="tiff", seen=inked(cmyk), within=2),
        # Pillow writes CMYK as Adobe does, inverted and with Adobe's marker.
        "cmyk jpeg, inverted by adobe": Picture(data=jpeg, format="jpeg", seen=inked(cmyk), within=6),
    }


def _turned() -> dict[str, Picture]:
    upright = scene(40, 24)
    pictures = {}
    for orientation in range(1, 9):
        stored = stored_for(orientation, upright)
        jpeg = encoded(stored, "JPEG", quality=95, subsampling=0, exif=exif(orientation))
        pictures[f"exif {orientation} jpeg"] = Picture(data=jpeg, format="jpeg", seen=upright, within=16)
        for name, options in {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}}.items():
            data = encoded(stored, name, exif=exif(orientation), **options)
            pictures[f"exif {orientation} {name.lower()}"] = Picture(data=data, format=name.lower(), seen=upright)
    late = encoded(stored_for(6, upright), "PNG")
    late = late[:-12] + png_chunk(b"eXIf", exif(6).removeprefix(b"Exif\x00\x00")) + late[-12:]
    pictures["exif 6 behind the pixels of a png"] = Picture(data=late, format="png", seen=upright)
    return pictures


def _several_in_one() -> dict[str, Picture]:
    first, second = scene(32, 24), scene(32, 24)[::-1].copy()
    options: dict[str, Any] = {"save_all": True, "append_images": [Image.fromarray(second)]}
    flat = np.full((24, 32, 3), (200, 10, 10), np.uint8)
    return {
        "animated gif": Picture(data=encoded(flat, "GIF", **options), format="gif", seen=flat, frames=2),
        "animated webp": Picture(data=encoded(first, "WEBP", lossless=True, **options), format="webp", seen=first, frames=2),
        "animated png": Picture(data=encoded(first, "PNG", **options), format="png", seen=first, frames=2),
        "tiff of two pages": Picture(data=encoded(first, "TIFF", **options), format="tiff", seen=first, frames=2),
        "mpo": Picture(data=encoded(first, "MPO", quality=95, **options), format="jpeg", seen=first, within=16, frames=2),
    }


@cache
def hostile() -> Mapping[str, Hostile]:
    """Files that must not become pixels, by name."""
    cases = {**_unknown_or_unwanted(), **_too_large(), **_damaged()}
    return {name: Hostile(data=data, status=status) for name, (data, status) in cases.items()}


def _unknown_or_unwanted() -> dict[str, tuple[bytes, Status]]:
    brand = b"\x00\x00\x00\x18ftyp%s\x00\x00\x00\x00%s"
    unwanted = {
        "svg": b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "svg without declaration": b"  <SVG></SVG>",
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "pdf with a jpeg in it": b"%PDF-1.7\n" + encoded(scene(8, 8), "JPEG"),
        "ico": encoded(scene(16, 16), "ICO"),
        "psd": b"8BPS\x00\x01" + bytes(40),
        "heic": brand % (b"heic", b"mif1heic"),
        "video": brand % (b"isom", b"isommp41"),
        "jpeg xl": b"\xff\x0a" + bytes(40),
        "qoi": encoded(scene(8, 8), "QOI"),
        "float tiff": encoded(scene(8, 8)[..., 0].astype(np.float32), "TIFF"),
        "lab tiff": encoded(Image.new("LAB", (8, 8)), "TIFF"),
        "signed 32-bit tiff": encoded(np.array([[-5, 70_000]], np.int32), "TIFF"),
        "12-bit jpeg": encoded(scene(8, 8), "JPEG").replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"),
        "lossless jpeg": encoded(scene(8, 8), "JPEG").replace(b"\xff\xc0\x00\x11", b"\xff\xc3\x00\x11"),
    }
    unknown = {
        "zero bytes": b"",
        "one byte": b"\xff",
        "text": b"not found",
        "html": b"<html><body>404</body></html>",
        "zip": b"PK\x03\x04" + bytes(64),
        "pickle": b"\x80\x04\x95\x05\x00\x00\x00",
        "zeros": bytes(4096),
    }
    return {name: (data, Status.UNSUPPORTED_MEDIA) for name, data in unwanted.items()} | {
        name: (data, Status.DECODE_ERROR) for name, data in unknown.items()
    }


def _too_large() -> dict[str, tuple[bytes, Status]]:
    jpeg = encoded(scene(8, 8), "JPEG")
    size_at = jpeg.index(b"\xff\xc0\x00\x11\x08") + 5
    text = b"Comment\x00" + b"x" * (2**20 + 1)
    cases = {
        "bomb of 14000 x 14000": png(14_000, 14_000, depth=1, colour=0, rows=bytes(14_000 * 1_751)),
        "100 megapixels": png(10_000, 10_000, depth=1, colour=0, rows=bytes(10_000 * 1_251)),
        "65535 x 65535 jpeg header": jpeg[:size_at] + b"\xff\xff\xff\xff" + jpeg[size_at + 4 :],
        "65535 x 65535 png header": png(65_535, 65_535, depth=8, colour=2, rows=b""),
        "1 x 65500": png(1, 65_500, depth=8, colour=0, rows=bytes(2 * 65_500)),
        "jpeg of 600 scans": _many_scans(600),
        "animation of 1200 frames": _many_frames(1_200),
        "a text of over a megabyte": png(1, 1, depth=8, colour=0, rows=bytes(2), chunks={b"tEXt": text}),
    }
    return {name: (data, Status.TOO_LARGE) for name, data in cases.items()}


def _many_scans(scans: int) -> bytes:
    """A progressive JPEG that draws its first scan again and again."""
    jpeg = encoded(scene(16, 16), "JPEG", progressive=True)
    first = jpeg.index(b"\xff\xda")
    second = jpeg.index(b"\xff", first + 14)
    return jpeg[:first] + jpeg[first:second] * scans + jpeg[second:]


def _many_frames(frames: int) -> bytes:
    gif = encoded(scene(2, 2), "GIF")
    picture = gif[gif.index(b",") : -1]
    return gif[: gif.index(b",")] + picture * frames + b";"


def _damaged() -> dict[str, tuple[bytes, Status]]:
    jpeg, picture = encoded(scene(64, 64), "JPEG"), encoded(scene(64, 64), "PNG")
    cases = {
        "jpeg without its end marker": jpeg[:-2],
        "jpeg signature alone": b"\xff\xd8\xff",
        "jpeg of tables only": jpeg[: jpeg.index(b"\xff\xda")] + b"\xff\xd9",
        "jpeg whose thumbnail alone has an end marker": jpeg[:20] + b"\xff\xe1\x00\x06\xff\xd9\x00\x00" + jpeg[20:-2],
        "png signature alone": b"\x89PNG\r\n\x1a\n",
        "png with a wrong checksum": picture[:29] + bytes(4) + picture[33:],
        "png cut in its pixels": picture[: len(picture) // 2],
        "png of no width": png(0, 4, depth=8, colour=0, rows=b""),
        "gif cut in its pixels": encoded(scene(64, 64), "GIF")[:900],
        "webp of garbage": b"RIFF\x40\x00\x00\x00WEBPVP8 " + bytes(56),
        "avif of garbage": b"\x00\x00\x00\x18ftypavif" + bytes(64),
        "tiff of garbage": b"II*\x00\xff\xff\xff\x7f" + bytes(64),
        "bmp of garbage": b"BM" + bytes(64),
        "jpeg 2000 of garbage": b"\xff\x4f\xff\x51" + bytes(64),
    }
    return {name: (data, Status.DECODE_ERROR) for name, data in cases.items()}
