"""From the log-probabilities of an answer's first token to a distribution over labels.

A label is found by the exact bytes of its spellings, or by the ids of their tokens where those were asked for. Servers say tokens
in different ways: as text, with their bytes, with SentencePiece's or GPT-2's mark for a leading space, or as `token_id:9454`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curate.asks import Distribution, Label

ROUNDING = 0.02
"""By how much probabilities may sum to more than 1, and a logarithm be above 0: servers round, some to bfloat16."""

_SAME = 1e-6
"""Two entries whose logarithms differ by less are one token, said twice."""

_ID_PREFIX = "token_id:"

_SPACE_MARKS = ("\u2581", "\u0120")

Token = bytes | int
"""What a token is known by: its text in UTF-8, or its id."""


class Malformed(Exception):
    """What came back is not what was asked for."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def read_distribution(logprobs: object, labels: Sequence[Label], token_ids: Mapping[str, int] | None = None) -> Distribution:
    """The labels' part of what the model was about to say, from the field `logprobs` of a choice.

    With `token_ids`, by spelling, exactly these tokens were asked for: all have to be there, and a spelling that has none is no
    token of the model and impossible. Raises `Malformed`.
    """
    first = _first(logprobs)
    top = list(_entries(first.get("top_logprobs") or ()))
    said = next(_entries([first]), None)
    known = _distinct([*top, said] if said is not None and all(token != said[0] for token, _ in top) else top)
    if not known:
        raise Malformed("no_logprobs", "the server returned no probabilities")
    if math.fsum(map(math.exp, known.values())) > 1 + ROUNDING:
        raise Malformed("bad_logprobs", "the probabilities of the first token sum to more than 1")
    if token_ids is not None:
        return Distribution(logprobs=_by_id(known, labels, token_ids, len(top)))
    found = {label.name: {one: log for one in label.spellings if (log := known.get(_utf8(one))) is not None} for label in labels}
    complete = all(len(found[label.name]) == len(label.spellings) for label in labels)
    return Distribution(logprobs=found, floor=None if complete else min((log for _, log in top), default=0.0))


def _by_id(
    known: Mapping[Token, float], labels: Sequence[Label], token_ids: Mapping[str, int], returned: int
) -> dict[str, dict[str, float]]:
    """For each label the logarithms of all its spellings."""
    if returned > len(token_ids) + 1:  # the token that was said may be among them
        raise Malformed("no_logprobs", "the server returned other tokens than those asked for")
    found: dict[str, dict[str, float]] = {}
    for label in labels:
        found[label.name] = {}
        for spelling in label.spellings:
            token = token_ids.get(spelling)
            log = -math.inf if token is None else known.get(token, known.get(_utf8(spelling)))
            if log is None:
                raise Malformed("no_logprobs", f"the server did not return the token {spelling!r}, which it was asked for")
            found[label.name][spelling] = log
    return found


def _first(logprobs: object) -> dict[str, Any]:
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list) or not content or not isinstance(content[0], dict):
        raise Malformed("no_logprobs", "the server returned no probabilities")
    return content[0]


def _entries(entries: object) -> Iterator[tuple[Token, float]]:
    if not isinstance(entries, list | tuple):
        raise Malformed("bad_logprobs", "top_logprobs is no list")
    for entry in entries:
        if not isinstance(entry, dict):
            raise Malformed("bad_logprobs", "a token is no object")
        yield _token(entry), _log(entry.get("logprob"))


def _log(value: object) -> float:
    """A logarithm of a probability; -inf and vLLM's -9999 are those of zero."""
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool)):
        log = float(value) if -1e9 < value < 1e9 else math.copysign(math.inf, value)
        if log <= ROUNDING:
            return min(log, 0.0)
    raise Malformed("bad_logprobs", f"a token's logarithm is {value}")


def _token(entry: Mapping[str, Any]) -> Token:
    text, raw = entry.get("token"), entry.get("bytes")
    if not isinstance(text, str):
        raise Malformed("bad_logprobs", "a token has no text")
    if text.startswith(_ID_PREFIX) and text[len(_ID_PREFIX) :].isdecimal():
        return int(text[len(_ID_PREFIX) :])
    if raw:
        try:
            if isinstance(raw, list):
                return bytes(raw)
        except (TypeError, ValueError):
            pass
        raise Malformed("bad_logprobs", "the bytes of a token are none")
    if text.startswith(_SPACE_MARKS):
        text = " " + text[1:]
    return _utf8(text)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # JSON may hold halves of characters


def _distinct(entries: Sequence[tuple[Token, float]]) -> dict[Token, float]:
    """The entries by token. Those that read alike and differ are several tokens of one text, and their probabilities add up."""
    known: dict[Token, list[float]] = {}
    for token, log in entries:
        logs = known.setdefault(token, [])
        if all(abs(log - other) > _SAME for other in logs):
            logs.append(log)
    return {token: logs[0] if len(logs) == 1 else _log_sum(logs) for token, logs in known.items()}


def _log_sum(logs: Sequence[float]) -> float:
    most = max(logs)
    return most if most == -math.inf else most + math.log(math.fsum(math.exp(log - most) for log in logs))
