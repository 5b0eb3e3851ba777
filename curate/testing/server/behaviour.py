"""How the scripted server behaves towards everybody, and how it misbehaves as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Support = Literal["given", "ignored", "rejected"]
"""What becomes of a field: it works; it is passed over, as most servers do with what they do not know; it is an error 400."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """Kind, speed and whims of a server. May be replaced while it runs: what comes next meets the new one."""

    model: str = "scripted-judge"
    """The model served; requests for another are answered 404."""
    root: str | None = None
    """What it says the weights of its models are; None for their names."""
    others: tuple[str, ...] = ()
    """Names of further models that it says it serves."""
    version: str | None = "0.33.0"
    """What /version says; None for servers that have no such page."""
    owner: str = "vllm"
    """`owned_by` of the model."""
    words: tuple[str, ...] = ()
    """Further words that are one token of the model."""
    tokenizer: bool = True
    """Whether there is a /tokenize."""
    key: str | None = None
    """The key that requests below /v1 have to show; None asks for none."""
    logprobs: Support = "given"
    most_logprobs: int = 20
    """Likeliest tokens that may be asked for; more is an error 400."""
    label_ids: Support = "given"
    """`logprob_token_ids`, a field of vLLM's."""
    schemas: Support = "given"
    """`response_format` and `structured_outputs`."""
    echoes_ids: bool = True
    """Whether an answer's id is 'chatcmpl-' and the request's X-Request-Id, as with vLLM; else it is the server's own."""
    most_pictures: int | None = None
    """Pictures that a request may hold; more is an error 400."""
    most_bytes: int = 64 << 20
    """Size of a body; larger is an error 413."""

    latency: float = 0.0
    """Seconds that an answer takes once it has a slot."""
    slots: int | None = None
    """Answers that are made at once, others wait; None for no limit."""
    retry_after: str = "1"
    """What `Fault.RATE_LIMITED_WAIT` says."""
    drip_seconds: float = 0.5
    """How long `Fault.DRIP` takes."""

    masked_to: tuple[str, ...] | None = None
    """The words that a grammar of the server's lets come first, wherever log-probabilities are asked for; these are taken after
    it, so that the words are certain together, whatever the question."""
    mixes_pictures: int | None = None
    """Every so manieth request with pictures is answered about those of the one before: a cache that mixes them up."""
    swaps_after: int | None = None
    """After so many answers another model stands behind the same address, and answers to the old name as well."""
    swaps_to: str = "another-judge"
    refuses_key_after: int | None = None
    """After so many chat requests every key is wrong: error 401."""
    leaves_after: int | None = None
    """After so many answers the server goes away: nobody listens, connections break."""
    leaves_for: float = 0.5
    """Seconds until it is back."""
