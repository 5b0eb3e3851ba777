"""What the settings of rubric cards are held against: names, their shapes, and the sentences that say what is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from curate.fixed_text import SHA256

NAME = r"^[a-z][a-z0-9_]*$"
"""Names of calls and fields, as they stand in expressions."""

LABEL_NAME = r"^[A-Za-z0-9_]+$"

SHAPES = {
    NAME: "a name of small letters, digits and '_' that begins with a letter",
    LABEL_NAME: "a name of letters, digits and '_'",
    SHA256: "a SHA-256 of 64 hexadecimal digits in small letters",
}
"""What matches a pattern, in words."""


def exactly_one(model: BaseModel, names: Iterable[str]) -> str:
    """The name of the one field among `names` that is set; ValueError where none or several are."""
    names = list(names)
    given = [name for name in names if getattr(model, _attribute(model, name)) is not None]
    if len(given) != 1:
        raise ValueError(f"give exactly one of {', '.join(names)}" + (f", not {' and '.join(given)}" if given else ""))
    return given[0]


def _attribute(model: BaseModel, name: str) -> str:
    return next((own for own, field in type(model).model_fields.items() if field.alias == name), name)


def unique(names: Iterable[str], what: str) -> None:
    """Raises ValueError where a name stands twice; `what` says of what, in the plural."""
    names = list(names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two {what} are called '{twice[0]}'")


def quoted(value: Any) -> Any:
    """A name as it is; ValueError where YAML has made something else of it."""
    if isinstance(value, bool | int | float):
        raise ValueError(f"YAML reads this as {value!r}; put it in quotes")
    return value
