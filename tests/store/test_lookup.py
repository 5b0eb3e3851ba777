"""Looking samples up takes ids as they come, and little memory for them."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

from curate.store.lookup import PIECE
from tests.store.world import make_store, make_unit, sample_ids

MANY = 4 * PIECE


def test_ids_may_repeat_and_are_read_once(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(20))])
    strangers = [hashlib.md5(b"%d" % number).hexdigest() for number in range(PIECE)]
    known = sample_ids(range(0, 20, 3))
    with store.lookup(iter([*known, *strangers, *known[::-1], *known])) as lookup:
        assert [row and row.sample.id for row in lookup.samples(known)] == known
        assert list(lookup.samples([*sample_ids([1]), strangers[0]])) == [None, None]


def test_millions_of_ids_would_fit(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(4))])

    def ids() -> Iterator[str]:
        for number in range(MANY):
            one = hashlib.md5(b"%d" % number).hexdigest()
            yield from (one, one)

    tracemalloc.start()
    try:
        with store.lookup(ids()):
            _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 75 * MANY, "as a text alone, an id takes 81 bytes"
