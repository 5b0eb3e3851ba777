"""What is asked again, when, and how often."""

from __future__ import annotations

import datetime
import email.utils
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses of HTTP after which another try may succeed. Connections that fail, timeouts and broken bodies are retried too."""

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
"""As OpenAI writes the time until a limit is lifted: 1s, 6m0s, 20ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying:
    """How often and how late an ask is tried again: exponential, with full jitter.

    Any time between zero and the bound is as likely, so that the asks of an outage do not come back together
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """

    tries: int = 6
    """At most, the first included."""
    first_seconds: float = 0.5
    """The bound after the first try; it doubles with each."""
    longest_seconds: float = 60.0
    """The largest bound, and the longest that a server may ask for."""
    share: float = 0.5
    """Tries again, as a share of the asks of the run, beyond which nothing is tried again: a sick server gets no second load."""
    least: int = 1000
    """Tries again that are always free."""

    def seconds(self, tries: int, asked: float | None) -> float:
        """How long to wait after so many tries; at least as long as the server asked for."""
        bound = min(self.longest_seconds, self.first_seconds * 2 ** (tries - 1))
        return min(asked or 0.0, self.longest_seconds) + random.uniform(0.0, bound)


class RetryBudget:
    """Counts the tries again of a run."""

    def __init__(self, retrying: Retrying) -> None:
        self._retrying = retrying
        self._asks = 0
        self.taken = 0

    def count(self) -> None:
        """Another ask."""
        self._asks += 1

    def take(self) -> bool:
        """Whether there may be another try; if so it is counted."""
        if self.taken >= self._retrying.least + self._retrying.share * self._asks:
            return False
        self.taken += 1
        return True


def asked_wait(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds after which a server says to come back: by Retry-After, and for 429 by when its limits are lifted."""
    wait = _number(headers.get("retry-after-ms", ""), 1e-3)
    if wait is None:
        wait = _retry_after(headers.get("retry-after", ""))
    if wait is None and status == 429:
        resets = [_duration(headers.get(f"x-ratelimit-reset-{what}", "")) for what in ("requests", "tokens")]
        # Which of the limits was met is not said; where both are, one try at the earlier does no harm.
        wait = min((one for one in resets if one), default=None)
    return wait


def _retry_after(text: str) -> float | None:
    """Seconds, or a date of HTTP."""
    seconds = _number(text, 1.0)
    if seconds is not None:
        return seconds
    try:
        until = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter for a year of twenty digits
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=datetime.UTC)
    return max(0.0, until.timestamp() - time.time())


def _duration(text: str) -> float | None:
    found = _DURATION.fullmatch(text.strip())
    if not text.strip() or found is None:
        return _number(text, 1.0)
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds + milliseconds / 1000


def _number(text: str, unit: float) -> float | None:
    return float(text) * unit if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text.strip()) else None
