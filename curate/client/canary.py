"""Whether answers are about the picture that was sent: servers that cache pictures have been found to mix them up under load.

Pictures of one colour each are asked about one by one, then many at once, with the same question. A model that sees colours has
to name each, both times; of one that does not, no answer may be the one that another picture got alone.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping

from curate.asks import Answer, Ask, Picture, Reply, Trouble, Turn
from curate.client.swatches import Colour, swatch
from curate.errors import ServerError
from curate.records import Status

COLOURS: dict[str, Colour] = {
    "red": (255, 0, 0),
    "green": (0, 160, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "orange": (255, 128, 0),
    "purple": (128, 0, 128),
}

EACH = 8
"""How often each colour is asked about at once, at most: 64 requests in all."""

EVERY_SECONDS = 3600.0

_QUESTION = f"What colour is this picture? Answer with one word: {', '.join(COLOURS)}."

_WORD = re.compile(rf"\b({'|'.join(COLOURS)})\b")

Asked = Callable[[Ask], Awaitable[Answer]]
"""Asks, and gives the answer."""


class Canary:
    """Asks about colours, at the start and again later; what each picture got alone is asked once."""

    def __init__(self, ask: Asked, url: str, concurrency: int) -> None:
        self._ask = ask
        self._url = url
        self._each = max(1, min(EACH, concurrency // len(COLOURS)))
        self._pictures = {colour: swatch(rgb) for colour, rgb in COLOURS.items()}
        self._alone: dict[str, str] = {}

    async def check(self) -> None:
        """Raises `ServerError` where the server answers about another picture than the one that was sent."""
        if not self._alone:
            alone = {colour: await self._said(picture) for colour, picture in self._pictures.items()}
            if None in alone.values():
                return
            self._alone = {colour: said for colour, said in alone.items() if said is not None}
        asked = [colour for _ in range(self._each) for colour in COLOURS]
        together = await asyncio.gather(*(self._said(self._pictures[colour]) for colour in asked))
        for colour, said in zip(asked, together, strict=True):
            if said is not None and mixed_up(colour, said, self._alone):
                raise ServerError(
                    f"{self._url} mixes up pictures: asked about a {colour} one among others it said {said[:40]!r}, alone "
                    f"{self._alone[colour][:40]!r}; no answer of it can be trusted; look for a fault in its caches"
                )

    async def _said(self, picture: Picture) -> str | None:
        """What is said of a picture; None where nobody can tell: the budget is spent, the server has failed for now."""
        answer = await self._ask(Ask(turns=(Turn(role="user", parts=(picture, _QUESTION)),), max_tokens=8))
        if isinstance(answer, Reply):
            return _named(answer.text)
        if answer.status is Status.PENDING or not _final(answer):
            return None
        raise ServerError(f"{self._url} takes no pictures, so it cannot be tested whether it mixes them up ({answer.detail})")


def mixed_up(colour: str, said: str, alone: Mapping[str, str]) -> bool:
    """Whether what was said of a picture among others shows that it was about another, given what each got alone."""
    if said == alone[colour]:
        return False
    sees = all(alone[name] == name for name in alone)
    return sees or said in {other for name, other in alone.items() if name != colour}


def _named(text: str) -> str:
    """The colour that a text names first, else all of it."""
    found = _WORD.search(text.lower())
    return found[1] if found else " ".join(text.split())


def _final(trouble: Trouble) -> bool:
    return trouble.detail.startswith(("http_4", "image_rejected"))
