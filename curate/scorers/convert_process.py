"""The process in which a pickle is opened: `python -m curate.scorers.convert_process ORIGINAL TARGET BYTES SECONDS`.

Its last line on stdout is JSON: the number of `tensors` and the names `left_out`, or why the file was `refused`. Once the limits
stand, starting a program, opening a connection or loading a library ends it, whatever asks for that.
"""

from __future__ import annotations

import json
import os
import pickle  # for its exceptions alone; nothing here loads by it
import re
import resource
import sys
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from curate.scorers.array_pickles import arrays_of

INSIDE = ("state_dict", "model_state_dict", "model", "module")
"""Where training scripts put the weights among other things."""

REFUSED = ("socket.", "subprocess.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "ctypes.dlopen", "pty.")
"""Events of Python's audit that no file of weights has a use for; as these names begin."""

REFUSED_EXIT = 77

WHAT_TO_DO = "if you trust it, load it yourself, save its arrays as safetensors, and name that file in a copy of the card"


def confine(memory_bytes: int, seconds: int) -> None:
    """From here on: so much more memory, so many seconds of a processor, no other program, no connection."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") if Path("/proc").is_dir() else 0
    if taken:
        resource.setrlimit(resource.RLIMIT_AS, (taken + memory_bytes, taken + memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.addaudithook(_refuse)


def _refuse(event: str, _: object) -> None:
    if event.startswith(REFUSED):
        # Not an exception, which what asks for this could catch.
        os._exit(REFUSED_EXIT)


def tensors_of(loaded: object) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The tensors of what a file holds, by name, and the names of what is none.

    A mapping that holds one of `INSIDE` stands for it; a single tensor is called `tensor`. Names are left as they are. Raises
    `ValueError` for what holds no tensor.
    """
    left_out: list[str] = []
    if isinstance(loaded, torch.Tensor):
        loaded = {"tensor": loaded}
    elif isinstance(loaded, Mapping):
        inside = next((name for name in INSIDE if isinstance(loaded.get(name), Mapping)), None)
        if inside is not None:
            left_out += [str(name) for name in loaded if name != inside]
            loaded = loaded[inside]
    if not isinstance(loaded, Mapping):
        raise ValueError(f"it holds a {type(loaded).__name__}, not tensors by name")
    left_out += [str(name) for name, value in loaded.items() if not isinstance(value, torch.Tensor)]
    found = {str(name): value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    if not found:
        raise ValueError("it holds no tensors")
    return found, left_out


def read(original: Path) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The tensors of a file, by name, and the names of what is none.

    What torch refuses may still hold arrays of numpy, unless it is an archive, which only torch writes.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the protocols of pickles that are not torch's
            return tensors_of(torch.load(original, map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as problem:
        if zipfile.is_zipfile(original):
            raise
        refused = problem
    with original.open("rb") as file:
        arrays, left_out = arrays_of(file)
    if not arrays:
        raise refused
    return {name: torch.from_numpy(array) for name, array in arrays.items()}, left_out


def convert(original: Path, target: Path) -> dict[str, Any]:
    """Read the one, write the other, and say what was done or why not."""
    try:
        tensors, left_out = read(original)
        # Copies: safetensors refuses tensors that share memory, and a slice would bring all it was cut from.
        save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, target)
    except (MemoryError, RuntimeError) as problem:
        return {"refused": f"it is damaged, or needs more memory than a file of its size ({_words(problem)})"}
    except (
        pickle.UnpicklingError,
        EOFError,
        AttributeError,
        LookupError,
        TypeError,
        OSError,
        ValueError,
        SafetensorError,
    ) as problem:
        return {"refused": f"{_why(problem)}; {WHAT_TO_DO}"}
    return {"tensors": len(tensors), "left_out": left_out}


def _why(problem: Exception) -> str:
    """torch's own message is long, and advises to load the file without protection; of it, only what was found is said."""
    if not isinstance(problem, pickle.UnpicklingError):
        return f"it holds no tensors that can be read ({_words(problem)})"
    named = re.search(r"GLOBAL ([\w.]+)", str(problem))
    found = f" ({named[1]})" if named else ""
    return f"it is no file of torch or numpy, or holds other things than numbers{found}, and these are never loaded"


def _words(problem: Exception) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return lines[0][:120] if lines else type(problem).__name__


def main() -> None:
    original, target, memory_bytes, seconds = sys.argv[1:]
    confine(int(memory_bytes), int(seconds))
    print(json.dumps(convert(Path(original), Path(target))))  # noqa: T201  its way to speak


if __name__ == "__main__":
    main()
