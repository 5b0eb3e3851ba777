"""The `args` of a rubric card: what all methods have in common. Each method adds its own beside its code.

A YAML file is edited by people who do not read this code, so every slip is an error that names the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from curate.fixed_text import FixedText
from curate.rubrics.checks import NAME, SHAPES, exactly_one, unique
from curate.rubrics.fixed import TEXTS, Fixed, Segment, segments_of
from curate.rubrics.reads import Reads
from curate.strict import Strict

__all__ = [
    "NAME",
    "SHAPES",
    "Call",
    "Common",
    "Message",
    "NamedCall",
    "Part",
    "Passes",
    "Pictures",
    "Reads",
    "Strict",
    "unique",
]


class Pictures(Strict):
    """How pictures are sent."""

    format: Literal["png", "jpeg", "original"] = "png"
    """`original` sends a PNG or JPEG as it lies in the shard."""
    quality: int = Field(default=95, ge=1, le=100)
    """Of JPEG."""
    area: int | None = Field(default=None, ge=1)
    """Resized to about this many pixels, the shape kept."""
    longest: int | None = Field(default=None, ge=1)
    """Resized to this longest side."""
    side: int | None = Field(default=None, ge=1)
    """Resized to a square, the shape lost."""
    upscale: bool = False
    """Whether smaller pictures are made larger too."""
    match: str | None = None
    """The role whose size all other pictures are resized to."""

    @model_validator(mode="after")
    def _holds_together(self) -> Pictures:
        sizes = [name for name in ("area", "longest", "side") if getattr(self, name) is not None]
        if len(sizes) > 1:
            raise ValueError(f"give at most one of area, longest and side, not {' and '.join(sizes)}")
        if self.format == "original" and (sizes or self.match):
            raise ValueError("pictures sent as they are ('original') cannot be resized")
        return self


class Part(Strict):
    """Something in a message: a text with places for data, a text of somebody else's, one picture, or all pictures of a role."""

    text: str | None = None
    fixed: str | None = None
    """The name of one of the `texts`."""
    slots: Mapping[str, str | Fixed] = Field(default_factory=dict)
    """What goes where in the `fixed` text; see `curate.rubrics.fixed.Fixed`."""
    picture: str | None = None
    """A role that has exactly one picture."""
    pictures: str | None = None
    """A role whose views or frames are all shown, in order."""
    label: str | None = None
    """Text before each of the `pictures`; `{n}` is its number, from 1."""
    _segments: tuple[Segment, ...] = PrivateAttr(default=())

    @model_validator(mode="before")
    @classmethod
    def _plain_text(cls, data: Any) -> Any:
        return {"text": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _one_kind(self) -> Part:
        exactly_one(self, ("text", "fixed", "picture", "pictures"))
        if self.label is not None and self.pictures is None:
            raise ValueError("a label goes with 'pictures'")
        if self.slots and self.fixed is None:
            raise ValueError("slots go with a 'fixed' text")
        return self

    @model_validator(mode="after")
    def _put_together(self, info: ValidationInfo) -> Part:
        if self.text is not None:
            self._segments = (Segment(self.text, has_places=True),)
        elif self.fixed is not None and info.context is not None:
            self._segments = segments_of(self.fixed, self.slots, info.context[TEXTS])
        return self

    @property
    def segments(self) -> tuple[Segment, ...]:
        """What it says, in pieces; nothing where it is a picture, or a fixed text that has not been loaded."""
        return self._segments


class Message(Strict):
    """A turn of the conversation: a text, or a list of parts."""

    system: tuple[Part, ...] | None = None
    user: tuple[Part, ...] | None = None
    assistant: tuple[Part, ...] | None = None

    @field_validator("system", "user", "assistant", mode="before")
    @classmethod
    def _one_text(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_role(self) -> Message:
        exactly_one(self, ("system", "user", "assistant"))
        if not self.parts:
            raise ValueError("a message has at least one part")
        return self

    @property
    def role(self) -> Literal["system", "user", "assistant"]:
        return "system" if self.system is not None else "user" if self.user is not None else "assistant"

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.system or self.user or self.assistant or ()


class Call(Strict):
    """One request and how its reply is read."""

    messages: tuple[Message, ...] = Field(min_length=1)
    reads: Reads
    max_tokens: int | None = Field(default=None, ge=1)
    """Of the reply: 512 where nothing is said, and always 1 where labels are read."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    may_be_cut: bool = False
    """Whether a reply that ends at `max_tokens` is read all the same."""

    @model_validator(mode="after")
    def _one_token_for_labels(self) -> Call:
        if self.reads.labels is not None and self.max_tokens not in {None, 1}:
            raise ValueError("where labels are read one token is enough: leave max_tokens out")
        if self.messages[-1].role != "user":
            raise ValueError("the last message is the user's: servers differ in what they do with an answer that is begun")
        return self

    @property
    def tokens(self) -> int:
        """What the reply may hold at most."""
        return self.max_tokens or (1 if self.reads.labels is not None else 512)


class NamedCall(Call):
    """A call whose outputs are `name.output` in expressions, and whose text is `{name.text}` in later messages."""

    name: Annotated[str, Field(pattern=NAME)]


class Passes(Strict):
    """Ask everything several times and combine the values (Luo et al., EditScore, 2025: 4 passes at temperature 0.7)."""

    count: int = Field(ge=2, le=64)
    temperature: float = Field(default=0.7, gt=0, le=2)
    """Instead of that of the calls."""
    reduce: Literal["average_last", "average_first"] = "average_last"
    """The mean of the values of each pass, or the value of the means of all that was read."""


class Common(Strict):
    """Base of the arguments of all methods."""

    rubric: str
    """The method; see `curate.rubrics.methods`."""
    texts: Mapping[Annotated[str, Field(pattern=NAME)], FixedText] = Field(default_factory=dict)
    """Texts of others that the judge was trained with, for messages that name them as `fixed`."""
    pictures: Pictures = Pictures()
    attempts: int = Field(default=3, ge=1, le=10)
    """Tries at a reply that cannot be read. At temperature 0 another one helps only where a server answers now so, now so."""
