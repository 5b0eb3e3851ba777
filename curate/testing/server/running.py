"""The scripted server as something that runs: in a thread of a test, or as a process of its own."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from types import TracebackType

from curate.testing.server.behaviour import Behaviour
from curate.testing.server.faults import Faults, listed
from curate.testing.server.oracle import Oracle, hash_oracle
from curate.testing.server.service import CHAT, Recorded, Service
from curate.testing.server.wire import Connection

HOST = "127.0.0.1"

START_SECONDS = 30.0


class ScriptedServer:
    """An OpenAI-compatible server on this machine that answers by a script and misbehaves as told.

    with ScriptedServer(faults=listed({key: Plan(faults=(Fault.HANG,))})) as server:
        ...  # ask server.url
    assert server.asked(key) == 2

    Leaving the context stops it and raises what the oracle raised, if it did. It may be stopped and started again, on the
    same port and with all it remembers.
    """

    def __init__(
        self,
        answer: Oracle = hash_oracle,
        *,
        faults: Faults | None = None,
        behaviour: Behaviour | None = None,
        port: int = 0,
        bodies: bool = True,
    ) -> None:
        """`answer` and `faults` are called in the server's thread. Port 0 is any that is free; without `bodies`, records of
        requests hold none."""
        self._service = Service(answer, faults or listed({}), behaviour or Behaviour(), bodies=bodies)
        self._service.leave = self._leave
        self._port = port
        self._connections: set[Connection] = set()
        self._opened = 0
        self._listener: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._returning: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None

    @property
    def address(self) -> str:
        """Without a path: /version and /tokenize stand here."""
        return f"http://{HOST}:{self._port}"

    @property
    def url(self) -> str:
        """What clients of the protocol call the base URL: the address with /v1."""
        return f"{self.address}/v1"

    @property
    def behaviour(self) -> Behaviour:
        return self._service.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._service.behaviour = behaviour

    @property
    def requests(self) -> list[Recorded]:
        """All requests so far, in the order in which they came."""
        return list(self._service.requests)

    @property
    def chats(self) -> list[Recorded]:
        """Those for answers, in the order in which they came; also those that were turned away."""
        return [one for one in self.requests if one.path == CHAT]

    @property
    def tries(self) -> Counter[str]:
        """How often each key was asked for."""
        return Counter(self._service.tries)

    @property
    def completed(self) -> Counter[str]:
        """How often the right answer for a key was sent, as far as the server can tell: it may not have arrived."""
        return Counter(self._service.completed)

    @property
    def busiest(self) -> int:
        """The most requests for answers that were under way at once."""
        return self._service.busiest

    @property
    def connections(self) -> int:
        """How many connections were opened so far."""
        return self._opened

    def asked(self, key: str) -> int:
        """How often this key was asked for."""
        return self._service.tries[key]

    def start(self) -> None:
        """Listen, in a thread; returns when requests are taken."""
        started = threading.Event()
        self._failure = None
        self._thread = threading.Thread(target=self._run, args=(started,), name="scripted-server", daemon=True)
        self._thread.start()
        if not started.wait(START_SECONDS) or self._failure is not None:
            raise RuntimeError(f"the scripted server did not start on port {self._port}") from self._failure

    def stop(self) -> None:
        """Break all connections and listen no more; returns when that is done."""
        if self._thread is not None:
            self.end()
            self._thread.join()
            self._thread = None

    def end(self) -> None:
        """Have `run` return; from any thread."""
        if self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)

    def __enter__(self) -> ScriptedServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        if raised is None and self._service.problem is not None:
            raise self._service.problem

    async def run(self, started: threading.Event) -> None:
        """Serve until stopped; sets the event when requests are taken."""
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        await self._listen()
        started.set()
        await self._stopping.wait()
        await self._closed()

    def _run(self, started: threading.Event) -> None:
        try:
            asyncio.run(self.run(started))
        except OSError as problem:  # the port is taken
            self._failure = problem
            started.set()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._connection, HOST, self._port, backlog=1024, reuse_address=True)
        self._port = self._listener.sockets[0].getsockname()[1]

    def _connection(self) -> Connection:
        connection = Connection(self._opened, self._service.serve, self._connections.discard)
        self._opened += 1
        self._connections.add(connection)
        return connection

    async def _closed(self) -> None:
        """Until no connection is left, those included that were opened at the last moment."""
        self._disconnect()
        await asyncio.sleep(0)  # now each that was accepted is among the connections
        while self._connections:
            self._disconnect()
            await asyncio.sleep(0)

    def _disconnect(self) -> None:
        if self._listener is not None:
            self._listener.close()
        for connection in list(self._connections):
            connection.reset()

    def _leave(self, seconds: float) -> None:
        """Go away, and come back by oneself."""

        async def away() -> None:
            self._disconnect()
            await asyncio.sleep(seconds)
            await self._listen()

        self._returning = asyncio.get_running_loop().create_task(away())
