"""The meter: rates of the last seconds, totals that become exact, any number of threads."""

from __future__ import annotations

import threading

import pytest

from curate.progress import Meter


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_new_meter_knows_nothing(clock: Clock) -> None:
    now = Meter(shards_total=4, clock=clock).snapshot()
    assert (now.samples_done, now.samples_total, now.shards_total) == (0, None, 4)
    assert (now.samples_per_second, now.seconds_left) == (0.0, None)
    assert now.busy == now.failures == {}


def test_the_rate_follows_the_last_seconds(clock: Clock) -> None:
    meter = Meter(window=10, clock=clock)
    for _ in range(10):
        clock.now += 1
        meter.add(samples=100)
    assert meter.snapshot().samples_per_second == pytest.approx(100)
    for _ in range(20):
        clock.now += 1
        meter.add(samples=7)
    assert meter.snapshot().samples_per_second == pytest.approx(7, rel=0.15)
    clock.now += 11
    assert meter.snapshot().samples_per_second == 0
    assert meter.snapshot().samples_done == 1140


def test_the_total_is_estimated_from_whole_shards_and_ends_exact(clock: Clock) -> None:
    meter = Meter(shards_total=4, clock=clock)
    clock.now += 1
    meter.add(samples=50)
    assert meter.snapshot().samples_total is None
    meter.add(samples=50, shards=1)
    assert meter.snapshot().samples_total == 400
    assert meter.snapshot().seconds_left == pytest.approx(3)
    meter.add(samples=20, shards=3)
    assert meter.snapshot().samples_total == meter.snapshot().samples_done == 120
    assert meter.snapshot().seconds_left == 0


def test_a_total_that_is_told_is_believed(clock: Clock) -> None:
    meter = Meter(shards_total=4, samples_total=1000, clock=clock)
    clock.now += 10
    meter.add(samples=100, shards=1)
    assert meter.snapshot().samples_total == 1000
    assert meter.snapshot().seconds_left == pytest.approx(90)


def test_busy_shares_count_all_workers_of_a_stage(clock: Clock) -> None:
    meter = Meter(lanes={"decode": 4}, clock=clock)
    clock.now += 10
    meter.busy("decode", 20)
    meter.busy("score", 9)
    meter.busy("score", 3)
    assert meter.snapshot().busy == pytest.approx({"decode": 0.5, "score": 1.0})


def test_failures_are_counted_by_status(clock: Clock) -> None:
    meter = Meter(clock=clock)
    meter.add(samples=2, failures={"oom": 1})
    meter.add(failures={"oom": 2, "nan": 1})
    assert meter.snapshot().failures == {"oom": 3, "nan": 1}


def test_memory_is_bounded(clock: Clock) -> None:
    meter = Meter(window=30, clock=clock)
    for _ in range(20_000):
        clock.now += 0.01
        meter.add(samples=1)
        meter.busy("decode", 0.001)
    assert len(meter._slices) <= Meter._SLICES + 2


def test_many_threads_lose_nothing() -> None:
    meter = Meter()

    def work() -> None:
        for _ in range(500):
            meter.add(samples=1, failures={"nan": 1})
            meter.snapshot()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.snapshot().samples_done == 4000
    assert meter.snapshot().failures == {"nan": 4000}


def test_work_under_way_counts_while_it_lasts_and_is_forgotten_after_a_window(clock: Clock) -> None:
    meter = Meter(window=10, lanes={"decode": 2}, clock=clock)
    with meter.working("score"), meter.working("decode"):
        for _ in range(20):
            clock.now += 1
            seen = meter.snapshot().busy
        assert seen["score"] == pytest.approx(1, abs=0.11)
        assert seen["decode"] == pytest.approx(0.5, abs=0.06)
    clock.now += 5
    assert meter.snapshot().busy["score"] == pytest.approx(0.5, abs=0.11)
    clock.now += 6
    assert meter.snapshot().busy == {}


def test_work_that_ends_with_an_exception_is_counted_and_over(clock: Clock) -> None:
    meter = Meter(clock=clock)
    with pytest.raises(ZeroDivisionError), meter.working("score"):
        clock.now += 10
        raise ZeroDivisionError
    clock.now += 10
    assert meter.snapshot().busy == pytest.approx({"score": 0.5})
