"""From the `reads` of a card to what reads a reply: one reader for each way, all with the same face."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any

from curate.asks import Label, Reply
from curate.errors import CardError, nearest
from curate.records import Status
from curate.rubrics.case import NoJudgementError
from curate.rubrics.distributions import asked_labels, label_outputs, read_distribution
from curate.rubrics.lookup import of_meta
from curate.rubrics.reads import Choice, FormatSpec, Json, Labels, Number, Reads, Text
from curate.rubrics.replies.base import Format, Outputs, Unreadable
from curate.rubrics.replies.choices import read_choice, read_number
from curate.rubrics.replies.formats import FORMATS
from curate.rubrics.replies.locating import without_thoughts
from curate.rubrics.replies.objects import json_schema, read_object
from curate.rubrics.replies.refusals import is_refusal

SINGLE = 0
TEXT = -1

SAID = "text"
"""The output that holds all of the reply but its thoughts; every reader of texts gives it."""


class Reader(ABC):
    """Reads the replies to one call."""

    outputs: Mapping[str, int]
    """For each output what it is: `SINGLE` a number, `TEXT` a text, else how many numbers."""
    labels: tuple[Label, ...] = ()
    """Whose distribution is asked for, instead of a text."""
    schema: Mapping[str, Any] | None = None
    """That a server is asked to enforce."""
    rationale: Collection[str] = ()
    """Outputs that are kept beside the value."""

    @abstractmethod
    def read(self, reply: Reply) -> Outputs:
        """All outputs; raises `Unreadable`."""

    def about(self, meta: Mapping[str, Any]) -> Reader:
        """The reader for a sample whose JSON is `meta`; raises `NoJudgementError` where that lacks what the reading needs."""
        return self

    @property
    def texts(self) -> tuple[str, ...]:
        """Outputs that later messages may hold."""
        return tuple(name for name, count in self.outputs.items() if count == TEXT)

    def kept(self, outputs: Outputs) -> dict[str, str]:
        """The texts that are kept beside the value."""
        return {name: text for name in self.rationale if isinstance(text := outputs.get(name), str) and text}


def reader_of(reads: Reads, *, where: str) -> Reader:
    """The reader that a card asks for; `CardError` where it names a format that does not exist or does not take its `params`."""
    if reads.labels is not None:
        return _Labels(reads.labels)
    if reads.json_object is not None:
        return _Json(reads.json_object)
    if reads.choice is not None:
        return _Choice(reads.choice)
    if reads.number is not None:
        return _Number(reads.number)
    if reads.format is not None:
        return _Format(reads.format, where=where)
    return _Text(reads.text or Text())


class _Labels(Reader):
    def __init__(self, spec: Labels) -> None:
        self._spec = spec
        self.labels = asked_labels(spec)
        self.outputs = dict.fromkeys(label_outputs(spec), SINGLE)

    def read(self, reply: Reply) -> Outputs:
        return read_distribution(reply.distribution, self._spec)


class _Written(Reader):
    """Reads what is written behind the thoughts."""

    def __init__(self, outputs: Mapping[str, int], rationale: Collection[str]) -> None:
        self.outputs = {SAID: TEXT, **outputs}
        self.rationale = rationale

    def read(self, reply: Reply) -> Outputs:
        text = without_thoughts(reply.text)
        return {SAID: text, **self.read_text(text)}

    @abstractmethod
    def read_text(self, text: str) -> Outputs:
        """The outputs but the text itself; raises `Unreadable`."""


class _Json(_Written):
    def __init__(self, spec: Json) -> None:
        kinds = {name: TEXT if field.type == "text" else field.count or SINGLE for name, field in spec.fields.items()}
        super().__init__(kinds, [name for name, field in spec.fields.items() if field.rationale])
        self._spec = spec
        self.schema = json_schema(spec) if spec.enforced else None

    def read_text(self, text: str) -> Outputs:
        return read_object(text, self._spec)


class _Choice(_Written):
    def __init__(self, spec: Choice) -> None:
        super().__init__({"value": SINGLE, "choice": TEXT}, [SAID] if spec.rationale else [])
        self._spec = spec

    def read_text(self, text: str) -> Outputs:
        return read_choice(text, self._spec)


class _Number(_Written):
    def __init__(self, spec: Number) -> None:
        super().__init__({"value": SINGLE}, [SAID] if spec.rationale else [])
        self._spec = spec

    def read_text(self, text: str) -> Outputs:
        return read_number(text, self._spec)


class _Text(_Written):
    def __init__(self, spec: Text) -> None:
        super().__init__({}, [SAID] if spec.rationale else [])

    def read_text(self, text: str) -> Outputs:
        if is_refusal(text):
            raise Unreadable("refusal", "the judge does not want to answer")
        return {}


class _Format(Reader):
    def __init__(self, spec: FormatSpec, *, where: str) -> None:
        self._spec = spec
        self._where = where
        # How many there are is not known before there is a sample; one is enough to see that the format takes the number.
        self._format = _made(spec, dict.fromkeys(spec.counted, 1), where)
        texts = self._format.texts
        self.outputs = {SAID: TEXT} | {name: TEXT if name in texts else SINGLE for name in self._format.outputs}
        self.rationale = texts

    def about(self, meta: Mapping[str, Any]) -> Reader:
        if not self._spec.counted:
            return self
        counts = {name: _listed(meta, path) for name, path in self._spec.counted.items()}
        return _Format(FormatSpec(name=self._spec.name, params={**self._spec.params, **counts}), where=self._where)

    def read(self, reply: Reply) -> Outputs:
        return {SAID: reply.text.strip(), **self._format.read(reply.text)}


def _listed(meta: Mapping[str, Any], path: str) -> int:
    """How many things a sample's JSON lists at a dotted path; raises `NoJudgementError` where it lists none."""
    listed = of_meta(meta, path)
    if not isinstance(listed, list) or not listed:
        raise NoJudgementError(Status.NOT_APPLICABLE, f"no_list: '{path}' in the sample's JSON is no list, or an empty one")
    return len(listed)


def _made(spec: FormatSpec, counts: Mapping[str, int], where: str) -> Format:
    if spec.name not in FORMATS:
        raise CardError(f"{where}: no format is called '{spec.name}'. {nearest(spec.name, FORMATS)}".rstrip())
    module, _, name = FORMATS[spec.name].partition(":")
    try:
        made: Format = getattr(import_module(module), name)({**spec.params, **counts})
    except ValueError as problem:
        raise CardError(f"{where}: the format '{spec.name}' does not take its params: {problem}") from problem
    return made
