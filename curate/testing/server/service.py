"""What the scripted server does with a request: checks, counts and answers it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from curate.testing.server.behaviour import Behaviour
from curate.testing.server.faults import HARMLESS, Fault, Faults
from curate.testing.server.oracle import Oracle, Scripted
from curate.testing.server.reading import read_request
from curate.testing.server.replies import Json, altered, completion, encoded, error
from curate.testing.server.requests import Part, Refused, Request, Seen
from curate.testing.server.sending import Outgoing, send, status_of
from curate.testing.server.tokens import Vocabulary
from curate.testing.server.wire import Connection, Message

CHAT = "/v1/chat/completions"


@dataclass(slots=True, kw_only=True)
class Recorded:
    """A request that came in."""

    number: int
    """Counts all, from 0."""
    connection: int
    method: str
    path: str
    at: float
    """Seconds of the monotonic clock."""
    key: str | None = None
    """`Request.key`, for chat requests that are well formed."""
    attempt: int = 0
    """Which try of this key it is, from 0."""
    body: Json | None = None
    """As sent, with 'sha256:' and the digest in place of each picture."""
    fault: Fault | None = None
    status: int | None = None
    """Of the answer; None while there is none."""
    done: float | None = None
    """When the answer was begun to be sent, or given up."""


class Service:
    """The state of a server and its answers; used from one event loop."""

    def __init__(self, answer: Oracle, faults: Faults, behaviour: Behaviour, *, bodies: bool) -> None:
        self.behaviour = behaviour
        self.requests: list[Recorded] = []
        self.tries: Counter[str] = Counter()
        """Chat requests by key."""
        self.completed: Counter[str] = Counter()
        """Right answers that were sent, by key."""
        self.chats = 0
        self.answers = 0
        self.busy = 0
        self.busiest = 0
        """The most chat requests that were under way at once."""
        self.problem: Exception | None = None
        """What the oracle raised, if it did."""
        self.leave: Callable[[float], None] = lambda _: None
        """Called to go away for some seconds."""
        self._answer = answer
        self._faults = faults
        self._bodies = bodies
        self._vocabulary = Vocabulary(behaviour.words)
        self._free: list[float] = []
        self._with_pictures = 0
        self._pictures: list[Seen] = []

    async def serve(self, connection: Connection, message: Message) -> None:
        """Answer one request."""
        record = Recorded(
            number=len(self.requests),
            connection=connection.number,
            method=message.method,
            path=message.path,
            at=time.monotonic(),
        )
        self.requests.append(record)
        try:
            self._check_key(message)
            if len(message.body) > self.behaviour.most_bytes:
                raise Refused(413, f"the body is larger than {self.behaviour.most_bytes} bytes", "RequestTooLarge")
            if message.path == CHAT and message.method == "POST":
                await self._chat(connection, message, record)
                return
            status, body = 200, self._page(message)
        except Refused as refused:
            status, body = refused.status, error(refused.status, refused.message, refused.kind)
        except Exception as problem:
            self.problem = self.problem or problem
            status, body = 500, error(500, f"the script failed: {problem!r}", "InternalServerError")
        record.status, record.done = status, time.monotonic()
        connection.send(status, encoded(body))

    @property
    def model(self) -> str:
        """The model that stands behind the address now."""
        swapped = self.behaviour.swaps_after is not None and self.answers >= self.behaviour.swaps_after
        return self.behaviour.swaps_to if swapped else self.behaviour.model

    def counts(self) -> Json:
        """What was asked and answered so far."""
        return {
            "chats": self.chats,
            "keys": len(self.tries),
            "answers": self.answers,
            "completed": len(self.completed),
            "repeated": sum(count - 1 for count in self.completed.values()),
            "busiest": self.busiest,
            "faults": dict(Counter(one.fault for one in self.requests if one.fault is not None)),
            "statuses": {str(status): count for status, count in Counter(one.status for one in self.requests).items()},
        }

    def _check_key(self, message: Message) -> None:
        """As with vLLM, only pages below /v1 ask for a key."""
        key = self.behaviour.key
        after = self.behaviour.refuses_key_after
        expired = after is not None and self.chats >= after
        wrong = key is not None and message.headers.get("authorization") != f"Bearer {key}"
        if message.path.startswith("/v1/") and (wrong or expired):
            raise Refused(401, "Incorrect API key provided", "AuthenticationError")

    def _page(self, message: Message) -> Json:
        behaviour = self.behaviour
        if message.method == "GET" and message.path == "/v1/models":
            model = {"object": "model", "created": 1_700_000_000, "owned_by": behaviour.owner, "max_model_len": 32768}
            names = (self.model, *behaviour.others)
            return {"object": "list", "data": [{**model, "id": name, "root": behaviour.root or name} for name in names]}
        if message.method == "GET" and message.path == "/version" and behaviour.version is not None:
            return {"version": behaviour.version}
        if message.method == "GET" and message.path == "/scripted/counts":
            return self.counts()
        if message.method == "POST" and message.path == "/tokenize" and behaviour.tokenizer:
            return self._tokens(message.body)
        raise Refused(404, f"there is no {message.method} {message.path}", "NotFoundError")

    def _tokens(self, body: bytes) -> Json:
        """vLLM's /tokenize, of a prompt."""
        try:
            prompt = json.loads(body)["prompt"]
            ids = self._vocabulary.encode(prompt)
        except (ValueError, TypeError, LookupError) as problem:
            raise Refused(400, "tokenize takes a prompt") from problem
        words = [self._vocabulary.decode(one) for one in ids]
        return {"count": len(ids), "max_model_len": 32768, "tokens": ids, "token_strs": words}

    async def _chat(self, connection: Connection, message: Message, record: Recorded) -> None:
        self.chats += 1
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            request, body = read_request(message.body, self._vocabulary)
            record.key = request.key
            record.attempt = self.tries[request.key]
            record.body = body if self._bodies else None
            self.tries[request.key] += 1
            request = self._supported(request)
            record.fault = fault = self._faults(request.key).at(record.attempt)
            outgoing = self._outgoing(request, fault, message.headers.get("x-request-id"), record.number)
            await self._wait(fault)
            # Noted before the client can know, so that a test that has the answer finds it counted.
            record.status, record.done = status_of(fault), time.monotonic()
            self._count(request.key, fault, connection)
            await send(connection, fault, outgoing, self.behaviour)
        finally:
            self.busy -= 1

    def _supported(self, request: Request) -> Request:
        """The request without what this server passes over; `Refused` for what it rejects."""
        behaviour = self.behaviour
        if request.model not in (behaviour.model, self.model):
            raise Refused(404, f"The model `{request.model}` does not exist.", "NotFoundError")
        if behaviour.most_pictures is not None and len(request.pictures) > behaviour.most_pictures:
            raise Refused(400, f"At most {behaviour.most_pictures} image(s) may be provided in one prompt.")
        if request.top > behaviour.most_logprobs:
            raise Refused(400, f"Requested top_logprobs of {request.top}, which is greater than {behaviour.most_logprobs}")
        fields = (
            ("logprobs", behaviour.logprobs, request.logprobs, {"logprobs": False, "top": 0, "labels": None}),
            ("logprob_token_ids", behaviour.label_ids, request.labels is not None, {"labels": None}),
            ("structured output", behaviour.schemas, request.schema is not None or request.grammar, {"schema": None}),
        )
        for name, support, used, nothing in fields:
            if used and support == "rejected":
                raise Refused(400, f"{name} is not supported")
            if used and support == "ignored":
                request = replace(request, **nothing)
        return request

    def _outgoing(self, request: Request, fault: Fault | None, asked: str | None, number: int) -> Outgoing:
        """The answer to a request, and one to another request."""
        answer = altered(self._answer(self._mixed(request)), fault, request)
        name = asked if asked is not None and self.behaviour.echoes_ids else f"{number:032x}"
        model = self.behaviour.swaps_to if fault is Fault.WRONG_MODEL else self.model
        body = self._body(request, answer, model, name)
        if fault is Fault.NO_CHOICES:
            body["choices"] = []
        if fault is Fault.NO_LOGPROBS:
            body["choices"][0]["logprobs"] = None
        if fault not in (Fault.OTHER_REQUEST, Fault.STRAY):
            return Outgoing(body=body, other={})
        another = replace(request, seed=request.seed + 1)
        return Outgoing(body=body, other=self._body(another, self._answer(another), self.model, f"other-{number}"))

    def _body(self, request: Request, answer: Scripted, model: str, name: str) -> Json:
        return completion(
            request, answer, vocabulary=self._vocabulary, behaviour=self.behaviour, model=model, name=f"chatcmpl-{name}"
        )

    def _mixed(self, request: Request) -> Request:
        """The request as the model gets it: with other pictures, where a cache mixes them up."""
        pictures = request.pictures
        if not pictures:
            return request
        before, self._pictures = self._pictures, pictures
        self._with_pictures += 1
        every = self.behaviour.mixes_pictures
        if every is None or self._with_pictures % every or not before:
            return request
        return _reimaged(request, itertools.cycle(before))

    async def _wait(self, fault: Fault | None) -> None:
        """For a slot, and for as long as an answer takes. Errors come at once.

        A slot is free when the answer before was due, not when it was sent: whatever else keeps this process busy, the server
        offers slots / latency answers a second.
        """
        if self.behaviour.latency <= 0 or (fault is not None and fault.value[:3].isdecimal()):
            return
        now = asyncio.get_running_loop().time()
        due = now + self.behaviour.latency
        if self.behaviour.slots is not None:
            if len(self._free) < self.behaviour.slots:
                heapq.heappush(self._free, due)
            else:
                due = max(now, self._free[0]) + self.behaviour.latency
                heapq.heapreplace(self._free, due)
        await asyncio.sleep(due - now)

    def _count(self, key: str, fault: Fault | None, connection: Connection) -> None:
        """Remember that an answer is out, and go away where that was the last for now."""
        if fault is not None and fault not in HARMLESS:
            return
        self.answers += 1
        if connection.alive:
            self.completed[key] += 1
        if self.answers == self.behaviour.leaves_after:
            self.leave(self.behaviour.leaves_for)


def _reimaged(request: Request, pictures: Iterator[Seen]) -> Request:
    """A request with other pictures in the places of its own."""

    def other(part: Part) -> Part:
        return part if isinstance(part, str) else next(pictures)

    return replace(request, turns=tuple((role, tuple(map(other, parts))) for role, parts in request.turns))
