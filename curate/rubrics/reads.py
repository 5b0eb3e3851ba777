"""The `reads` of a call: the ways in which its reply can be read, and their settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from curate.rubrics.checks import LABEL_NAME, NAME, exactly_one, quoted, unique
from curate.strict import Strict

Place = Literal["anywhere", "boxed", "answer"]
"""Where the answer stands in a reply: anywhere, in `\\boxed{…}`, or between `<answer>` and `</answer>`."""


class LabelSpec(Strict):
    """One answer of a closed set, and what it is worth."""

    name: Annotated[str, Field(pattern=LABEL_NAME)]
    value: float
    spellings: tuple[str, ...] = Field(min_length=1)
    """Blanks in front included; each has to be one token of the model."""

    @field_validator("name", mode="before")
    @classmethod
    def _quoted(cls, value: Any) -> Any:
        return quoted(value)


class Labels(Strict):
    """Read the distribution of the first token over a closed set of labels; nothing is generated."""

    labels: tuple[LabelSpec, ...] = Field(min_length=1)
    reading: Literal["renormalised", "full", "averaged_logits", "logodds"] = "renormalised"
    """See `curate.rubrics.distributions`."""
    least_mass: float = Field(default=0.5, ge=0, lt=1)
    """Where the labels together are less probable than this, there is no value: the model would say something else."""
    normalise: bool = False
    """Whether the value is brought to 0 … 1: from the smallest to the largest of the labels' values."""
    absent: Literal["bound", "zero"] = "bound"
    """What a spelling that the server did not return counts: nothing, if that cannot change the value much; or always nothing,
    as in papers that do so: where no label came back, the value then is 0."""

    @model_validator(mode="after")
    def _holds_together(self) -> Labels:
        unique((label.name for label in self.labels), "labels")
        unique((spelling for label in self.labels for spelling in label.spellings), "spellings")
        if self.reading == "logodds" and (len(self.labels) != 2 or self.normalise):
            raise ValueError("logodds are of two labels, the first against the second, and cannot be normalised")
        if self.normalise and len({label.value for label in self.labels}) < 2:
            raise ValueError("labels that are all worth the same cannot be normalised")
        if self.absent == "zero" and self.reading in {"averaged_logits", "logodds"}:
            raise ValueError(f"'absent: zero' cannot go with {self.reading}, which has no value where a label is missing")
        return self


class JsonField(Strict):
    """One field of an object that a judge writes."""

    type: Literal["text", "number", "integer", "numbers", "choice", "boolean"]
    at: tuple[str, ...] = ()
    """The keys that lead to it, from the outermost in; its own name where nothing is said."""
    rationale: bool = False
    """Whether this text is kept beside the value."""
    required: bool = True
    """Only a text may be missing."""
    count: int | None = Field(default=None, ge=1)
    """How many `numbers` there are."""
    range: tuple[float, float] | None = None
    """The smallest and the largest number that counts; outside of it the reply is unreadable."""
    options: Mapping[str, float] | None = None
    """Of a `choice`: what each text is worth; upper and lower case are one."""

    @model_validator(mode="after")
    def _holds_together(self) -> JsonField:
        texts, numbers = self.type == "text", self.type in {"number", "integer", "numbers"}
        for given, belongs, name in (
            (self.rationale, texts, "rationale"),
            (not self.required, texts, "required: false"),
            (self.range is not None, numbers, "range"),
            (self.count is not None, self.type == "numbers", "count"),
            (self.options is not None, self.type == "choice", "options"),
        ):
            if given and not belongs:
                raise ValueError(f"'{name}' does not go with the type {self.type}")
        if self.type == "numbers" and self.count is None:
            raise ValueError("'numbers' need a count")
        if self.type == "choice" and not self.options:
            raise ValueError("a choice needs options")
        _check_range(self.range)
        return self


class Json(Strict):
    """Read an object that the judge writes."""

    fields: Mapping[Annotated[str, Field(pattern=NAME)], JsonField]
    place: Place = Field(default="anywhere", alias="in")
    enforced: bool = False
    """Whether a server that can is asked to let nothing else be written. A judge may then say something else than it would,
    so that its numbers compare only with those of servers that can do it too."""

    @model_validator(mode="after")
    def _has_fields(self) -> Json:
        if not self.fields:
            raise ValueError("there are no fields to read")
        if self.enforced and self.place != "anywhere":
            raise ValueError("only a reply that is one JSON object can be enforced")
        return self


class Text(Strict):
    """Keep the reply as a text, for later calls or beside the value."""

    rationale: bool = False


class Option(Strict):
    """One of the answers to choose from."""

    name: str
    value: float
    spellings: tuple[str, ...] = ()
    """Other ways to write it; upper and lower case are one, and so are all blanks."""

    @field_validator("name", mode="before")
    @classmethod
    def _quoted(cls, value: Any) -> Any:
        return quoted(value)


class Choice(Strict):
    """Read which of several answers the judge writes; a reply that names two of them is unreadable."""

    options: tuple[Option, ...] | None = None
    scale: Literal["verbal-5", "verbal-10"] | None = None
    """Instead of options: the words of `curate.rubrics.replies.choices.SCALES`."""
    place: Place = Field(default="anywhere", alias="in")
    after: str | None = None
    """Only what follows this text counts, up to the end of its line, and has to begin with the answer; where it begins several
    lines, all have to say the same, also those of something else, 'Style Rating:' (`curate.rubrics.replies.marks`)."""
    rationale: bool = False

    @model_validator(mode="after")
    def _one_set(self) -> Choice:
        exactly_one(self, ("options", "scale"))
        if self.options is not None:
            if len(self.options) < 2:
                raise ValueError("there are at least two options")
            unique((word.casefold() for option in self.options for word in (option.name, *option.spellings)), "options")
        return self


class Number(Strict):
    """Read the one number of a reply; a reply with several is unreadable."""

    range: tuple[float, float] | None = None
    place: Place = Field(default="anywhere", alias="in")
    after: str | None = None
    """Only what follows this text counts, up to the end of its line, and has to begin with the answer; where it begins several
    lines, all have to say the same, also those of something else, 'Style Rating:' (`curate.rubrics.replies.marks`)."""
    rationale: bool = False

    @model_validator(mode="after")
    def _range_is_one(self) -> Number:
        _check_range(self.range)
        return self


class FormatSpec(Strict):
    """Read a reply in the format of a trained judge."""

    name: str
    """One of `curate.rubrics.replies.formats.FORMATS`."""
    params: Mapping[str, Any] = Field(default_factory=dict)
    counted: Mapping[str, str] = Field(default_factory=dict)
    """Params that say how many there are of something: for each, where the sample's JSON lists it."""

    @model_validator(mode="after")
    def _params_stand_once(self) -> FormatSpec:
        unique((*self.params, *self.counted), "params")
        return self


READS = ("labels", "json", "text", "choice", "number", "format")


class Reads(Strict):
    """How the reply to a call is read; exactly one way."""

    labels: Labels | None = None
    json_object: Json | None = Field(default=None, alias="json")
    text: Text | None = None
    choice: Choice | None = None
    number: Number | None = None
    format: FormatSpec | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Reads:
        exactly_one(self, READS)
        return self


def _check_range(limits: tuple[float, float] | None) -> None:
    if limits is not None and not limits[0] < limits[1]:
        raise ValueError(f"the range from {limits[0]:g} to {limits[1]:g} is empty")
