"""Making a view: the samples, each once, with what the raters said of them, ordered by group and sample.

Of a rater of pairs that is each sample's standing among those of its group; see `curate.store.compared`.

DuckDB joins and sorts by 16-byte integers and spills to disk. Shards, layouts and statuses travel as small numbers and get
their names when the rows are written; ids and digests become hex only then.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from curate.errors import StoreError, nearest
from curate.files import atomic_file
from curate.records import RaterColumns, View, canonical_json
from curate.store.compared import judges_pairs, load_present, load_standings, with_strengths
from curate.store.feeds import UUID, Places, card_batches, card_schema
from curate.store.judgements import LiveRows
from curate.store.known import STATUSES
from curate.store.manifest import Snapshot
from curate.store.table_files import file_sha256
from curate.store.tables import DIGEST, hex_column
from curate.store.unit import StoredCard
from curate.store.view_table import read_view, view_schema, write_view_table
from curate.store.workspace import Workspace, open_workspace

VIEW_FORMAT = 5
"""Raised when the same store gives another file, so that older cached views are not found."""

KEPT_VIEWS = 4
"""Views in the cache, the latest used ones; those of older states go."""

_WIDE = {
    "sample": UUID,
    "group": UUID,
    "place": pa.int64(),
    "shard": pa.int64(),
    "key": pa.string(),
    "index": pa.int64(),
    "prompt": pa.string(),
    "generator": pa.string(),
    "kind": pa.string(),
    "format": pa.string(),
    "width": pa.int64(),
    "height": pa.int64(),
    "bytes": pa.int64(),
    "digest": DIGEST,
}


def build_view(
    folder: Path,
    cache: Path,
    snapshot: Snapshot,
    raters: Mapping[str, str] | None,
    *,
    gone: Collection[str] = (),
    memory: str,
    threads: int | None,
) -> View:
    """The view of a store's state, from the cache where it is there; see `Store.view`."""
    columns = {name: rater_columns(snapshot, card) for name, card in chosen_cards(snapshot, raters).items()}
    state = canonical_json([VIEW_FORMAT, snapshot.digest, [[name, one.card] for name, one in columns.items()], sorted(gone)])
    path = cache / f"view-{hashlib.sha256(state.encode()).hexdigest()[:16]}.parquet"
    if (view := _kept_view(path)) is not None:
        return view
    with open_workspace(cache, memory=memory, threads=threads) as workspace:
        # Another process may have made it while this one waited for the workspace.
        view = _kept_view(path)
        if view is None:
            places = Places(folder, snapshot)
            places.find_repeated(workspace)
            rows = _rows(workspace, folder, snapshot, columns, places, gone)
            view = write_view_table(path, rows, columns, gone=gone, repeated=places.repeated)
            with atomic_file(_digest_file(path)) as aside:
                aside.write_text(file_sha256(path), encoding="ascii")
        _remove_old_views(cache)
    return view


def _kept_view(path: Path) -> View | None:
    """A view that was made before, if every byte of it is as it was: whoever queries it checks none."""
    try:
        if _digest_file(path).read_text(encoding="ascii") != file_sha256(path):
            return None
        path.touch()
    except (OSError, UnicodeDecodeError):
        return None
    return read_view(path)


def _digest_file(path: Path) -> Path:
    return path.with_suffix(".sha256")


def chosen_cards(snapshot: Snapshot, raters: Mapping[str, str] | None) -> dict[str, StoredCard]:
    """The card that each rater name stands for, by name: those asked for, or the latest of each name."""
    if raters is None:
        latest = {card.name: card for card in snapshot.cards}
        return dict(sorted(latest.items()))
    by_fingerprint = {card.fingerprint: card for card in snapshot.cards}
    for name, fingerprint in raters.items():
        if fingerprint not in by_fingerprint:
            known = [card.fingerprint for card in snapshot.cards if card.name == name] or list(by_fingerprint)
            raise StoreError(
                f"the store has no ratings by '{name}' with the fingerprint {fingerprint}. {nearest(fingerprint, known)}"
            )
    return {name: by_fingerprint[fingerprint] for name, fingerprint in sorted(raters.items())}


