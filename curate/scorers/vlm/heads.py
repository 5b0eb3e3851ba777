"""Heads that turn the state of a language model at a reward token into a number."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from curate.scorers.states import fit


def rank_head(hidden: int, outputs: int) -> nn.Sequential:
    """Linear, ReLU, Dropout, Linear, ReLU, Linear: `hidden`-1024-16-`outputs`, the `ranknet` head of HPSv3 and EditReward.

    The layers are numbered as in the originals' checkpoints.
    """
    return nn.Sequential(
        nn.Linear(hidden, 1024), nn.ReLU(), nn.Dropout(0.05), nn.Linear(1024, 16), nn.ReLU(), nn.Linear(16, outputs)
    )


def taken(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under a prefix of a checkpoint, which are taken out of it; their names without the prefix."""
    names = [name for name in state if name.startswith(f"{prefix}.")]
    return {name.removeprefix(f"{prefix}."): state.pop(name) for name in names}


def fitted_head(head: nn.Module, state: Mapping[str, Tensor], *, where: str, place: str, device: torch.device) -> nn.Module:
    """A head with its weights, in float32. Raises `WeightsError`, naming `place`, where the state does not hold exactly them."""
    fit(head.float(), {name: tensor.float() for name, tensor in state.items()}, where=where, place=place)
    return head.to(device)


def gaussian(raw: Float[Tensor, "*batch 2"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Mean and standard deviation of a head trained with the uncertainty-aware ranking loss.

    The second output is the logarithm of the standard deviation: the training of HPSv3 and EditReward takes its exponential.
    """
    return raw[..., 0], torch.exp(raw[..., 1])
