"""From a card to its rater: which targets a card may name, what is imported for it, and on which devices it is loaded."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import cast

from curate.batch_raters import BatchRater, Replicas
from curate.cards import CardFile
from curate.errors import CardError, MissingExtra, Option, nearest
from curate.rater_settings import Settings
from curate.raters import Rater

NETWORKS = "curate.scorers."
"""What the targets of networks on this machine begin with."""


def resolved_card(file: CardFile, settings: Settings) -> CardFile:
    """The card with what only a run can say filled in, before its fingerprint is looked at: the model that a server serves.

    An engine that needs this has a class method `resolved(file, settings) -> CardFile`; most do not. Raises as `load_rater` does.
    """
    if file.card.target.startswith(NETWORKS):
        return file  # Networks never need it, and importing theirs takes seconds that a finished run should not cost.
    resolve = getattr(_engine(file, settings), "resolved", None)
    if resolve is None:
        return file
    complete: CardFile = resolve(file, settings)
    return complete


def load_rater(file: CardFile, settings: Settings | None = None) -> Rater:
    """The rater that a card declares: its target is imported and called as `factory(file, settings)`.

    Where the settings name several devices, a rater of batches is loaded on each; one that lives in decode workers, or asks a
    server, has no use for them. Raises `CardError` for a target that does not exist or is not allowed, `MissingExtra` where its
    packages are missing.
    """
    settings = settings or Settings()
    devices = settings.device.split(",")
    first = _load_one(file, replace(settings, device=devices[0]))
    if len(devices) == 1 or not isinstance(first, BatchRater) or first.place == "worker":
        return first
    with ExitStack() as stack:
        replicas = [first]
        stack.callback(first.close)
        for device in devices[1:]:
            # Of one class, since one card made them.
            replicas.append(cast(BatchRater, _load_one(file, replace(settings, device=device))))
            stack.callback(replicas[-1].close)
        stack.pop_all()  # all are there: they are closed together, later
    return Replicas(replicas)


def _load_one(file: CardFile, settings: Settings) -> Rater:
    """The rater on one device."""
    card = file.card
    factory = _engine(file, settings)
    try:
        rater = factory(file, settings)
    except ModuleNotFoundError as problem:
        raise MissingExtra(f"the rater '{card.name}'", card.extra or "all", problem) from problem
    except (TypeError, ValueError, LookupError) as problem:
        raise CardError(f"{file.where}: {card.target} does not take this card ({type(problem).__name__}: {problem})") from problem
    if not isinstance(rater, Rater):
        raise CardError(f"{file.where}: {card.target} did not make a rater (see curate.raters.Rater)")
    missing = set(card.dimensions) - set(rater.dimensions)
    if missing:
        raise CardError(f"{file.where}: the engine gives {', '.join(rater.dimensions)}, not {', '.join(sorted(missing))}")
    return rater


def _engine(file: CardFile, settings: Settings) -> Callable[[CardFile, Settings], object]:
    """What makes the raters of a card; raises `CardError` and `MissingExtra` as `load_rater` does."""
    card = file.card
    module_name, factory_name = card.target.split(":")
    if not file.shipped and not settings.trust and not _is_ours(module_name):
        raise CardError(
            f"{file.where}: the target {card.target} is no engine of curate; pass ",
            Option("trust"),
            " if you know it and want it run",
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as problem:
        if card.extra and not (problem.name or "").startswith("curate"):
            raise MissingExtra(f"the rater '{card.name}'", card.extra, problem) from problem
        raise CardError(f"{file.where}: the target module {module_name} cannot be imported ({problem})") from problem
    factory = getattr(module, factory_name, None)
    # What curate's modules import from elsewhere is code from elsewhere, and no card reaches it through them.
    borrowed = _is_ours(module_name) and not _is_ours(str(getattr(factory, "__module__", "")))
    if not callable(factory) or borrowed:
        # What its module holds besides, such as their base classes, is no choice.
        own = (name for name, one in vars(module).items() if getattr(one, "__module__", "") == module_name)
        engines = [name for name in own if hasattr(getattr(module, name), "judge") and not name.startswith("_")]
        raise CardError(
            f"{file.where}: {module_name} has no engine '{factory_name}'. {nearest(factory_name, engines)}".rstrip(" .")
        )
    return cast("Callable[[CardFile, Settings], object]", factory)


def _is_ours(module: str) -> bool:
    """Whether a module is one that cards may name freely: curate's engines and judges, and its raters for tests."""
    return module == "curate.testing" or module.startswith(("curate.scorers.", "curate.judges.", "curate.testing."))
