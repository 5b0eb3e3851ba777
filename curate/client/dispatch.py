"""Sends asks while pace, breaker and budget admit it, and again what failed; every ask gets exactly one answer.

All of it happens in one event loop, so nothing here needs a lock. An ask that waits for its next try holds no place among those
in flight.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from curate.asks import Answer, Ask, Reply, Trouble, Usage
from curate.client.answers import Again, Outcome
from curate.client.breaker import Breaker
from curate.client.budget import Budget
from curate.client.exchange import Exchange
from curate.client.pace import Pace
from curate.client.payload import body_size
from curate.client.retries import RetryBudget, Retrying
from curate.errors import CurateError
from curate.records import Status


@dataclass(slots=True, eq=False)
class Job:
    """An ask on its way to an answer."""

    ask: Ask
    deliver: Callable[[Answer], None]
    """Takes the answer; called once."""
    size: int = 0
    """Bytes of the body, about."""
    tries: int = 0
    lost: Usage = field(default_factory=Usage)
    """What tries took that led to no answer; of it only the tokens count."""
    began: float = field(default_factory=time.monotonic)
    """When it was taken; from its first try on, when that was made."""


class Dispatcher:
    """Answers asks over one exchange."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        pace: Pace,
        breaker: Breaker,
        budget: Budget,
        retrying: Retrying,
        on_failing: Callable[[bool], None],
        on_end: Callable[[BaseException], None],
    ) -> None:
        """`on_failing` is told when the server should be looked at before more is asked: True where it seems to be gone, False
        where it seems to be another one. `on_end` is given what ends everything."""
        self._exchange = exchange
        self._pace = pace
        self._breaker = breaker
        self._budget = budget
        self._retrying = retrying
        self._retries = RetryBudget(retrying)
        self._on_failing = on_failing
        self._on_end = on_end
        self._ready: deque[Job] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self.paused = False
        """While it is, nothing new is sent."""

    def submit(self, jobs: Iterable[Job]) -> None:
        """Take asks to be answered. Raises `ServerError` where none of their kind can be."""
        for job in jobs:
            trouble = self._exchange.hopeless(job.ask)
            if trouble is not None:
                self._answer(job, trouble)
                continue
            job.size = body_size(job.ask)
            self._retries.count()
            self._ready.append(job)
        self.fill()

    async def ask(self, ask: Ask) -> Answer:
        """The answer to one ask, before all that wait."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        job = Job(ask, lambda given: None if answer.done() else answer.set_result(given), size=body_size(ask))
        self._ready.appendleft(job)
        self.fill()
        return await answer

    def fill(self) -> None:
        """Send what may be sent now."""
        while self._ready and not self.paused and not self._breaker.open:
            job = self._ready[0]
            if not self._pace.admits(job.size):
                return
            tokens = self._budget.needs(job.ask)
            admission = self._budget.reserve(tokens, alone=not self._budget.knows(job.ask))
            if admission == "wait":
                return
            self._ready.popleft()
            if admission == "spent":
                self._answer(job, Trouble(status=Status.PENDING, detail=f"budget: {self._budget} are used"))
                continue
            self._pace.begin(job.size)
            task = asyncio.get_running_loop().create_task(self._try(job, tokens))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    async def lives(self, question: Ask) -> bool:
        """Whether the server answers a question, sent whatever the breaker says; true where the budget allows no more."""
        tokens = self._budget.needs(question)
        if self._budget.reserve(tokens) != "granted":
            return True
        outcome: Outcome | None = None
        try:
            outcome = await self._exchange.once(question)
        finally:
            self._budget.end(question, tokens, outcome)
        return isinstance(outcome, Reply)

    async def close(self) -> None:
        """Give up all that is under way or waits."""
        self._ready.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _try(self, job: Job, reserved: int) -> None:
        started = time.monotonic()
        if not job.tries:
            job.began = started
        outcome: Outcome | None = None
        refused, taken = False, None
        try:
            outcome = await self._exchange.once(job.ask)
            if isinstance(outcome, Again):
                refused, taken = outcome.congested, 1.0 if outcome.reason == "timeout" else None
            else:
                taken = min(0.99, (time.monotonic() - started) / self._exchange.seconds(job.ask))
        finally:
            self._pace.end(job.size, refused=refused, taken=taken)
            self._budget.end(job.ask, reserved, outcome)
        job.tries += 1
        if isinstance(outcome, Again):
            self._failed(job, outcome)
        else:
            self._breaker.succeeded()
            if isinstance(outcome, Trouble) and outcome.detail.startswith("http_404"):
                self._on_failing(False)
            self._answer(job, outcome)
        self.fill()

    def _failed(self, job: Job, why: Again) -> None:
        job.lost += why.usage
        if why.reason == "wrong_model":
            self._on_failing(False)
        if why.server_failed and self._breaker.failed(f"{why.reason}: {why.detail}"):
            self._on_failing(True)
        last = job.tries >= self._retrying.tries
        if last or not self._retries.take():
            note = f"{job.tries} tries" if last else "no more tries are left to this run"
            self._answer(job, Trouble(status=Status.API_ERROR, detail=f"{_reason(why)}: {why.detail} ({note})"))
            return
        wait = self._retrying.seconds(job.tries, why.wait)
        asyncio.get_running_loop().call_later(wait, self._again, job)

    def _again(self, job: Job) -> None:
        """Its wait is over: it comes before what was never tried."""
        self._ready.appendleft(job)
        self.fill()

    def _answer(self, job: Job, answer: Answer) -> None:
        seconds = time.monotonic() - job.began if job.tries else 0.0
        usage: Usage = replace(answer.usage + job.lost, requests=job.tries, seconds=seconds)
        job.deliver(replace(answer, usage=usage))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        problem = task.exception()
        if problem is not None:
            if not isinstance(problem, CurateError):
                problem.add_note("while asking the server")
            self._on_end(problem)


def _reason(why: Again) -> str:
    """The word by which failures are counted: servers' errors are one kind."""
    return "http_5xx" if why.reason.startswith("http_5") else why.reason
