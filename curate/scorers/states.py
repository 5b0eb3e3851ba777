"""Weights that lie in one file without a config: read as safetensors only, and fitted strictly.

The few originals that exist only as torch pickles (`.pt`, `.pth`, `.bin`) are converted once by `curate raters convert NAME`,
in a process of its own; nothing else of curate opens a pickle. What was converted lies under the SHA-256 of the original.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from curate.cards import CardFile
from curate.errors import WeightsError
from curate.scorers.pickles import PICKLES, converted_path
from curate.scorers.pretrained import complain_of
from curate.weights import first_line, weights_file


def load_state(file: CardFile, role: str, *, offline: bool = False) -> dict[str, torch.Tensor]:
    """The tensors of the file under `weights.<role>`, by name, on the CPU.

    Raises `WeightsError` for a file that cannot be read, and for a pickle that was not converted yet.
    """
    path = weights_file(file, role, offline=offline)
    if path.suffix in PICKLES:
        original, path = path, converted_path(path)
        if not path.is_file():
            raise WeightsError(
                f"{file.where}: {original} is a pickle, which curate does not open: run `curate raters convert {file.card.name}`"
            )
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as problem:
        raise WeightsError(f"{file.where}: cannot read {path}: {first_line(problem)}") from problem


def fit(module: torch.nn.Module, state: Mapping[str, torch.Tensor], *, where: str, place: str) -> None:
    """Put a state into a network, every tensor of one in the other; raises `WeightsError` where names or shapes differ.

    `place` says in the complaint where the state comes from.
    """
    wanted = module.state_dict()
    mismatched = [name for name in state if name in wanted and wanted[name].shape != state[name].shape]
    complain_of(sorted(set(wanted) - set(state)), [*mismatched, *sorted(set(state) - set(wanted))], Path(place), where)
    module.load_state_dict(dict(state))
    module.eval().requires_grad_(False)
