"""Hard limits on what a run may ask: a request is paid for before it is sent, and what it did not need comes back afterwards."""

from __future__ import annotations

import math
from typing import Literal

from curate.asks import Ask, Usage

Admission = Literal["granted", "wait", "spent"]

_BYTES_A_TOKEN = 2
"""Of text, on the safe side: English has four, Chinese three."""

_TURN_TOKENS = 16
"""What a chat template adds to a message, on the safe side."""

_PATCH = 28
"""Pixels along a side of one visual token of Qwen2-VL and Qwen2.5-VL. Where models see more tokens, `Budget.learn` finds out."""

_LEAST_PICTURE = 64
"""Tokens of the smallest picture: processors enlarge what is tiny."""


class Budget:
    """Counts requests, tries included, and tokens; never grants what could exceed a limit.

    A request reserves the tokens that it may need at most. Where the estimate for prompts proves too low, as for models that see
    more tokens in a picture, it is raised for all that follows.
    """

    def __init__(self, most_requests: int | None, most_tokens: int | None) -> None:
        """None is no limit."""
        self._most_requests = most_requests
        self._most_tokens = most_tokens
        self._scale = 1.0
        self._reserved = 0
        self._open = 0
        self.requests = 0
        self.tokens = 0
        self.spent = False
        """Whether something was refused; then all that follows is."""

    def needs(self, ask: Ask) -> int:
        """The tokens to reserve for an ask: those of its prompt, estimated, and all that it may say. 0 where nobody counts."""
        if self._most_tokens is None:
            return 0
        return math.ceil(_prompt_tokens(ask) * self._scale) + ask.max_tokens

    def reserve(self, tokens: int) -> Admission:
        """Take a request and its tokens. `wait`: there may be enough once those under way have said what they used."""
        if self.spent:
            return "spent"
        if self._most_requests is not None and self.requests >= self._most_requests:
            self.spent = True
            return "spent"
        if self._most_tokens is not None and self.tokens + self._reserved + tokens > self._most_tokens:
            if self._open and self.tokens + tokens <= self._most_tokens:
                return "wait"
            self.spent = True
            return "spent"
        self.requests += 1
        self._reserved += tokens
        self._open += 1
        return "granted"

    def settle(self, reserved: int, used: int) -> None:
        """A request came to its end, having used so many of the tokens it reserved."""
        self._reserved -= reserved
        self._open -= 1
        self.tokens += used

    def learn(self, ask: Ask, usage: Usage) -> None:
        """Correct the estimate by what the server counted."""
        if self._most_tokens is not None and usage.prompt_tokens:
            self._scale = max(self._scale, usage.prompt_tokens / _prompt_tokens(ask))

    def __str__(self) -> str:
        limits = []
        if self._most_requests is not None:
            limits.append(f"{self.requests:,} of {self._most_requests:,} requests")
        if self._most_tokens is not None:
            limits.append(f"{self.tokens:,} of {self._most_tokens:,} tokens")
        return " and ".join(limits)


def _prompt_tokens(ask: Ask) -> int:
    tokens = 0
    for turn in ask.turns:
        tokens += _TURN_TOKENS
        for part in turn.parts:
            if isinstance(part, str):
                tokens += math.ceil(len(part.encode("utf-8", "replace")) / _BYTES_A_TOKEN)
            else:
                tokens += max(_LEAST_PICTURE, math.ceil(part.width / _PATCH) * math.ceil(part.height / _PATCH)) + 4
    return tokens
