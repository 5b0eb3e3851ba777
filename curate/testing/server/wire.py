"""As much of HTTP/1.1 as a server for tests needs, without a framework: thousands of requests a second on one core."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

MOST_HEAD = 64 << 10
"""Bytes of a request's line and headers."""

MOST_BODY = 1 << 30

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER on, with no time: closing sends a reset."""


@dataclass(frozen=True, slots=True)
class Message:
    """A request, complete."""

    method: str
    path: str
    headers: Mapping[str, str]
    """By name in small letters."""
    body: bytes


class BadMessage(Exception):
    """Bytes after which nothing more can be read from a connection."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


Serve = Callable[["Connection", Message], Awaitable[None]]


class Connection(asyncio.Protocol):
    """One connection of a client: its requests are answered one after the other."""

    def __init__(self, number: int, serve: Serve, lost: Callable[[Connection], None]) -> None:
        self.number = number
        self._transport: asyncio.Transport | None = None
        self._broken = False
        self._serve = serve
        self._lost = lost
        self._buffer = bytearray()
        self._head: tuple[str, str, dict[str, str]] | None = None
        self._task: asyncio.Task[None] | None = None
        self._last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._broken:
            self.reset()

    def connection_lost(self, _: Exception | None) -> None:
        self._lost(self)
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None:
            self._next()

    @property
    def transport(self) -> asyncio.Transport:
        """Where answers are written to; there is one before the first request is."""
        assert self._transport is not None
        return self._transport

    @property
    def alive(self) -> bool:
        """Whether what is sent may still arrive."""
        return not self.transport.is_closing()

    def send(self, status: int, body: bytes, *, kind: str = "application/json", more: str = "", keep: bool = True) -> None:
        """A response; `more` are further headers, each with its line end. `keep` is whether more may be asked after it."""
        self.transport.write(response(status, body, kind=kind, more=more, keep=keep and not self._last))
        if self._last or not keep:
            self.transport.close()

    def reset(self) -> None:
        """Break off, so that the client's next read fails; at once, or as soon as there is a transport."""
        self._broken = True
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self._transport.abort()

    def _next(self) -> None:
        """Begin with the next request if it is there."""
        try:
            message = self._message()
        except BadMessage as problem:
            self.send(problem.status, f'{{"error": {{"message": "{problem}"}}}}'.encode(), keep=False)
            return
        if message is not None:
            self._task = asyncio.get_running_loop().create_task(self._answer(message))

    async def _answer(self, message: Message) -> None:
        await self._serve(self, message)
        self._task = None
        if self.alive:
            self._next()

    def _message(self) -> Message | None:
        """The next request, taken from the buffer; None while it is not complete."""
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n", 0, MOST_HEAD)
            if end < 0:
                if len(self._buffer) >= MOST_HEAD:
                    raise BadMessage(431, "the headers are too large")
                return None
            self._head = _head(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
            if self._head[2].get("expect") == "100-continue":
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        method, path, headers = self._head
        length = _length(headers)
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._head = None
        self._last = headers.get("connection", "").lower() == "close"
        return Message(method, path, headers, body)


def response(status: int, body: bytes, *, kind: str = "application/json", more: str = "", keep: bool = True) -> bytes:
    """The bytes of a response."""
    return response_head(status, len(body), kind=kind, more=more if keep else f"{more}Connection: close\r\n") + body


def response_head(status: int, length: int, *, kind: str = "application/json", more: str = "") -> bytes:
    """The bytes before a body of that length."""
    first = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n"
    return f"{first}{more}\r\n".encode("latin-1")


def _head(data: bytes) -> tuple[str, str, dict[str, str]]:
    """Method, path and headers."""
    first, *lines = data.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] != "HTTP/1.1":
        raise BadMessage(400, "this is not a request of HTTP/1.1")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadMessage(400, "a header has no colon")
        headers[name.lower()] = value.strip()
    return words[0], words[1], headers


def _length(headers: Mapping[str, str]) -> int:
    """How long the body is."""
    if "transfer-encoding" in headers or "content-encoding" in headers:
        raise BadMessage(411, "bodies are sent as they are, with a Content-Length")
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise BadMessage(400, "Content-Length is no number")
    if int(length) > MOST_BODY:
        raise BadMessage(413, f"the body is larger than {MOST_BODY} bytes")
    return int(length)
