"""Finding ids by integers agrees with finding them by text."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.records import Status
from curate.store import runs
from curate.store.ids import find, hex_bytes, order, pack, pair_keys, to_bytes
from curate.store.known import Known, codes_of

# Few different halves, so that equal high halves and equal ids are common.
half = st.sampled_from(["0" * 16, "0" * 15 + "1", "f" * 16, "8" + "0" * 15, "7" + "f" * 15])
an_id = st.builds("".join, st.tuples(half, half))
ids = st.lists(an_id, max_size=30)
statuses = st.sampled_from([Status.OK, Status.OOM, Status.NAN])


@given(ids)
def test_packed_ids_sort_as_their_texts(texts: list[str]) -> None:
    packed = pack(texts)
    by_number = order(packed)
    assert [texts[position] for position in by_number] == sorted(texts)
    assert by_number.tolist() == sorted(range(len(texts)), key=lambda position: texts[position]), "equal ones keep their order"
    raw = np.frombuffer(to_bytes(texts), dtype=np.uint8)
    assert hex_bytes(raw).tobytes().decode() == "".join(texts)


@given(ids, ids)
def test_an_id_is_found_where_it_stands_first(texts: list[str], wanted: list[str]) -> None:
    texts = sorted(texts)
    expected = [texts.index(one) if one in texts else -1 for one in wanted]
    assert find(pack(texts), pack(wanted)).tolist() == expected


@given(st.lists(st.lists(st.tuples(an_id, statuses), max_size=8), max_size=8), ids)
def test_known_is_a_dictionary(commits: list[list[tuple[str, Status]]], asked: list[str]) -> None:
    known, expected = Known(), {}
    order_of = list(Status).index
    for commit in commits:
        known.add(pack([one for one, _ in commit]), codes_of([status for _, status in commit]))
        worst: dict[str, Status] = {}
        for one, status in commit:
            worst[one] = max(worst.get(one, status), status, key=order_of)
        expected |= worst
    assert known.statuses(asked) == [expected.get(one) for one in asked]
    assert known.has(asked).tolist() == [one in expected for one in asked]
    assert known.has(asked).dtype == np.bool_


def test_many_small_commits_stay_few_runs() -> None:
    known = Known()
    keys = np.random.default_rng(0).integers(0, 2**64, (10_000, 2), dtype=np.uint64)
    for start in range(0, len(keys), 10):
        known.add(keys[start : start + 10], np.zeros(10, dtype=np.uint8))
    assert len(known) == len(keys)
    assert len(known._runs) < 16
    assert (known.codes(keys) == 0).all()
    assert (known.codes(keys + np.uint64(1)) == -1).all()


def test_different_pairs_have_different_keys() -> None:
    every = pack([hashlib.sha256(b"%d" % number).hexdigest()[:32] for number in range(300)])
    first, second = np.repeat(every, 300, axis=0), np.tile(every, (300, 1))
    assert len(np.unique(pair_keys(first, second), axis=0)) == 300 * 300


def test_long_runs_lie_in_files_and_answer_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "IN_MEMORY", 64)
    monkeypatch.setattr(runs, "BLOCK", 16)
    rng = np.random.default_rng(5)
    known, expected = Known(), {}
    for _ in range(40):
        # Few distinct high halves, so that equal ones have to stay together where pieces are cut.
        keys = np.stack([rng.integers(0, 50, 30), rng.integers(0, 40, 30)], axis=1).astype(np.uint64)
        codes = rng.integers(0, 5, 30).astype(np.uint8)
        known.add(keys, codes)
        added: dict[tuple[int, int], int] = {}
        for key, code in zip(map(tuple, keys.tolist()), codes.tolist(), strict=True):
            added[key] = max(added.get(key, 0), code)
        expected |= added
    asked = np.array([[high, low] for high in range(50) for low in range(40)], dtype=np.uint64)
    assert known.codes(asked).tolist() == [expected.get((high, low), -1) for high, low in asked.tolist()]
    assert any(run.mapping is not None for run in known._runs)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs /proc to see what is in memory")
def test_a_long_index_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """However it was given, and after it was looked up: no page of its file stays in the process."""
    monkeypatch.setattr(runs, "IN_MEMORY", 1 << 14)
    keys = np.random.default_rng(1).integers(0, 2**64, (1 << 18, 2), dtype=np.uint64)
    codes = np.ones(len(keys), dtype=np.uint8)
    half = len(keys) // 2
    before = resident_of_unnamed_files()
    known = Known(keys[:half][order(keys[:half])], codes[:half])
    known.add(keys[half:], codes[half:])
    for start in range(0, len(keys), len(keys) // 64):
        assert (known.codes(keys[start : start + 16]) == 1).all()
    assert (len(known), [len(run) for run in known._runs if run.mapping is None]) == (len(keys), [])
    assert resident_of_unnamed_files() == before


def resident_of_unnamed_files() -> int:
    """Kibibytes in memory of the files without a name that this process maps."""
    total, unnamed = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if line.startswith("Rss:"):
            total += int(line.split()[1]) if unnamed else 0
        elif re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            unnamed = line.endswith("(deleted)")
    return total
