"""Hard limits: never more than was allowed reaches the server, and the next run goes on where the limit was met."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate import api
from curate.errors import BudgetSpent
from curate.store import Store
from curate.testing.server import Behaviour, Fault, ScriptedServer, spread
from tests.judges.numbered import (
    EXAMINING,
    Witness,
    about,
    pairs_card,
    quick,
    ratings,
    text_card,
    write_groups,
    write_numbered,
    yes_no_values,
)

SAMPLES = 90

TESTING = 72
"""Requests of the test for mixed-up pictures: 8 colours alone, and 8 times 8 at once."""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_numbered(tmp_path_factory.mktemp("shards") / "all", SAMPLES, per_shard=40)


def comparisons(store: Path) -> int:
    return len(Store.open(store).export_rows("comparisons"))


@pytest.mark.parametrize("times", [0, 2])
def test_a_limit_on_requests_is_never_exceeded(shards: str, tmp_path: Path, times: int) -> None:
    """Questions at the start count, and tries that fail."""
    limit = 60
    faults = spread(0.3, [Fault.SERVER_ERROR, Fault.UNAVAILABLE], times=times)
    with ScriptedServer(witness := Witness(), faults=faults) as server:
        serving = quick(server, most_requests=limit)
        first = api.rate(shards, raters="vqa-yes", store=tmp_path / "store", serving=serving, workers=1)
        assert len(server.chats) == limit
        answered = first.statuses["vqa-yes"]["ok"]
        assert first.statuses["vqa-yes"] == {"ok": answered, "pending": SAMPLES - answered}
        assert first.told["vqa-yes"]["requests"] == about(server, witness.requests[True].values())
        if not times:
            assert answered == limit - EXAMINING
        assert len(ratings(tmp_path / "store", "vqa-yes")) == 3 * answered, "what is pending is not stored"
        assert first.ok, "nothing is wrong with what is pending"

        last = api.rate(shards, raters="vqa-yes", store=tmp_path / "store", serving=quick(server), workers=1)
        assert last.statuses["vqa-yes"] == {"ok": SAMPLES}
        assert server.completed.total() <= SAMPLES + 2 * EXAMINING, "what was answered is not asked again"
        requests = witness.requests[True]
        for (number, dimension), row in ratings(tmp_path / "store", "vqa-yes").items():
            assert row["value"] == pytest.approx(yes_no_values(requests[number])[dimension], abs=1e-9)


def test_run_after_run_with_a_limit_comes_to_an_end(shards: str, tmp_path: Path) -> None:
    with ScriptedServer(witness := Witness()) as server:
        runs = answered = 0
        while answered < SAMPLES:
            runs += 1
            before = len(server.chats)
            serving = quick(server, most_requests=EXAMINING + 25)
            report = api.rate(shards, raters="vqa-yes", store=tmp_path / "store", serving=serving, workers=1)
            answered = report.statuses["vqa-yes"]["ok"]
            assert len(server.chats) - before <= EXAMINING + 25
        assert runs == -(-SAMPLES // 25)
        assert about(server, witness.requests[True].values()) == SAMPLES


def test_a_limit_on_tokens_is_never_exceeded(shards: str, tmp_path: Path) -> None:
    """Of prompts and replies together, those of the questions at the start as well."""
    with ScriptedServer(Witness()) as server:
        whole = api.rate(shards, raters="vqa-yes", store=tmp_path / "whole", serving=quick(server), workers=1)
        each = tokens(whole.told["vqa-yes"]) / SAMPLES
        serving = quick(server, most_tokens=2000)
        part = api.rate(shards, raters="vqa-yes", store=tmp_path / "part", serving=serving, workers=1)
        used = tokens(part.told["vqa-yes"])
        assert 1000 < used <= 2000
        assert part.statuses["vqa-yes"]["ok"] == round(used / each)
        assert part.statuses["vqa-yes"]["pending"] > 0
        rest = api.rate(shards, raters="vqa-yes", store=tmp_path / "part", serving=quick(server), workers=1)
        assert rest.told["vqa-yes"]["asked"] == SAMPLES - part.statuses["vqa-yes"]["ok"]
        assert rest.statuses["vqa-yes"] == {"ok": SAMPLES}


def tokens(told: dict[str, float] | object) -> float:
    assert isinstance(told, dict)
    return told["prompt tokens"] + told["reply tokens"]


def test_one_limit_holds_for_all_raters_of_a_run(tmp_path: Path) -> None:
    """Two judges of samples at the same time and one of pairs after them: one connection, examined once, one limit."""
    groups = 12
    shards = write_groups(tmp_path / "shards", groups)
    cards = ["vqa-yes", text_card(tmp_path), pairs_card(tmp_path)]
    needed = EXAMINING + groups * 3 + groups * 3 + groups * 3 * 2
    store = tmp_path / "store"
    with ScriptedServer() as server:
        for limit in (40, EXAMINING + groups * 6 + 10):
            before = len(server.chats)
            report = api.rate(shards, raters=cards, store=store, serving=quick(server, most_requests=limit), workers=1)
            assert len(server.chats) - before == min(limit, needed)
        assert report.compared["which"]["pending"] > 0
        assert comparisons(store) == report.compared["which"]["ok"]
        last = api.rate(shards, raters=cards, store=store, serving=quick(server), workers=1)
        assert last.compared["which"].keys() == {"ok"}
        assert comparisons(store) == groups * 3
        assert len(server.chats) == needed + 2 * EXAMINING, "nothing is asked twice"


def test_several_judges_share_what_may_be_in_flight(shards: str, tmp_path: Path) -> None:
    with ScriptedServer(behaviour=Behaviour(latency=0.02)) as server:
        serving = quick(server, concurrency=4)
        api.rate(shards, raters=["vqa-yes", text_card(tmp_path)], store=tmp_path / "store", serving=serving, workers=1)
        assert server.busiest <= 4
        assert len(server.chats) == 2 * SAMPLES + EXAMINING
        tokenized = [one for one in server.requests if one.path == "/tokenize"]
        assert len(tokenized) <= 20, "the tokens of labels are asked for once, however many wait for them"


def test_a_limit_that_leaves_nothing_is_said(shards: str, tmp_path: Path) -> None:
    with ScriptedServer() as server, pytest.raises(BudgetSpent, match="limit on requests or tokens is too low"):
        api.rate(shards, raters="vqa-yes", store=tmp_path / "store", serving=quick(server, most_requests=1), workers=1)
    assert not (tmp_path / "store").exists()


def test_what_it_takes_to_examine_and_test_a_server_is_told(shards: str, tmp_path: Path) -> None:
    with ScriptedServer() as server:
        serving = quick(server, canary=True)
        foreseen = api.estimate(shards, raters="vqa-yes", serving=serving, workers=1).told["examining the server"]
        report = api.rate(shards, raters="vqa-yes", store=tmp_path / "store", serving=serving, workers=1)
        told = report.told["examining the server"]
        assert told["requests"] == foreseen["requests"] == EXAMINING + TESTING
        assert told["requests"] + report.told["vqa-yes"]["requests"] == len(server.chats)
        assert told["prompt tokens"] > 0 < told["reply tokens"]


@pytest.mark.parametrize(("limit", "canary"), [(EXAMINING, False), (30, True), (EXAMINING + TESTING, True)])
def test_a_limit_that_only_reaches_for_the_tests_is_refused_before_them(
    shards: str, tmp_path: Path, limit: int, canary: bool
) -> None:
    least = EXAMINING + TESTING * canary + 1
    with ScriptedServer() as server:
        with pytest.raises(BudgetSpent, match=f"leaves none to judge with: .*; allow {least} at least"):
            serving = quick(server, most_requests=limit, canary=canary)
            api.rate(shards, raters="vqa-yes", store=tmp_path / "store", serving=serving, workers=1)
        assert len(server.chats) == EXAMINING
        assert not (tmp_path / "store").exists()
        serving = quick(server, most_requests=least, canary=canary)
        report = api.rate(shards, raters="vqa-yes", store=tmp_path / "store", serving=serving, workers=1)
        assert report.statuses["vqa-yes"]["ok"] == report.computed == 1
        assert report.ok


def test_tokens_that_the_test_uses_up_are_no_run(shards: str, tmp_path: Path) -> None:
    with ScriptedServer() as server, pytest.raises(BudgetSpent, match="used up what the run may ask .* tokens.*--no-canary"):
        serving = quick(server, most_tokens=3000, canary=True)
        api.rate(shards, raters="vqa-yes", store=tmp_path / "store", serving=serving, workers=1)
