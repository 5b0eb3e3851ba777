"""The scripted server answers by the protocol, checks what it is asked, remembers it, and goes away and comes back."""

from __future__ import annotations

import base64
import http.client
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from curate.asks import Ask, Label, Turn
from curate.testing.server import Behaviour, Fault, Plan, Request, ScriptedServer, listed
from tests.testing.asking import as_bytes, body_of, encoded, opened, port_of, read_response, request, yes_no

RED = encoded((255, 0, 0))


def test_the_pages_of_a_server() -> None:
    with ScriptedServer(behaviour=Behaviour(model="a/judge", version="1.2.3")) as server:
        assert server.url == f"{server.address}/v1"
        models = request(server, path="/v1/models").json
        assert [(one["id"], one["owned_by"]) for one in models["data"]] == [("a/judge", "vllm")]
        assert request(server, path="/version").json == {"version": "1.2.3"}
        assert request(server, path="/v1/nothing").status == 404
        assert request(server, path="/v1/chat/completions").status == 404  # a GET
        server.behaviour = replace(server.behaviour, version=None, tokenizer=False)
        assert request(server, path="/version").status == 404
        assert request(server, {"prompt": "x"}, path="/tokenize").status == 404


def test_requests_one_after_the_other_and_in_pieces_on_one_connection() -> None:
    bodies = [as_bytes(body_of(yes_no(number, RED))) for number in range(3)]
    with ScriptedServer() as server, opened(server) as sock:
        stream = b"".join(bodies)
        for at in range(0, len(stream), 97):
            sock.sendall(stream[at : at + 97])
        heard = [read_response(sock) for _ in bodies]
        assert [one.status for one in heard] == [200, 200, 200]
        assert server.connections == 1
        assert [one.key for one in server.chats] == [Request.of(yes_no(number, RED)).key for number in range(3)]


def test_everything_is_recorded_but_bytes_of_pictures_and_keys() -> None:
    ask = yes_no(3, RED)
    with ScriptedServer(behaviour=Behaviour(key="sk-secret")) as server:
        assert request(server, body_of(ask)).status == 401
        assert request(server, body_of(ask), headers={"Authorization": "Bearer sk-secrets"}).status == 401
        for _ in range(2):
            assert request(server, body_of(ask), headers={"Authorization": "Bearer sk-secret"}).status == 200
        assert request(server, path="/version").status == 200  # as with vLLM, the key guards what lies below /v1
        key = Request.of(ask).key
        assert (server.asked(key), server.asked("another"), server.completed) == (2, 0, {key: 2})
        assert [one.status for one in server.requests] == [401, 401, 200, 200, 200]
        assert [one.attempt for one in server.chats[2:]] == [0, 1]
        last = server.chats[-1]
        assert last.done is not None
        assert last.at <= last.done
        content = last.body["messages"][0]["content"]  # type: ignore[index]
        assert content[0]["image_url"]["url"] == f"sha256:{RED.digest}"
        assert "sk-secret" not in repr(server.requests)
        assert base64.b64encode(RED.data).decode() not in repr(server.requests)


def test_servers_that_know_less() -> None:
    ask = yes_no(6)
    with ScriptedServer() as server:
        ids = [request(server, {"prompt": word}, path="/tokenize").json["tokens"][0] for word in ("Yes", " no")]
        by_ids = body_of(ask, logprob_token_ids=ids, top_logprobs=5)
        server.behaviour = Behaviour(logprobs="ignored")
        assert request(server, body_of(ask)).choice["logprobs"] is None
        server.behaviour = Behaviour(logprobs="rejected")
        assert "logprobs is not supported" in request(server, body_of(ask)).json["error"]["message"]
        server.behaviour = Behaviour(label_ids="ignored")
        assert len(request(server, by_ids).top) == 5
        server.behaviour = Behaviour(label_ids="rejected")
        assert request(server, by_ids).status == 400
        server.behaviour = Behaviour(schemas="rejected")
        assert request(server, body_of(ask, structured_outputs={"json": {"type": "integer"}})).status == 400
        server.behaviour = Behaviour(most_pictures=1)
        assert request(server, body_of(yes_no(6, RED))).status == 200
        server.behaviour = Behaviour(most_pictures=1, most_bytes=400)
        assert request(server, body_of(yes_no(6, RED, RED))).status == 413
        server.behaviour = Behaviour(most_pictures=1)
        assert "At most 1" in request(server, body_of(yes_no(6, RED, RED))).json["error"]["message"]


def test_a_mask_makes_labels_certain() -> None:
    """What a grammar does to log-probabilities, and a list of allowed tokens does not."""

    ask = replace(yes_no(7), turns=(Turn(role="user", parts=("What is the capital of France?",)),))
    with ScriptedServer() as server:
        ids = [request(server, {"prompt": word}, path="/tokenize").json["tokens"][0] for word in ("Yes", " no")]
        honest = request(server, body_of(ask, allowed_token_ids=ids))
        choice = request(server, body_of(ask, structured_outputs={"choice": ["Yes", " no"]}))
        server.behaviour = Behaviour(masked_to=("Yes", " no"))
        forced = [request(server, body_of(ask, **more)) for more in ({}, {"logprob_token_ids": ids})]
    assert honest.choice["message"]["content"] in ("Yes", " no")
    assert sum(math.exp(honest.top.get(one, -40.0)) for one in ("Yes", " no")) < 0.25
    for one in (choice, *forced):
        assert one.choice["message"]["content"] in ("Yes", " no")
        assert sum(map(math.exp, one.top.values())) == pytest.approx(1, abs=1e-5)


