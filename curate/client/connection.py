"""HTTP to one server, by aiohttp: what is sent, within which time, and what comes back whole. No redirects, no cookies."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import select
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

from curate.client.answers import Response
from curate.client.secrets import Redactor, Secret
from curate.errors import MissingExtra, ServerError
from curate.serving import Serving

try:
    import aiohttp
    from aiohttp.client_proto import ResponseHandler
    from yarl import URL
except ModuleNotFoundError as problem:
    raise MissingExtra("asking a server", "vlm", problem) from problem

MOST_ANSWER = 16 << 20
"""Bytes of a response; no judge says more."""

LOOK_SECONDS = 20.0
"""For what is answered without a model: which are served, which version, how a word is tokenized."""

IDLE_SECONDS = 4.0
"""How long an idle connection is kept: uvicorn, under most servers, closes it after five, whatever is on its way then."""


class NoResponse(Exception):
    """A request that brought nothing back."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        """`connect`, where the request was not even sent, `timeout`, `disconnected`, `too_large`."""
        self.detail = detail


class Connection:
    """Open connections to a server; an asynchronous context."""

    def __init__(self, serving: Serving, key: Secret | None, redactor: Redactor) -> None:
        """Raises `ServerError` for an address that is none."""
        self.url = checked_url(serving.url)
        self.redact = redactor
        self.sends_key = key is not None
        self._chat = URL(f"{self.url}/chat/completions")
        self._root = self.url.removesuffix("/v1")
        self._connect_seconds = serving.connect_seconds
        self._headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key.reveal()}"
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS)
        handler = functools.partial(_Handler, loop=asyncio.get_running_loop())
        connector._factory = cast(functools.partial[ResponseHandler], handler)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def chat(self, body: bytes, *, seconds: float, request_id: str) -> Response:
        """Send a chat request and read the answer, within so many seconds. Raises `NoResponse`."""
        return await self._exchange("POST", self._chat, seconds, body, {"X-Request-Id": request_id})

    async def look(self, path: str, document: object = None, *, beside: bool = False) -> Response:
        """Ask something else of the server: a GET, or a POST of a document. `beside` the version's folder rather than in it."""
        url = URL((self._root if beside else self.url) + path)
        body = None if document is None else json.dumps(document).encode()
        response = await self._exchange("GET" if body is None else "POST", url, LOOK_SECONDS, body, {})
        response.keep()
        return response

    async def _exchange(self, method: str, url: URL, seconds: float, body: bytes | None, headers: dict[str, str]) -> Response:
        data = None if body is None else _Body(body)
        try:
            async with self._session.request(
                method, url, data=data, headers=headers, timeout=self._timeout(seconds), allow_redirects=False
            ) as response:
                handler = cast(_Handler, response._protocol)
                return Response(response.status, response.headers, await _read(response), handler.keep)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as problem:
            raise NoResponse("connect", self._words(problem)) from None
        except TimeoutError:
            raise NoResponse("timeout", f"no answer within {seconds:g} s") from None
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, ValueError) as problem:
            raise NoResponse("disconnected", self._words(problem)) from None

    def _timeout(self, seconds: float) -> aiohttp.ClientTimeout:
        timeout = self._timeouts.get(seconds)
        if timeout is None:
            timeout = self._timeouts[seconds] = aiohttp.ClientTimeout(total=seconds, sock_connect=self._connect_seconds)
        return timeout

    def _words(self, problem: Exception) -> str:
        """What an exception of the network says, without what it should not."""
        if isinstance(problem, aiohttp.ClientConnectorError):
            return problem.strerror or problem.os_error.strerror or "no connection"
        return self.redact(str(problem))[:200] or type(problem).__name__


class _Handler(ResponseHandler):
    """One connection; used again only where the answer on it was known to be the right one, and nothing else came on it.

    Else the second of two answers would be taken for that to the next request, the answer to that for one to the request after
    it, and a server that has just closed the connection for one that fails. aiohttp asks `is_connected` before it takes a
    connection from its pool, into which it puts each as soon as an answer is complete.
    """

    _kept = False

    def keep(self) -> None:
        """The answer was the right one."""
        self._kept = True

    def set_response_params(self, **parameters: Any) -> None:
        """Called by aiohttp before each request."""
        self._kept = False
        super().set_response_params(**parameters)

    def is_connected(self) -> bool:
        return super().is_connected() and self._kept and not self.should_close and not self._has_more()

    def _has_more(self) -> bool:
        """Whether there is something to read, the end included."""
        sock = None if self.transport is None else self.transport.get_extra_info("socket")
        if sock is None:
            return True
        waiting = select.poll()
        waiting.register(sock.fileno(), select.POLLIN)
        return bool(waiting.poll(0))


class _Body(aiohttp.BytesPayload):
    """Bytes of any length; aiohttp warns of long ones, since some callers hold up their event loop by making them."""

    def __init__(self, value: bytes) -> None:
        super().__init__(b"")
        self._value = value
        self._size = len(value)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The whole body; never more than `MOST_ANSWER` bytes of it in memory."""
    chunks = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MOST_ANSWER:
            response.close()
            raise NoResponse("too_large", f"the answer has more than {MOST_ANSWER:,} bytes")
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def without_version(url: str) -> str:
    """What to say of an address where nothing was found that should be there: most often its version is missing."""
    return "" if re.search(r"/v\d+\w*$", url) else "; is /v1 missing at its end?"


def checked_url(url: str) -> str:
    """An address without the slash at its end; raises `ServerError` for what is not one of a server."""
    try:
        parts = urlsplit(url)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
        parts = urlsplit("")
    if not whole:
        raise ServerError("the address of a server begins with http:// or https:// and a host, as in http://127.0.0.1:8000/v1")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ServerError("the address of a server holds no user, password or query; put the key into an environment variable")
    return url.rstrip("/")
