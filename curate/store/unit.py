"""What is handed to a store, and what it tells of a unit. A unit is one shard's worth of rows, committed as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from curate.records import Comparison, Rating, Reject, Sample, Status

UNFINISHED = "unfinished"
"""Signature of a unit of which only a part was rated: the next run reads it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRow:
    """A sample, and what decoding found of its response."""

    sample: Sample
    width: int | None = None
    """Pixels; None where the response is no picture or was never decoded."""
    height: int | None = None
    format: str | None = None
    """The encoding of the response, as the decoder names it."""
    status: Status = Status.OK
    """Whether the response could be decoded."""
    detail: str | None = None
    """Why it could not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One commit of a unit.

    Its samples and rejects replace the unit's older ones. Its ratings and comparisons join what is stored: a judgement is
    stored once, so an answer that the store already has, from whichever unit, is left out unless `replaces` names it.
    """

    shard: str
    """Path or URL of the shard; names the unit. A piece of a stream has a name of its own, and its samples their shards."""
    signature: str
    """Identity of the shard's contents, as cheap as it comes; equal while it is unchanged, empty where that cannot be told."""
    layout: str
    """How the shard's records were made into samples."""
    complete: bool
    """False where the archive was cut."""
    samples: Sequence[SampleRow] | None
    """None keeps the samples and rejects that are stored; signature and layout then have to be the stored ones."""
    rejects: Sequence[Reject] = ()
    ratings: Sequence[Rating] = ()
    comparisons: Sequence[Comparison] = ()
    asked: Collection[str] = ()
    """Fingerprints of the cards that every sample of the unit has been asked for."""
    replaces: Collection[tuple[str, ...]] = ()
    """Stored judgements that this commit answers anew: (sample, card), or (first, second, card) for comparisons."""
    counts: Mapping[str, Any] = field(default_factory=dict)
    """Anything of JSON that is to be found again in `UnitState.counts`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitState:
    """What a store holds of a unit."""

    shard: str
    signature: str
    layout: str
    complete: bool
    present: bool
    """False where the shard was found missing; see `Store.set_present`."""
    asked: frozenset[str]
    """Fingerprints of the cards that every sample of the unit has been asked for."""
    counts: Mapping[str, Any]
    """As given at the last commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCard:
    """A card that rated into a store."""

    fingerprint: str
    name: str
    text: str
    """The card as JSON."""
    seq: int
    """Larger is later: of the cards of one name, the one with the largest is what the bare name means."""


def unit_name(shard: str) -> str:
    """16 hex characters from the shard's path or URL: the unit's name in the manifest and in file names."""
    return hashlib.sha256(shard.encode("utf-8", "surrogatepass")).hexdigest()[:16]
