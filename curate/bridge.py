"""A store, seen by an export: where selected samples are looked up, and where their bytes are read."""

from __future__ import annotations

import json
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from curate.exporting.selection import Selection
from curate.exporting.source import CardInfo, SampleInfo
from curate.records import Member, Rating, View
from curate.shards.fetch import MemberReader
from curate.shards.sources import is_local, local_path
from curate.store.unit import UNFINISHED

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
def open_source(store: Store, view: View, selection: str | Path, *, gone: Collection[str] | None = None) -> Iterator[StoreSource]:
    """The source for what a selection names; `view` says which cards' ratings took part, `gone` is as for `Store.view`."""
    Selection(selection)  # complains where it is none
    fingerprints = {columns.card for columns in view.raters.values()}
    cards = [_card_info(card.fingerprint, card.name, card.text) for card in store.cards() if card.fingerprint in fingerprints]
    with store.lookup(_ids(selection), fingerprints, gone=gone) as lookup, MemberReader() as reader:
        yield StoreSource(lookup, reader, cards)


def gone_shards(store: Store) -> dict[str, str]:
    """Shards of a store whose media cannot be read again, and why, as the end of a sentence that begins with the shard.

    Local ones are looked for now, and are changed where their size is; remote ones would be a request each.
    """
    found = {}
    for shard, signature in store.signatures().items():
        if not signature:
            found[shard] = "came from a stream, of which no place is known"
        elif is_local(shard) and (why := _why_gone(local_path(shard), signature)):
            found[shard] = why
    return found


def _why_gone(path: Path, signature: str) -> str | None:
    try:
        status = path.stat()
    except OSError:
        return "is gone"  # what lies behind a folder that must not be entered is as good as gone
    if not stat.S_ISREG(status.st_mode):
        return "is no file any more"
    if signature == UNFINISHED:
        return None
    # Another time alone is no other contents: files are copied and touched. Each member is compared when it is read.
    return None if str(status.st_size) == signature.partition("-")[0] else "was changed"


def _card_info(fingerprint: str, name: str, text: str) -> CardInfo:
    card = json.loads(text)
    return CardInfo(name=name, fingerprint=fingerprint, licence=card.get("licence", "unknown"), commercial=card.get("commercial"))


def _ids(selection: str | Path) -> Iterator[str]:
    """The samples that a selection names, as often as it does."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(selection) as file:
        columns = [name for name in ID_COLUMNS if name in file.schema_arrow.names]
        for batch in file.iter_batches(columns=columns):
            for column in batch.columns:
                yield from column.drop_null().cast(pa.string()).to_pylist()
