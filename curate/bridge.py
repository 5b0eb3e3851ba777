"""A store, seen by an export: where selected samples are looked up, and where their bytes are read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from curate.exporting.selection import Selection
from curate.exporting.source import CardInfo, SampleInfo
from curate.records import Member, Rating, View
from curate.shards.fetch import MemberReader
from curate.shards.sources import is_local, local_path

if TYPE_CHECKING:
    from curate.store import Store
    from curate.store.lookup import Lookup

ID_COLUMNS = ("sample", "chosen", "rejected")
"""Columns of a selection that name samples."""


class StoreSource:
    """The samples of one selection, for `curate.exporting`."""

    def __init__(self, lookup: Lookup, reader: MemberReader, cards: Sequence[CardInfo]) -> None:
        """Use `open_source`."""
        self._lookup = lookup
        self._reader = reader
        self._cards = cards

    def samples(self, ids: Iterable[str]) -> Iterator[SampleInfo | None]:
        for row in self._lookup.samples(ids):
            if row is None:
                yield None
            else:
                yield SampleInfo(sample=row.sample, width=row.width, height=row.height, format=row.format)

    def read(self, shard: str, member: Member) -> bytes:
        return self._reader.read(shard, member)

    def ratings(self, ids: Sequence[str]) -> Mapping[str, Sequence[Rating]]:
        return self._lookup.ratings(ids)

    def cards(self) -> Sequence[CardInfo]:
        return self._cards


@contextmanager
def open_source(store: Store, view: View, selection: str | Path) -> Iterator[StoreSource]:
    """The source for what a selection names; `view` says which cards' ratings took part."""
    Selection(selection)  # complains where it is none
    fingerprints = {columns.card for columns in view.raters.values()}
    cards = [_card_info(card.fingerprint, card.name, card.text) for card in store.cards() if card.fingerprint in fingerprints]
    with store.lookup(_ids(selection), fingerprints) as lookup, MemberReader() as reader:
        yield StoreSource(lookup, reader, cards)


def missing_shards(view: View) -> list[str]:
    """Local shards in which samples of a view are sought, and which are not there."""
    import pyarrow.parquet as pq

    shards: set[str] = set()
    with pq.ParquetFile(view.path) as file:
        for batch in file.iter_batches(columns=["shard"]):
            shards.update(batch.column("shard").unique().to_pylist())
    return sorted(shard for shard in shards if is_local(shard) and not local_path(shard).exists())


def _card_info(fingerprint: str, name: str, text: str) -> CardInfo:
    card = json.loads(text)
    return CardInfo(name=name, fingerprint=fingerprint, licence=card.get("licence", "unknown"), commercial=card.get("commercial"))


def _ids(selection: str | Path) -> list[str]:
    """The distinct samples that a selection names."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(selection) as file:
        columns = [name for name in ID_COLUMNS if name in file.schema_arrow.names]
        table = file.read(columns)
    chunks = [chunk for name in columns for chunk in table.column(name).chunks]
    ids: list[str] = pc.unique(pa.chunked_array(chunks, pa.string())).to_pylist()
    return ids
