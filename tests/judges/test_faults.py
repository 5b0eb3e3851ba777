"""Judges over a server with whom everything goes wrong: the table is the oracle's, and nothing is asked twice.

One run with all faults mixed in the ordinary tests, one of 1,000 samples for each kind with `make soak`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from curate import api
from curate.client.backend import ServerBackend
from curate.client.retries import Retrying
from curate.records import Status
from curate.serving import Serving
from curate.testing.server import RETRIED, Behaviour, Fault, Faults, Plan, Request, ScriptedServer, expected, spread
from tests.judges.numbered import (
    Witness,
    about,
    mark_values,
    quick,
    ratings,
    text_card,
    write_numbered,
    yes_no_values,
)

SAMPLES = 1000

TRIES = 3

SECONDS = 3.0
"""For an answer, where some never come; long enough for all that do come, on a machine that does other work besides."""

QUICK = Behaviour(drip_seconds=0.1, retry_after="0")

SLOW = (Fault.HANG, Fault.TRICKLE)
"""Each costs a timeout."""

UNASKED = (Fault.DUPLICATE, Fault.STRAY)
"""Each may cost whoever asks next on that connection a try, so how often anything is asked is not known beforehand."""

MIXED = (*(sorted(set(Fault) - {*SLOW, *UNASKED}) * 10), *SLOW)

VQA = ("match", "yes_full", "p_mass")

Values = Callable[[Request], Mapping[str, float]]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_numbered(tmp_path_factory.mktemp("shards") / "all", SAMPLES)


@pytest.fixture(scope="module")
def examining() -> frozenset[str]:
    """Keys of the questions by which a server is examined: with these nothing goes wrong here."""
    with ScriptedServer() as server:
        ServerBackend(quick(server)).close()
        return frozenset(server.tries)


def serving_of(server: ScriptedServer, seconds: float = SECONDS) -> Serving:
    """A client that waits so long for an answer, and tries little."""
    return quick(server, total_seconds=seconds, most_tries=TRIES)


def assert_is_the_oracles(store: Path, rater: str, witness: Witness, faults: Faults, *, labels: bool, values: Values) -> None:
    """Every sample has the value that the script says, or none and the status that its fault comes to."""
    rows = ratings(store, rater)
    requests = witness.requests[labels]
    assert requests.keys() == set(range(SAMPLES))
    assert len(rows) == SAMPLES * (len(VQA) if labels else 1)
    for (number, dimension), row in rows.items():
        request = requests[number]
        status = expected(request.key, faults, tries=TRIES, labels=labels)
        assert row["status"] == status, (number, row["detail"], faults(request.key))
        if status is Status.OK:
            assert row["value"] == pytest.approx(values(request)[dimension], abs=1e-9)
        else:
            assert row["value"] is None


def assert_asked_as_needed(server: ScriptedServer, requests: Sequence[Request], faults: Faults, *, labels: bool) -> None:
    """Each request as often as its faults make necessary, and never again once it was answered."""
    for request in requests:
        fault, plan = None, faults(request.key)
        for attempt in range(TRIES):
            fault = plan.at(attempt)
            if fault not in RETRIED or (fault is Fault.NO_LOGPROBS and not labels):
                break
        assert server.asked(request.key) == attempt + 1, plan
        assert server.completed[request.key] <= 1, plan
    spare = Retrying()
    assert about(server, requests) <= len(requests) + spare.least + spare.share * len(requests)


def check(shards: str, place: Path, faults: Faults, cards: Sequence[str], seconds: float = SECONDS) -> Counter[str]:
    """Rate twice, and compare; gives the statuses that came about."""
    witness = Witness()
    with ScriptedServer(witness, faults=faults, behaviour=QUICK, bodies=False) as server:
        report = api.rate(shards, raters=cards, store=place, serving=serving_of(server, seconds), workers=1)
        assert not witness.mistaken
        for labels, rater, values in ((True, "vqa-yes", yes_no_values), (False, "marks", mark_values)):
            if rater in report.raters:
                assert_is_the_oracles(place, rater, witness, faults, labels=labels, values=values)
                requests = list(witness.requests[labels].values())
                assert_asked_as_needed(server, requests, faults, labels=labels)
                assert report.told[rater]["requests"] == about(server, requests)
        chats = len(server.chats)
        again = api.rate(shards, raters=cards, store=place, serving=serving_of(server, seconds), workers=1)
        assert again.computed == 0
        assert len(server.chats) == chats, "a finished run asks nothing"
        assert again.statuses == report.statuses
    return sum(report.statuses.values(), Counter())


def sparing(keys: frozenset[str], faults: Faults) -> Faults:
    """Faults for all requests but these."""
    return lambda key: Plan() if key in keys else faults(key)


@pytest.mark.slow
def test_every_sample_gets_the_oracles_value_or_the_status_of_its_fault(
    shards: str, examining: frozenset[str], tmp_path: Path
) -> None:
    """Three of four requests are in trouble, of every kind there is, some for good; two judges ask at the same time."""
    faults = sparing(examining, spread(0.75, MIXED, times=2, permanent=0.25))
    statuses = check(shards, tmp_path / "store", faults, ["vqa-yes", text_card(tmp_path)])
    assert statuses.keys() == {"ok", "api_error", "refused", "truncated", "parse_error"}
    assert all(count > 20 for count in statuses.values()), statuses


def test_answers_that_nobody_asked_for_are_taken_for_nobodys(shards: str, tmp_path: Path) -> None:
    """After one answer in ten comes another, which whoever asks next there may read: it costs that one a try, and no more."""
    faults, behaviour = spread(0.1, UNASKED), Behaviour(latency=0.02)  # so that an answer is on its way while others ask
    with ScriptedServer(witness := Witness(), faults=faults, behaviour=behaviour, bodies=False) as server:
        serving = replace(serving_of(server), most_tries=6, concurrency=8)
        report = api.rate(shards.replace("*", "00[0-3]*"), raters="vqa-yes", store=tmp_path / "store", serving=serving, workers=1)
        unasked = sum(one.fault in UNASKED for one in server.chats)
    assert report.statuses["vqa-yes"] == {"ok": 400}
    requests = witness.requests[True]
    for (number, dimension), row in ratings(tmp_path / "store", "vqa-yes").items():
        assert row["value"] == pytest.approx(yes_no_values(requests[number])[dimension], abs=1e-9)
    assert about(server, requests.values()) <= 400 + unasked


@pytest.mark.soak
@pytest.mark.parametrize("card", ["vqa-yes", "marks"])
@pytest.mark.parametrize("fault", sorted(set(Fault) - {*UNASKED}))
def test_every_kind_of_fault_by_itself(shards: str, examining: frozenset[str], tmp_path: Path, fault: Fault, card: str) -> None:
    """It happens to every other request, twice, and to a few for good."""
    faults = sparing(examining, spread(0.5, [fault], times=2, permanent=0.1))
    seconds = SECONDS if fault in SLOW else 60.0
    statuses = check(shards, tmp_path / "store", faults, [text_card(tmp_path) if card == "marks" else card], seconds)
    assert statuses["ok"] >= SAMPLES // 3
