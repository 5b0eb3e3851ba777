"""A server as a backend: asks are handed over to it, and their answers taken as they come."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from curate.asks import Answer, Ask, Usage
from curate.client.dispatch import Job
from curate.client.server import Server
from curate.client.session import Patience
from curate.serving import Serving

AHEAD = 2
"""Asks for each that may be in flight: the others wait for their next try, or for the first place that gets free."""


class ServerBackend:
    """Answers asks by an OpenAI-compatible server (`curate.asks.Backend`). Used from one thread.

    Several may share one `Server`, each in its own thread, and all together keep its limits. Raises what `Server` does, and `get`
    what ends the run later.
    """

    def __init__(self, serving: Serving | Server, *, patience: Patience | None = None) -> None:
        """A server that is given open stays open when this is closed."""
        self._owns = isinstance(serving, Serving)
        self._server = Server(serving, patience=patience) if isinstance(serving, Serving) else serving
        self._box = self._server.mailbox()
        self.slots = max(1, self._server.serving.concurrency) * AHEAD
        self.model = self._server.found.model
        self.capabilities = self._server.found.capabilities

    @property
    def spent(self) -> bool:
        """Whether a limit on requests or tokens is reached; all that is asked from then on stays pending."""
        return self._server.budget.spent

    @property
    def examining(self) -> Usage:
        """What it took so far to find out about the server and to test it; the same for all who share it."""
        return self._server.budget.examining

    def put(self, tickets: Sequence[tuple[int, Ask]]) -> None:
        """Take asks, each under a number of the caller's; returns at once."""
        self._server.submit(Job(ask, partial(self._box.deliver, number)) for number, ask in tickets)

    def get(self) -> Sequence[tuple[int, Answer]]:
        """At least one answer; waits for it. Raises what ended everything, after the answers that came before."""
        return self._box.take(wait=True)

    def poll(self) -> Sequence[tuple[int, Answer]]:
        """The answers that are there; waits for none. Raises as `get` does."""
        return self._box.take(wait=False)

    def give_up(self) -> None:
        """Have `get` raise, from whatever thread; the server, and others who ask it, go on."""
        self._box.give_up()

    def close(self) -> None:
        """Give up what is under way."""
        if self._owns:
            self._server.close()
