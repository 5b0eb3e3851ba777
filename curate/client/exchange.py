"""One try at one ask: made into a request, sent, and what came back read."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping

from curate.asks import Ask, Trouble
from curate.client.answers import Again, Outcome, Reader, Response
from curate.client.capabilities import MOST_PICTURES_TRIED, Capabilities
from curate.client.connection import Connection, NoResponse
from curate.client.payload import Encoder
from curate.client.token_ids import TokenIds, Tokens
from curate.errors import ServerError
from curate.records import Status
from curate.serving import Serving

ANSWER_SECONDS = 120.0
"""For an answer to begin and its prompt to be read, also where the server has others to answer first."""

TOKEN_SECONDS = 0.5
"""For each token that may be said."""


class Exchange:
    """Tries asks at a server with these capabilities."""

    def __init__(self, connection: Connection, serving: Serving, capabilities: Capabilities) -> None:
        self.capabilities = capabilities
        self.response: Response | None = None
        """What came last over HTTP, for those who look at one answer at a time."""
        self.last_name = ""
        """The name of the request that was made last."""
        self._connection = connection
        self._longest = serving.total_seconds
        self._encoder = Encoder(capabilities, serving.dialect)
        self._reader = Reader(capabilities, connection.redact, connection.url, sends_key=connection.sends_key)
        self._tokens = TokenIds(connection, capabilities.served) if capabilities.label_ids else None
        self._run = secrets.token_hex(8)
        self._numbers = itertools.count()

    def seconds(self, ask: Ask) -> float:
        """How long an answer may take."""
        return min(self._longest, ANSWER_SECONDS + TOKEN_SECONDS * ask.max_tokens)

    def hopeless(self, ask: Ask) -> Trouble | None:
        """What is known before anything is sent. Raises `ServerError` where no ask of its kind can be answered."""
        if ask.labels and not self.capabilities.top_logprobs:
            raise ServerError(
                f"{self._connection.url} returns no log-probabilities, which the rubric needs; "
                "use a server that does, such as vLLM, or a rubric that reads text"
            )
        shown, most = len(ask.pictures), self.capabilities.pictures
        if shown > most and most < MOST_PICTURES_TRIED:
            takes = f"at most {most} picture{'s' if most > 1 else ''} in a request" if most else "no pictures"
            return Trouble(status=Status.API_ERROR, detail=f"image_rejected: the server takes {takes}, and {shown} would be sent")
        return None

    async def once(self, ask: Ask) -> Outcome:
        """One try. Raises `ServerError` for what ends everything."""
        self.last_name = name = f"curate-{self._run}-{next(self._numbers):x}"
        try:
            token_ids = await self._token_ids(ask)
            body = self._encoder.body(ask, token_ids)
            self.response = response = await self._connection.chat(body, seconds=self.seconds(ask), request_id=name)
        except NoResponse as problem:
            return Again(reason=problem.reason, detail=problem.detail)
        outcome = self._reader.read(response, ask, request_id=name, token_ids=token_ids)
        right = response.status != 200 or not isinstance(outcome, Again)
        if right and self.capabilities.ids == "echoed":
            # Elsewhere nothing tells an answer that nobody asked for from the one that is waited for, so there each has its own.
            response.keep()
        return outcome

    async def _token_ids(self, ask: Ask) -> Mapping[str, Tokens] | None:
        if self._tokens is None or not ask.labels:
            return None
        known = self._tokens.known(ask.labels)
        return known if known is not None else await self._tokens.of(ask.labels)
