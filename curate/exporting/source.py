"""What an export needs of the place where samples live, said as a protocol, so that exporting knows no store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from curate.records import Member, Rating, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleInfo:
    """A sample, and what is known of its response without reading it."""

    sample: Sample
    width: int | None = None
    """Pixels; None where the response is no image or was never decoded."""
    height: int | None = None
    format: str | None = None
    """The encoding of the response, as the decoder names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardInfo:
    """A card whose ratings took part, for the provenance of an export."""

    name: str
    fingerprint: str
    licence: str = "unknown"
    commercial: bool | None = None
    """False where the licence forbids commercial use; None where it does not say."""


class Source(Protocol):
    """Where the samples of a selection are looked up and their bytes are read."""

    def samples(self, ids: Iterable[str]) -> Iterator[SampleInfo | None]:
        """One answer for each id, in the order asked; None for an id that is not known. Takes ids lazily."""
        ...

    def read(self, shard: str, member: Member) -> bytes:
        """The bytes of one member. Raises `CurateError` or `OSError` where they cannot be had."""
        ...

    def ratings(self, ids: Sequence[str]) -> Mapping[str, Sequence[Rating]]:
        """The ratings of some samples, by sample id; a sample without any may be missing."""
        ...

    def cards(self) -> Sequence[CardInfo]:
        """The cards whose ratings took part in the selection."""
        ...
