"""From the response of a server to a reply, to trouble, or to another try.

Nothing is guessed: an answer of another model, to another request, without choices, or without the probabilities that were asked
for is no answer.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.asks import Ask, Distribution, Finish, Reply, Trouble, Usage
from curate.client.capabilities import Capabilities
from curate.client.logprobs import Malformed, read_distribution
from curate.client.retries import RETRIED, asked_wait
from curate.client.secrets import Redactor
from curate.errors import ServerError
from curate.records import Status

MOST_QUOTED = 300
"""Characters of a server's own words in a message."""

MOST_PARSED = 1 << 16
"""Characters of an error that is read as JSON."""

MOST_READ = 1 << 12
"""Characters in which its words are looked for."""

MOST_REMEMBERED = 65_536
"""Ids of answers that are kept, to know one that comes again."""

_FINISH: dict[str, Finish] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "stop_sequence", "end_turn"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "model_length"), "length"),
    **dict.fromkeys(("content_filter", "content_filtered", "guardrail_intervened", "refusal", "safety"), "content_filter"),
    **dict.fromkeys(("blocklist", "prohibited_content", "recitation", "spii"), "content_filter"),
}
"""Why an answer ends, in the words of servers and of the gateways before them, in lower case. Those of a policy are OpenAI's,
Amazon's and Anthropic's in the first line, in the second Google's."""

UNFINISHED = "unfinished"
"""The reason of an answer of which nobody knows whether it is whole."""

_HEALTHY = frozenset({"http_429", UNFINISHED})
"""Reasons that a server may have while nothing is wrong with it: it is asked too much, or it answers and does not say enough."""

_TAG = re.compile(r"<[^<>]*>")

_FILTERED = re.compile(r"content[ _-]?(?:filter|policy|management)", re.IGNORECASE)

_ABOUT_PICTURES = re.compile(r"\b(?:images?|image_url|pictures?|pixels?|multi-?modal)\b", re.IGNORECASE)

