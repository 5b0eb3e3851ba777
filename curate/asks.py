"""What a vision-language judge is asked and what it answers: plain records, whoever answers, and without any network in them.

A rubric turns a sample into asks and answers into values (`curate.rubrics`); a backend turns asks into answers: a server
(`curate.client`) or a model on this machine (`curate.scorers.vlm`). Neither knows the other.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

from curate.records import Status, canonical_json

Role = Literal["system", "user", "assistant"]

Finish = Literal["stop", "length", "content_filter", "other"]
"""Why a reply ends: by itself; where its tokens were used up; by a filter; nobody knows, so that it may have been cut off."""

LEAST_LOG = -100.0
"""Logarithms below are no probabilities but stand for nothing: vLLM's -9999, the least number of a format, minus infinity. The
least that float32, in which models compute them, holds of a probability is exp(-103); one that is returned is far above."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An encoded image that curate made or checked itself; never an address."""

    data: bytes
    """PNG or JPEG."""
    mime: Literal["image/png", "image/jpeg"]
    width: int
    height: int

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes, hex."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message of a conversation."""

    role: Role
    parts: tuple[str | Picture, ...]
    """Text and pictures in the order in which they are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One answer of a closed set, in all its spellings; each has to be exactly one token of the model."""

    name: str
    spellings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request to a model."""

    turns: tuple[Turn, ...]
    labels: tuple[Label, ...] = ()
    """Where there are some, the distribution of the first token over them is wanted, and no text."""
    schema: Mapping[str, Any] | None = None
    """JSON Schema that a reply is to follow; a help to servers that can enforce one, never trusted."""
    max_tokens: int = 1
    temperature: float = 0.0
    seed: int = 0
    attempt: int = 0
    """Which try this is after replies that could not be read; another try is another ask."""
    may_be_cut: bool = False
    """Whether a reply is one however it ends, cut off or not; of its words it decides nothing, so it is not in the key."""

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All pictures, in the order in which they are shown."""
        return tuple(part for turn in self.turns for part in turn.parts if isinstance(part, Picture))

    def key(self, model: Mapping[str, Any]) -> bytes:
        """SHA-256 over all that decides the answer: texts, the bytes of pictures, labels, schema, sampling, and the model."""
        turns = [[turn.role, [_named(part) for part in turn.parts]] for turn in self.turns]
        decides = {
            "turns": turns,
            "labels": [[label.name, list(label.spellings)] for label in self.labels],
            "schema": self.schema,
            "sampling": [self.max_tokens, self.temperature, self.seed, self.attempt],
            "model": dict(model),
        }
        return hashlib.sha256(canonical_json(decides).encode("utf-8", "surrogatepass")).digest()


def _named(part: str | Picture) -> str | dict[str, str]:
    return part if isinstance(part, str) else {"picture": part.digest}


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """What the model was about to say, at the spellings of the labels."""

    logprobs: Mapping[str, Mapping[str, float]]
    """For each label, by spelling: the natural logarithm of its probability over the whole vocabulary. A spelling that the
    server did not return is absent."""
    floor: float | None = None
    """The largest logarithm that an absent spelling may have: the smallest that came back, or more where a token came back with
    which one begins. None where nothing is absent, and where nothing is known of what is."""

    def mass(self, label: str) -> float:
        """Probability of a label, all its returned spellings together."""
        return math.fsum(math.exp(one) for one in self.logprobs.get(label, {}).values())

    @property
    def total(self) -> float:
        """Probability of all labels together (`p_mass`)."""
        return math.fsum(self.mass(label) for label in self.logprobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an answer cost."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt's, those that the server did not have to compute again."""
    completion_tokens: int = 0
    requests: int = 1
    """Tries at the server, those that failed included; 0 where the answer was remembered."""
    seconds: float = 0.0
    """From the first try to the answer."""

    def __add__(self, other: Usage) -> Usage:
        """What two answers cost together, their times one after the other."""
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            requests=self.requests + other.requests,
            seconds=self.seconds + other.seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a model said."""

    text: str = ""
    finish: Finish = "stop"
    refusal: str | None = None
    """What a server said instead, where it refuses in a field of its own."""
    distribution: Distribution | None = None
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """There is no reply, and why; asking again at once does not help."""

    status: Status
    detail: str
    usage: Usage = field(default_factory=Usage)


Answer = Reply | Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Who answers: part of every rating's provenance and of every remembered answer's key."""

    name: str
    """As the server names it, or the repository of local weights."""
    revision: str | None = None
    """Commit of the weights where it is known."""
    backend: str = ""
    """Software and version: 'vllm 0.33.0', 'transformers 5.23.0'."""

    def as_dict(self) -> dict[str, str | None]:
        """For keys and tables."""
        return {"name": self.name, "revision": self.revision, "backend": self.backend}


class Backend(Protocol):
    """Answers asks, many at a time. Used from one thread."""

    model: Model
    slots: int
    """Asks that it can use at once; more may be put and wait."""

    def put(self, tickets: Sequence[tuple[int, Ask]]) -> None:
        """Take asks, each under a number of the caller's; returns at once."""
        ...

    def get(self) -> Sequence[tuple[int, Answer]]:
        """At least one answer; waits for it. Only to be called while asks are outstanding.

        Raises `CurateError` where nothing more can be answered at all: the server is gone, the budget is spent.
        """
        ...

    def poll(self) -> Sequence[tuple[int, Answer]]:
        """The answers that are there already; waits for none. Raises as `get` does."""
        ...

    def give_up(self) -> None:
        """From another thread: what waits for answers of somebody else waits no longer, and `get` raises."""
        ...

    def close(self) -> None:
        """Give back connections or the device; what is under way is given up."""
        ...
