"""Filling networks of billions of weights from checkpoints whose names are not the library's, every tensor in its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from curate.errors import WeightsError
from curate.scorers.pretrained import complain_of
from curate.weights import first_line


def sharded_state(folder: Path, *, where: str) -> dict[str, Tensor]:
    """The tensors of all safetensors of a folder; `WeightsError` where one cannot be read."""
    state: dict[str, Tensor] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        try:
            state.update(load_file(path))
        except (OSError, SafetensorError) as problem:
            raise WeightsError(f"{where}: cannot read {path}: {first_line(problem)}") from problem
    return state


def empty(model: Any, config: Any, dtype: torch.dtype) -> Any:
    """A network whose weights are yet to be filled in; billions of random numbers that nobody wants are not drawn."""
    from transformers.initialization import no_init_weights

    with no_init_weights():
        return model._from_config(config, dtype=dtype)


def filled(model: Any, state: Mapping[str, Tensor], *, where: str) -> Any:
    """A network with a state as its weights, not a copy of it; `WeightsError` where not every tensor of one is in the other."""
    wanted = model.state_dict()
    mismatched = [name for name in state if name in wanted and wanted[name].shape != state[name].shape]
    strange = sorted(set(state) - set(wanted))
    complain_of(sorted(set(wanted) - set(state)), [*mismatched, *strange], Path("weights.model"), where)
    model.load_state_dict(dict(state), assign=True)
    return model.eval().requires_grad_(False)