_SPENT = re.compile(r"insufficient_quota|exceeded your current quota|billing", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Response:
    """What came over HTTP, whole."""

    status: int
    headers: Mapping[str, str]
    """Without regard to case."""
    body: bytes
    keep: Callable[[], None] = lambda: None
    """To be called where this is what was asked for; else the connection on which it came is not used again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """No answer, and another try may give one."""

    reason: str
    """One word: 'http_503', 'timeout', 'not_json' …"""
    detail: str
    wait: float | None = None
    """Seconds after which the server says to come back."""
    congested: bool = False
    """Whether it says that it is asked too much."""
    usage: Usage = field(default_factory=Usage)
    """Tokens as the server counts them, where what came was made for this ask; the request is one."""

    @property
    def server_failed(self) -> bool:
        """Whether it speaks against the server's health; being asked too much does not, nor an end without a reason."""
        return self.reason not in _HEALTHY


Outcome = Reply | Trouble | Again


class Reader:
    """Reads the answers of one server."""

    def __init__(self, capabilities: Capabilities, redactor: Redactor, url: str, *, sends_key: bool = True) -> None:
        self.capabilities = capabilities
        self._sends_key = sends_key
        self._redact = redactor
        self._url = url
        self._seen: dict[str, None] = {}

    def read(
        self, response: Response, ask: Ask, *, request_id: str, token_ids: Mapping[str, Sequence[int]] | None = None
    ) -> Outcome:
        """What a response comes to. Raises `ServerError` for what ends everything: a key refused, a quota used up."""
        usage = Usage()
        try:
            if response.status != 200:
                return self._failed(response, ask)
            document = _document(response.body)
            self._check_model(document.get("model"))
            self._check_id(document.get("id"), request_id)
            usage = _usage(document.get("usage"))
            return self._reply(document, ask, usage, token_ids)
        except Malformed as problem:
            return Again(reason=problem.reason, detail=_short(problem.detail, self._redact), usage=usage)
        except ServerError:
            raise
        except Exception as problem:  # one answer that nobody thought of ends no run; where it was met is said
            return Again(reason="malformed", detail=f"the answer cannot be read: {_met(problem)}", usage=usage)

    def _failed(self, response: Response, ask: Ask) -> Trouble | Again:
        said = quoted(response.body, self._redact)
        reason, detail = f"http_{response.status}", said or "the server gave no reason"
        if response.status == 401:
            raise key_refused(self._url, said, sent=self._sends_key)
        if response.status == 429 and _SPENT.search(said):
            raise ServerError(f"{self._url} answers no more: {said}")
        if response.status in RETRIED:
            congested = response.status in {429, 503}
            return Again(reason=reason, detail=detail, wait=asked_wait(response.status, response.headers), congested=congested)
        if response.status == 400 and _FILTERED.search(said):
            return Trouble(status=Status.REFUSED, detail=f"content_filter: {detail}")
        if response.status in {400, 413, 415, 422} and ask.pictures and _ABOUT_PICTURES.search(said):
            return Trouble(status=Status.API_ERROR, detail=f"image_rejected: {detail}")
        return Trouble(status=Status.API_ERROR, detail=f"{reason}: {detail}")

    def _reply(self, document: dict[str, Any], ask: Ask, usage: Usage, token_ids: Mapping[str, Sequence[int]] | None) -> Reply:
        choice = _only_choice(document)
        message = choice.get("message")
        if not isinstance(message, dict):
            raise Malformed("no_choices", "the answer has no message")
        text, refusal = message.get("content"), message.get("refusal")
        if not isinstance(text, str | None):
            raise Malformed("malformed", "the answer's content is no text")
        refusal = refusal if isinstance(refusal, str) and refusal else None
        finish = _finish(reason := choice.get("finish_reason"))
        if finish == "other" and not (ask.labels or ask.may_be_cut) and refusal is None:
            raise Malformed(UNFINISHED, f"the finish_reason {reason!r} does not say whether the answer is whole")
        distribution: Distribution | None = None
        if ask.labels and refusal is None and finish != "content_filter":
            distribution = read_distribution(choice.get("logprobs"), ask.labels, token_ids)
        return Reply(
            text=self._redact.answer(text or ""),
            finish=finish,
            refusal=self._redact.answer(refusal) if refusal is not None else None,
            distribution=distribution,
            usage=usage,
        )

    def _check_model(self, model: object) -> None:
        known = self.capabilities.answers_as
        if known and (not isinstance(model, str | None) or model not in known):
            raise Malformed("wrong_model", f"the answer is not of '{self.capabilities.served}' but of '{model}'")

    def _check_id(self, name: object, request_id: str) -> None:
        """Raises `Malformed` for an answer that belongs to another request."""
        if self.capabilities.ids == "none":
            return
        if not isinstance(name, str) or not name:
            raise Malformed("wrong_answer", "the answer has no id")
        if self.capabilities.ids == "echoed":
            if request_id not in name:
                raise Malformed("wrong_answer", "the answer belongs to another request")
            return
        if name in self._seen:
            raise Malformed("wrong_answer", "the answer is one that came before")
        self._seen[name] = None
        if len(self._seen) > MOST_REMEMBERED:
            del self._seen[next(iter(self._seen))]


def model_and_id(body: bytes) -> tuple[str | None, str | None]:
    """How an answer names its model and itself; None for what it does not say."""
    document = _document(body)
    model, name = document.get("model"), document.get("id")
    return model if isinstance(model, str) else None, name if isinstance(name, str) and name else None


def key_refused(url: str, said: str, *, sent: bool) -> ServerError:
    """The error for a server that does not let in who asks, in whose own words `said` why; `sent` is whether it got a key."""
    refuses = "refuses the key" if sent else "wants a key and none was sent; --key-from says where it is"
    return ServerError(f"{url} {refuses}{f': {said}' if said else ''}")


def quoted(body: bytes, redact: Redactor) -> str:
    """A server's own words about an error, without secrets, short and on one line; empty where it has none."""
    return _short(_words(redact.answer(body.decode("utf-8", "replace"))), redact)


def _words(text: str) -> str:
    """What the body of an error says: its message, or the text of a proxy's page."""
    try:
        return _message(json.loads(text[:MOST_PARSED])) or text
    except (ValueError, RecursionError):
        return _TAG.sub(" ", text[:MOST_READ])


def _short(text: str, redact: Redactor) -> str:
    """A text for a message: without secrets, on one line, printable, and not too long.

    The key goes before anything is cut, since the half of it that a cut leaves is no longer known for what it is, and once more
    when the text is clean, which may have put it together.
    """
    text = redact.answer(text)[:MOST_READ]
    text = "".join(one if one.isprintable() else " " for one in text)
    return redact(" ".join(text.split()))[:MOST_QUOTED]


def _met(problem: Exception) -> str:
    """The kind of an exception and where it was raised, but not what it says: that may quote the answer."""
    place = traceback.extract_tb(problem.__traceback__)[-1]
    return f"{type(problem).__name__} in {place.name}, {Path(place.filename).name}:{place.lineno}"


def _finish(reason: object) -> Finish:
    """Why an answer ends; 'other' where the server does not say, or in words of its own."""
    return _FINISH.get(reason.lower(), "other") if isinstance(reason, str) else "other"


def _message(document: object) -> str | None:
    """The message in the body of an error, in the forms that servers have, with the code where that says more."""
    if not isinstance(document, dict):
        return None
    error = document.get("error", document)
    if isinstance(error, dict):
        message, code = error.get("message", error.get("detail")), error.get("code")
        if isinstance(message, str):
            return f"{code}: {message}" if isinstance(code, str) and code not in message else message
    return error if isinstance(error, str) else None


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("not_json", f"the answer is no JSON: {body.decode('utf-8', 'replace')}") from None
    if not isinstance(document, dict):
        raise Malformed("malformed", "the answer is no object")
    if document.get("error"):
        raise Malformed("error_in_answer", _message(document) or "the server reports an error")
    return document


def _only_choice(document: Mapping[str, Any]) -> dict[str, Any]:
    choices = document.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise Malformed("no_choices", "the answer has not exactly one choice")
    return choices[0]


def _usage(usage: object) -> Usage:
    """Tokens as the server counts them; 0 where it does not."""
    if not isinstance(usage, dict):
        return Usage()
    details = usage.get("prompt_tokens_details")
    return Usage(
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        cached_tokens=_count(details.get("cached_tokens")) if isinstance(details, dict) else 0,
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else 0
