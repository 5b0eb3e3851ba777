"""Which server judges ask, and within which limits; nothing here changes what is answered but the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """An OpenAI-compatible chat server."""

    url: str
    """Up to and with the version: http://127.0.0.1:8000/v1."""
    model: str | None = None
    """As the server names it; None takes the only one it serves."""
    revision: str | None = None
    """Commit of its weights, where you know it: servers do not say."""
    key_variable: str | None = None
    """The environment variable that holds the key; None sends none."""
    key_file: Path | None = None
    """A file that only you can read and that holds the key."""
    concurrency: int = 64
    """The most requests in flight; fewer while the server is slow."""
    most_bytes: int = 256 << 20
    """Of bodies in flight."""
    most_requests: int | None = None
    """Tries at the server in this run, failed ones included."""
    most_tokens: int | None = None
    """Of prompts and answers in this run."""
    connect_seconds: float = 5.0
    total_seconds: float = 600.0
    """For one request, from sending it to the last byte."""
    most_tries: int = 6
    """At one ask, the first included."""
    first_wait_seconds: float = 0.5
    """Before the second try, at most: waits are of random length, and the bound doubles with every try."""
    most_wait_seconds: float = 60.0
    """Before any try, also where the server asks for more."""
    canary: bool = True
    """Whether to test, at the start and every hour, that answers are about the picture that was sent."""
    dialect: dict[str, object] = field(default_factory=dict)
    """Fields added to every request's body, for what only this server knows (mm_processor_kwargs …); part of the model's name."""
