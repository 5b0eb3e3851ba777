"""Whether answers are about the picture that was sent: servers that cache pictures have been found to mix them up under load.

Pictures of one colour each are asked about one by one, then many at once, with the same question. One by one, no colour may be
named for half of the pictures: then something answers by the words alone. A model that sees colours has to name each, both times;
of one that does not, no answer may be the one that another picture got alone, and how little that tells is logged.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from curate.asks import Answer, Ask, Picture, Reply, Trouble, Turn
from curate.client.swatches import Colour, swatch
from curate.errors import BudgetSpent, CurateError, ServerError
from curate.records import Status

logger = logging.getLogger(__name__)

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

MOST_ALIKE = len(COLOURS) // 2 - 1
"""Pictures alone that may be given the same colour: models take orange for red or yellow, and purple for blue."""

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
        self._each = _each(concurrency)
        self._pictures = {colour: swatch(rgb) for colour, rgb in COLOURS.items()}
        self._alone: dict[str, str] = {}

    async def check(self) -> None:
        """Raises `ServerError` where the server answers about another picture than the one that was sent, or about none, and
        where it fails; `BudgetSpent` where no more may be asked before the pictures alone were."""
        if not self._alone:
            self._alone = await self._one_by_one()
        asked = [colour for _ in range(self._each) for colour in COLOURS]
        together = await asyncio.gather(*(self._ask(_question(self._pictures[colour])) for colour in asked))
        for colour, answer in zip(asked, together, strict=True):
            said = self._said(answer)
            if said is not None and mixed_up(colour, said, self._alone):
                raise ServerError(
                    f"{self._url} mixes up pictures: asked about a {colour} one among others it said {said[:40]!r}, alone "
                    f"{self._alone[colour][:40]!r}; no answer of it can be trusted; look for a fault in its caches"
                )

    async def _one_by_one(self) -> dict[str, str]:
        """What is said of each picture alone."""
        alone: dict[str, str] = {}
        for colour, picture in self._pictures.items():
            answer = await self._ask(_question(picture))
            said = self._said(answer)
            if said is None:
                raise self._untested(answer)
            alone[colour] = said
        self._judge_alone(alone)
        return alone

    def _untested(self, answer: Answer) -> CurateError:
        """Why pictures alone could not be asked about."""
        if isinstance(answer, Trouble) and answer.status is not Status.PENDING:
            return ServerError(
                f"{self._url} fails at a plain picture ({answer.detail}), so it is not known whether it mixes them up"
            )
        return BudgetSpent(f"the limit on requests or tokens is too low to test whether {self._url} mixes up pictures")

    def _judge_alone(self, alone: Mapping[str, str]) -> None:
        """Raises `ServerError` for answers that the words alone decide; logs where they show little of what is seen."""
        counts = Counter(said for said in alone.values() if said in COLOURS)
        for said, count in counts.most_common(1):
            if count > MOST_ALIKE:
                raise ServerError(
                    f"{self._url} calls {count} pictures of {count} colours {said}, asked about one by one: it sees no pictures, "
                    "or a cache of it takes one for another; no answer of it can be trusted"
                )
        right = sum(said == colour for colour, said in alone.items())
        if right <= MOST_ALIKE:
            logger.warning(
                "%s names %d of %d colours, so the test whether it mixes up pictures tells little", self._url, right, len(COLOURS)
            )

    def _said(self, answer: Answer) -> str | None:
        """What is said of a picture; None where nobody can tell: the budget is spent, the server has failed for now."""
        if isinstance(answer, Reply):
            return _named(answer.text)
        if answer.status is Status.PENDING or not _final(answer):
            return None
        raise ServerError(f"{self._url} takes no pictures, so it cannot be tested whether it mixes them up ({answer.detail})")


def _each(concurrency: int) -> int:
    """How often each colour is asked about at once: no more than may be in flight."""
    return max(1, min(EACH, concurrency // len(COLOURS)))


def first_test(concurrency: int) -> list[Ask]:
    """All that the test at the start of a run asks."""
    alone = [_question(swatch(rgb)) for rgb in COLOURS.values()]
    return alone * (1 + _each(concurrency))


def _question(picture: Picture) -> Ask:
    return Ask(turns=(Turn(role="user", parts=(picture, _QUESTION)),), max_tokens=8, may_be_cut=True)


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
