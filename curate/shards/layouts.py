"""Layouts: what the members of a record mean, declared in a few lines of YAML.

The known ones lie in `schemas/layouts/`; one of your own is a file passed by path, read through the same door. Patterns are
explained in `curate.shards.patterns`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from curate.content import complaint, content_files, parse_yaml
from curate.errors import LayoutError, nearest
from curate.records import Media, Reject, Sample
from curate.shards.grouping import Record
from curate.shards.limits import DEFAULT_LIMITS, ShardLimits
from curate.shards.patterns import NOWHERE, parse_pointer
from curate.shards.samples import build_samples
from curate.shards.values import RecordValues

_NAME = r"^[a-z][a-z0-9_-]*$"
_SHAPES = {_NAME: "a name of small letters, digits, '_' and dashes that begins with a letter"}
"""What matches a pattern, in words."""


_KINDS_SHOWN = 3
"""Kinds of records that a guess names, the most frequent first."""


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _parsed(pointers: tuple[str, ...]) -> tuple[str, ...]:
    for pointer in pointers:
        parse_pointer(pointer)
    return pointers


Pointers = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_parsed)]
"""Patterns tried in order; one alone may stand without a list."""


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Recognised(_Strict):
    """How a layout is told from the others when none is given: its responses are there, and what is named here."""

    order: int
    """Of the layouts that fit equally many records the one with the lowest number is taken: the most special one."""
    conditions: Names = ()
    """Roles of which one has to be filled; numbered ones count ('reference_0' is a 'reference')."""
    labels: Names = ()
    """Labels that have to be there."""
    members: Pointers = ()
    """Members, or values in JSON, that have to be there."""


class Layout(_Strict):
    """What the members of a record mean."""

    name: Annotated[str, Field(pattern=_NAME)]
    about: str = ""
    responses: Pointers
    """What is judged: members, or texts inside JSON. The first pattern that finds anything is the one that counts."""
    count: Literal["one", "several", "views"] = "one"
    """Responses in a record: exactly one; several, which compete; or several views that are one response together."""
    prompt: Pointers = ()
    """The first that is there and not blank."""
    conditions: Mapping[str, Pointers] = Field(default_factory=dict)
    """What else the request consisted of, by role: source, mask, reference, image …"""
    group: Pointers = ()
    """A name that samples of one group share; without it, samples with the same request are a group."""
    generator: Pointers = ()
    """Name of the model that made the response."""
    labels: Mapping[str, Pointers] = Field(default_factory=dict)
    """Numbers that came with the data, by name."""
    meta: Pointers = ("json",)
    """JSON that is kept with the sample: the first that is there."""
    recognised: Recognised | None = None
    """None: never guessed."""

    @model_validator(mode="after")
    def _consistent(self) -> Layout:
        if not self.responses:
            raise ValueError("'responses' names no member")
        for field, pointers in (("prompt", self.prompt), ("group", self.group), ("meta", self.meta)):
            for pointer in pointers:
                if parse_pointer(pointer).needs_response:
                    raise ValueError(
                        f"{pointer!r} in '{field}' differs between the responses of a record, but {field} is one for all"
                    )
        return self

    def samples(self, record: Record, limits: ShardLimits = DEFAULT_LIMITS) -> list[Sample | Reject]:
        """The record's samples in the order of their index, or one `Reject` that says why there are none.

        Numbered responses come in the order of their numbers, others in that of their names, whatever the order in the
        archive. A blank prompt counts as none.
        """
        return build_samples(self, record, limits)


class Guess(NamedTuple):
    """A layout that was not given, and the sentence that says why it was taken."""

    layout: Layout
    reason: str


def load_layout(name_or_path: str) -> Layout:
    """A known layout by name, or one of your own by path; raises `LayoutError` that says what is wrong and where."""
    path = Path(name_or_path).expanduser()
    if path.suffix in (".yaml", ".yml") or "/" in name_or_path:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            raise LayoutError(f"cannot read the layout {name_or_path}: {problem}") from problem
        return _parse(text, where=name_or_path)
    known = known_layouts()
    if name_or_path not in known:
        hint = nearest(name_or_path, known)
        raise LayoutError(f"there is no layout named {name_or_path!r}. {hint} To use your own, pass the path of a YAML file.")
    return known[name_or_path]


@cache
def known_layouts() -> Mapping[str, Layout]:
    """The layouts that come with curate, by name."""
    layouts = (
        _parse(file.read_text(encoding="utf-8"), where=f"schemas/layouts/{file.name}")
        for file in content_files("schemas", "layouts", ".yaml")
    )
    return {layout.name: layout for layout in layouts}


def guess_layout(records: Sequence[Record]) -> Guess:
    """The known layout under which most of `records` (the first of a shard, a few dozen) become samples, and why.

    Raises `LayoutError` when none fits any of them.
    """
    found = _best(records)
    if found is None:
        raise LayoutError(_why_none(records))
    layout, evidence = found
    shown = Counter(filter(None, evidence)).most_common()
    had = shown[0][0] if len(shown) == 1 else " or ".join(f"{fields} ({count})" for fields, count in shown[:_KINDS_SHOWN])
    more = " …" if len(shown) > _KINDS_SHOWN else ""
    fitting = f"{sum(map(bool, evidence))} of the first {len(records)} records have {had}{more}"
    others = [record for record, fits in zip(records, evidence, strict=True) if not fits]
    return Guess(layout, f"layout '{layout.name}', because {fitting}{_what_others_are(others, layout)}")


def _best(records: Sequence[Record]) -> tuple[Layout, list[str]] | None:
    """The layout that most of the records show, and what each record has of it: nothing where it does not follow it."""
    best: tuple[int, int, Layout, list[str]] | None = None
    for layout in known_layouts().values():
        if (recognised := layout.recognised) is None:
            continue
        evidence = [_evidence(layout, recognised, record) for record in records]
        fitting = sum(map(bool, evidence))
        if fitting and (best is None or (fitting, -recognised.order) > best[:2]):
            best = (fitting, -recognised.order, layout, evidence)
    return best and best[2:]


def _what_others_are(others: Sequence[Record], taken: Layout) -> str:
    """The rest of the sentence where records do not look like the layout that was taken for all."""
    if not others:
        return ""
    found = _best(others)
    alike = f"'{found[0].name}'" if found else "no known layout"
    look = "1 other looks" if len(others) == 1 else f"{len(others)} others look"
    return f"; {look} like {alike}: such records belong into shards of their own, since one run reads all as '{taken.name}'"


def _evidence(layout: Layout, recognised: Recognised, record: Record) -> str:
    """What of the record shows that it follows the layout, as a list in words; empty where it does not."""
    samples = [sample for sample in layout.samples(record) if isinstance(sample, Sample)]
    if not samples:
        return ""
    first = samples[0]
    found = [
        *(_named(medium) for sample in samples for medium in sample.response),
        *([_any_named(first, recognised.conditions)] if recognised.conditions else []),
        *(f"the label '{name}'" if name in first.labels else "" for name in recognised.labels),
        *(_held(record, pointer) for pointer in recognised.members),
    ]
    return ", ".join(dict.fromkeys(found)) if all(found) else ""


def _any_named(sample: Sample, roles: Sequence[str]) -> str:
    numbered = re.compile(rf"(?:{'|'.join(map(re.escape, roles))})(?:_\d+)?")
    return next((_named(medium) for role, medium in sample.conditions.items() if numbered.fullmatch(role)), "")


def _named(medium: Media) -> str:
    return medium.member.field if medium.member else "texts in JSON"


def _held(record: Record, text: str) -> str:
    """The member, or place in JSON, that a pattern finds in a record; empty where it finds none."""
    pointer, values = parse_pointer(text), RecordValues(record, DEFAULT_LIMITS)
    if pointer.path is not None:
        return text if values.value(pointer, NOWHERE) is not None else ""
    return next((member.field for _, member in values.matches(pointer)), "")


def _why_none(records: Sequence[Record]) -> str:
    """Why no layout fits: what the first reject under the simplest layout says, and which fields there are."""
    fields = sorted({member.field for record in records[:8] for member in record.members})
    rejects = (one for record in records for one in load_layout("single").samples(record) if isinstance(one, Reject))
    said = next((f" (as 'single': {one.detail})" for one in rejects), "")
    return (
        f"no known layout fits the first {len(records)} records, whose fields are {', '.join(fields[:16])}{said}; "
        "describe them in a layout file of a few lines and pass its path"
    )


def _parse(text: str, *, where: str) -> Layout:
    values = parse_yaml(text, where=where, error=LayoutError)
    try:
        return Layout.model_validate(values)
    except ValidationError as problem:
        raise LayoutError(complaint(problem, Layout, where=where, shapes=_SHAPES)) from problem
