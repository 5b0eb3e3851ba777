"""Every fault happens on the wire, at the tries it is planned for, and comes to the status that is foretold."""

from __future__ import annotations

import http.client
import json
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from curate.asks import Ask, Turn
from curate.records import Status
from curate.testing.server import (
    HARMLESS,
    RETRIED,
    Behaviour,
    Fault,
    Plan,
    Request,
    ScriptedServer,
    distribution,
    expected,
    hash_oracle,
    listed,
    spread,
)
from tests.testing.asking import Heard, as_bytes, body_of, opened, read_response, request, yes_no

ASK = yes_no(1)
TEXT = Ask(turns=(Turn(role="user", parts=("Describe it.",)),), max_tokens=400)
QUICK = Behaviour(drip_seconds=0.2, retry_after="2")


def served(fault: Fault, *, ask: Ask = ASK, times: int = 1, permanent: bool = False) -> ScriptedServer:
    plan = Plan(faults=(fault,) * times, permanent=permanent)
    return ScriptedServer(faults=listed({Request.of(ask).key: plan}), behaviour=QUICK)


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        (Fault.RATE_LIMITED, 429, "Rate limit"),
        (Fault.RATE_LIMITED_WAIT, 429, "Rate limit"),
        (Fault.SERVER_ERROR, 500, "Internal"),
        (Fault.UNAVAILABLE, 503, "overloaded"),
        (Fault.BAD_REQUEST, 400, "cannot be processed"),
    ],
)
def test_errors(fault: Fault, status: int, said: str) -> None:
    with served(fault) as server:
        heard = request(server, body_of(ASK))
        assert heard.status == status
        assert said in heard.json["error"]["message"]
        assert heard.headers.get("retry-after") == ("2" if fault is Fault.RATE_LIMITED_WAIT else None)
        assert request(server, body_of(ASK)).status == 200
        assert [one.status for one in server.chats] == [status, 200]


def test_a_page_of_html() -> None:
    with served(Fault.BAD_GATEWAY) as server:
        heard = request(server, body_of(ASK))
    assert (heard.status, heard.headers["content-type"]) == (502, "text/html")
    assert heard.raw.startswith(b"<html>")


def test_a_hang() -> None:
    with served(Fault.HANG) as server:
        with pytest.raises(TimeoutError):
            request(server, body_of(ASK), timeout=0.2)
        assert request(server, body_of(ASK)).status == 200


def test_a_connection_closed_before_the_answer() -> None:
    with served(Fault.DROPPED) as server, pytest.raises(http.client.RemoteDisconnected):
        request(server, body_of(ASK))


def test_a_connection_reset_in_the_middle() -> None:
    with served(Fault.RESET) as server, opened(server) as sock:
        sock.sendall(as_bytes(body_of(ASK)))
        time.sleep(0.02)
        head = sock.recv(100)
        assert head.startswith(b"HTTP/1.1 200 OK")
        with pytest.raises(ConnectionResetError):
            while sock.recv(100):
                pass


def test_a_trickle_outlives_timeouts_between_reads() -> None:
    with served(Fault.TRICKLE) as server, opened(server) as sock:
        sock.settimeout(0.3)
        sock.sendall(as_bytes(body_of(ASK)))
        begun = time.monotonic()
        got = b""
        while time.monotonic() - begun < 0.6:
            got += sock.recv(1000)
        head, _, body = got.partition(b"\r\n\r\n")
        assert b"Content-Length: 1073741824" in head
        assert body.strip() == b""
        assert len(body) > 3


def test_a_drip_is_slow_and_right() -> None:
    with served(Fault.DRIP) as server:
        begun = time.monotonic()
        dripped = request(server, body_of(ASK))
        assert time.monotonic() - begun > 0.15
        assert dripped.choice == request(server, body_of(ASK)).choice


