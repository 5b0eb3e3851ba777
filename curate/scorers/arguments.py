"""The `args` of a card, read into the typed settings of its engine, so that a typing slip is a sentence and not a crash later."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from curate.cards import CardFile
from curate.errors import CardError, nearest


class Arguments(BaseModel):
    """Base of an engine's settings: no unknown fields, no silent conversion, not changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class NoArguments(Arguments):
    """For engines without settings."""


A = TypeVar("A", bound=BaseModel)


def arguments(file: CardFile, model: type[A]) -> A:
    """The card's `args` as `model`; CardError names the file, the field and what is wrong with it."""
    try:
        return model.model_validate(dict(file.card.args))
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        place = ".".join(str(part) for part in ("args", *first["loc"]))
        hint = ""
        if first["type"] == "extra_forbidden":
            hint = f" {nearest(str(first['loc'][-1]), _fields(model, first['loc'][:-1]))}".rstrip()
        raise CardError(f"{file.where}, field '{place}': {first['msg']}.{hint}") from problem


def _fields(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Names of the fields that may stand at `path`, as far as it leads through plain sub-models."""
    for part in path:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)
