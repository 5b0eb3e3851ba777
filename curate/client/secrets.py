"""Keys, and what keeps them and other people's out of messages.

A key comes from an environment variable or from a file that nobody else can read. Whatever the client says to the outside goes
through a `Redactor` first: servers quote requests in their errors, and addresses carry signatures.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from curate.errors import ServerError
from curate.serving import Serving

REDACTED = "[redacted]"


def _without_query(address: re.Match[str]) -> str:
    return f"{address[1]}?{REDACTED}" if address[2] else address[0]


_PATTERNS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # Who signs in within an address, and what an address carries after its question mark. Addresses without one match as well: so
    # each is gone through once, where one that did not match would be again from every "http" in it.
    (re.compile(r"(https?://)[^/\s@\"'<>]+@"), rf"\1{REDACTED}@"),
    (re.compile(r"(https?://[^\s?\"'<>]+)(\?[^\s\"'<>]+)?"), _without_query),
    (
        re.compile(
            r"(?i)\b((?:proxy-)?authorization|x-api-key|api[-_ ]?key|access[-_]?token|password|secret)"
            r"([\"']?\s*[:=]\s*[\"']?)(?:(?:bearer|basic)\s+)?[^\s\"',;&<>}]+"
        ),
        rf"\1\2{REDACTED}",
    ),
    (re.compile(r"(?i)\bbearer\s+[a-z0-9._~+/=-]{6,}"), f"Bearer {REDACTED}"),
    (re.compile(r"\b(?:hf_|sk-)[A-Za-z0-9_-]{6,}"), REDACTED),
)


_BETWEEN = r"(?:[^!-~]|\\|<[^<>]{0,200}>){0,64}"
"""What may stand between two characters of a key that is quoted: what is no visible ASCII, the backslashes of JSON, tags."""


class Secret:
    """A text that shows in no repr, no message and no pickle."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


class Redactor:
    """Takes secrets out of texts: the key that is in use wherever it stands, and what looks like one."""

    def __init__(self, key: Secret | None = None) -> None:
        self._key = None if key is None else re.compile(_BETWEEN.join(map(re.escape, key.reveal())))

    def __call__(self, text: str) -> str:
        """A text for messages."""
        text = self.answer(text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text

    def answer(self, text: str) -> str:
        """What a model said, without the key that is in use; whatever else it says is its own, and stays."""
        return text if self._key is None else self._key.sub(REDACTED, text)


def read_key(serving: Serving) -> Secret | None:
    """The key of a server; None where it has none. Raises `ServerError` where the key cannot be had, or others can read it."""
    if serving.key_variable is not None and serving.key_file is not None:
        raise ServerError("the server's key comes from an environment variable or from a file, not from both")
    if serving.key_variable is not None:
        text = os.environ.get(serving.key_variable, "").strip()
        where = f"the environment variable {serving.key_variable}"
        if not text:
            raise ServerError(f"{where}, which is to hold the server's key, is not set")
    elif serving.key_file is not None:
        text = _private_text(serving.key_file).strip()
        where = f"the file {serving.key_file}"
    else:
        return None
    if not text.isascii() or not text.isprintable() or " " in text or not text:
        raise ServerError(f"{where} holds no key: a key is one word of ASCII")
    return Secret(text)


def _private_text(path: Path) -> str:
    """The text of a file that only its owner can read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ServerError(f"the key in {path} can be read by others: run chmod 600 {path}")
            return file.read(1 << 16)
    except OSError as problem:
        raise ServerError(f"the key in {path} cannot be read ({problem.strerror})") from None
