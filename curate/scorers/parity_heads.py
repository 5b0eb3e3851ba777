"""Numbers of an original's head alone, tried without its encoder: the part of `curate.scorers.parity` that needs torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from curate.cards import CardFile
from curate.scorers.arguments import arguments
from curate.scorers.golden import Head
from curate.scorers.states import load_state
from curate.scorers.towers.heads import Chain, HeadArguments, PromptArguments, Prompts

PROBES: Mapping[str, Callable[[int], torch.Tensor]] = {
    "zero": torch.zeros,
    "constant": lambda width: torch.full((width,), width**-0.5),
    "first": lambda width: torch.eye(1, width)[0],
}
"""Embeddings that anybody can write down, by their width."""


def probed(file: CardFile, golden: Head, *, offline: bool) -> Iterator[tuple[str, float, float]]:
    """For each probe its name, the number expected, and the number that the head gives; needs its own small file alone."""
    head, width = _load_head(file, offline=offline)
    for probe in golden.probes:
        yield probe.embedding, probe.expected, float(head(PROBES[probe.embedding](width)[None])[0, 0])


def _load_head(file: CardFile, *, offline: bool) -> tuple[Any, int]:
    """The head of a card over an encoder, and the width of the embeddings that it takes."""
    state = load_state(file, "head", offline=offline)
    if file.card.target.endswith(":PromptHead"):
        chosen = arguments(file, PromptArguments)
        width = max(array.shape[-1] for array in state.values())
        return Prompts(state, column=chosen.column, scale=chosen.scale, width=width, where=file.where), width
    shape = arguments(file, HeadArguments).head
    first = f"{shape.layers[0]}.weight".removeprefix(".")
    width = state[first].shape[1] if first in state else 0
    return Chain(state, shape, width=width, where=file.where, place="weights.head"), width
