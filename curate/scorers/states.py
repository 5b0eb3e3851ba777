"""Weights that lie in one file without a config: read as safetensors only, and fitted strictly.

Originals that exist only as torch pickles (`.pt`, `.pth`, `.bin`) are converted once by `curate raters convert NAME`, in a
process of its own; nothing here opens one. What was converted lies under the SHA-256 of the original.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from curate.cards import CardFile
from curate.scorers.pretrained import complain_of, read_tensors
from curate.weights import weights_file


def load_state(file: CardFile, role: str, *, offline: bool = False) -> dict[str, torch.Tensor]:
    """The tensors of the file under `weights.<role>`, by name, on the CPU.

    Raises `WeightsError` for a file that cannot be read, and for a pickle that was not converted yet or whose converted form
    is not what was made of it.
    """
    # A card that ships lies in a file of its name; it may have been given another one, by which no command finds it.
    card = Path(file.where).stem if file.shipped else file.where
    return read_tensors(weights_file(file, role, offline=offline), where=file.where, card=card)


def fit(module: torch.nn.Module, state: Mapping[str, torch.Tensor], *, where: str, place: str) -> None:
    """Put a state into a network, every tensor of one in the other; raises `WeightsError` where names or shapes differ.

    `place` says in the complaint where the state comes from.
    """
    wanted = module.state_dict()
    mismatched = [name for name in state if name in wanted and wanted[name].shape != state[name].shape]
    complain_of(sorted(set(wanted) - set(state)), [*mismatched, *sorted(set(state) - set(wanted))], Path(place), where)
    module.load_state_dict(dict(state))
    module.eval().requires_grad_(False)
