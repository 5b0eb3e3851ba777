"""Cards that took over a name before they judged all that an older card of that name had judged."""

from __future__ import annotations

import json
from collections.abc import Collection
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from curate.records import View
from curate.store.compared import judges_pairs
from curate.store.ids import pack
from curate.store.known import Known
from curate.store.unit import StoredCard

if TYPE_CHECKING:
    from curate.store.store import Store

_PIECE = 1 << 16
"""Comparisons at a time."""


def rated_only_before(store: Store, view: View, names: Collection[str]) -> dict[str, int]:
    """How many samples of a view an older card judged and the latest did not, by the name that both have.

    Of `names`, those that stand for their latest card in the view and have such samples. A card that judges pairs has judged
    the samples of each pair it compared. Costs nothing where each name has one card.
    """
    counts = {name: _count(store, view, name) for name in sorted(names)}
    return {name: count for name, count in counts.items() if count}


def not_compared(store: Store, view: View, names: Collection[str]) -> dict[str, int]:
    """Of `names` the cards that compare every two samples of a group and have yet to do so: how many pairs are left, at least.

    Between byte-identical responses there is nothing to compare. Costs a pass over two columns of the view where there is such
    a card, else nothing.
    """
    cards = {card.fingerprint: json.loads(card.text) for card in store.cards() if judges_pairs(card)}
    every = {name: card for name in names if cards.get(card := view.raters[name].card, {}).get("pairing") == "all"}
    if not every:
        return {}
    pairs = store.pairs_of(view)
    left = {name: pairs - len(store.known_pairs(card)) for name, card in sorted(every.items())}
    return {name: count for name, count in left.items() if count > 0}


def _count(store: Store, view: View, name: str) -> int:
    cards = [card for card in store.cards() if card.name == name]
    if len(cards) < 2 or view.raters[name].card != cards[-1].fingerprint:
        return 0
    import pyarrow.parquet as pq

    *older, latest = (_judged(store, card) for card in cards)
    count = 0
    with pq.ParquetFile(view.path) as file:
        for batch in file.iter_batches(columns=["sample"]):
            ids = batch.column("sample").to_pylist()
            count += int((np.any([known.has(ids) for known in older], axis=0) & ~latest.has(ids)).sum())
    return count


def _judged(store: Store, card: StoredCard) -> Known:
    """The samples that a card has rated, or has compared with another."""
    if not judges_pairs(card):
        return store.known(card.fingerprint)
    known = Known()
    rows = iter(store.comparisons([card.fingerprint]))
    while some := list(islice(rows, _PIECE)):
        ids = pack([one for row in some for one in (row.first, row.second)])
        known.add(ids, np.zeros(len(ids), dtype=np.uint8))
    return known
