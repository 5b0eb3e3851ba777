"""Damaged bytes are found, and never read as other values."""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import pytest

from curate.errors import StoreError
from curate.store import Store, judgements
from curate.store.tables import KINDS, Kind
from tests.store.world import SHARP, compare, make_store, make_unit

FLIPS = 100


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("damage") / "s"
    units = [make_unit(f"{n}.tar", range(n * 60, n * 60 + 60), comparisons=compare([(0, 1), (1, 2)])) for n in range(2)]
    make_store(path, units).close()
    return path


def flip(file: Path, bit: int) -> None:
    data = bytearray(file.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)


def readings(store: Store) -> dict[str, Callable[[], object]]:
    """Every way in which the tables of a store are read."""
    return {
        **{kind: lambda kind=kind: store.export_rows(kind, places=True).to_pylist() for kind in KINDS},
        "known": lambda: Store.open(store.path).known(SHARP).statuses([row.sample.id for row in store.samples()]),
        "iterated": lambda: [list(store.samples()), list(store.ratings()), list(store.comparisons())],
    }


def test_every_flipped_bit_is_found_and_none_becomes_a_value(path: Path) -> None:
    rng = random.Random(100)
    store = Store.open(path)
    sound = {name: read() for name, read in readings(store).items()}
    files = sorted(file for kind in KINDS for file in (path / kind).iterdir())
    refused = 0
    for _ in range(FLIPS):
        file = rng.choice(files)
        bit = rng.randrange(file.stat().st_size * 8)
        flip(file, bit)
        assert [damage.file for damage in store.verify()] == [f"{file.parent.name}/{file.name}"]
        for name, read in readings(store).items():
            try:
                assert read() == sound[name], f"bit {bit} of {file.name} became a value in {name}"
            except StoreError as problem:
                assert str(file) in str(problem)  # noqa: PT017 - either outcome is right
                refused += 1
        flip(file, bit)
    assert store.verify() == []
    assert refused > FLIPS


@pytest.mark.parametrize("kind", KINDS)
def test_a_view_and_a_summary_refuse_damage(path: Path, kind: Kind, tmp_path: Path) -> None:
    store = Store.open(path)
    file = min((path / kind).iterdir())
    whole = file.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    try:
        file.write_bytes(whole[:4] + bytes(len(whole) - 4 - footer) + whole[-footer:])
        with pytest.raises(StoreError, match=f"{file.name} is damaged"):
            store.summary()
        if kind in ("samples", "ratings"):
            with pytest.raises(StoreError, match=f"{file.name} is damaged"):
                store.view()
        assert not list((path / "cache").glob("*.parquet*")), "nothing is left of a view that could not be made"
    finally:
        file.write_bytes(whole)


@pytest.mark.parametrize("length", [0, 3, 100, -1, -9])
def test_a_cut_file_is_refused(path: Path, length: int) -> None:
    store = Store.open(path)
    file = min((path / "ratings").iterdir())
    whole = file.read_bytes()
    try:
        file.write_bytes(whole[:length])
        with pytest.raises(StoreError, match=f"{file.name} is damaged"):
            store.known(SHARP)
        (damage,) = store.verify()
        assert f"not {len(whole)}" in damage.what
    finally:
        file.write_bytes(whole)


def test_a_missing_file_and_one_of_another_store(path: Path, tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [make_unit("0.tar", range(7))])
    file = next((tmp_path / "s/samples").iterdir())
    file.write_bytes(next((path / "samples").iterdir()).read_bytes())
    with pytest.raises(StoreError, match=r"footer is not the one that was written"):
        list(store.samples())
    file.unlink()
    with pytest.raises(StoreError, match=f"{file.name} is missing; if another process"):
        list(store.samples())
    assert [damage.what for damage in store.verify()] == ["it cannot be read: No such file or directory"]


def test_a_damaged_manifest_is_a_sentence(tmp_path: Path) -> None:
    make_store(tmp_path / "s", [make_unit(f"{number}.tar", [number]) for number in range(3)]).close()
    manifest = tmp_path / "s/manifest.sqlite"
    whole = manifest.read_bytes()
    manifest.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(StoreError, match=r"manifest.sqlite is damaged \(file is not a database\)"):
        Store.open(tmp_path / "s")
    manifest.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(StoreError, match="is damaged"):
        Store.open(tmp_path / "s").view()
    assert {damage.file for damage in Store.open(tmp_path / "s").verify()} == {"manifest.sqlite"}
    manifest.write_bytes(b"")
    with pytest.raises(StoreError, match=r"is damaged \(no such table"):
        Store.open(tmp_path / "s")


def test_a_status_of_the_future_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_store(tmp_path / "s", [make_unit("0.tar", range(3))])
    store = Store.open(tmp_path / "s")
    monkeypatch.setattr(judgements, "Status", StrEnum("Status", {"NAN": "nan"}))
    for read in (lambda: store.known(SHARP), store.view, store.summary, lambda: list(store.ratings())):
        with pytest.raises(StoreError, match="holds the status 'ok', which this version does not know; update curate"):
            read()
