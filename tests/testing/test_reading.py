"""What is no request is an error that says why."""

from __future__ import annotations

import base64

import pytest

from curate.testing.server import ScriptedServer
from tests.testing.asking import body_of, data_url, encoded, opened, read_response, request, yes_no

RED = encoded((255, 0, 0))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "another"}, "does not exist"),
        ({"messages": None}, "at least one message"),
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "user"}]}, "a text or a list of parts"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "no role"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "not well formed"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "more": 1}]}]}, "not well formed"),
        (
            {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": data_url(RED)}}]}]},
            "shows no pictures",
        ),
        ({"temprature": 1}, "unknown fields: temprature"),
        ({"max_tokens": 0, "max_completion_tokens": None}, "at least 1"),
        ({"max_tokens": "12"}, "wrong type"),
        ({"seed": True}, "wrong type"),
        ({"n": 2}, "one choice"),
        ({"stream": True}, "no stream"),
        ({"logprobs": None}, "need logprobs: true"),
        ({"top_logprobs": 21}, "greater than 20"),
        ({"logprob_token_ids": [10**6]}, "no token of the vocabulary"),
        ({"structured_outputs": {"choice": ["a"], "regex": "b"}}, "exactly one"),
        ({"structured_outputs": {"choice": []}}, "no list of texts"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "needs a name"),
        ({"response_format": {"type": "xml"}}, "no type"),
    ],
)
def test_requests_that_are_wrong(change: dict[str, object], said: str) -> None:
    body = body_of(yes_no(), **change)
    with ScriptedServer() as server:
        heard = request(server, body)
        assert heard.status == (404 if "model" in change else 400)
        assert said in heard.json["error"]["message"]
        assert server.chats[0].status == heard.status
        assert not server.completed


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://example.com/cat.png", "sent as data URLs"),
        ("file:///etc/passwd", "sent as data URLs"),
        ("data:image/png,plain", "sent as data URLs"),
        ("data:image/png;base64,###", "not base64"),
        ("data:image/png;base64," + base64.b64encode(b"no picture").decode(), "is not image/png"),
        (data_url(RED).replace("png", "jpeg"), "is not image/jpeg"),
        (data_url(RED).replace("png", "gif"), "type image/gif are not taken"),
        ("data:image/png;base64," + base64.b64encode(RED.data[:-30]).decode(), "cannot be decoded"),
    ],
)
def test_pictures_that_are_wrong(url: str, said: str) -> None:
    body = body_of(yes_no(1, RED))
    body["messages"][0]["content"][0]["image_url"]["url"] = url
    with ScriptedServer() as server:
        heard = request(server, body)
    assert (heard.status, said in heard.json["error"]["message"]) == (400, True), heard.json


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b'{"model": NaN}', b'{"model": "a", "model": "b"}', b"[" * 100_000, b'"\xff"'],
    ids=lambda one: one[:12],
)
def test_bodies_that_are_no_request(data: bytes) -> None:
    with ScriptedServer() as server:
        assert request(server, data).status == 400


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /version HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST /x HTTP/1.1\r\nContent-Length: 2000000000\r\n\r\n", 413),
        (b"GET /x HTTP/1.1\r\nA: " + b"a" * 70_000, 431),
    ],
)
def test_bytes_that_are_no_http(data: bytes, status: int) -> None:
    with ScriptedServer() as server, opened(server) as sock:
        sock.sendall(data)
        assert read_response(sock).status == status
        assert sock.recv(10) == b""  # nothing more can be said on this connection
