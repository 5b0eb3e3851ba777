"""Loading what transformers saved: a folder with a config and weights, all of which must fit; and files of tensors.

A weight that is missing from the file would be left random with a mere log line; here it is an error.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from curate.errors import WeightsError
from curate.scorers.convert import is_as_converted
from curate.scorers.pickles import PICKLES, SAVED_PICKLES, converted_path
from curate.weights import first_line

SAFETENSORS = ("config.json", "model*.safetensors")
PICKLED = ("config.json", SAVED_PICKLES)
"""Used only where a repository has no safetensors, and then in the form that `curate raters convert` made of them."""

MODEL_FILES = (SAFETENSORS, PICKLED)
"""For `weights_folder`: the preferred format first."""


def load_pretrained(
    model: Any,
    folder: Path,
    *,
    where: str,
    model_type: str,
    spare: Sequence[str] = (),
    dtype: torch.dtype = torch.float32,
    **settings: Any,
) -> Any:
    """The network of a folder, in evaluation mode, without gradients of its weights.

    `model` is a class of transformers, `model_type` what the config has to say, `settings` go to `from_pretrained`. `dtype` is
    what the weights are read as: billions of them are read in the precision they run in. `spare` are patterns of weights that the
    file may hold and the network does not use. Raises `WeightsError`, which names `where`, where the folder holds another kind of
    network, weights that do not fit the architecture of its config, or pickles that were not converted yet.
    """
    read_config(folder, model_type, where=where)
    state = _converted(folder, where)
    settings |= {"local_files_only": True, "output_loading_info": True, "dtype": dtype}
    try:
        if state is None:
            # Said, since the library would look for pickles beside safetensors of another name.
            loaded, report = model.from_pretrained(str(folder), use_safetensors=True, **settings)
        else:
            config = model.config_class.from_pretrained(str(folder), local_files_only=True)
            loaded, report = model.from_pretrained(None, config=config, state_dict=state, **settings)
    except Exception as problem:  # configs and weights of others: a library may raise anything at all on them
        raise WeightsError(f"{where}: cannot load the weights in {folder}: {first_line(problem)}") from problem
    # Old files carry a table of positions, which is no weight.
    strange = [name for name in report["unexpected_keys"] if not any(fnmatch(name, one) for one in ("*position_ids", *spare))]
    complain_of(sorted(report["missing_keys"]), [*map(str, report["mismatched_keys"]), *sorted(strange)], folder, where)
    return loaded.eval().requires_grad_(False)


def _converted(folder: Path, where: str) -> dict[str, torch.Tensor] | None:
    """What was made of the pickles of a folder, all tensors by name; None where it holds safetensors, which need nothing."""
    pickles = sorted(folder.glob(SAVED_PICKLES))
    if not pickles or any(folder.glob(SAFETENSORS[1])):
        return None
    state: dict[str, torch.Tensor] = {}
    for original in pickles:
        state |= read_tensors(original, where=where, card=where)
    return state


def read_tensors(path: Path, *, where: str, card: str) -> dict[str, torch.Tensor]:
    """The tensors of a file by name, on the CPU; of a pickle, those that were made of it.

    Raises `WeightsError` for a file that cannot be read, and for a pickle that was not converted yet or whose converted form is
    not what was made of it. `card` is the name or the path by which the command that converts it finds the card.
    """
    if path.suffix in PICKLES:
        original, path = path, converted_path(path)
        command = f"`curate raters convert {shlex.quote(card)}`"
        if not path.is_file():
            raise WeightsError(f"{where}: {original} is a pickle, which curate does not open: run {command}")
        if not is_as_converted(path):
            raise WeightsError(f"{where}: {path} is no longer what was made of {original}: run {command}, which makes it again")
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as problem:
        raise WeightsError(f"{where}: cannot read {path}: {first_line(problem)}") from problem


def read_config(folder: Path, *kinds: str, where: str) -> dict[str, Any]:
    """The `config.json` of a folder; raises `WeightsError` where it cannot be read or is of none of these kinds."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise WeightsError(f"{where}: cannot read {folder / 'config.json'}: {first_line(problem)}") from problem
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind not in kinds:
        raise WeightsError(f"{where}: {folder} holds a model of the type '{kind}', not {' or '.join(map(repr, kinds))}")
    return dict(config)


def complain_of(missing: Sequence[str], strange: Sequence[str], place: Path, where: str) -> None:
    """Raise `WeightsError` where weights are missing, or are there that the network does not know."""
    names = [*missing, *strange]
    if names:
        raise WeightsError(
            f"{where}: the weights in {place} do not fit the architecture: {', '.join(names[:4])}"
            + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        )
