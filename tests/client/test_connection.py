"""What `curate.client.connection` uses of aiohttp that aiohttp does not document: an upgrade that moves it is to fail here."""

from __future__ import annotations

import asyncio
import functools
import inspect

import aiohttp
from aiohttp.client_proto import ResponseHandler

from curate.client.connection import Connection
from curate.client.secrets import Redactor
from curate.serving import Serving
from curate.testing.server import ScriptedServer

VERSION = f"aiohttp {aiohttp.__version__}"


def test_a_connector_makes_its_connections_by_its_factory() -> None:
    async def factory() -> object:
        async with aiohttp.TCPConnector() as connector:
            return getattr(connector, "_factory", None)

    made_by = asyncio.run(factory())
    assert isinstance(made_by, functools.partial), f"{VERSION}: TCPConnector._factory is no functools.partial any more"
    assert made_by.func is ResponseHandler, f"{VERSION}: TCPConnector._factory makes no ResponseHandler any more"
    assert made_by.keywords.keys() == {"loop"}, f"{VERSION}: TCPConnector._factory is called with other arguments"
    uses = inspect.getsource(aiohttp.TCPConnector)
    assert "self._factory" in uses, f"{VERSION}: TCPConnector does not use its _factory any more"


def test_a_handler_is_asked_whether_it_is_connected_and_told_of_each_request() -> None:
    for name in ("set_response_params", "is_connected", "should_close"):
        assert hasattr(ResponseHandler, name), f"{VERSION}: ResponseHandler.{name} is gone"
    assert isinstance(inspect.getattr_static(ResponseHandler, "should_close"), property), f"{VERSION}: should_close is a method"
    pool = inspect.getsource(aiohttp.BaseConnector)
    assert "is_connected()" in pool, f"{VERSION}: the pool does not ask a connection any more whether it is_connected"


def test_a_payload_of_bytes_holds_its_value_and_its_size() -> None:
    payload = aiohttp.BytesPayload(b"four")
    assert getattr(payload, "_value", None) == b"four", f"{VERSION}: BytesPayload._value is gone"
    assert getattr(payload, "_size", None) == 4, f"{VERSION}: BytesPayload._size is gone"
    assert payload.size == 4


def test_a_connection_is_used_again_only_when_its_answer_was_kept() -> None:
    """All of it together: `ClientResponse._protocol` is the handler that the factory made, and the pool asks it."""

    async def connections(url: str, kept: bool) -> int:
        async with Connection(Serving(url=url), None, Redactor()) as connection:
            for number in range(4):
                response = await connection.chat(CHAT, seconds=5.0, request_id=f"r{number}")
                assert response.status == 200
                if kept:
                    response.keep()
        return 4

    for kept, expected in ((True, 1), (False, 4)):
        with ScriptedServer() as server:
            asyncio.run(connections(server.url, kept))
            used = {one.connection for one in server.chats}
        assert len(used) == expected, f"{VERSION}: ClientResponse._protocol, or what the pool asks of it, has changed"


CHAT = b'{"model":"scripted-judge","messages":[{"role":"user","content":"Say hello."}],"max_tokens":4}'
