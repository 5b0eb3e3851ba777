"""Metrics of picture quality by name, from the package pyiqa (MUSIQ, TOPIQ, CLIP-IQA …), where it is installed.

pyiqa is under the PolyForm Noncommercial licence with parts under the S-Lab licence: nothing of curate depends on it, its licence
is told once a process, and its cards say `commercial: false`. Numbers are its own; what is added here:

- a metric whose smaller values are better has to be declared so, or the card is refused: a flipped metric flips every preference;
- its checkpoints are pickles, and it would let them run code: loading them is restricted to tensors while it builds a metric;
- it downloads by itself what a metric needs. Where the run is offline that is refused, unless the card names the file
  (`weights.model`) and the option of pyiqa that takes its path (`args.weights_option`).
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pickle import UnpicklingError
from typing import Any

import torch
from pydantic import Field, model_validator

from curate.cards import CardFile
from curate.errors import CardError, WeightsError
from curate.rater_settings import Settings
from curate.raters import Preparation
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.libraries import import_transformers
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Scores
from curate.scorers.pixels import declared_preparation
from curate.scorers.references.base import AsItIs
from curate.weights import first_line, weights_file

logger = logging.getLogger(__name__)

_TENSORS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


class PyiqaArguments(Arguments):
    """The `args` of a card for `Pyiqa`."""

    metric: str
    """Its name in pyiqa."""
    options: Mapping[str, str | int | float | bool] = Field(default_factory=dict)
    """Of the metric's network."""
    weights_option: str | None = None
    """The option that takes the path of the card's `weights.model`."""
    preprocess: Mapping[str, Any] | None = None
    """Fields of `curate.shards.resize.Geometry`, and `backend`; null gives the metric the picture as it is."""

    @model_validator(mode="after")
    def _given_once(self) -> PyiqaArguments:
        if self.weights_option in self.options:
            raise ValueError(f"'{self.weights_option}' is given by weights_option and by options")
        return self


class Pyiqa(NetworkRater):
    """Judges pictures, one by one or beside their reference, by a metric of pyiqa."""

    batch_size = 8

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, PyiqaArguments)
        roles = ("response", *file.card.takes.conditions)
        if len(roles) > 2:
            raise CardError(f"{file.where}, field 'takes.conditions': a metric compares with one picture at most")
        super().__init__(file, settings, preparations=[_preparation(args, role, file.where) for role in roles])
        self._metric = _load_metric(file, args, self.device, offline=settings.offline)
        compares = getattr(self._metric, "metric_mode", "NR") == "FR"
        if compares != (len(roles) == 2):
            wanted = "one condition, such as [reference]" if compares else "no condition"
            raise CardError(f"{file.where}, field 'takes.conditions': the metric '{args.metric}' takes {wanted}")
        self._roles = roles

    def forward(self, inputs: Inputs) -> Scores:
        found: torch.Tensor = self._metric(*(inputs.pixels[role] for role in self._roles))
        return Scores(values=found.float().reshape(len(inputs.pixels["response"]), 1))


def _preparation(args: PyiqaArguments, role: str, where: str) -> Preparation:
    if args.preprocess is not None:
        return declared_preparation(args.preprocess, where=where, role=role)
    make = AsItIs()
    return Preparation(name=make.name, make=make, role=role)


def _load_metric(file: CardFile, args: PyiqaArguments, device: torch.device, *, offline: bool) -> Any:
    """The metric on its device, one value a picture; gradients reach pixels and stay out of its weights.

    Each rater has its own: nothing says that these metrics may be called by several threads.
    """
    import_transformers()  # Its way around a torchvision without operators has to come first.
    pyiqa = importlib.import_module("pyiqa")
    _tell_licence()
    options = dict(args.options)
    if args.weights_option is not None:
        options[args.weights_option] = str(weights_file(file, "model", offline=offline))
    elif offline:
        raise WeightsError(
            f"{file.where}: pyiqa fetches what '{args.metric}' needs by itself, and this run is offline: name the file under "
            "weights.model and the option that takes its path under args.weights_option"
        )
    if args.metric not in pyiqa.list_models():
        raise CardError(f"{file.where}, field 'args.metric': pyiqa has no metric '{args.metric}'")
    try:
        with _tensors_only():
            # As a "loss" pyiqa lets gradients pass; without a reduction it is the metric, value by value.
            metric = pyiqa.create_metric(args.metric, as_loss=True, loss_reduction="none", device=device, **options)
    except (OSError, UnpicklingError, RuntimeError) as problem:
        raise WeightsError(f"{file.where}: pyiqa cannot load '{args.metric}': {first_line(problem)}") from problem
    if metric.lower_better == file.card.higher_is_better:
        larger = str(not metric.lower_better).lower()
        raise CardError(f"{file.where}: pyiqa says of '{args.metric}' what the card denies: set higher_is_better to {larger}")
    return metric.eval().requires_grad_(False)


@contextmanager
def _tensors_only() -> Iterator[None]:
    """torch.load refuses everything but tensors, whatever its caller asks for."""
    before = os.environ.get(_TENSORS_ONLY)
    os.environ[_TENSORS_ONLY] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_TENSORS_ONLY]
        else:
            os.environ[_TENSORS_ONLY] = before


@lru_cache
def _tell_licence() -> None:
    logger.warning("pyiqa is under the PolyForm Noncommercial and the S-Lab licence: its values are not for commercial use")
