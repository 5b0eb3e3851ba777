"""What `curate.testing` gives, under the names that cards use, and that the server is quick enough to measure clients by."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path

import pytest

import curate.testing
from curate.cards import load_card
from curate.errors import CardError
from curate.rater_loading import load_rater
from curate.testing import card_yaml
from curate.testing.server import Behaviour, ScriptedServer
from tests.testing.asking import as_bytes, body_of, port_of, yes_no


def test_all_that_is_named_is_there() -> None:
    assert [name for name in curate.testing.__all__ if not hasattr(curate.testing, name)] == []


@pytest.mark.parametrize("module", ["curate.testing", "curate.testing.raters"])
def test_cards_reach_the_raters_without_trust(module: str, tmp_path: Path) -> None:
    card = load_card(str(card_yaml(tmp_path / "card.yaml", name="mine", target=f"{module}:HashRater")))
    assert type(load_rater(card)) is curate.testing.HashRater


@pytest.mark.parametrize(
    "target",
    [
        "curate.testing.raters:ThreadPoolExecutor",
        "curate.testing.inputs:Path",
        "curate.testing.server.running:asyncio",
        "curate.testing.server:ScriptedServer",
        "curate.testing_of_others:Rater",
    ],
)
def test_cards_reach_nothing_else(target: str, tmp_path: Path) -> None:
    card = load_card(str(card_yaml(tmp_path / "card.yaml", name="mine", target=target)))
    with pytest.raises(CardError):
        load_rater(card)


REQUESTS, CONNECTIONS, SLOTS, LATENCY = 3000, 96, 64, 0.02


class Asking(asyncio.Protocol):
    """Asks one thing after the other, and as soon as an answer is there the next."""

    def __init__(self, waiting: list[bytes], ended: asyncio.Future[None], answered: list[bytes]) -> None:
        self._waiting, self._ended, self._answered = waiting, ended, answered
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self._got.endswith(b"}}}"):
            self._answered.append(self._got[:15])
            self._got = b""
            self._next()

    def _next(self) -> None:
        if self._waiting:
            self._transport.write(self._waiting.pop())  # type: ignore[attr-defined]
        elif len(self._answered) == REQUESTS:
            self._ended.set_result(None)


async def ask_all(port: int, bodies: list[bytes]) -> list[bytes]:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    answered: list[bytes] = []
    opened = [
        await loop.create_connection(lambda: Asking(bodies, ended, answered), "127.0.0.1", port) for _ in range(CONNECTIONS)
    ]
    await ended
    for transport, _ in opened:
        transport.close()
    return answered


def test_thousands_of_requests_a_second() -> None:
    """In seconds of the processor, which other work does not change as it does the clock's; those of the client included."""
    bodies = [as_bytes(body_of(yes_no(number))) for number in range(REQUESTS)]
    with ScriptedServer(behaviour=Behaviour(latency=LATENCY, slots=SLOTS), bodies=False) as server:
        begun, used = time.monotonic(), time.process_time()
        answered = asyncio.run(ask_all(port_of(server), bodies))
        used, took = time.process_time() - used, time.monotonic() - begun
        assert set(answered) == {b"HTTP/1.1 200 OK"}
        assert set(server.completed.values()) == {1}
        assert len(server.completed) == REQUESTS
        assert server.busiest > SLOTS  # more was asked than it could do at once …
        assert took > LATENCY * (math.ceil(REQUESTS / SLOTS) - 1)  # … and it kept to what it can
        assert used / REQUESTS < 0.0006
