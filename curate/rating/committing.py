"""From a unit under way to the store: whole once it is finished, and what is answered of it where a run is stopped before."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

from curate.rating.report import UnitCounts
from curate.rating.units import Entry, OpenUnit
from curate.shards.layouts import Layout, known_layouts
from curate.store import UNFINISHED, SampleRow, Store, Unit


def layout_identity(layout: Layout) -> str:
    """The layout's name, and for one that is not known by name what it says: an edited layout is another one."""
    if known_layouts().get(layout.name) == layout:
        return layout.name
    return f"{layout.name}@{hashlib.sha256(layout.model_dump_json().encode()).hexdigest()[:8]}"


def commit(store: Store, unit: OpenUnit, layout: Layout, cards: frozenset[str], *, replacing: bool) -> UnitCounts:
    """Commit a finished unit, which was asked for these cards; what became of it, earlier answers included."""
    assert unit.end is not None, "only finished units are committed"
    counts = UnitCounts(
        samples=len(unit.entries),
        rejects=Counter(str(reject.reason) for reject in unit.rejects),
        statuses={**_earlier_statuses(store, unit, layout), **unit.statuses()},
    )
    store.commit(
        Unit(
            shard=unit.source.name,
            signature=unit.source.signature,
            layout=layout_identity(layout),
            complete=unit.end.complete,
            samples=[_row(entry) for entry in unit.entries],
            rejects=unit.rejects,
            ratings=unit.ratings,
            asked=cards - unit.pending,
            replaces={(rating.sample, rating.card) for rating in unit.ratings} if replacing else (),
            counts=counts.as_dict(),
        )
    )
    return counts


def keep(store: Store, unit: OpenUnit, layout: Layout, *, replacing: bool) -> None:
    """Commit what is answered of a unit that is not finished; the next run reads the shard again and asks only the rest."""
    state = store.unit_state(unit.source.name)
    ratings = unit.ratings[unit.kept :]
    replaces = {(rating.sample, rating.card) for rating in ratings} if replacing else ()
    shard, read_as = unit.source.name, layout_identity(layout)
    if state is None or state.signature == UNFINISHED:
        counts = {"signature": unit.source.signature}
        before = store.samples_in(shard) if state and (state.layout, state.counts) == (read_as, counts) else ()
        kept = Unit(
            shard=shard,
            signature=UNFINISHED,
            layout=read_as,
            complete=True,
            samples=_met(unit, before),
            ratings=ratings,
            replaces=replaces,
            counts=counts,
        )
    elif (state.signature, state.layout) == (unit.source.signature, read_as):
        kept = Unit(
            shard=shard,
            signature=state.signature,
            layout=state.layout,
            complete=state.complete,
            samples=None,
            ratings=ratings,
            replaces=replaces,
            counts=state.counts,
        )
    else:
        return  # The shard is another one than the store knows; it replaces that as a whole.
    store.commit(kept)
    unit.kept = len(unit.ratings)


def _met(unit: OpenUnit, before: Iterable[SampleRow]) -> list[SampleRow]:
    """The samples of a unit that are decoded or answered, and those that were so in a run before, which was stopped as well."""
    met = {(row.sample.key, row.sample.index): row for row in before}
    for entry in unit.entries:
        place = (entry.sample.key, entry.sample.index)
        if entry.decoded or (entry.statuses and place not in met):
            met[place] = _row(entry)
    return list(met.values())


def _row(entry: Entry) -> SampleRow:
    return SampleRow(sample=entry.sample, width=entry.width, height=entry.height, format=entry.format)


def _earlier_statuses(store: Store, unit: OpenUnit, layout: Layout) -> Mapping[str, Mapping[str, int]]:
    """What earlier runs counted for other cards, as long as the unit's samples are still the same."""
    state = store.unit_state(unit.source.name)
    here = (unit.source.signature, layout_identity(layout))
    if state is None or (state.signature, state.layout) != here or not state.signature:
        return {}
    return UnitCounts.parse(state.counts).statuses
