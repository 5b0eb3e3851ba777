"""What is tried again and when, when nothing is, how much at once, and how much at all."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.asks import Ask, Reply, Trouble, Turn, Usage
from curate.client.answers import Again, Outcome
from curate.client.breaker import Breaker, Breaking
from curate.client.budget import Budget
from curate.client.pace import FIRST, Pace
from curate.client.retries import RetryBudget, Retrying, asked_wait
from curate.client.swatches import swatch
from curate.records import Status
from tests.client.asking import labelled, written

# Retries


def test_waits_are_drawn_from_all_of_a_growing_range() -> None:
    random.seed(0)
    retrying = Retrying(first_seconds=0.5, longest_seconds=60.0)
    for tries, bound in [(1, 0.5), (2, 1.0), (4, 4.0), (8, 60.0), (400, 60.0)]:
        drawn = [retrying.seconds(tries, None) for _ in range(2000)]
        assert 0.0 <= min(drawn) < 0.05 * bound
        assert 0.95 * bound < max(drawn) <= bound


def test_a_server_may_ask_for_more_time_but_not_for_any() -> None:
    retrying = Retrying(first_seconds=0.5, longest_seconds=60.0)
    assert 7.0 <= retrying.seconds(1, 7.0) <= 7.5
    assert 60.0 <= retrying.seconds(1, 1e9) <= 60.5


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "9" * 5000}, None),
        ({"retry-after": "1 Jan 99999999999999999999 00:00:00 GMT"}, None),
        ({"retry-after": "Mon, 20 Nov 1995 19:12:08 -99999999999"}, None),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-reset-requests": "1h2m3.5s", "x-ratelimit-reset-tokens": "2s"}, 2.0),
        ({"x-ratelimit-reset-requests": "12"}, 12.0),
        ({"x-ratelimit-reset-requests": "tomorrow"}, None),
    ],
)
def test_what_a_server_asks_for(headers: Mapping[str, str], wait: float | None) -> None:
    assert asked_wait(429, headers) == (wait if wait is None else pytest.approx(wait))


def test_a_date_is_a_time_to_wait_until() -> None:
    soon = email.utils.formatdate(time.time() + 5, usegmt=True)
    assert 3.0 <= (asked_wait(503, {"retry-after": soon}) or 0.0) <= 5.0


def test_limits_that_were_not_met_are_no_reason_to_wait() -> None:
    assert asked_wait(503, {"x-ratelimit-reset-requests": "6m0s"}) is None


@given(st.text(max_size=20))
def test_no_header_breaks_the_waiting(text: str) -> None:
    wait = asked_wait(429, {"retry-after": text, "x-ratelimit-reset-tokens": text})
    assert wait is None or wait >= 0.0


def test_tries_again_are_a_share_of_the_asks() -> None:
    budget = RetryBudget(Retrying(share=0.1, least=3))
    assert [budget.take() for _ in range(4)] == [True, True, True, False]
    for _ in range(20):
        budget.count()
    assert [budget.take() for _ in range(3)] == [True, True, False]
    assert budget.taken == 5


# Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_failures_in_a_row_open_it_and_an_answer_closes_it() -> None:
    breaker = Breaker(Breaking(failures=3))
    for _ in range(5):
        assert [breaker.failed("x"), breaker.failed("x")] == [False, False]
        breaker.succeeded()
    assert [breaker.failed("x") for _ in range(5)] == [False, False, True, False, False], "it opens once"
    assert breaker.open
    breaker.succeeded()
    assert not breaker.open, "an answer to what was under way closes it"
    assert [breaker.failed("x") for _ in range(3)] == [False, False, True]


def test_it_looks_ever_less_often_and_gives_up() -> None:
    clock = Clock()
    breaker = Breaker(Breaking(failures=1, first_seconds=1.0, longest_seconds=10.0, patience_seconds=60.0), clock)
    breaker.failed("x")
    assert [breaker.look_after() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    clock.now = 59.0
    assert not breaker.given_up
    clock.now = 60.0
    assert breaker.given_up
    breaker.succeeded()
    assert not breaker.given_up
    assert breaker.look_after() == 1.0


# Pace


def windows(pace: Pace, count: int, share: float = 0.0) -> None:
    """So many windows of answers, a share of each congested."""
    for _ in range(count):
        limit = pace.limit
        for number in range(limit):
            pace.begin(1)
            pace.end(1, refused=number < share * limit)


def test_it_starts_small_and_doubles() -> None:
    pace = Pace(100, 1 << 30)
    seen = [pace.limit]
    for _ in range(4):
        windows(pace, 1)
        seen.append(pace.limit)
    assert seen == [FIRST, 2 * FIRST, 4 * FIRST, 100, 100]
    assert Pace(3, 1).limit == 3


def test_it_shrinks_by_what_is_refused_and_recovers_by_one() -> None:
    pace = Pace(64, 1 << 30)
    windows(pace, 3)
    windows(pace, 1, share=0.25)
    assert pace.limit == 56, "64 less an eighth, and three quarters of one more"
    windows(pace, 3)
    assert pace.limit == 59
    windows(pace, 20, share=1.0)
    assert pace.limit == 1, "one request is always let through"


def test_few_refusals_cost_little() -> None:
    """One in twenty, as of a server that is only unsteady: most of the places stay."""
    random.seed(0)
    pace = Pace(64, 1 << 30)
    limits = []
    for _ in range(20_000):
        pace.begin(1)
        pace.end(1, refused=random.random() < 0.05)
        limits.append(pace.limit)
    assert 30 < sum(limits[5000:]) / len(limits[5000:]) < 46


def one(pace: Pace, taken: float) -> None:
    pace.begin(1)
    pace.end(1, taken=taken)


def test_answers_that_take_most_of_their_time_are_too_many() -> None:
    pace = Pace(16, 1 << 30)
    for _ in range(200):
        one(pace, 0.6)
    assert pace.limit < 4
    for _ in range(200):
        one(pace, 0.4)
    assert pace.limit == 16


def test_a_timeout_is_too_much_where_answers_are_slow_and_else_the_fault_of_the_ask() -> None:
    quick, slow, nothing = Pace(16, 1 << 30), Pace(16, 1 << 30), Pace(16, 1 << 30)
    for _ in range(200):
        one(quick, 0.01)
        one(slow, 0.45)
    for pace in (quick, slow, nothing):
        for _ in range(64):
            one(pace, 1.0)
    assert (quick.limit, slow.limit, nothing.limit) == (16, 1, 1)


def test_bytes_are_bounded_and_one_body_always_goes() -> None:
    pace = Pace(64, 100)
    assert pace.admits(1000), "alone, however large"
    pace.begin(60)
    assert pace.admits(40)
    assert not pace.admits(41)
    pace.end(60)
    assert (pace.running, pace.bytes) == (0, 0)


# Budget


def test_requests_are_counted_before_they_are_made() -> None:
    budget = Budget(2, None)
    assert [budget.reserve(0) for _ in range(3)] == ["granted", "granted", "spent"]
    budget.settle(0, 10)
    assert budget.reserve(0) == "spent", "a request that was made stays made"
    assert str(budget) == "2 of 2 requests"


def test_tokens_come_back_where_they_were_not_needed() -> None:
    budget = Budget(None, 100)
    assert budget.reserve(60) == "granted"
    assert budget.reserve(60) == "wait", "the first may need less than it reserved"
    budget.settle(60, 20)
    assert budget.reserve(60) == "granted"
    budget.settle(60, 60)
    assert budget.reserve(21) == "spent"
    assert (budget.tokens, budget.spent) == (80, True)


def test_what_can_never_fit_is_not_waited_for() -> None:
    budget = Budget(None, 100)
    budget.reserve(60)
    assert budget.reserve(101) == "spent"


def test_estimates_learn_from_what_servers_count() -> None:
    budget = Budget(None, 10**9)
    before = budget.needs(labelled(1))
    budget.learn(labelled(1), Usage(prompt_tokens=before * 3))
    assert budget.needs(labelled(2)) >= 3 * (before - 1)
    budget.learn(labelled(1), Usage(prompt_tokens=1))
    assert budget.needs(labelled(2)) >= 3 * (before - 1), "and stay on the safe side"
    assert Budget(None, None).needs(written(1)) == 0, "where nobody counts"


def showing(side: int) -> Ask:
    return Ask(turns=(Turn(role="user", parts=(swatch((0, 0, 0), side), "What is it?")),), max_tokens=4)


def test_pictures_larger_than_any_before_are_asked_about_alone() -> None:
    budget = Budget(None, 100_000)
    assert budget.knows(showing(64)), "servers are examined with such"
    large = showing(448)
    assert not budget.knows(large)
    reserved = budget.needs(large)
    assert reserved > 16 * 256
    assert budget.reserve(reserved, alone=True) == "granted"
    assert budget.reserve(reserved, alone=True) == "wait"
    budget.settle(reserved, 3100)
    budget.learn(large, Usage(prompt_tokens=3100))
    assert budget.knows(showing(560))
    assert 3100 < budget.needs(large) < 1.2 * 3100, "the highest count, and a margin"
    assert not budget.knows(showing(1024))


@pytest.mark.parametrize(
    ("outcome", "used"),
    [
        (Reply(text="", finish="stop", usage=Usage(prompt_tokens=30, completion_tokens=4)), 34),
        (Reply(text="", finish="stop"), 50),
        (Trouble(status=Status.API_ERROR, detail="http_400: no"), 0),
        (Again(reason="connect", detail=""), 0),
        (Again(reason="http_503", detail=""), 0),
        (Again(reason="timeout", detail=""), 50),
        (Again(reason="no_logprobs", detail=""), 50),
        (Again(reason="unfinished", detail="", usage=Usage(prompt_tokens=30, completion_tokens=4)), 34),
        (None, 50),
    ],
)
def test_what_is_paid_for(outcome: Outcome | None, used: int) -> None:
    """All that was reserved, where nobody knows better."""
    budget = Budget(None, 100)
    budget.reserve(50)
    budget.end(written(1), 50, outcome)
    assert budget.tokens == used


def test_a_server_that_does_not_count_is_not_asked_one_by_one_for_ever() -> None:
    budget = Budget(None, 100_000)
    budget.learn(showing(448), Usage())
    assert budget.knows(showing(448))


@given(
    st.integers(0, 400),
    st.lists(st.tuples(st.integers(1, 60), st.floats(0, 1), st.booleans()), max_size=60),
)
def test_reserved_and_used_never_exceed_the_limit(limit: int, asked: list[tuple[int, float, bool]]) -> None:
    budget = Budget(None, limit)
    under_way: list[tuple[int, int]] = []
    for tokens, share, ends in asked:
        if budget.reserve(tokens) == "granted":
            under_way.append((tokens, int(tokens * share)))
        if ends and under_way:
            budget.settle(*under_way.pop(0))
        assert budget.tokens + sum(reserved for reserved, _ in under_way) <= limit
