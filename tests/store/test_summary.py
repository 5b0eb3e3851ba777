"""Numbers for people add up; samples and ratings are found by id."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from curate.errors import StoreError
from curate.records import Reject, RejectReason, Status
from curate.store import Store
from tests.store.world import (
    CARDS,
    SHARP,
    TASTE,
    compare,
    make_row,
    make_sample,
    make_store,
    make_unit,
    rate,
    sample_ids,
)


def test_a_summary_counts_everything(tmp_path: Path) -> None:
    rejects = [Reject(shard="b.tar", key=str(n), reason=reason) for n, reason in enumerate([RejectReason.TRUNCATED] * 2)]
    statuses = {0: Status.OOM, 3: Status.NAN, 4: Status.NAN}
    units = [
        make_unit("a.tar", range(6), cards=[], ratings=rate(range(6), TASTE, statuses=statuses), comparisons=compare([(0, 1)])),
        make_unit("b.tar", range(4, 9), cards=[SHARP], complete=False, rejects=rejects, comparisons=compare([(1, 2)], value=0.5)),
    ]
    store = make_store(tmp_path / "s", units)
    with store.writing():
        store.set_present({"b.tar": False})
    summary = store.summary(memory="200MB", threads=2)
    assert (summary.units, summary.missing, summary.truncated) == (2, ("b.tar",), ("b.tar",))
    assert (summary.samples, summary.places, summary.groups) == (9, 11, 3)
    assert summary.group_sizes == {1: 1, 4: 2}
    assert summary.media_bytes == sum(1000 + number for number in range(9))
    assert summary.rejects == {"bad_metadata": 1, "truncated": 2}
    assert summary.bytes == sum(file.stat().st_size for file in (tmp_path / "s").glob("*/*.parquet"))
    sharp, taste = summary.raters
    assert (sharp.name, sharp.card, sharp.latest, sharp.statuses) == ("sharp", SHARP, True, {"ok": 5})
    assert taste.statuses == {"ok": 3, "nan": 2, "oom": 1}
    values = sorted(
        one.value for one in rate(range(6), TASTE, statuses=statuses) if one.dimension == "beauty" and one.value is not None
    )
    beauty = taste.dimensions["beauty"]
    assert beauty is not None
    assert (beauty.count, beauty.low, beauty.high) == (3, values[0], values[-1])
    assert beauty.quantiles[0.5] == values[1]
    assert math.isclose(beauty.mean, sum(values) / 3)
    (comparisons,) = summary.comparisons
    assert (comparisons.name, comparisons.statuses, comparisons.disagreeing) == ("sharp", {"ok": 2}, 1)


def test_ratings_of_samples_that_are_in_no_shard_any_more_are_counted_apart(tmp_path: Path) -> None:
    """As after rating a shard again by another layout: other samples, while what was rated before is kept in case it is back."""
    statuses = {0: Status.OOM, 5: Status.OOM}
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(4), ratings=rate(range(4), statuses=statuses))])
    with store.writing():
        store.commit(make_unit("a.tar", range(3, 7), layout="multi", ratings=rate(range(4, 7), statuses=statuses)))
    summary = store.summary()
    sharp = next(rater for rater in summary.raters if rater.card == SHARP)
    assert (summary.samples, sharp.orphans, sharp.statuses) == (4, 3, {"ok": 3, "oom": 1})
    values = sorted(one.value for one in rate([3, 4, 6]) if one.value is not None)
    overall = sharp.dimensions["overall"]
    assert overall is not None
    assert (overall.count, overall.low, overall.high) == (3, values[0], values[-1])


def test_a_summary_of_nothing(tmp_path: Path) -> None:
    summary = make_store(tmp_path / "s", []).summary()
    assert (summary.samples, summary.groups, summary.group_sizes, summary.media_bytes, summary.comparisons) == (0, 0, {}, 0, ())
    assert [rater.dimensions for rater in summary.raters] == [{"overall": None}, {"beauty": None, "detail": None}]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    twice = [make_row(number, shard="a.tar", key=f"copy-{number}") for number in range(3)]
    return make_store(
        tmp_path / "s",
        [make_unit("b.tar", range(20)), make_unit("a.tar", range(3), samples=twice), make_unit("c.tar", range(18, 40))],
    )


def test_samples_of_some_ids_come_once_and_by_shard(store: Store) -> None:
    wanted = sample_ids([30, 0, 5, 0, 19, 99])
    found = list(store.samples(wanted))
    assert [(row.sample.shard, row.sample.key) for row in found] == [
        ("b.tar", "000000"),
        ("b.tar", "000005"),
        ("b.tar", "000019"),
        ("c.tar", "000030"),
    ]
    assert list(store.samples([])) == []
    assert len(list(store.samples())) == 40


def test_a_lookup_finds_in_any_order(store: Store) -> None:
    numbers = random.Random(0).choices(range(45), k=200)
    wanted = sample_ids(numbers)
    with store.lookup(set(wanted), list(CARDS)) as lookup:
        found = list(lookup.samples(wanted))
        assert [row.sample.id if row else None for row in found] == [
            one if number < 40 else None for one, number in zip(wanted, numbers, strict=True)
        ]
        assert found[numbers.index(2)] == make_row(2, shard="b.tar"), "the other is 'copy-2', which comes later"
        assert lookup.ratings(sample_ids([7, 41])) == {make_sample(7).id: [*rate([7]), *rate([7], TASTE)]}
        assert not list((store.path / "cache").iterdir()), "nothing is left, whenever it is killed"
    with store.lookup(sample_ids([1])) as lookup:
        assert list(lookup.samples(sample_ids([2]))) == [None], "what was not looked up is not there"
        assert lookup.ratings(sample_ids([1])) == {}


def test_a_lookup_finds_the_ratings_that_stand(store: Store) -> None:
    again = rate([7], statuses={7: Status.REFUSED})
    with store.writing():
        store.commit(make_unit("d.tar", [7], ratings=again, replaces={(make_sample(7).id, SHARP)}))
    with store.lookup(sample_ids([7]), [SHARP]) as lookup:
        assert lookup.ratings(sample_ids([7])) == {make_sample(7).id: again}


def test_an_id_that_no_sample_has_is_a_sentence(store: Store) -> None:
    with pytest.raises(StoreError, match="an id is 32 lower-case hex characters, not 'nonsense'"), store.lookup(["nonsense"]):
        pass