def test_a_cache_that_mixes_pictures_up() -> None:
    colours = {"red": RED, "blue": encoded((0, 0, 255))}
    labels = tuple(Label(name=name, spellings=(name,)) for name in colours)
    with ScriptedServer(behaviour=Behaviour(mixes_pictures=4)) as server:
        said = []
        for number in range(8):
            name = ("red", "blue")[number % 2]
            ask = Ask(turns=(Turn(role="user", parts=(f"{number}: which colour?", colours[name])),), labels=labels)
            said.append(request(server, body_of(ask)).choice["message"]["content"] == name)
    assert said == [True, True, True, False] * 2


def test_a_model_that_is_swapped() -> None:
    with ScriptedServer(behaviour=Behaviour(swaps_after=2, swaps_to="impostor")) as server:
        heard = [request(server, body_of(yes_no(number))).json["model"] for number in range(3)]
        assert heard == ["scripted-judge", "scripted-judge", "impostor"]
        assert request(server, path="/v1/models").json["data"][0]["id"] == "impostor"


def test_a_key_that_expires() -> None:
    with ScriptedServer(behaviour=Behaviour(refuses_key_after=2)) as server:
        assert [request(server, body_of(yes_no(number))).status for number in range(4)] == [200, 200, 401, 401]


def test_a_server_that_goes_away_and_comes_back() -> None:
    with ScriptedServer(behaviour=Behaviour(leaves_after=1, leaves_for=0.4)) as server, opened(server) as sock:
        assert request(server, body_of(yes_no(1))).status == 200
        time.sleep(0.1)
        with pytest.raises(ConnectionRefusedError):
            request(server, body_of(yes_no(2)))
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
        time.sleep(0.6)
        assert request(server, body_of(yes_no(2))).status == 200


def test_stopped_and_started_on_the_same_port() -> None:
    server = ScriptedServer()
    with server:
        port = port_of(server)
        assert request(server, body_of(yes_no(1))).status == 200
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            request(server, body_of(yes_no(1)))
        server.start()
        assert port_of(server) == port
        assert request(server, body_of(yes_no(1))).status == 200
        assert server.asked(Request.of(yes_no(1)).key) == 2
    with ScriptedServer(port=port), pytest.raises(RuntimeError, match=f"port {port}"):
        server.start()
    assert not [one for one in threading.enumerate() if one.name == "scripted-server"]


def test_slots_and_latency() -> None:
    """Twelve answers of 50 ms in four slots take three times as long as one."""
    with ScriptedServer(behaviour=Behaviour(latency=0.05, slots=4)) as server, ThreadPoolExecutor(12) as pool:
        begun = time.monotonic()
        assert {one.status for one in pool.map(lambda number: request(server, body_of(yes_no(number))), range(12))} == {200}
        assert 0.15 <= time.monotonic() - begun < 1.5
        assert server.busiest > 4
        done = [one.done or 0.0 for one in server.chats]
        assert max(done) - server.chats[0].at >= 0.15


def test_an_answer_nobody_waits_for_is_not_counted() -> None:
    ask = yes_no(1)
    with ScriptedServer(behaviour=Behaviour(latency=0.3)) as server:
        with pytest.raises(TimeoutError):
            request(server, body_of(ask), timeout=0.1)
        time.sleep(0.4)
        assert (server.asked(Request.of(ask).key), dict(server.completed), server.chats[0].status) == (1, {}, None)


def test_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "curate.testing.server", "--fault-share", "1", "--fault-kinds", "500", "--key", "k"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": ""}) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        host, port = re.fullmatch(r"http://(127\.0\.0\.1):(\d+)/v1", url).groups()  # type: ignore[union-attr]
        connection = http.client.HTTPConnection(host, int(port))
        statuses = []
        for _ in range(2):
            connection.request("POST", "/v1/chat/completions", json.dumps(body_of(yes_no())), {"Authorization": "Bearer k"})
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
        connection.request("GET", "/scripted/counts")
        counts = json.loads(connection.getresponse().read())
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert statuses == [500, 200]
    assert {name: counts[name] for name in ("chats", "keys", "answers", "repeated")} == {
        "chats": 2,
        "keys": 1,
        "answers": 1,
        "repeated": 0,
    }
    assert counts["faults"] == {Fault.SERVER_ERROR.value: 1}


def test_no_faults_where_none_are_planned() -> None:
    key = Request.of(yes_no(1)).key
    with ScriptedServer(faults=listed({key: Plan(faults=(Fault.UNAVAILABLE,))})) as server:
        assert [request(server, body_of(yes_no(number))).status for number in (0, 1, 1)] == [200, 503, 200]
        assert [one.fault for one in server.chats] == [None, Fault.UNAVAILABLE, None]
