"""Messages that a judge was trained with: texts of others, put together as their authors do, with data in their places.

The texts are not part of the project (`curate.fixed_text`); whoever loads a method gives them to it. A slot is a piece of such a
text as its author writes it: `{prompt}`, `<instruction>`, `{item['problem']}`. Everything else in it stands as it is, braces too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, NamedTuple

from pydantic import Field

from curate.errors import nearest
from curate.rubrics.checks import NAME
from curate.strict import Strict

TEXTS = "texts"
"""Where the texts are in the context of a validation, by name; absent where they are not known yet."""


class Fixed(Strict):
    """A fixed text in the slot of another."""

    fixed: Annotated[str, Field(pattern=NAME)]
    """Its name under `texts`."""
    slots: Mapping[str, str | Fixed] = Field(default_factory=dict)
    """What goes where: each piece is replaced wherever it stands, by a text with places for data or by another fixed text."""


class Segment(NamedTuple):
    """A piece of a message."""

    text: str
    has_places: bool
    """False where it stands as it is, whatever is in it."""


def segments_of(name: str, slots: Mapping[str, str | Fixed], texts: Mapping[str, str]) -> tuple[Segment, ...]:
    """A fixed text with its slots filled; ValueError where there is no such text, or a slot is not in it."""
    if name not in texts:
        raise ValueError(f"no text is called '{name}'. {nearest(name, texts)}".rstrip())
    text = texts[name]
    for slot in slots:
        if not slot or slot not in text:
            raise ValueError(f"the text '{name}' has no {slot!r} in it")
    segments: list[Segment] = []
    end = 0
    # The longest first, so that one slot may be the start of another.
    pieces = "|".join(re.escape(slot) for slot in sorted(slots, key=len, reverse=True))
    for found in re.finditer(pieces, text) if slots else ():
        segments.append(Segment(text[end : found.start()], has_places=False))
        filling = slots[found[0]]
        if isinstance(filling, str):
            segments.append(Segment(filling, has_places=True))
        else:
            segments.extend(segments_of(filling.fixed, filling.slots, texts))
        end = found.end()
    segments.append(Segment(text[end:], has_places=False))
    return tuple(segment for segment in segments if segment.text)
