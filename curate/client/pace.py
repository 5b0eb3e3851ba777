"""How much is in flight: as many requests as the server bears, and as many bytes as this machine does.

The number follows what the server says, like TCP's window does in DCTCP (Alizadeh et al., 2010): after each window's worth of
answers it shrinks by half the share of them that said "too much", and grows by the share of one that did not. So a server that
refuses everything is asked half as much, and one that refuses one in twenty is left 38 at once.

What says "too much": 429 and 503, and answers that took most of the time allowed. A timeout does where answers have been slow
before; where they have been quick, it is that ask which the server fails at. Slow answers alone do not: requests that wait inside
a server cost nothing, and how long an answer takes depends on what was asked more than on how much.
"""

from __future__ import annotations

SLOW = 0.5
"""Of the time allowed: an answer that takes more is too slow."""

_MEMORY = 0.05
"""What the newest answer counts in how slow answers usually are."""

FIRST = 16
"""In flight at the start; doubled with every window until the first sign of too much."""


class Pace:
    """Admits requests."""

    def __init__(self, most: int, most_bytes: int) -> None:
        """At most `most` requests in flight, and `most_bytes` of bodies; a single larger body goes alone."""
        self._most = max(1, most)
        self._most_bytes = most_bytes
        self._limit = float(min(FIRST, self._most))
        self._starting = True
        self._answered = 0
        self._congested = 0
        self._usual = 1.0
        self.running = 0
        self.bytes = 0

    @property
    def limit(self) -> int:
        """How many requests may be in flight now."""
        return int(self._limit)

    def admits(self, size: int) -> bool:
        """Whether a request with a body of that size may be sent now."""
        return self.running < int(self._limit) and (self.running == 0 or self.bytes + size <= self._most_bytes)

    def begin(self, size: int) -> None:
        """A request is sent."""
        self.running += 1
        self.bytes += size

    def end(self, size: int, *, refused: bool = False, taken: float | None = None) -> None:
        """A request came to its end.

        `refused`: the server said that it is asked too much. `taken`: the share of the time allowed that an answer took, 1 for a
        timeout, None for what failed otherwise.
        """
        self.running -= 1
        self.bytes -= size
        self._answered += 1
        self._congested += refused or (taken is not None and self._too_slow(taken))
        if self._answered >= int(self._limit):
            self._adapt()

    def _too_slow(self, taken: float) -> bool:
        if taken >= 1.0:
            return self._usual > SLOW / 2
        self._usual += _MEMORY * (taken - self._usual)
        return taken > SLOW

    def _adapt(self) -> None:
        share = self._congested / self._answered
        self._starting &= not share
        wanted = self._limit * 2 if self._starting else self._limit * (1 - share / 2) + (1 - share)
        self._limit = min(float(self._most), max(1.0, wanted))
        self._answered = self._congested = 0
