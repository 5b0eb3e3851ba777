"""Planted secrets come back from a server in every way there is, and appear nowhere that is kept or shown."""

from __future__ import annotations

import http.client
import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from curate.store import Store
from curate.store.tables import KINDS
from curate.testing.server import Behaviour, Request, Scripted, ScriptedServer, hash_oracle
from tests.judges.numbered import number_in, text_card, write_numbered

KEY = "sk-planted/Key+0123456789abcdef=="

SAMPLES = 40

OTHERS = ("hf_plantedTokenOfTheServer", "sk-plantedKeyOfAnother", "plantedSignature", "plantedPassword")
"""What else a server quotes in its errors: none of it ours to spread."""

QUOTED = (
    f"upstream https://somebody:{OTHERS[3]}@bucket.example/picture.png?X-Amz-Signature={OTHERS[2]}&x=1 refused; "
    f"HF_TOKEN is {OTHERS[0]}, api_key: {OTHERS[1]}"
)

SECRETS = (KEY, *OTHERS)


def marked(request: Request) -> Scripted:
    """The scripted model, which has read the key somewhere and says it for a reason."""
    if number_in(request) is None or request.logprobs:
        return hash_oracle(request)
    return Scripted(text=json.dumps({"mark": number_in(request) % 11, "why": f"because the key is {KEY}"}))


def echo_of(path: str, headers: str, kind: int) -> tuple[int, str, bytes]:
    """An error that quotes the request's headers and other people's secrets."""
    said = f"cannot {path}: {headers} {QUOTED}"
    if kind == 0:
        return 400, "application/json", json.dumps({"error": {"message": said, "code": headers}}).encode()
    if kind == 1:
        return 500, "text/html", f"<html><body><pre>{said}</pre></body></html>".encode()
    return 422, "application/json", json.dumps({"detail": said}).replace("/", "\\/").encode()


class Echoing(BaseHTTPRequestHandler):
    """A gateway that quotes requests in its errors: every fourth question is refused, every fourth fails at first."""

    protocol_version = "HTTP/1.1"
    behind: str
    failed: set[int]

    def do_GET(self) -> None:
        self._forward(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        number = self._number(body)
        if number is not None and (number % 4 in (0, 2) or (number % 4 == 1 and number not in self.failed)):
            self.failed.add(number)
            self._send(*echo_of(self.path, str(self.headers), number % 4))
            return
        self._forward(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as in the base class
        pass

    def _number(self, body: bytes) -> int | None:
        found = re.search(rb"number (\d+)", body)
        return int(found[1]) if found else None

    def _forward(self, body: bytes) -> None:
        connection = http.client.HTTPConnection(urlsplit(self.behind).netloc, timeout=30)
        with closing(connection):
            headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
            connection.request(self.command, self.path, body or None, headers)
            response = connection.getresponse()
            self._send(response.status, "application/json", response.read().replace(b"sk-planted/", b"sk-planted\\/"))

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def gateway(behind: ScriptedServer) -> Iterator[str]:
    """The address of a gateway in front of a server."""
    handler = type("Handler", (Echoing,), {"behind": behind.address, "failed": set()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def everything_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    """All files as they lie, and what is in those that are compressed."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path), path.read_bytes()
        if path.suffix == ".sqlite":
            with closing(sqlite3.connect(path)) as connection:
                yield f"rows of {path}", "\n".join(connection.iterdump()).encode()
    store = Store.open(folder / "store")
    for kind in KINDS:
        yield f"the table of {kind}", repr(store.export_rows(kind).to_pylist()).encode()


def curate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "curate", *arguments],
        cwd=folder,
        capture_output=True,
        check=False,
        env={**os.environ, "A_KEY": KEY},
    )


def test_no_secret_is_kept_or_shown(tmp_path: Path) -> None:
    shards = write_numbered(tmp_path / "shards", SAMPLES)
    fields = {"mark": {"type": "integer", "range": [0, 10]}, "why": {"type": "text", "rationale": True}}
    call = {
        "name": "marks",
        "messages": [{"user": [{"picture": "response"}, "Mark this picture of {prompt} as JSON."]}],
        "reads": {"json": {"fields": fields}},
    }
    card = text_card(tmp_path, calls=[call])
    results = []
    with ScriptedServer(marked, behaviour=Behaviour(key=KEY)) as server, gateway(server) as url:
        run = ("rate", shards, "--store", "store", "--rater", "vqa-yes", "--rater", card, "--server", url, "--workers", "0")
        results.append(curate(tmp_path, *run, "--key-from", "A_KEY"))
        results.append(curate(tmp_path, *run, "--key-from", "A_KEY", "--json", "--log", "log.txt", "--retry", "api_error"))
        results.append(curate(tmp_path, *run, "--key-from", "A_KEY", "--dry-run"))
        results.append(curate(tmp_path, *run))  # without the key
        server.behaviour = Behaviour(key=f"{KEY}-is-another-now")
        results.append(curate(tmp_path, *run, "--key-from", "A_KEY", "--retry", "failed"))
        results.append(curate(tmp_path, "show", "store"))
        results.append(curate(tmp_path, "show", "store", "--json"))
    assert [one.returncode for one in results] == [0, 0, 0, 2, 2, 0, 0], [one.stderr for one in results]
    shown = [(f"the output of {number}", one.stdout + one.stderr) for number, one in enumerate(results)]
    found = [
        (where, secret) for where, said in [*everything_in(tmp_path), *shown] for secret in SECRETS if secret.encode() in said
    ]
    assert not found
    rows = Store.open(tmp_path / "store").export_rows("ratings").to_pylist()
    details = {row["detail"] for row in rows if row["status"] == "api_error"}
    assert any("[redacted]" in detail for detail in details), "what the server said is told, without what it should not have"
    assert any("because the key is [redacted]" in (row["rationale"] or "") for row in rows)


def test_secrets_are_looked_for_where_they_would_be(tmp_path: Path) -> None:
    """What the other test searches does hold what is kept: a word of the server's that is no secret is found."""
    shards = write_numbered(tmp_path / "shards", 8)
    with ScriptedServer(behaviour=Behaviour(key=KEY)) as server, gateway(server) as url:
        result = curate(
            tmp_path, "rate", shards, "--store", "store", "--rater", "vqa-yes", "--server", url, "--key-from", "A_KEY"
        )  # fmt: skip
    assert result.returncode == 0
    assert any(b"upstream" in said for where, said in everything_in(tmp_path) if where == "the table of ratings")
    assert any(b"A_KEY" in said for where, said in everything_in(tmp_path) if where.endswith("log.txt"))


@pytest.fixture(autouse=True)
def _away_from_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CURATE_SERVER", "CURATE_MODEL"):
        monkeypatch.delenv(name, raising=False)
