"""Stops asking a server that fails, until it has shown that it is back.

What shows it is a plain question rather than one of the asks that wait: those may be what the server fails at, and then it is
they that fail, not the server.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaking:
    """When to stop, and for how long to hope."""

    failures: int = 20
    """In a row, after which nothing more is sent."""
    first_seconds: float = 1.0
    """Until the server is looked at again; doubles each time it is found failing."""
    longest_seconds: float = 30.0
    patience_seconds: float = 600.0
    """Without one answer, after which all is given up. A server that loads a model anew needs minutes."""


class Breaker:
    """Knows whether a server may be asked; told of every answer and every failure. What failed is not lost: it waits."""

    def __init__(self, breaking: Breaking, clock: Callable[[], float] = time.monotonic) -> None:
        self._breaking = breaking
        self._clock = clock
        self._failures = 0
        self._looks = 0
        self._failing_since: float | None = None
        self.open = False
        """Whether nothing may be sent."""
        self.last_failure = ""

    def succeeded(self) -> None:
        """There was an answer: the server lives, whatever was thought."""
        self._failures = self._looks = 0
        self._failing_since = None
        self.open = False

    def failed(self, why: str) -> bool:
        """There was none; True where this is what opens the breaker."""
        if self._failing_since is None:
            self._failing_since = self._clock()
        self.last_failure = why
        self._failures += 1
        opens = not self.open and self._failures >= self._breaking.failures
        self.open = self.open or opens
        return opens

    def look_after(self) -> float:
        """Seconds until the server is to be looked at again."""
        wait = min(self._breaking.longest_seconds, self._breaking.first_seconds * 2.0**self._looks)
        self._looks += 1
        return wait

    @property
    def given_up(self) -> bool:
        """Whether it has failed for longer than there is patience."""
        return self._failing_since is not None and self._clock() - self._failing_since >= self._breaking.patience_seconds
