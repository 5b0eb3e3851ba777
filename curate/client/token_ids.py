"""The tokens of labels, as the server's own tokenizer has them (`/tokenize` of vLLM)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence

from curate.asks import Label
from curate.client.connection import Connection, NoResponse
from curate.errors import ServerError

Tokens = tuple[int, ...]
"""The tokens of a text, at least one."""


class TokenIds:
    """Finds the tokens of each spelling, and remembers them."""

    def __init__(self, connection: Connection, served: str) -> None:
        self._connection = connection
        self._served = served
        self._tokens: dict[str, Tokens] = {}
        self._known: dict[tuple[Label, ...], Mapping[str, Tokens]] = {}
        self._coming: dict[tuple[Label, ...], asyncio.Future[Mapping[str, Tokens]]] = {}

    def known(self, labels: tuple[Label, ...]) -> Mapping[str, Tokens] | None:
        """What `of` found before; None where it was not asked."""
        return self._known.get(labels)

    async def of(self, labels: tuple[Label, ...]) -> Mapping[str, Tokens]:
        """The tokens of each spelling of labels.

        Those who ask while somebody finds out get the same answer. Raises `ServerError` for a label of which no spelling is one
        token, and for one that begins with the token of another; `NoResponse` where the server does not say.
        """
        coming = self._coming.get(labels)
        if coming is not None:
            return await asyncio.shield(coming)
        coming = self._coming[labels] = asyncio.get_running_loop().create_future()
        try:
            coming.set_result(await self._find(labels))
        except Exception as problem:
            coming.set_exception(problem)
        finally:
            del self._coming[labels]
            coming.cancel()  # of no effect where it has come
        return coming.result()

    async def _find(self, labels: tuple[Label, ...]) -> Mapping[str, Tokens]:
        spellings = [spelling for label in labels for spelling in label.spellings]
        missing = [spelling for spelling in dict.fromkeys(spellings) if spelling not in self._tokens]
        self._tokens.update(zip(missing, await asyncio.gather(*map(self._tokens_of, missing)), strict=True))
        found = {spelling: self._tokens[spelling] for spelling in spellings}
        self._check(labels, found)
        self._known[labels] = found
        return found

    def _check(self, labels: tuple[Label, ...], found: Mapping[str, Tokens]) -> None:
        """Raises `ServerError` for labels that cannot be read off the first token."""
        owners: dict[int, Label] = {}
        for label in labels:
            whole = [found[one][0] for one in label.spellings if len(found[one]) == 1]
            if not whole:
                raise ServerError(
                    f"the label '{label.name}' is no single token of the model '{self._served}' in any spelling "
                    f"({_listed(label.spellings)}), so its probability cannot be read; use other labels, or another model"
                )
            owners |= dict.fromkeys(whole, label)
        for label in labels:
            for one in label.spellings:
                other = owners.get(found[one][0], label)
                if other != label:
                    raise ServerError(
                        f"the label '{label.name}' written {one!r} begins with the token of the label '{other.name}' in the "
                        f"model '{self._served}', so the two cannot be told apart; use other labels, or another model"
                    )

    async def _tokens_of(self, spelling: str) -> Tokens:
        """The tokens of a spelling."""
        question = {"model": self._served, "prompt": spelling, "add_special_tokens": False}
        response = await self._connection.look("/tokenize", question, beside=True)
        if response.status != 200:
            raise NoResponse(f"http_{response.status}", "the server does not say the tokens of labels")
        try:
            tokens = json.loads(response.body)["tokens"]
        except (ValueError, TypeError, KeyError, RecursionError):
            tokens = None
        if not isinstance(tokens, list) or not tokens or not all(isinstance(token, int) for token in tokens):
            raise NoResponse("not_json", "the server does not say the tokens of labels")
        return tuple(tokens)


async def speaks_token_ids(tokens: TokenIds) -> bool:
    """Whether the server tells the tokens of words, sensibly: two words are two tokens."""
    one, other = Label(name="yes", spellings=("Yes",)), Label(name="no", spellings=("No",))
    try:
        found = await tokens.of((one, other))
    except (NoResponse, ServerError):
        return False
    return found["Yes"] != found["No"]


def _listed(spellings: Sequence[str]) -> str:
    return ", ".join(repr(one) for one in spellings)
