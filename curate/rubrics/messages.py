"""From the messages of a card to the turns of a request: places are filled with data, and data cannot break out of them.

In texts `{prompt}`, `{response}`, a condition's `{role}`, `{meta.key}` (dots lead into mappings; what is no text is written as
JSON) and `{call.text}` are places; `{{prompt}}` stands for `{prompt}` itself, and all other braces for themselves. Places are
filled in one pass, so that data which holds `{prompt}` comes through as it is. To keep data apart from instructions a message
puts it into a block of its own, such as

    <caption>
    {prompt}
    </caption>

Control tokens in data are broken (`curate.control_tokens`), and so are marks that the card's own texts use for blocks; what talks
to the judge is noted (`curate.suspicion`).
Texts that follow each other in a message are joined by a line feed, since servers differ in what they put between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from curate.asks import Picture, Turn
from curate.cards import Card
from curate.control_tokens import broken, neutralised
from curate.errors import CardError, nearest
from curate.records import Status, canonical_json
from curate.rubrics.case import Candidate, Case, NoJudgementError
from curate.rubrics.fixed import Segment
from curate.rubrics.lookup import of_meta
from curate.rubrics.spec import Message, Part
from curate.suspicion import talks_to_the_judge

RESPONSE = "response"

ORDERED = ("first", "second")
"""The responses of a pair, as they are shown."""

META = "meta."

_PLACE = re.compile(r"\{\{([a-z][a-z0-9_]*(?:\.[\w-]+)*)\}\}|\{([a-z][a-z0-9_]*(?:\.[\w-]+)*)\}")
"""A doubled place, which stands for its own text, or a place."""

_BLOCK_END = re.compile(r"</([A-Za-z][\w-]*)>")

Shown = Sequence[tuple[int, Picture]]
"""Pictures and the numbers they are called by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the messages of a card may refer to."""

    texts: frozenset[str]
    pictures: frozenset[str]
    """Roles."""
    optional: frozenset[str] = frozenset()
    """Roles whose pictures are left out where there are none."""

    @classmethod
    def of(cls, card: Card, *, texts: Iterable[str] = (), pictures: Iterable[str] = ()) -> Names:
        """What the samples of a card have, and more that the method gives to `Messages.render` itself."""
        responses = ORDERED if card.judges == "pairs" else (RESPONSE,)
        takes = card.takes
        in_texts = {*texts, *takes.conditions, *(() if takes.prompt == "unused" else ("prompt",))}
        in_pictures = {*pictures, *takes.conditions, *takes.optional}
        if takes.response in {"text", "any"}:
            in_texts.update(responses)
        if takes.response != "text":
            in_pictures.update(responses)
        return cls(texts=frozenset(in_texts), pictures=frozenset(in_pictures), optional=frozenset(takes.optional))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """Messages with their data in place."""

    turns: tuple[Turn, ...]
    notes: tuple[str, ...] = ()
    """What is to be said beside the value: a sentence each, the same for all samples of which it is true."""


class Messages:
    """The messages of one call, checked against what they may refer to."""

    def __init__(self, messages: Sequence[Message], names: Names, *, where: str) -> None:
        """Raises `CardError` for a place or a role that cannot be filled; `where` names the card and the field."""
        self._messages = tuple(messages)
        parts = [part for message in messages for part in message.parts]
        segments = [segment for part in parts for segment in part.segments]
        self.texts = frozenset(name for segment in segments if segment.has_places for name in places(segment.text))
        """Names of all places."""
        self._optional = names.optional
        self._marks = _marks(segment.text for segment in segments)
        self.roles = frozenset(role for part in parts if (role := part.picture or part.pictures) is not None)
        """Roles whose pictures are shown, as the messages call them."""
        for name in sorted(self.texts):
            if name not in names.texts and not name.startswith(META):
                if name == "prompt":
                    raise CardError(f"{where}: {{prompt}} stands there, and the card takes none; takes: {{prompt: required}}")
                raise CardError(
                    f"{where}: nothing is known that could stand at {{{name}}}. {nearest(name, names.texts)}".rstrip()
                )
        for role in sorted(self.roles - names.pictures):
            raise CardError(f"{where}: there are no pictures of the role '{role}'. {nearest(role, names.pictures)}".rstrip())

    @property
    def shown(self) -> frozenset[str]:
        """Roles of the samples whose pictures are needed."""
        return frozenset(RESPONSE if role in ORDERED else role for role in self.roles)

    def render(
        self,
        case: Case,
        *,
        order: Sequence[int] = (0, 1),
        data: Mapping[str, str] | None = None,
        own: Mapping[str, str] | None = None,
        pictures: Mapping[str, Shown] | None = None,
    ) -> Rendered:
        """The turns for a case; as many pictures are in them as the messages say.

        `order` says which candidates of a pair are shown first and second. `data` are texts from elsewhere (what a model said),
        by the names of their places; `own` are texts of the card itself, which are trusted; `pictures` are shown instead of the
        case's own of a role. Raises `NoJudgementError` where the case lacks what is asked for.
        """
        filling = _Filling(case, order, data or {}, own or {}, pictures or {}, self._optional, self._marks)
        turns = tuple(Turn(role=message.role, parts=filling.parts(message.parts)) for message in self._messages)
        return Rendered(turns=turns, notes=tuple(filling.notes))


def places(text: str) -> list[str]:
    """Names of the places in a text, in order."""
    return [match[2] for match in _PLACE.finditer(text) if match[2] is not None]


class _Filling:
    """Data going into the places of one request."""

    def __init__(
        self,
        case: Case,
        order: Sequence[int],
        data: Mapping[str, str],
        own: Mapping[str, str],
        pictures: Mapping[str, Shown],
        optional: frozenset[str],
        marks: re.Pattern[str] | None,
    ) -> None:
        self._case = case
        self._order = order
        self._data = data
        self._own = own
        self._pictures = pictures
        self._optional = optional
        self._marks = marks
        self.notes: dict[str, None] = {}

    def parts(self, parts: Sequence[Part]) -> tuple[str | Picture, ...]:
        """Texts and pictures as they are sent; texts that follow each other are one."""
        filled: list[str | Picture] = []
        for piece in (piece for part in parts for piece in self._pieces(part) if piece != ""):
            if isinstance(piece, str) and filled and isinstance(filled[-1], str):
                filled[-1] = f"{filled[-1]}\n{piece}"
            else:
                filled.append(piece)
        return tuple(filled) or ("",)

    def _pieces(self, part: Part) -> list[str | Picture]:
        if part.text is not None or part.fixed is not None:
            return ["".join(self._said(segment) for segment in part.segments)]
        if part.picture is not None:
            shown = self._shown(part.picture)
            if len(shown) > 1:
                detail = f"many_pictures: the rubric shows one picture of the role '{part.picture}', and there are {len(shown)}"
                raise NoJudgementError(Status.UNSUPPORTED_MEDIA, detail)
            return [picture for _, picture in shown]
        pieces: list[str | Picture] = []
        for number, picture in self._shown(part.pictures or ""):
            pieces.extend([picture] if part.label is None else [part.label.replace("{n}", str(number)), picture])
        return pieces

    def _said(self, segment: Segment) -> str:
        if not segment.has_places:
            return segment.text
        filled = _PLACE.sub(self._fill, segment.text)
        # Where data follows data at once, the end of one and the start of the next could be a token together.
        return neutralised(filled) if "}{" in segment.text else filled

    def _shown(self, role: str) -> Shown:
        """The pictures of a role, at least one where it is not optional."""
        if role in self._pictures:
            shown = self._pictures[role]
        else:
            shown = list(enumerate(self._candidate(role).pictures.get(RESPONSE if role in ORDERED else role, ()), start=1))
        if not shown and role not in self._optional:
            of_response = role in {RESPONSE, *ORDERED}
            status = Status.UNSUPPORTED_MEDIA if of_response else Status.MISSING_CONDITION
            raise NoJudgementError(status, f"no_picture: there is no picture of the role '{role}'")
        return shown

    def _candidate(self, name: str) -> Candidate:
        """Whose pictures and text a name means: conditions are the same for both of a pair."""
        position = ORDERED.index(name) if name in ORDERED else 0
        return self._case.candidates[self._order[position]]

    def _fill(self, match: re.Match[str]) -> str:
        name = match[2]
        if name is None:
            return f"{{{match[1]}}}"
        if name in self._own:
            return self._own[name]
        text = self._text(name)
        plain, talks = _looked_at(text)
        if self._marks is not None:
            plain = broken(plain, self._marks)
        called = _called(name)
        if plain != text:
            self.notes[f"control tokens in {called} were taken as plain text"] = None
        if talks:
            self.notes[f"{called} may talk to the judge"] = None
        return plain

    def _text(self, name: str) -> str:
        """The data for a place."""
        case = self._case
        if name in self._data:
            return self._data[name]
        if name == "prompt":
            if case.prompt is None:
                raise NoJudgementError(Status.MISSING_PROMPT, "no_prompt: the rubric needs a prompt")
            return case.prompt
        if name.startswith(META):
            value = of_meta(case.meta, name.removeprefix(META))
            return value if isinstance(value, str) else canonical_json(value)
        if name in {RESPONSE, *ORDERED}:
            text = self._candidate(name).text
            if text is None:
                raise NoJudgementError(Status.UNSUPPORTED_MEDIA, "no_text: the rubric needs a response that is a text")
            return text
        if name not in case.texts:
            raise NoJudgementError(Status.MISSING_CONDITION, f"no_condition: there is no text of the role '{name}'")
        return case.texts[name]


def _marks(texts: Iterable[str]) -> re.Pattern[str] | None:
    """Finds in data the marks of blocks that a card's own texts use, `<caption>` and `</caption>`: data cannot end its block.

    They are told by how they begin, so that `</caption/>`, `</caption x>` and one that is never closed are marks too.
    """
    names = sorted({name for text in texts for name in _BLOCK_END.findall(text)})
    return re.compile(rf"<(?:/\s*)?(?:{'|'.join(map(re.escape, names))})(?![\w-])", re.IGNORECASE) if names else None


@lru_cache(maxsize=256)
def _looked_at(text: str) -> tuple[str, bool]:
    """A text of data without control tokens, and whether it talks to the judge; all samples of a group have the same prompt."""
    return neutralised(text), talks_to_the_judge(text)


def _called(name: str) -> str:
    """A place in the words of a note; all of meta is one, so that notes are few."""
    if name.startswith(META):
        return "the metadata"
    call, _, field = name.partition(".")
    return f"the answer to '{call}'" if field else f"the {name}"
