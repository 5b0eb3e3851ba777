"""How much a shard may ask for. What is over a limit becomes a reject that says so; nothing over it is held in memory."""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardLimits:
    """Limits on what a member, a record and its texts may be; sizes in bytes."""

    member_bytes: int = 64 * MIB
    """Contents of one member that is not a video."""
    video_bytes: int = 2 * GIB
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
