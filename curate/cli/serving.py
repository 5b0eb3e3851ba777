"""What the command line says of a server, read and checked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from curate.errors import CurateError
from curate.serving import Serving

_HIDDEN = "[redacted]"

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
"""As variables are named; keys that people are given have small letters in them."""

_IN_ADDRESSES = re.compile(r"(?<=://)[^/@]*@|(?<=\?).*", re.DOTALL)
"""Who signs in, and what follows the question mark."""


def serving_of(
    url: str | None,
    *,
    model: str | None = None,
    key_from: str | None = None,
    concurrency: int = 64,
    budget: int | None = None,
    budget_tokens: int | None = None,
    canary: bool = True,
) -> Serving | None:
    """The server that judges ask; None where none is named. Raises `CurateError` for what only makes sense with one."""
    if url is None:
        alone = {"--key-from": key_from, "--budget": budget, "--budget-tokens": budget_tokens}
        said = next((name for name, value in alone.items() if value is not None), None)
        if said is not None:
            raise CurateError(f"{said} is about a server; say which with --server URL")
        return None
    if key_from is not None and not _leads_to_a_key(key_from):
        raise CurateError(
            "--key-from names an environment variable or a file, and what it was given is neither; a key itself has no place "
            "in a command"
        )
    file = Path(key_from) if key_from is not None and _is_file(key_from) else None
    return Serving(
        url=url,
        model=model,
        key_file=file,
        key_variable=key_from if file is None else None,
        concurrency=concurrency,
        most_requests=budget,
        most_tokens=budget_tokens,
        canary=canary,
    )


def prices_of(text: str | None, *, dry_run: bool) -> tuple[float, float] | None:
    """The prices that `--price IN,OUT` says; raises `CurateError` for anything else, and where nothing is estimated."""
    if text is None:
        return None
    if not dry_run:
        raise CurateError("--price is for what --dry-run counts; say both")
    try:
        prompt, completion = (float(part) for part in text.split(","))
    except ValueError:
        prompt, completion = -1.0, -1.0
    if not (0 <= prompt < float("inf") and 0 <= completion < float("inf")):
        raise CurateError(f"--price takes two prices for a million tokens, of prompts and of replies, as 0.15,0.60; not '{text}'")
    return prompt, completion


def without_keys(arguments: Sequence[str]) -> Iterator[str]:
    """The words of a command as they may be kept: a key that somebody wrote into it is left out."""
    for before, word in pairwise(("", *arguments)):
        option, _, value = word.partition("=") if word.startswith("--") and "=" in word else (before, "", word)
        said = value
        if option == "--key-from" and not _leads_to_a_key(value):
            said = _HIDDEN
        elif option == "--server":
            said = _IN_ADDRESSES.sub(_HIDDEN, value)
        yield word.removesuffix(value) + said


def _leads_to_a_key(name: str) -> bool:
    """Whether this is where a key may be found, rather than a key."""
    return _is_file(name) or name in os.environ or _VARIABLE.fullmatch(name) is not None


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False
