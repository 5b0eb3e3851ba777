"""The `args` of a card, read into the typed settings of its engine, so that a typing slip is a sentence and not a crash later."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from curate.cards import CardFile
from curate.content import complaint
from curate.errors import CardError
from curate.strict import Strict


class Arguments(Strict):
    """Base of an engine's settings."""


class NoArguments(Arguments):
    """For engines without settings."""


A = TypeVar("A", bound=BaseModel)


def arguments(file: CardFile, model: type[A]) -> A:
    """The card's `args` as `model`; CardError names the file, the field and what is wrong with it."""
    try:
        return model.model_validate(dict(file.card.args))
    except ValidationError as problem:
        raise CardError(complaint(problem, model, where=file.where, under=("args",))) from problem
