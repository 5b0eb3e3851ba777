"""Which image format bytes are, by how they begin, and which formats are decoded at all."""

from __future__ import annotations

import re

DECODERS = {
    "avif": "AVIF",
    "bmp": "BMP",
    "gif": "GIF",
    "jpeg": "JPEG",
    "jpeg2000": "JPEG2000",
    "png": "PNG",
    "ppm": "PPM",
    "tiff": "TIFF",
    "webp": "WEBP",
}
"""The allow-list: the format's name here and in Pillow. Formats whose decoder is slow pure Python (QOI), starts other programs
(EPS), or whose header can lie about its contents (ICO, ICNS, PSD) are not on it."""

_SIGNATURES = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"MM\x00+", "tiff"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "jpeg2000"),
    (b"\xff\x4f\xff\x51", "jpeg2000"),
    (b"P5", "ppm"),
    (b"P6", "ppm"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "jpeg xl"),
    (b"\xff\x0a", "jpeg xl"),
    (b"\x00\x00\x01\x00", "ico"),
    (b"icns", "icns"),
    (b"8BPS", "psd"),
    (b"%PDF", "pdf"),
    (b"%!PS", "eps"),
    (b"\xc5\xd0\xd3\xc6", "eps"),
    (b"\xd7\xcd\xc6\x9a", "wmf"),
    (b"SIMPLE  =", "fits"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"DDS ", "dds"),
    (b"qoif", "qoi"),
    (b"\x1aE\xdf\xa3", "webm or matroska video"),
)
_SVG = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*<(?:\?xml|!doctype svg|svg)", re.IGNORECASE)


def sniff(data: bytes) -> str | None:
    """The format that the first bytes name, decodable here or not; None when they name none that is known."""
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    if data[:4] == b"RIFF" and data[8:12] in (b"WEBP", b"AVI "):
        return "webp" if data[8:12] == b"WEBP" else "avi video"
    if data[4:8] == b"ftyp":
        brands = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
        if b"avif" in brands or b"avis" in brands:
            return "avif"
        return "heic" if re.search(rb"hei|hev|mif1|msf1", brands) else "mp4 video"
    return "svg" if _SVG.match(data) else None
