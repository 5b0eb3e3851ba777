"""From the log-probabilities of an answer's first token to a distribution over labels.

A label is found by the exact bytes of its spellings, or by the ids of their tokens where those were asked for. Servers say tokens
in different ways: as text, with their bytes, with SentencePiece's or GPT-2's mark for a leading space, or as `token_id:9454`.

A spelling that did not come back may be several tokens, and then is as probable, at most, as the first of them: a token that
begins it counts for the bound of what is absent (`Distribution.floor`), unless it is a spelling itself, and counted as that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from curate.asks import LEAST_LOG, Distribution, Label

ROUNDING = 0.02
"""By how much probabilities may sum to more than 1, and a logarithm be above 0: servers round, some to bfloat16."""

_SAME = 1e-6
"""Two entries whose logarithms differ by less are one token, said twice."""

_ID = re.compile(r"token_id:([0-9]+)")

MOST_DIGITS = 10
"""Of a token's id: no vocabulary has more than 2**32 tokens."""

_SPACE_MARKS = ("\u2581", "\u0120")

Token = bytes | int
"""What a token is known by: its text in UTF-8, or its id."""


class Malformed(Exception):
    """What came back is not what was asked for."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def read_distribution(
    logprobs: object, labels: Sequence[Label], token_ids: Mapping[str, Sequence[int]] | None = None
) -> Distribution:
    """The labels' part of what the model was about to say, from the field `logprobs` of a choice.

    With `token_ids`, the tokens of each spelling, the first of each was asked for: those that are a whole spelling have to be
    there; of a spelling that is several tokens only the bound is known. Raises `Malformed`.
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
        return _by_id(known, labels, token_ids, len(top))
    spellings = [one for label in labels for one in label.spellings]
    found = {label.name: {one: log for one in label.spellings if (log := known.get(_utf8(one))) is not None} for label in labels}
    # Padding is no token of the model, and bounds nothing.
    least = min((log for _, log in top if log >= LEAST_LOG), default=0.0)
    texts = _pieces(known, spellings)
    bounds = [_log_sum([least, *_begins(texts, one)]) for one in spellings if _utf8(one) not in known]
    return Distribution(logprobs=found, floor=max(bounds, default=None))


def _by_id(
    known: Mapping[Token, float], labels: Sequence[Label], token_ids: Mapping[str, Sequence[int]], returned: int
) -> Distribution:
    """All spellings that are one token; the floor is that of the others."""
    if returned > len({tokens[0] for tokens in token_ids.values()}) + 1:  # the token that was said may be among them
        raise Malformed("no_logprobs", "the server returned other tokens than those asked for")
    texts = _pieces(known, token_ids)
    whole = {tokens[0] for tokens in token_ids.values() if len(tokens) == 1}
    found: dict[str, dict[str, float]] = {label.name: {} for label in labels}
    bounds: list[float] = []
    counted: set[int] = set()
    for label in labels:
        for spelling in label.spellings:
            first, *others = token_ids[spelling]
            log = known.get(first)
            if first in counted or (others and first in whole):
                found[label.name][spelling] = -math.inf  # all that begins so is counted where its first token is
            elif others:
                # Of a server that tells texts only, the first token may be a blank, which tells nothing.
                bounds.append(_log_sum(_begins(texts, spelling) or [0.0]) if log is None else log)
            elif log is not None or (log := known.get(_utf8(spelling))) is not None:
                found[label.name][spelling] = log
                counted.add(first)
            else:
                raise Malformed("no_logprobs", f"the server did not return the token {spelling!r}, which it was asked for")
    return Distribution(logprobs=found, floor=max(LEAST_LOG, *bounds) if bounds else None)


def _pieces(known: Mapping[Token, float], spellings: Iterable[str]) -> dict[bytes, float]:
    """The tokens known by their text that are no label themselves, without the blanks in front; blanks alone are none."""
    whole = {_utf8(one) for one in spellings}
    pieces: dict[bytes, float] = {}
    for token, log in known.items():
        if isinstance(token, bytes) and token not in whole and (text := token.lstrip()):
            pieces[text] = _log_sum([pieces.get(text, -math.inf), log])
    return pieces


def _begins(pieces: Mapping[bytes, float], spelling: str) -> list[float]:
    """The logarithms of the tokens with which a spelling begins."""
    whole = _utf8(spelling).lstrip()
    return [log for text, log in pieces.items() if whole.startswith(text) and text != whole]


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
        # Compared before it is made a float: JSON knows integers that are too large for one.
        log = float(value) if -1e9 < value < 1e9 else -math.inf if value < 0 else math.inf
        if log <= ROUNDING:
            return min(log, 0.0)
    raise Malformed("bad_logprobs", f"a token's logarithm is {value}")


def _token(entry: Mapping[str, Any]) -> Token:
    text, raw = entry.get("token"), entry.get("bytes")
    if not isinstance(text, str):
        raise Malformed("bad_logprobs", "a token has no text")
    if (found := _ID.fullmatch(text)) is not None:
        if len(found[1]) > MOST_DIGITS:
            raise Malformed("bad_logprobs", f"the id of a token has {len(found[1])} digits")
        return int(found[1])
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
    """The logarithm of a sum of probabilities; at most 0, which rounding could take it above."""
    most = max(logs)
    return most if most == -math.inf else min(most + math.log(math.fsum(math.exp(log - most) for log in logs)), 0.0)
