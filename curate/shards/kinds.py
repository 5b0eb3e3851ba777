"""What a member's name says it is. A hint for layouts; what the bytes are is decided when they are decoded."""

from __future__ import annotations

from curate.records import MediaKind

IMAGES = frozenset(
    {
        "jpg",
        "jpeg",
        "jpe",
        "jfif",
        "png",
        "apng",
        "webp",
        "gif",
        "bmp",
        "dib",
        "tif",
        "tiff",
        "avif",
        "avifs",
        "heic",
        "heif",
        "jxl",
    }
    | {"jp2", "j2k", "jpx", "jpc", "ppm", "pgm", "pbm", "pnm", "pfm", "qoi", "ico"}
)
VIDEOS = frozenset({"mp4", "m4v", "webm", "mkv", "mov", "avi", "mpg", "mpeg", "ts", "m2ts", "wmv", "flv", "ogv", "3gp"})
TEXTS = frozenset({"txt", "text", "caption", "prompt", "instruction", "transcript", "md"})

_KINDS: dict[str, MediaKind] = {
    **dict.fromkeys(IMAGES, "image"),
    **dict.fromkeys(VIDEOS, "video"),
    **dict.fromkeys(TEXTS, "text"),
}


def extension(field: str) -> str:
    """What follows the last dot of a field, lower-cased: 'source.JPG' -> 'jpg', 'jpg' -> 'jpg'."""
    return field.rpartition(".")[2].lower()


def kind_of(field: str) -> MediaKind | None:
    """The kind of medium that a field or file name announces; None where it announces none (JSON, unknown)."""
    return _KINDS.get(extension(field))
