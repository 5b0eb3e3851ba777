"""A server, opened once and asked by any number of backends: an event loop in a thread of its own.

What is limited, is limited for all of them together: requests in flight, tries again, requests and tokens of the run.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue

from curate.asks import Answer
from curate.client.budget import Budget
from curate.client.connection import Connection
from curate.client.dispatch import Job
from curate.client.probe import Found
from curate.client.secrets import Redactor, read_key
from curate.client.session import Patience, Session
from curate.errors import MissingExtra, ServerError
from curate.serving import Serving

try:
    import uvloop
except ModuleNotFoundError as problem:
    raise MissingExtra("asking a server", "vlm", problem) from problem

Answers = list[tuple[int, Answer]]
"""Each under the number of its ask."""


class Mailbox:
    """Where the answers for one backend come, and what ended everything."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._given: Answers = []
        self._letters: SimpleQueue[Answers | BaseException] = SimpleQueue()
        self._problem: BaseException | None = None

    def deliver(self, number: int, answer: Answer) -> None:
        """In the loop: answers of one turn of it are handed over together."""
        if not self._given:
            self._loop.call_soon(self._hand_over)
        self._given.append((number, answer))

    def end(self, problem: BaseException) -> None:
        """Nothing more will come."""
        self._hand_over()
        self._letters.put(problem)

    def give_up(self) -> None:
        """From any thread: whoever waits for answers waits no longer, and is told that the run was stopped."""
        self._letters.put(ServerError("the run was stopped while answers were on their way"))

    def take(self, *, wait: bool) -> Answers:
        """What has come, with `wait` at least one answer. Raises what ended everything, after what came before."""
        answers: Answers = []
        if self._problem is None:
            for letter in self._opened(wait):
                if isinstance(letter, BaseException):
                    self._problem = letter
                    break
                answers += letter
        if self._problem is not None and not answers:
            raise self._problem
        return answers

    def _opened(self, wait: bool) -> Iterator[Answers | BaseException]:
        if wait:
            yield self._letters.get()
        while True:
            try:
                yield self._letters.get_nowait()
            except Empty:
                return

    def _hand_over(self) -> None:
        if self._given:
            self._letters.put(self._given)
            self._given = []


async def _settled() -> None:
    """Until nothing is left in this loop: a connection that was being opened has to be closed by whoever was opening it."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


class Server:
    """An open connection to a server.

    The server is examined before this returns. Raises `ServerError` where it is away, refuses the key, or serves another model,
    `BudgetSpent`, and `MissingExtra`.
    """

    def __init__(self, serving: Serving, *, patience: Patience | None = None) -> None:
        self.serving = serving
        self.budget = Budget(serving.most_requests, serving.most_tokens)
        self._patience = patience or Patience.of(serving)
        self._coming: deque[Job] = deque()
        self._woken = False
        self._boxes: list[Mailbox] = []
        self._problem: BaseException | None = None
        key = read_key(serving)
        self._connection = Connection(serving, key, Redactor(key))
        self._opened: Future[Found] = Future()
        self._loop = uvloop.new_event_loop()
        self._work = self._loop.create_task(self._serve())
        self._thread = threading.Thread(target=self._run, name="curate-client", daemon=True)
        self._thread.start()
        try:
            self.found = self._opened.result()
        except BaseException:
            self.close()
            raise

    def mailbox(self) -> Mailbox:
        """A place for the answers to what somebody is going to ask."""
        box = Mailbox(self._loop)
        self._boxes.append(box)
        if self._problem is not None:
            box.end(self._problem)
        return box

    def submit(self, jobs: Iterable[Job]) -> None:
        """Take asks; returns at once. From any thread."""
        self._coming.extend(jobs)
        # The loop lowers the flag before it looks, so whoever finds it raised was in time.
        if not self._woken:
            self._woken = True
            self._wake(self._take)

    def close(self) -> None:
        """Give up what is under way, and close the connections."""
        self._wake(self._work.cancel)
        self._thread.join()

    def _wake(self, call: Callable[[], object]) -> None:
        """Have something done in the loop, unless that is over."""
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    def _run(self) -> None:
        """The thread: what goes wrong in it is raised in those that wait for answers."""
        try:
            self._loop.run_until_complete(self._work)
        except asyncio.CancelledError:
            pass  # closed
        except BaseException as problem:
            self._end(problem)
        finally:
            self._loop.run_until_complete(_settled())
            self._loop.close()

    async def _serve(self) -> None:
        """Open a session and keep it until this is cancelled."""
        async with self._connection as connection:
            self._session = await Session.open(
                connection, self.serving, patience=self._patience, budget=self.budget, on_end=self._end
            )
            self._opened.set_result(self._session.found)
            try:
                await asyncio.Event().wait()
            finally:
                await self._session.close()

    def _take(self) -> None:
        """In the loop: what was submitted since the last time."""
        self._woken = False
        self._session.submit([self._coming.popleft() for _ in range(len(self._coming))])

    def _end(self, problem: BaseException) -> None:
        """In the loop: nothing more can be answered."""
        self._problem = problem
        if not self._opened.done():
            self._opened.set_exception(problem)
        for box in self._boxes:
            box.end(problem)
