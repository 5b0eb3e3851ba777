"""From a card to its method: the arguments are read and checked, and everything that can be wrong with them is said now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, cast

from pydantic import ValidationError

from curate.cards import CardFile
from curate.content import complaint
from curate.errors import CardError, nearest
from curate.rubrics.case import Method
from curate.rubrics.fixed import TEXTS
from curate.rubrics.methods import METHODS
from curate.rubrics.spec import SHAPES, Common


def rubric_arguments(file: CardFile, texts: Mapping[str, str] | None = None) -> Common:
    """The `args` of a rubric card, as its method takes them; `CardError` names the file, the field and what is wrong with it.

    `texts` are those that the card names under `args.texts`; without them messages lack what they say.
    """
    model: type[Common] = _method_class(file).Arguments
    try:
        return model.model_validate(dict(file.card.args), context=None if texts is None else {TEXTS: texts})
    except ValidationError as problem:
        raise CardError(complaint(problem, model, where=file.where, under=("args",), shapes=SHAPES)) from problem


def load_method(file: CardFile, texts: Mapping[str, str] | None = None) -> Method:
    """The method of a card, ready to converse; raises `CardError` for a card that does not hold together.

    `texts` are those that the card names under `args.texts`, all of them (`curate.fixed_text.load_text`).
    """
    make = cast(Callable[[Common, CardFile], Method], _method_class(file))
    return make(rubric_arguments(file, texts or {}), file)


def check_rubric(file: CardFile) -> None:
    """Raise `CardError` for all that can be wrong with a card and shows without the texts that it names."""
    _method_class(file)(rubric_arguments(file), file)


def _method_class(file: CardFile) -> Any:
    name = file.card.args.get("rubric")
    if not isinstance(name, str) or name not in METHODS:
        raise CardError(f"{file.where}, field 'args.rubric': no method is called {name!r}. {nearest(str(name), METHODS)}")
    module, _, class_name = METHODS[name].partition(":")
    return getattr(import_module(module), class_name)
