"""Filling networks of billions of weights from checkpoints whose names are not the library's, every tensor in its place; and
tokenizers by the rules of their own files.

transformers 5 takes the words of a `tokenizer.json` and cuts texts by rules of the class that the network's kind stands for. For
Llama's class they are not those of older files (Llama, Mistral 0.1, Idefics2): a text that follows a control token has a mark of
its beginning by the file, `▁▁` for a blank, and none by the class.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from curate.errors import WeightsError
from curate.scorers.libraries import import_transformers
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


def filed_tokenizer(folder: Path, *, where: str) -> Any:
    """The tokenizer that the `tokenizer.json` of a folder is, whatever lies beside it; `WeightsError` where it is none."""
    path = folder / "tokenizer.json"
    try:
        return import_transformers().PreTrainedTokenizerFast(tokenizer_file=str(path))
    except Exception as problem:  # the library raises no narrower class
        raise WeightsError(f"{where}: cannot read {path}: {first_line(problem)}") from problem


def by_its_file(tokenizer: Any, folder: Path) -> Any:
    """A tokenizer of a folder, which from now on cuts texts as its `tokenizer.json` does, where there is one."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    plain = import_transformers().PreTrainedTokenizerFast
    if type(tokenizer) is not plain and isinstance(tokenizer, plain) and path.is_file():
        filed = Tokenizer.from_file(str(path))
        backend = tokenizer.backend_tokenizer
        backend.normalizer, backend.pre_tokenizer = filed.normalizer, filed.pre_tokenizer
    return tokenizer
