"""Looks after a server that fails, until it is back, and after one that seems to be another, until that is known."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from curate.client.breaker import Breaker
from curate.client.connection import Connection, NoResponse
from curate.client.identity import Served, still_there
from curate.errors import ServerError


class Watch:
    """Told by a dispatcher when to look; tells it when to go on."""

    def __init__(
        self,
        connection: Connection,
        model: Served,
        breaker: Breaker,
        *,
        lives: Callable[[], Awaitable[bool]],
        pause: Callable[[bool], None],
        on_end: Callable[[BaseException], None],
    ) -> None:
        """`lives` asks it something plain; `pause` stops what would be sent, or has it go on; `on_end` is given what ends all."""
        self._connection = connection
        self._model = model
        self._breaker = breaker
        self._lives = lives
        self._pause = pause
        self._on_end = on_end
        self._recovery: asyncio.Task[None] | None = None
        self._check: asyncio.Task[None] | None = None

    def failing(self, gone: bool) -> None:
        """The server seems to be gone, or else to be another one."""
        if gone and (self._recovery is None or self._recovery.done()):
            self._recovery = asyncio.get_running_loop().create_task(self._recovered())
            self._recovery.add_done_callback(self._over)
        elif not gone and (self._check is None or self._check.done()):
            self._check = asyncio.get_running_loop().create_task(self._checked())
            self._check.add_done_callback(self._over)

    async def close(self) -> None:
        """Look no longer."""
        tasks = [task for task in (self._recovery, self._check) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _recovered(self) -> None:
        """Until it serves the same model again, and that answers."""
        while self._breaker.open:
            await asyncio.sleep(self._breaker.look_after())
            if self._breaker.given_up:
                raise ServerError(
                    f"{self._connection.url} gives no answers any more ({self._breaker.last_failure}); what was answered is "
                    "kept: run the same command again once it does"
                )
            try:
                await still_there(self._connection, self._model)
            except NoResponse:
                continue
            if await self._lives():
                self._breaker.succeeded()

    async def _checked(self) -> None:
        """Until it is known whether it serves the same model."""
        self._pause(True)
        with contextlib.suppress(NoResponse):  # then the asks that follow fail, and the breaker finds out
            await still_there(self._connection, self._model)

    def _over(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        problem = task.exception()
        if problem is None:
            self._pause(False)
        else:
            self._on_end(problem)