def rater_columns(snapshot: Snapshot, card: StoredCard) -> RaterColumns:
    """The columns of a card: its dimensions in its own order, then others that its ratings name."""
    spreads = _spreads(snapshot, card)
    return RaterColumns(
        card=card.fingerprint,
        main=json.loads(card.text)["main"],
        dimensions=with_strengths(list(spreads)) if judges_pairs(card) else tuple(spreads),
        spreads=tuple(name for name, count in spreads.items() if count),
    )


def _spreads(snapshot: Snapshot, card: StoredCard) -> dict[str, int]:
    """How many judgements have a spread, by dimension: those of the card in its own order, then others that its rows name."""
    counts: Counter[str] = Counter()
    for part in snapshot.parts_of("comparisons" if judges_pairs(card) else "ratings", card.fingerprint):
        counts.update(part.spreads)
    return {name: counts[name] for name in [*json.loads(card.text)["dimensions"], *sorted(counts)]}


def _rows(
    workspace: Workspace,
    folder: Path,
    snapshot: Snapshot,
    raters: Mapping[str, RaterColumns],
    places: Places,
    gone: Collection[str],
) -> Iterator[pa.RecordBatch]:
    """The rows of the view, in order, with the columns of `view_schema` but for those that number them."""
    _feed_judgements(workspace, folder, snapshot, raters, places, gone)
    workspace.feed("samples", pa.schema(list(_WIDE.items())), places.batches(_WIDE))
    joins, selected = [], ["samples.*"]
    for number in range(len(raters)):
        joins.append(f"LEFT JOIN card{number} ON card{number}.sample = samples.sample")
        selected.append(f"card{number}.* EXCLUDE (sample)")
    sql = f'SELECT {", ".join(selected)} FROM samples {" ".join(joins)} ORDER BY samples."group", samples.sample'
    named = None
    for batch in workspace.stream(sql):
        # The first row comes when all samples have been read, so all shards have their numbers.
        named = named or _Names(snapshot, places.shards, raters)
        yield named.batch(batch)


def _feed_judgements(
    workspace: Workspace,
    folder: Path,
    snapshot: Snapshot,
    raters: Mapping[str, RaterColumns],
    places: Places,
    gone: Collection[str],
) -> None:
    """Make `card0`, `card1` … readable, with the columns of `card_schema`: what each rater said, one row a sample."""
    pairwise = {card.fingerprint: card for card in snapshot.cards if judges_pairs(card)}
    if any(columns.card in pairwise for columns in raters.values()):
        load_present(workspace, places, gone)
    for number, columns in enumerate(raters.values()):
        card = pairwise.get(columns.card)
        if card is None:
            live = LiveRows(folder, "ratings", snapshot.parts_of("ratings", columns.card))
            workspace.feed(f"card{number}", card_schema(columns), card_batches(live, columns))
        else:
            live = LiveRows(folder, "comparisons", snapshot.parts_of("comparisons", columns.card))
            load_standings(workspace, f"card{number}", live, columns, list(_spreads(snapshot, card)))


class _Names:
    """Gives rows back the texts that travelled as numbers."""

    def __init__(self, snapshot: Snapshot, shards: Sequence[str], raters: Mapping[str, RaterColumns]) -> None:
        self._schema = view_schema(raters)
        self._shards = pa.array(shards, pa.string())
        self._layouts = pa.array([unit.layout for unit in snapshot.units], pa.string())
        self._statuses = pa.array([str(status) for status in STATUSES], pa.string())

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        units = pa.array(Places.unit_numbers(batch.column("place").to_numpy()))
        columns = {name: batch.column(name) for name in _WIDE if name != "place"}
        columns |= {name: hex_column(columns[name].storage) for name in ("sample", "group")}
        columns |= {"digest": hex_column(columns["digest"].cast(DIGEST))}
        columns |= {"shard": self._shards.take(columns["shard"]), "layout": self._layouts.take(units)}
        # The raters' columns follow the samples', in the order of the schema.
        values = [name for name in self._schema.names if name not in columns and name not in {"row", "group_no"}]
        for name, column in zip(values, batch.columns[len(_WIDE) :], strict=True):
            columns[name] = self._statuses.take(column) if pa.types.is_integer(column.type) else column
        return pa.RecordBatch.from_arrays([columns[name] for name in self._schema.names[2:]], names=self._schema.names[2:])


def _remove_old_views(cache: Path) -> None:
    views = sorted(cache.glob("view-*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    for path in views[:-KEPT_VIEWS]:
        path.unlink(missing_ok=True)
        _digest_file(path).unlink(missing_ok=True)
