"""How much a shard and a medium may ask for.

What is over a limit becomes a reject, or a status, that says so; nothing over it is held in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

MOST_FILE, MOST_VIDEO = 64 * MIB, 2 * GIB
"""Bytes of a file, and of one that is a video: what is read of a shard can be decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardLimits:
    """Limits on what a member, a record and its texts may be; sizes in bytes."""

    member_bytes: int = MOST_FILE
    """Contents of one member that is not a video."""
    video_bytes: int = MOST_VIDEO
    """Contents of one video."""
    record_bytes: int = 4 * GIB
    """Contents of all members of one record."""
    record_members: int = 64
    """Members of one record."""
    header_bytes: int = MIB
    """One extended header (pax, GNU long name)."""
    name_bytes: int = 4 * KIB
    """One member's name, UTF-8."""
    text_bytes: int = 64 * KIB
    """One text (prompt, caption, answer), UTF-8."""
    json_bytes: int = MIB
    """One JSON member."""
    json_depth: int = 32
    """Nesting of JSON: a list of numbers has depth 1."""


DEFAULT_LIMITS = ShardLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """How large a medium may be before it is refused as `too_large`."""

    bytes: int = MOST_FILE
    """Of the file."""
    pixels: int = 64_000_000
    """Width times height, by the header. Above 89 million Pillow warns, above 178 million it refuses, whatever is said here."""
    side: int = 32_767
    """Pixels of the longer side."""
    frames: int = 1_000
    """Pictures in one file. Only the first is decoded: an animation is judged as the still that opens it."""
    video_bytes: int = MOST_VIDEO
    """Of a file with moving pictures."""
    video_frames: int = 100_000
    """Frames in one video, looked at or not."""
    metadata: int = MIB
    """Bytes of any one block of metadata (EXIF, XMP, a colour profile, a text), uncompressed."""


DEFAULT_MEDIA_LIMITS = MediaLimits()
