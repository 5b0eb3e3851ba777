"""Asks, and a client as plain as can be: one request, whatever comes of it."""

from __future__ import annotations

import base64
import http.client
import io
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from curate.asks import Ask, Label, Picture, Turn
from curate.testing.server import ScriptedServer

YES_NO = (Label(name="yes", spellings=("Yes", " yes")), Label(name="no", spellings=("No", " no")))


def encoded(colour: tuple[int, int, int], kind: str = "PNG", size: tuple[int, int] = (6, 4)) -> Picture:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    mime = "image/png" if kind == "PNG" else "image/jpeg"
    return Picture(data=buffer.getvalue(), mime=mime, width=size[0], height=size[1])  # type: ignore[arg-type]


def yes_no(number: int = 0, *pictures: Picture) -> Ask:
    """A question for a distribution over yes and no."""
    return Ask(
        turns=(Turn(role="user", parts=(*pictures, f"Question {number}: does it match? Answer yes or no.")),), labels=YES_NO
    )


def data_url(picture: Picture) -> str:
    return f"data:{picture.mime};base64,{base64.b64encode(picture.data).decode()}"


def body_of(ask: Ask, **more: object) -> dict[str, Any]:
    """The request for an ask, with fields changed, or left out where they are None."""
    messages = [
        {
            "role": turn.role,
            "content": [
                {"type": "text", "text": part}
                if isinstance(part, str)
                else {"type": "image_url", "image_url": {"url": data_url(part)}}
                for part in turn.parts
            ],
        }
        for turn in ask.turns
    ]
    fields: dict[str, Any] = {
        "model": "scripted-judge",
        "messages": messages,
        "max_tokens": ask.max_tokens,
        "temperature": ask.temperature,
        "seed": ask.seed,
    }
    if ask.labels:
        fields |= {"logprobs": True, "top_logprobs": 20}
    return {name: value for name, value in (fields | more).items() if value is not None}


@dataclass(frozen=True)
class Heard:
    """A response."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def choice(self) -> Any:
        return self.json["choices"][0]

    @property
    def top(self) -> dict[str, float]:
        """The alternatives of the first token."""
        return {one["token"]: one["logprob"] for one in self.choice["logprobs"]["content"][0]["top_logprobs"]}


def port_of(server: ScriptedServer) -> int:
    return int(server.address.rsplit(":", 1)[1])


def request(
    server: ScriptedServer,
    body: object = None,
    *,
    path: str = "/v1/chat/completions",
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
) -> Heard:
    """One request on a connection of its own: POST where there is a body. The timeout is for all of it."""
    end = time.monotonic() + timeout
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=timeout)
    try:
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request("GET" if data is None else "POST", path, data, dict(headers or {}))
        response = connection.getresponse()
        raw = b""
        while chunk := response.read1(1 << 16):
            raw += chunk
            if time.monotonic() > end:
                raise TimeoutError("the answer takes too long")
        if len(raw) < int(response.getheader("content-length") or 0):
            raise http.client.IncompleteRead(raw)
        return Heard(response.status, {name.lower(): value for name, value in response.getheaders()}, raw)
    finally:
        connection.close()


def opened(server: ScriptedServer) -> socket.socket:
    """A connection on which to write and read bytes."""
    return socket.create_connection(("127.0.0.1", port_of(server)), timeout=10)


def as_bytes(body: object, *, path: str = "/v1/chat/completions") -> bytes:
    """A request as it goes over the wire."""
    data = json.dumps(body).encode()
    return f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


def read_response(sock: socket.socket) -> Heard:
    """The next response on a connection; `http.client` reads ahead, so this takes byte by byte what belongs to it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        got = sock.recv(1)
        if not got:
            raise ConnectionError(f"closed after {head!r}")
        head += got
    first, *lines = head.decode().strip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    raw = b""
    while len(raw) < int(headers["content-length"]):
        got = sock.recv(int(headers["content-length"]) - len(raw))
        if not got:
            raise ConnectionError(f"closed after {len(raw)} bytes")
        raw += got
    return Heard(int(first.split(" ")[1]), headers, raw)
