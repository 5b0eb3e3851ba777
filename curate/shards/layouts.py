"""Layouts: what the members of a record mean, declared in a few lines of YAML.

The known ones lie in `schemas/layouts/`; one of your own is a file passed by path, read through the same door. Patterns are
explained in `curate.shards.patterns`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from curate.content import complaint, content_files, parse_yaml
from curate.errors import LayoutError, nearest
from curate.shards.patterns import parse_pointer
from curate.strict import Strict

_NAME = r"^[a-z][a-z0-9_-]*$"
_SHAPES = {_NAME: "a name of small letters, digits, '_' and dashes that begins with a letter"}
"""What matches a pattern, in words."""


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _parsed(pointers: tuple[str, ...]) -> tuple[str, ...]:
    for pointer in pointers:
        parse_pointer(pointer)
    return pointers


Pointers = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_parsed)]
"""Patterns tried in order; one alone may stand without a list."""


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Recognised(Strict):
    """How a layout is told from the others when none is given: its responses are there, and what is named here."""

    order: int
    """Of the layouts that fit equally many records the one with the lowest number is taken: the most special one."""
    conditions: Names = ()
    """Roles of which one has to be filled; numbered ones count ('reference_0' is a 'reference')."""
    labels: Names = ()
    """Labels that have to be there."""
    members: Pointers = ()
    """Members, or values in JSON, that have to be there."""


class Layout(Strict):
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


def load_layout(name_or_path: str) -> Layout:
    """A known layout by name, or one of your own by path; raises `LayoutError` that says what is wrong and where."""
    path = Path(name_or_path).expanduser()
    if path.suffix in (".yaml", ".yml") or "/" in name_or_path:
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as problem:
            raise LayoutError(f"there is no layout {name_or_path}") from problem
        except (OSError, UnicodeDecodeError) as problem:
            why = problem.strerror if isinstance(problem, OSError) else "it is no text in UTF-8"
            raise LayoutError(f"cannot read the layout {name_or_path}: {why}; a layout is a YAML file") from problem
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


def _parse(text: str, *, where: str) -> Layout:
    values = parse_yaml(text, where=where, error=LayoutError)
    try:
        return Layout.model_validate(values)
    except ValidationError as problem:
        raise LayoutError(complaint(problem, Layout, where=where, shapes=_SHAPES)) from problem
