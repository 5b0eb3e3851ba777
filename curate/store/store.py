"""The store: a folder of Parquet tables in which samples, ratings and comparisons live, and a manifest that lists them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from curate.errors import OutputError, StoreError
from curate.files import atomic_file, fsync_folder, output_errors
from curate.names import STORE_MARK
from curate.records import Comparison, Rating, Status, View
from curate.store import commit as commits
from curate.store.judgements import load_chances, load_known
from curate.store.known import Chances, Known
from curate.store.lock import exclusive
from curate.store.manifest import Manifest, Snapshot
from curate.store.tables import KINDS, Kind, check_name
from curate.store.unit import SampleRow, StoredCard, Unit, UnitState, unit_name

if TYPE_CHECKING:
    import pyarrow as pa

    from curate.store.lookup import Lookup
    from curate.store.summary import Summary
    from curate.store.verify import Damage

FORMAT = 1
"""Raised when a store of the new format cannot be read by older code; newer ones are refused."""

_MANIFEST = "manifest.sqlite"
_LOCK = "lock"
_CACHE = "cache"
_OWN = {STORE_MARK, _MANIFEST, f"{_MANIFEST}-journal", _LOCK, _CACHE, *KINDS}

KnownKey = tuple[Kind, str, frozenset[Status]]


class Store:
    """A store that is there. Many may read it; one at a time writes, inside `with store.writing():`."""

    def __init__(self, path: Path) -> None:
        """Use `Store.open` or `Store.create_or_open`."""
        self.path = path
        self._manifest = Manifest(path / _MANIFEST)
        self._known: dict[KnownKey, Known] = {}
        self._turn = threading.RLock()
        self._writing = False
        self._seq = 0
        self._cards: set[str] = set()

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """The store at `path`. Raises `StoreError` where there is none, or one that this version cannot read."""
        path = Path(path)
        if not path.exists():
            raise StoreError(f"there is no store at {path}; 'curate rate' makes one")
        _check_mark(path)
        return cls(path)

    @classmethod
    def create_or_open(cls, path: str | Path) -> Store:
        """The store at `path`, made there if the folder is missing or empty. Raises `StoreError` for anything else there."""
        path = Path(path)
        if not (path / STORE_MARK).exists():
            _create(path)
        return cls.open(path)

    def close(self) -> None:
        """Give the connection back; the store object is of no more use."""
        self._manifest.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # Writing

    @contextlib.contextmanager
    def writing(self) -> Iterator[Store]:
        """The time in which this process, and no other, may change the store; begins by removing what a killed one left.

        Raises `StoreError` naming process and host where another one writes. The lock is the kernel's: it ends with the
        process, however that ends.
        """
        with exclusive(self.path / _LOCK):
            self._remove_garbage()
            self._known.clear()
            self._seq = self._manifest.next_seq()
            self._cards = {card.fingerprint for card in self._manifest.cards()}
            self._writing = True
            try:
                yield self
            finally:
                self._writing = False

    def commit(self, unit: Unit) -> None:
        """Make a unit part of the store, all of it or nothing.

        Raises `OutputError` where it cannot be written (the store stays as it was, and the same commit may be tried
        again), `StoreError` for text that no table can hold, `ValueError` for a unit that contradicts its contract.
        """
        with self._turn:
            self._check_writing()
            for what, text in (("shard", unit.shard), ("signature", unit.signature), ("layout", unit.layout)):
                check_name(what, text)
            self._check_unit(unit)
            state = self._next_state(unit)
            added = commits.write_unit(self.path, unit, self._seq, lambda kind, card: self._known_of(kind, card, frozenset()))
            self._seq += 1
            commits.sync_point("files written")
            with self._manifest.transaction():
                if unit.samples is not None:
                    self._manifest.drop_files(unit_name(unit.shard), ("samples", "rejects"))
                self._manifest.put_unit(state)
                self._manifest.put_files(added.files, added.parts)
                commits.sync_point("before the transaction ends")
            commits.sync_point("committed")
            for (kind, card, _), known in self._known.items():
                for rows in added.judged.get(kind, ()):
                    if rows.card == card:
                        known.add(rows.keys, rows.codes)

    def add_card(self, fingerprint: str, name: str, card_json: str) -> None:
        """Remember a card that rates; from now on it is what its bare name means.

        `card_json` names at least its `dimensions` (a mapping) and which of them is `main`; `ValueError` otherwise.
        """
        self._check_writing()
        card = json.loads(card_json)
        if (
            not isinstance(card, dict)
            or not isinstance(card.get("dimensions"), dict)
            or card.get("main") not in card["dimensions"]
        ):
            raise ValueError(f"the card '{name}' does not say its dimensions and its main one")
        for text in (fingerprint, name, card_json):
            check_name("card", text)
        self._manifest.put_card(fingerprint, name, card_json)
        self._cards.add(fingerprint)

    def presence(self) -> dict[str, bool]:
        """For each shard whether it was where it had been, when `set_present` was last told."""
        return self._manifest.presence()

    def signatures(self) -> dict[str, str]:
        """For each shard what it was when it was read (`curate.shards.sources.signature`); empty for the pieces of streams."""
        return self._manifest.signatures()

    def set_present(self, present: Mapping[str, bool]) -> None:
        """Say of shards whether they are still where they were; of a sample in several places, one that is there counts."""
        self._check_writing()
        self._manifest.set_present(present)

    @property
    def _cache(self) -> Path:
        """Where derived files are kept: in the store, or in the temporary folder where a store can only be read."""
        own = self.path / _CACHE
        if os.access(own if own.exists() else self.path, os.W_OK):
            return own
        name = hashlib.sha256(str(self.path.absolute()).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        elsewhere = Path(tempfile.gettempdir()) / f"curate-cache-{os.getuid() if hasattr(os, 'getuid') else 0}-{name}"
        elsewhere.mkdir(mode=0o700, exist_ok=True)
        return elsewhere

    # What is there

    def unit_state(self, shard: str) -> UnitState | None:
        """What is stored of a shard; None where nothing is."""
        return self._manifest.unit_state(shard)

    def known(self, fingerprint: str, *, retry: Collection[Status] = ()) -> Known:
        """The samples that a card has judged, without those that have a status of `retry` on any dimension.

        Grows with the commits of this store, failed judgements included, so that one run asks a question once.
        """
        return self._known_of("ratings", fingerprint, frozenset(retry))

    def known_pairs(self, fingerprint: str, *, retry: Collection[Status] = ()) -> Known:
        """The pairs of samples that a card has compared; as `known`, asked with `Known.has_pairs`."""
        return self._known_of("comparisons", fingerprint, frozenset(retry))

    def chances(self, fingerprint: str, dimension: str) -> Chances:
        """What a card said of pairs on one dimension, as it is now; for those that are in `known_pairs`."""
        return load_chances(self.path, self._manifest.parts("comparisons", fingerprint), dimension)

    def cards(self) -> list[StoredCard]:
        """Every card that rated into the store, later ones last."""
        return self._manifest.cards()

    def view(
        self,
        raters: Mapping[str, str] | None = None,
        *,
        gone: Collection[str] | None = None,
        memory: str = "1GB",
        threads: int | None = None,
    ) -> View:
        """The store as one wide table, made by DuckDB within `memory` and kept until the store changes.

        `raters` says which card's ratings stand under which name; None takes the latest card of each name. `gone` says
        which shards are not there now: samples that lie nowhere else are left out, and counted in `View.left_out`; None
        leaves none out. Equal contents give an equal file, whatever the order of commits. Raises `StoreError` for a card
        that is not stored.
        """
        from curate.store.view import build_view

        snapshot = self._snapshot(gone)
        return build_view(self.path, self._cache, snapshot, raters, gone=gone or (), memory=memory, threads=threads)

    def pairs_of(self, view: View, *, memory: str = "1GB") -> int:
        """How many pairs of samples there are in the groups of a view, those with two equal responses left out."""
        from curate.store.workspace import open_workspace

        file = view.path.replace("'", "''")
        alike = f"SELECT group_no, count(*) AS n FROM read_parquet('{file}') GROUP BY group_no, digest"
        of_group = f"SELECT sum(n) * sum(n) - sum(n * n) AS ordered FROM ({alike}) GROUP BY group_no"
        with open_workspace(self._cache, memory=memory, threads=None) as workspace:
            ((ordered,),) = workspace.run(f"SELECT coalesce(sum(ordered), 0)::BIGINT FROM ({of_group})")
        return int(ordered) // 2

    def summary(self, of: Collection[str] | None = None, *, memory: str = "1GB", threads: int | None = None) -> Summary:
        """Counts and distributions of everything in the store, for people; of what cards said, only of those in `of`."""
        from curate.store.summary import summarise

        return summarise(self.path, self._cache, self._manifest.snapshot(), of, memory=memory, threads=threads)

    def samples(self, ids: Collection[str] | None = None) -> Iterator[SampleRow]:
        """The samples, or those of some ids, each once and from the place that a view names, shard by shard."""
        from curate.store.reading import samples

        return samples(self.path, self._manifest.snapshot(), ids)

    def samples_in(self, shard: str) -> Iterator[SampleRow]:
        """The samples that lie in a shard, as they were last committed with it, those that lie elsewhere too included."""
        from curate.store.reading import samples_in

        return samples_in(self.path, self._manifest.files("samples", shard))

    def groups_in(self, shards: Collection[str]) -> frozenset[str]:
        """The groups of which a sample lies in one of these shards."""
        from curate.store.reading import groups_in

        return groups_in(self.path, self._manifest.snapshot(), shards)

    def ratings(self, cards: Iterable[str] | None = None) -> Iterator[Rating]:
        """The ratings that stand, of some cards (fingerprints) or of all, card by card."""
        from curate.store.reading import ratings

        return ratings(self.path, self._manifest.parts("ratings"), cards)

    def comparisons(self, cards: Iterable[str] | None = None) -> Iterator[Comparison]:
        """The comparisons that stand, of some cards (fingerprints) or of all, card by card."""
        from curate.store.reading import comparisons

        return comparisons(self.path, self._manifest.parts("comparisons"), cards)

    def lookup(
        self, ids: Iterable[str], cards: Collection[str] = (), *, gone: Collection[str] | None = None
    ) -> contextlib.AbstractContextManager[Lookup]:
        """Samples, and the ratings that some cards gave them, for finding by id in any order; see `Lookup`.

        `ids` are read once and may repeat. `gone` is as for `view`, and a sample that lies nowhere else is found all the same.
        """
        from curate.store.lookup import open_lookup

        return open_lookup(self.path, self._cache, self._snapshot(gone), ids, cards)

    def export_rows(self, kind: Kind, *, places: bool = False) -> pa.Table:
        """Every row of a kind as one table in memory, ordered, ids and digests as hex.

        Without `places` it says nothing of where files lie and how they are split, so two stores of the same contents
        give equal tables.
        """
        from curate.store.reading import rows

        return rows(self.path, self._manifest.snapshot(), kind, places=places)

    def verify(self) -> list[Damage]:
        """Read every byte of the store and compare it with the manifest; empty when all is well."""
        from curate.store.verify import verify

        return verify(self.path, self._manifest)

    def _known_of(self, kind: Kind, card: str, retry: frozenset[Status]) -> Known:
        with self._turn:
            known = self._known.get((kind, card, retry))
            if known is None:
                known = load_known(self.path, kind, self._manifest.parts(kind, card), retry)
                self._known[kind, card, retry] = known
            return known

    def _snapshot(self, gone: Collection[str] | None) -> Snapshot:
        """The manifest; with `gone`, where samples are sought follows from that rather than from what was seen before."""
        snapshot = self._manifest.snapshot()
        return snapshot if gone is None else snapshot.without(frozenset(gone))

    def _check_unit(self, unit: Unit) -> None:
        """Raise `ValueError` where a unit contradicts its contract."""
        if unit.samples is None and unit.rejects:
            raise ValueError(f"the rejects of {unit.shard} come with its samples, or not at all")
        unknown = {row.card for rows in (unit.ratings, unit.comparisons) for row in rows} - self._cards
        if unknown:
            raise ValueError(f"the card {min(unknown)} judged, and was not added to the store before")

    def _next_state(self, unit: Unit) -> UnitState:
        stored = self._manifest.unit_state(unit.shard)
        # An empty signature tells nothing, so its unit is never known to be unchanged.
        unchanged = (
            stored is not None and unit.signature != "" and (stored.signature, stored.layout) == (unit.signature, unit.layout)
        )
        if unit.samples is None and not unchanged:
            raise ValueError(f"{unit.shard} may have other samples than those stored, or none are; a commit has to bring them")
        before = stored.asked if stored is not None and unchanged else frozenset()
        return UnitState(
            shard=unit.shard,
            signature=unit.signature,
            layout=unit.layout,
            complete=unit.complete,
            present=True,
            asked=before | frozenset(unit.asked),
            counts=unit.counts,
        )

    def _check_writing(self) -> None:
        if not self._writing:
            raise StoreError(f"the store {self.path} is open for reading; change it inside 'with store.writing()'")

    def _remove_garbage(self) -> None:
        listed = self._manifest.file_names()
        with output_errors(self.path):
            for kind in KINDS:
                for file in (self.path / kind).iterdir():
                    if f"{kind}/{file.name}" not in listed:
                        file.unlink()


def _create(path: Path) -> None:
    """Make an empty store; the mark comes last, so a store that was not finished is made again."""
    if path.exists() and not path.is_dir():
        raise StoreError(f"{path} is a file; a store is a folder")
    if path.is_dir() and (foreign := sorted(one.name for one in path.iterdir() if one.name.split(".tmp.")[0] not in _OWN)):
        raise StoreError(f"{path} holds other things ({', '.join(foreign[:3])}) and no store; name a new or an empty folder")
    with output_errors(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as problem:  # as in /proc
            raise OutputError(f"cannot write {path}: no folder can be made in {path.parent}") from problem
        for folder in (*KINDS, _CACHE):
            (path / folder).mkdir(exist_ok=True)
    Manifest(path / _MANIFEST, create=True).close()
    with atomic_file(path / STORE_MARK) as aside:
        aside.write_text(json.dumps({"format": FORMAT}) + "\n", encoding="utf-8")
    fsync_folder(path.parent)


def _check_mark(path: Path) -> None:
    """Raise `StoreError` unless `path` is a store of this format or an older one."""
    try:
        mark = json.loads((path / STORE_MARK).read_text(encoding="utf-8"))
        version = int(mark["format"])
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"{path} is not a store: it has no {STORE_MARK}") from None
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise StoreError(
            f"{path / STORE_MARK} is damaged ({problem}); restore it from a copy, or rate into a new store"
        ) from problem
    if version > FORMAT:
        raise StoreError(f"{path} was made by a newer version of curate (format {version}, known is {FORMAT}); update curate")