def test_half_a_document() -> None:
    with served(Fault.TRUNCATED_JSON) as server:
        heard, whole = (request(server, body_of(ASK), headers={"X-Request-Id": "same"}) for _ in range(2))
        assert heard.status == 200
        assert heard.raw == whole.raw[: len(whole.raw) // 2]
    with pytest.raises(json.JSONDecodeError):
        json.loads(heard.raw)


def test_bodies_that_lack_something() -> None:
    with served(Fault.NO_CHOICES) as server:
        assert request(server, body_of(ASK)).json["choices"] == []
    with served(Fault.NO_LOGPROBS) as server:
        choice = request(server, body_of(ASK)).choice
        assert (choice["logprobs"], choice["message"]["content"]) == (None, hash_answer())
    with served(Fault.LABEL_ABSENT) as server:
        absent = request(server, body_of(ASK)).top
        assert {word.strip() for word in absent}.isdisjoint({"Yes", "No", "yes", "no"})
        assert sum(2.718281828**log for log in absent.values()) <= 1


def hash_answer() -> str:
    logprobs = hash_oracle(Request.of(ASK, label_ids=False)).logprobs
    assert logprobs is not None
    return max(logprobs, key=logprobs.__getitem__)


def test_bodies_that_say_something_else() -> None:
    with served(Fault.REFUSAL) as server:
        message = request(server, body_of(ASK)).choice["message"]
        assert (message["content"], "sorry" in message["refusal"]) == (None, True)
    with served(Fault.REFUSAL_TEXT, ask=TEXT) as server:
        message = request(server, body_of(TEXT)).choice["message"]
        assert ("sorry" in message["content"], message["refusal"]) == (True, None)
    with served(Fault.FILTERED) as server:
        assert request(server, body_of(ASK)).choice["finish_reason"] == "content_filter"
    with served(Fault.LENGTH, ask=TEXT) as server:
        cut, whole = (request(server, body_of(TEXT)).choice for _ in range(2))
        assert (cut["finish_reason"], whole["finish_reason"]) == ("length", "stop")
        assert whole["message"]["content"].startswith(cut["message"]["content"])
    with served(Fault.WRONG_MODEL) as server:
        assert [request(server, body_of(ASK)).json["model"] for _ in range(2)] == ["another-judge", "scripted-judge"]


def test_the_answer_to_another_request() -> None:
    with served(Fault.OTHER_REQUEST) as server:
        wrong, right = (request(server, body_of(ASK), headers={"X-Request-Id": "mine"}) for _ in range(2))
    assert (wrong.status, right.json["id"]) == (200, "chatcmpl-mine")
    assert wrong.json["id"] != right.json["id"]
    assert wrong.choice != right.choice


@pytest.mark.parametrize("fault", [Fault.DUPLICATE, Fault.STRAY])
def test_an_answer_that_nobody_asked_for(fault: Fault) -> None:
    """It lies on the connection before the next request is even made, so whoever asks there again reads the wrong one."""
    another = body_of(yes_no(2))
    with served(fault) as server, opened(server) as sock:
        sock.sendall(as_bytes(body_of(ASK)))
        first = read_response(sock)
        sock.sendall(as_bytes(another))
        mistaken, late = read_response(sock), read_response(sock)
        right = request(server, another)
        assert server.completed[Request.of(ASK).key] == 1
    assert first.choice == request_choice(ASK)
    assert late.choice == right.choice != mistaken.choice
    assert (mistaken.choice == first.choice) is (fault is Fault.DUPLICATE)


def request_choice(ask: Ask) -> Any:
    with ScriptedServer() as server:
        return request(server, body_of(ask)).choice


def test_where_ids_are_not_echoed_they_are_the_servers_own() -> None:
    with ScriptedServer(behaviour=Behaviour(echoes_ids=False)) as server:
        ids = {request(server, body_of(ASK), headers={"X-Request-Id": "mine"}).json["id"] for _ in range(2)}
    assert len(ids) == 2
    assert "chatcmpl-mine" not in ids


def test_a_plan_is_kept_try_by_try() -> None:
    key = Request.of(ASK).key
    passing = listed({key: Plan(faults=(Fault.UNAVAILABLE, Fault.RATE_LIMITED))})
    lasting = listed({key: Plan(faults=(Fault.RATE_LIMITED, Fault.UNAVAILABLE), permanent=True)})
    for faults, statuses in ((passing, [503, 429, 200, 200]), (lasting, [429, 503, 503, 503])):
        with ScriptedServer(faults=faults) as server:
            assert [request(server, body_of(ASK)).status for _ in statuses] == statuses
            assert [one.attempt for one in server.chats] == [0, 1, 2, 3]
            assert sum(server.completed.values()) == statuses.count(200)


def test_faults_are_spread_by_the_key() -> None:
    keys = [Request.of(yes_no(number)).key for number in range(4000)]
    kinds = (Fault.UNAVAILABLE, Fault.HANG, Fault.LENGTH)
    faults = spread(0.3, kinds, times=2, permanent=0.25, seed=1)
    plans = [faults(key) for key in keys]
    concerned = [plan for plan in plans if plan.faults]
    assert [faults(key) for key in keys] == plans
    assert len(concerned) / len(keys) == pytest.approx(0.3, abs=0.03)
    assert sum(plan.permanent for plan in concerned) / len(concerned) == pytest.approx(0.25, abs=0.05)
    assert {len(plan.faults) for plan in concerned} == {2}
    assert min(Counter(plan.faults[0] for plan in concerned).values()) > 300
    assert [spread(0.3, kinds, seed=2)(key).faults[:1] for key in keys] != [plan.faults[:1] for plan in plans]


TRIES = 3


def plain_client(server: ScriptedServer, ask: Ask) -> Status:
    """What a client by the book makes of an ask: tries again where it can help, and takes no answer but its own."""
    for attempt in range(TRIES):
        name = f"{ask.max_tokens}-{attempt}"
        try:
            heard = request(server, body_of(ask), headers={"X-Request-Id": name}, timeout=0.5 if ask.labels else 0.6)
            status = read(ask, heard, name)
        except (OSError, http.client.HTTPException):
            continue
        if status is not None:
            return status
    return Status.API_ERROR


def read(ask: Ask, heard: Heard, name: str) -> Status | None:
    """What a response comes to; None for another try."""
    if heard.status == 400:
        return Status.API_ERROR
    try:
        answer = heard.json if heard.status == 200 else {}
    except json.JSONDecodeError:
        return None
    if answer.get("model") != "scripted-judge" or answer["id"] != f"chatcmpl-{name}" or not answer["choices"]:
        return None
    choice = heard.choice
    text = choice["message"]["content"]
    if choice["message"]["refusal"] is not None or choice["finish_reason"] == "content_filter":
        return Status.REFUSED
    if ask.labels:
        if choice["logprobs"] is None:
            return None
        wanted = distribution(hash_oracle(Request.of(ask, label_ids=False)), Request.of(ask, label_ids=False), ask.labels)
        found = {label.name: {one: heard.top[one] for one in label.spellings if one in heard.top} for label in ask.labels}
        return Status.OK if found == wanted.logprobs else Status.PARSE_ERROR
    if choice["finish_reason"] == "length":
        return Status.TRUNCATED
    return Status.OK if text == hash_oracle(Request.of(ask)).text else Status.REFUSED


@pytest.mark.parametrize("ask", [ASK, TEXT], ids=["labels", "text"])
@pytest.mark.parametrize("fault", [*Fault])
def test_what_is_foretold_comes_about(fault: Fault, ask: Ask) -> None:
    """For a fault that passes, one that stays, and one that passes too late."""
    slow = fault in (Fault.HANG, Fault.TRICKLE)
    for plan in (Plan(faults=(fault,)), Plan(faults=(fault,), permanent=True), Plan(faults=(fault,) * TRIES))[: 2 if slow else 3]:
        faults = listed({Request.of(ask).key: plan})
        with ScriptedServer(faults=faults, behaviour=replace(QUICK, drip_seconds=0.1)) as server:
            came = plain_client(server, ask)
            assert came is expected(Request.of(ask).key, faults, tries=TRIES, labels=bool(ask.labels)), plan
            assert server.asked(Request.of(ask).key) == len([one for one in server.chats if one.fault is fault]) + (
                came is Status.OK and server.chats[-1].fault is None
            )


def test_every_fault_has_an_outcome() -> None:
    for fault in Fault:
        once = listed({"key": Plan(faults=(fault,))})
        lasting = listed({"key": Plan(faults=(fault,), permanent=True)})
        for labels in (True, False):
            first, last = (expected("key", faults, tries=2, labels=labels) for faults in (once, lasting))
            if fault in RETRIED:
                assert first is Status.OK
                assert last is (Status.API_ERROR if labels or fault is not Fault.NO_LOGPROBS else Status.OK)
            elif fault in HARMLESS:
                assert (first, last) == (Status.OK, Status.OK)
            else:
                assert first is last
