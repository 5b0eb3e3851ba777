"""All that talks to one server, put together; lives in one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from curate.asks import Answer, Ask
from curate.client.breaker import Breaker, Breaking
from curate.client.budget import Budget
from curate.client.canary import EVERY_SECONDS, Canary, first_test
from curate.client.connection import Connection
from curate.client.dispatch import Dispatcher, Job
from curate.client.exchange import Exchange
from curate.client.pace import Pace
from curate.client.probe import PLAIN, Found, examine
from curate.client.retries import Retrying
from curate.client.watch import Watch
from curate.errors import BudgetSpent
from curate.serving import Serving

End = Callable[[BaseException], None]
"""Is given what ends everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How much of a server's trouble is borne."""

    retrying: Retrying = field(default_factory=Retrying)
    breaking: Breaking = field(default_factory=Breaking)
    canary_seconds: float = EVERY_SECONDS
    """Between two tests for mixed-up pictures."""

    @classmethod
    def of(cls, serving: Serving) -> Patience:
        """As the settings of a server say."""
        first, longest = serving.first_wait_seconds, serving.most_wait_seconds
        return cls(
            retrying=Retrying(tries=serving.most_tries, first_seconds=first, longest_seconds=longest),
            breaking=Breaking(first_seconds=2 * first, longest_seconds=longest / 2),
        )


class Session:
    """Answers the jobs it is given, until it ends or is closed."""

    def __init__(
        self, connection: Connection, serving: Serving, found: Found, *, patience: Patience, budget: Budget, on_end: End
    ) -> None:
        self.found = found
        self._on_end = on_end
        self._ended = False
        breaker = Breaker(patience.breaking)
        self._watch = Watch(
            connection,
            found.served,
            breaker,
            lives=lambda: self._dispatcher.lives(PLAIN),
            pause=self._pause,
            on_end=self.end,
        )
        self._dispatcher = Dispatcher(
            Exchange(connection, serving, found.capabilities),
            pace=Pace(serving.concurrency, serving.most_bytes),
            breaker=breaker,
            budget=budget,
            retrying=patience.retrying,
            on_failing=self._watch.failing,
            on_end=self.end,
        )
        self._budget = budget
        self._canary = Canary(self._ask_to_test, connection.url, serving.concurrency)
        self._canary_seconds = patience.canary_seconds
        self._later: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, connection: Connection, serving: Serving, *, patience: Patience, budget: Budget, on_end: End) -> Session:
        """Examine the server; raises what `examine` and `Canary.check` do, and `BudgetSpent` where that leaves nothing."""
        found = await examine(connection, serving, budget, patience.retrying)
        tested = serving.canary and found.capabilities.pictures > 0
        budget.refuse_useless(connection.url, len(first_test(serving.concurrency)) if tested else 0)
        session = cls(connection, serving, found, patience=patience, budget=budget, on_end=on_end)
        if tested:
            try:
                await session._canary.check()
                session._refuse_if_spent(connection.url)
            except BaseException:
                await session.close()
                raise
            session._later = asyncio.create_task(session._check_again())
        return session

    def submit(self, jobs: Iterable[Job]) -> None:
        """Take jobs; each is given its answer, unless all ends before."""
        try:
            self._dispatcher.submit(jobs)
        except Exception as problem:
            self.end(problem)

    def end(self, problem: BaseException) -> None:
        """Nothing more can be answered."""
        if not self._ended:
            self._ended = self._dispatcher.paused = True
            self._on_end(problem)

    async def close(self) -> None:
        """Give up what is under way."""
        self._ended = self._dispatcher.paused = True
        if self._later is not None:
            self._later.cancel()
        await self._dispatcher.close()  # before the watch, which it might still tell to look
        await self._watch.close()

    async def _ask_to_test(self, ask: Ask) -> Answer:
        """An answer that is no judgement."""
        answer = await self._dispatcher.ask(ask)
        self._budget.examined(answer.usage)
        return answer

    def _refuse_if_spent(self, url: str) -> None:
        if self._budget.spent:
            raise BudgetSpent(
                f"the test whether {url} mixes up pictures used up what the run may ask ({self._budget}); allow more, or leave "
                "the test out with --no-canary"
            )

    async def _check_again(self) -> None:
        while True:
            await asyncio.sleep(self._canary_seconds)
            try:
                await self._canary.check()
            except Exception as problem:
                self.end(problem)
                return

    def _pause(self, paused: bool) -> None:
        self._dispatcher.paused = paused or self._ended
        self._dispatcher.fill()
