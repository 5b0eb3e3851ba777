"""What may be set about an export, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from curate.records import Funnel

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings of one export; none of them changes which rows are in it."""

    recipe: Mapping[str, Any] = field(default_factory=dict)
    """How the selection was made (strategy, margin, expressions …): JSON values, written into the README as they are."""
    command: str = ""
    """The command line that repeats the export."""
    funnels: Sequence[Funnel] = ()
    """Of the steps that led to the selection; the export adds its own."""
    file_bytes: int = 500 * MIB
    """About where a Parquet file or a shard is closed and the next one begun."""
    row_group_bytes: int = 32 * MIB
    """Media bytes in one Parquet row group: about a third of the memory an export needs, and below what viewers page."""
    file_rows: int = 1_000_000
    """The most rows of a Parquet file, or records of a shard."""
    cache_bytes: int = 128 * MIB
    """Images of one group that are kept for its other pairs; more are read again."""
    list_bytes: int = 512 * MIB
    """The most image bytes that one list of `rankdpo` may hold: a list is one row, and a row has to fit in memory."""
