"""Cards that took over a name before they judged all that an older card of that name had judged."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from curate.records import View

if TYPE_CHECKING:
    from curate.store.store import Store


def rated_only_before(store: Store, view: View, names: Collection[str]) -> dict[str, int]:
    """How many samples of a view an older card judged and the latest did not, by the name that both have.

    Of `names`, those that stand for their latest card in the view and have such samples. Costs nothing where each name has
    one card.
    """
    counts = {name: _count(store, view, name) for name in sorted(names)}
    return {name: count for name, count in counts.items() if count}


def _count(store: Store, view: View, name: str) -> int:
    cards = [card.fingerprint for card in store.cards() if card.name == name]
    if len(cards) < 2 or view.raters[name].card != cards[-1]:
        return 0
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    older = [store.known(card) for card in cards[:-1]]
    status, count = f"{name}.status", 0
    with pq.ParquetFile(view.path) as file:
        for batch in file.iter_batches(columns=["sample", status]):
            ids = batch.filter(pc.is_null(batch.column(status))).column("sample").to_pylist()
            count += int(np.any([known.has(ids) for known in older], axis=0).sum())
    return count
