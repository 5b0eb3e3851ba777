"""Who stands behind an address: lists of models, good and odd, and addresses where no such server is."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from curate.client import connection as connecting
from curate.client.backend import ServerBackend
from curate.client.connection import Connection, NoResponse
from curate.client.identity import Served, chosen, software, still_there
from curate.client.probe import only_model
from curate.client.secrets import Redactor
from curate.errors import ServerError
from curate.serving import Serving
from curate.testing.server import ScriptedServer

Pages = dict[str, tuple[int, Mapping[str, str], bytes]]


@pytest.fixture
def pages() -> Iterator[tuple[str, Pages]]:
    """The address of a plain web server, and what it shows."""
    shown: Pages = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = shown.get(self.path, (404, {}, b"no such page"))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1", shown
        server.shutdown()
        thread.join()


def listing(*entries: object) -> tuple[int, Mapping[str, str], bytes]:
    return 200, {}, json.dumps({"data": entries}).encode()


def found(serving: Serving) -> Served:
    async def ask() -> Served:
        async with Connection(serving, None, Redactor()) as connection:
            return await chosen(connection, serving)

    return asyncio.run(ask())


def test_one_of_several_has_to_be_named(pages: tuple[str, Pages]) -> None:
    url, shown = pages
    shown["/v1/models"] = listing({"id": "b", "root": "org/b", "owned_by": "vllm"}, {"id": "a", "root": 7}, {"no": "id"}, "x")
    with pytest.raises(ServerError, match="serves 2 models; name the one to ask: a, b"):
        found(Serving(url=url))
    assert found(Serving(url=url, model="b")) == Served(name="b", owner="vllm", root="org/b")
    assert found(Serving(url=url, model="a")) == Served(name="a")
    shown["/v1/models"] = listing()
    with pytest.raises(ServerError, match="serves 0 models; name the one to ask: none"):
        only_model(Serving(url=url))


def test_a_server_without_a_list_is_taken_at_its_word(pages: tuple[str, Pages]) -> None:
    url, _ = pages
    assert found(Serving(url=url, model="named")) == Served(name="named")
    with pytest.raises(ServerError, match="does not list its models; name the one to ask$"):
        found(Serving(url=url))


def test_an_address_without_its_version_is_guessed_to_be_that(pages: tuple[str, Pages]) -> None:
    url, shown = pages
    root = url.removesuffix("/v1")
    with pytest.raises(ServerError, match=r"does not list its models; name the one to ask; is /v1 missing at its end\?"):
        found(Serving(url=root))
    shown["/models"] = (200, {}, b"<html>Welcome</html>")
    with pytest.raises(ServerError, match=r"correct the address; is /v1 missing at its end\?"):
        found(Serving(url=root))
    with (
        ScriptedServer() as server,
        pytest.raises(ServerError, match=r"refuses a plain question \(http_404.*; is /v1 missing"),
    ):
        ServerBackend(Serving(url=server.url.removesuffix("/v1"), model="scripted-judge"))


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ((302, {"Location": "http://169.254.169.254/"}, b""), "sends its visitors elsewhere, where curate does not follow"),
        ((200, {}, b"<html>Welcome</html>"), "what answers there is no OpenAI-compatible server"),
        ((200, {}, b"[" * 50_000), "what answers there is no OpenAI-compatible server"),
        ((503, {}, b"loading"), "it answers with status 503"),
        (
            (403, {}, b'{"error": "sk-abcdefghij has no rights"}'),
            r"wants a key and none was sent; --key-from .*: \[redacted\] has no",
        ),
        ((200, {"Content-Length": "9999"}, b'{"data":'), "no server answers"),
    ],
)
def test_what_is_no_server_of_models(pages: tuple[str, Pages], page: tuple[int, Mapping[str, str], bytes], sentence: str) -> None:
    url, shown = pages
    shown["/v1/models"] = page
    shown["/"] = listing({"id": "elsewhere"})
    with pytest.raises(ServerError, match=sentence):
        found(Serving(url=url))


def test_answers_without_end_are_not_kept(pages: tuple[str, Pages], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "MOST_ANSWER", 10_000)
    url, shown = pages
    shown["/v1/models"] = (200, {}, b" " * 50_000)
    with pytest.raises(ServerError, match="more than 10,000 bytes"):
        found(Serving(url=url))


def test_proxies_of_the_environment_are_not_used(pages: tuple[str, Pages], monkeypatch: pytest.MonkeyPatch) -> None:
    url, shown = pages
    shown["/v1/models"] = listing({"id": "a"})
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert only_model(Serving(url=url)) == "a"


def test_the_model_may_be_asked_for_where_an_event_loop_runs(pages: tuple[str, Pages]) -> None:
    """As in a notebook."""
    url, shown = pages
    shown["/v1/models"] = listing({"id": "a"})

    async def cell() -> str:
        return only_model(Serving(url=url))

    assert asyncio.run(cell()) == "a"


@pytest.mark.parametrize(
    ("page", "version"),
    [
        ((200, {}, b'{"version": "0.33.0"}'), "vllm 0.33.0"),
        ((200, {}, b'{"version": 7}'), "vllm"),
        ((200, {}, b"0.33"), "vllm"),
        ((404, {}, b""), "vllm"),
    ],
)
def test_its_software(pages: tuple[str, Pages], page: tuple[int, Mapping[str, str], bytes], version: str) -> None:
    url, shown = pages
    shown["/version"] = page

    async def ask() -> str:
        async with Connection(Serving(url=url), None, Redactor()) as connection:
            return await software(connection, Served(name="a", owner="vllm"))

    assert asyncio.run(ask()) == version


def test_other_weights_under_the_same_name_are_another_model(pages: tuple[str, Pages]) -> None:
    url, shown = pages
    model = Served(name="a", root="org/a")

    async def look() -> None:
        async with Connection(Serving(url=url), None, Redactor()) as connection:
            await still_there(connection, model)

    for entry in ({"id": "a", "root": "org/a"}, {"id": "a"}):
        shown["/v1/models"] = listing(entry)
        asyncio.run(look())
    shown["/v1/models"] = listing({"id": "a", "root": "org/b"})
    with pytest.raises(ServerError, match="now serves a from other weights"):
        asyncio.run(look())
    shown["/v1/models"] = (500, {}, b"")
    with pytest.raises(NoResponse):
        asyncio.run(look())
