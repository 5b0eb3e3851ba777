"""Hard limits on what a run may ask: a request is paid for before it is sent, and what it did not need comes back afterwards."""

from __future__ import annotations

import math
from typing import Literal

from curate.asks import Ask, Picture, Reply, Trouble, Usage
from curate.client.answers import Again, Outcome
from curate.errors import BudgetSpent

Admission = Literal["granted", "wait", "spent"]

FREE = ("connect", "http_")
"""How failures without tokens begin: nothing was sent, or it was refused."""

_BYTES_A_TOKEN = 2
"""Of text, on the safe side: English has four, Chinese three."""

_TURN_TOKENS = 16
"""What a chat template adds to a message, on the safe side."""

_PATCH = 28
"""Pixels along a side of one visual token of Qwen2-VL and Qwen2.5-VL. Where models see more tokens, `Budget.learn` finds out."""

_LEAST_PICTURE = 64
"""Tokens of the smallest picture: processors enlarge what is tiny."""

_MARGIN = 1.1
"""By which prompts are taken to be longer than the longest seen so far, for their estimates."""

_ALIKE = 2
"""Pictures of no more than so many times the tokens of one that was answered are taken to be counted as that was."""

_UNSEEN = 16.0
"""Times the estimate is what a prompt with larger pictures may take: tilings that pad and overlap have been seen to take 12."""


class Budget:
    """Counts requests, tries included, and tokens; never grants what could exceed a limit.

    A request reserves the tokens that it may need at most. How many a model sees in a picture only its answers tell, so the
    first with larger pictures than before reserves many times the estimate, and waits until nothing else is under way; once it
    is answered, the highest ratio of count to estimate that was ever seen holds for all that follow, with a margin.
    """

    def __init__(self, most_requests: int | None, most_tokens: int | None) -> None:
        """None is no limit."""
        self._most_requests = most_requests
        self._most_tokens = most_tokens
        self._scale = 1.0
        self._seen = _LEAST_PICTURE  # which is what servers are examined with, one question at a time
        self._reserved = 0
        self._open = 0
        self.requests = 0
        self.tokens = 0
        self.spent = False
        """Whether something was refused; then all that follows is."""
        self.examining = Usage(requests=0)
        """What of it went into finding out about the server, and not into judging."""

    def needs(self, ask: Ask) -> int:
        """The tokens to reserve for an ask: those of its prompt, estimated, and all that it may say. 0 where nobody counts."""
        if self._most_tokens is None:
            return 0
        scale = self._scale * _MARGIN
        return math.ceil(_prompt_tokens(ask) * (scale if self.knows(ask) else max(scale, _UNSEEN))) + ask.max_tokens

    def knows(self, ask: Ask) -> bool:
        """Whether answers have told how many tokens such pictures take, or nobody counts; else it is to be asked alone."""
        return self._most_tokens is None or _largest_picture(ask) <= _ALIKE * self._seen

    def reserve(self, tokens: int, *, alone: bool = False) -> Admission:
        """Take a request and its tokens. `wait`: there may be enough once those under way have said what they used, or, for one
        that is to be asked `alone`, once there are none."""
        if self.spent:
            return "spent"
        if alone and self._open:
            return "wait"
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

    def examined(self, usage: Usage) -> None:
        """Note what a question to find out about the server took; its request and tokens are counted as any other's."""
        self.examining += usage

    def refuse_useless(self, url: str, testing: int) -> None:
        """Raise `BudgetSpent` where the limit on requests leaves none to judge with, once `testing` more went into tests."""
        if self._most_requests is None or self.requests + testing < self._most_requests:
            return
        test = f", and {testing} are needed to test whether it mixes up pictures, which --no-canary leaves out" if testing else ""
        raise BudgetSpent(
            f"a limit of {self._most_requests} requests leaves none to judge with: finding out what {url} can do took "
            f"{self.requests}{test}; allow {self.requests + testing + 1} at least"
        )

    def settle(self, reserved: int, used: int) -> None:
        """A request came to its end, having used so many of the tokens it reserved."""
        self._reserved -= reserved
        self._open -= 1
        self.tokens += used

    def end(self, ask: Ask, reserved: int, outcome: Outcome | None) -> None:
        """A request came to its end: with tokens as the server counts them, none where it refused, and all that were reserved
        where nobody knows."""
        used = reserved
        usage = Usage() if outcome is None else outcome.usage
        counted = usage.prompt_tokens + usage.completion_tokens
        if isinstance(outcome, Reply) or counted:
            self.learn(ask, usage)
            used = counted or reserved
        elif isinstance(outcome, Trouble) or (isinstance(outcome, Again) and outcome.reason.startswith(FREE)):
            used = 0
        self.settle(reserved, used)

    def learn(self, ask: Ask, usage: Usage) -> None:
        """Correct the estimate by what the server counted; where it does not count, the estimate is all there is."""
        if self._most_tokens is not None:
            self._scale = max(self._scale, usage.prompt_tokens / _prompt_tokens(ask))
            self._seen = max(self._seen, _largest_picture(ask))

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
                tokens += _picture_tokens(part) + 4
    return tokens


def _picture_tokens(picture: Picture) -> int:
    return max(_LEAST_PICTURE, math.ceil(picture.width / _PATCH) * math.ceil(picture.height / _PATCH))


def _largest_picture(ask: Ask) -> int:
    return max(map(_picture_tokens, ask.pictures), default=0)
