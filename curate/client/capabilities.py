"""What a server was found to be able to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MOST_PICTURES_TRIED = 8
"""Pictures in the largest request that the probe makes; whether more are taken shows with the first such ask."""

LEAST_PROBES = 3
"""Requests that it takes at least to find out: about probabilities, pictures, and a schema."""

Ids = Literal["echoed", "unique", "none"]
"""What an answer's `id` tells: that it belongs to this request, at least that it is not an answer seen before, or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """How to speak to a server."""

    served: str
    """The model, as requests name it."""
    answers_as: frozenset[str | None] = frozenset()
    """The names that answers give their model: hosted servers resolve aliases. Empty: not known yet, all are taken."""
    top_logprobs: int = 0
    """How many of the likeliest tokens come back with their probabilities; 0 where none do."""
    label_ids: bool = False
    """Whether the probabilities of given tokens can be had (`logprob_token_ids` of vLLM); then none is ever missing."""
    pictures: int = 0
    """How many pictures a request may hold, up to `MOST_PICTURES_TRIED`."""
    schema: bool = False
    """Whether replies follow a JSON Schema."""
    says_end: bool = True
    """Whether its answers say why they end; else nobody knows of a text whether it is whole."""
    seed: bool = True
    """Whether requests may hold a seed."""
    length_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    ids: Ids = "none"
