"""Keys come from where nobody else reads them, and go nowhere but to the server."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from curate.client.backend import ServerBackend
from curate.client.secrets import Redactor, Secret, read_key
from curate.errors import ServerError
from curate.serving import Serving
from curate.testing.server import Behaviour, Fault, Scripted, ScriptedServer, spread
from tests.client.asking import QUICK, answered, written

KEY = "planted-0123456789abcdef"

URL = "http://127.0.0.1:8000/v1"


def test_a_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_key(Serving(url=URL)) is None
    monkeypatch.setenv("JUDGE_KEY", f"  {KEY}\n")
    key = read_key(Serving(url=URL, key_variable="JUDGE_KEY"))
    assert key is not None
    assert key.reveal() == KEY
    assert KEY not in f"{key} {key!r} {[key]}"
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_a_key_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY + "\n")
    path.chmod(0o600)
    key = read_key(Serving(url=URL, key_file=path))
    assert key is not None
    assert key.reveal() == KEY
    for mode in (0o640, 0o604, 0o644):
        path.chmod(mode)
        with pytest.raises(ServerError, match="can be read by others: run chmod 600"):
            read_key(Serving(url=URL, key_file=path))


@pytest.mark.parametrize("text", ["", "two words", "line\r\nX-Evil: 1", "schlüssel", "\x00"])
def test_what_is_no_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ServerError, match="holds no key") as raised:
        read_key(Serving(url=URL, key_file=path))
    assert not text or text not in str(raised.value)


def test_a_key_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    for serving, sentence in [
        (Serving(url=URL, key_file=tmp_path / "none"), "cannot be read"),
        (Serving(url=URL, key_variable="NOT_SET"), "NOT_SET, which is to hold the server's key, is not set"),
        (Serving(url=URL, key_variable="JUDGE_KEY", key_file=tmp_path / "none"), "not from both"),
    ]:
        with pytest.raises(ServerError, match=sentence):
            read_key(serving)


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer SECRET99",
        "{'authorization': 'Basic SECRET99'}",
        '"api_key": "SECRET99"',
        "x-api-key=SECRET99",
        "api key: SECRET99",
        "access_token=SECRET99&x=1",
        "got bearer SECRET99",
        "hf_SECRET99 is invalid",
        "Incorrect API key provided: sk-SECRET99.",
        "GET https://bucket.host/a.png?X-Amz-Signature=SECRET99&e=1 failed",
        "http://me:SECRET99@host/v1",
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str) -> None:
    clean = Redactor()(text)
    assert "SECRET99" not in clean
    assert "[redacted]" in clean


@pytest.mark.parametrize("text", ["", "no model 'task-hf_' here", "skipped: 3 of 4", "see https://host/docs for tokens: 5 of 9"])
def test_the_rest_stays(text: str) -> None:
    assert Redactor(Secret(KEY))(text) == text


def test_a_planted_key_shows_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server gets it, and says it again wherever it can."""
    monkeypatch.setenv("JUDGE_KEY", KEY)
    said: list[object] = []
    with ScriptedServer(
        lambda request: Scripted(text=f"Your key is {KEY}, Bearer {KEY}."),
        faults=spread(0.5, [Fault.BAD_REQUEST, Fault.SERVER_ERROR]),
        behaviour=Behaviour(key=KEY),
    ) as server:
        serving = Serving(url=server.url, canary=False, key_variable="JUDGE_KEY")
        backend = ServerBackend(serving, patience=QUICK)
        said += [serving, backend, backend.model, backend.capabilities]
        said += answered(backend, [written(number) for number in range(40)])
        backend.close()
        said.append(vars(backend))
        with pytest.raises(ServerError) as raised:
            ServerBackend(Serving(url=server.url, canary=False, model=KEY, key_variable="JUDGE_KEY"))
        said += [raised.value, raised.value.__cause__]
    texts = repr(said)
    assert "Your key is [redacted]" in texts
    assert KEY not in texts
