"""The process in which a pickle is opened: `python -m curate.scorers.convert_process ORIGINAL TARGET BYTES SECONDS`.

Its last line on stdout is JSON: the number of `tensors`, the names `left_out` and the `prefix` taken off all names, or why the
file was `refused`. Once the limits stand, starting a program, opening a connection or loading a library ends it, whatever asks
for that.
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
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from curate.scorers.array_pickles import NoWeights, arrays_of, texts_of

INSIDE = ("state_dict", "model_state_dict", "model", "module")
"""Where training scripts put the weights among other things."""

WRAPPERS = ("module.", "_orig_mod.")
"""What a network in DataParallel or under `torch.compile` puts before every name, and what rates does not know."""

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


class Found(NamedTuple):
    """What a file holds."""

    tensors: dict[str, torch.Tensor]
    left_out: list[str]
    """Names of what else it holds."""
    prefix: str = ""
    """What every name began with, and no longer does."""


def tensors_of(loaded: object) -> Found:
    """The tensors of what torch has loaded.

    A mapping that holds one of `INSIDE` stands for it; a single tensor is called `tensor`. Of names, only what `WRAPPERS` put
    before all of them is taken off. Raises `NoWeights` for what holds no tensor, more than one set of weights, tensors that
    safetensors does not know, or two names that are the same text.
    """
    left_out: list[str] = []
    if isinstance(loaded, torch.Tensor):
        loaded = {"tensor": loaded}
    elif isinstance(loaded, Mapping):
        inside = next((name for name in INSIDE if isinstance(loaded.get(name), Mapping)), None)
        if inside is not None:
            _check_alone(loaded, inside)
            left_out += [str(name) for name in loaded if name != inside]
            loaded = loaded[inside]
    if not isinstance(loaded, Mapping):
        raise NoWeights(f"it holds a {type(loaded).__name__}, not tensors by name")
    left_out += [str(name) for name, value in loaded.items() if not isinstance(value, torch.Tensor)]
    tensors = [(name, value) for name, value in loaded.items() if isinstance(value, torch.Tensor)]
    if not tensors:
        raise NoWeights("it holds no tensors")
    found = dict(zip(texts_of(name for name, _ in tensors), (value for _, value in tensors), strict=True))
    for name, value in found.items():
        if value.layout != torch.strided or value.is_quantized:
            kind = "quantised" if value.is_quantized else "sparse"
            raise NoWeights(f"'{name}' is a {kind} tensor, which safetensors cannot hold")
    prefix = _prefix_of(found)
    return Found({name.removeprefix(prefix): value for name, value in found.items()}, left_out, prefix)


def _check_alone(loaded: Mapping[Any, Any], inside: str) -> None:
    """Raise `NoWeights` where more than the weights `inside` could be meant: averaged ones, a teacher's.

    The state of an optimiser lies deeper, and that of a random generator is no number with a fraction.
    """
    others = [
        str(name)
        for name, value in loaded.items()
        if name != inside
        and isinstance(value, Mapping)
        and any(isinstance(one, torch.Tensor) and one.is_floating_point() for one in value.values())
    ]
    if others:
        raise NoWeights(
            f"it holds more than one set of tensors ({', '.join([inside, *others])}), and which is meant it does not say"
        )


def _prefix_of(names: Collection[str]) -> str:
    """All that wrappers have put before every one of the names."""
    prefix = ""
    while added := next((one for one in WRAPPERS if all(_goes_on(name, prefix + one) for name in names)), None):
        prefix += added
    return prefix


def _goes_on(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and name != prefix


def read(original: Path) -> Found:
    """The tensors of a file, by name.

    What torch refuses may still hold arrays of numpy, unless it is an archive, which only torch writes. Raises what `tensors_of`
    and `arrays_of` raise, and what torch does.
    """
    if _is_torchscript(original):
        raise NoWeights("it is a TorchScript archive, a program, whose weights `torch.jit.load(…).state_dict()` gives")
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
    return Found({name: torch.from_numpy(array) for name, array in arrays.items()}, left_out)


def _is_torchscript(original: Path) -> bool:
    """Whether a file is what `torch.jit.save` writes: an archive like that of `torch.save`, and constants of its code in it."""
    try:
        with zipfile.ZipFile(original) as archive:
            return any(name.count("/") == 1 and name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def convert(original: Path, target: Path) -> dict[str, Any]:
    """Read the one, write the other, and say what was done or why not."""
    try:
        found = read(original)
        # Copies: safetensors refuses tensors that share memory, and a slice would bring all it was cut from.
        save_file({name: tensor.detach().clone().contiguous() for name, tensor in found.tensors.items()}, target)
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
    return {"tensors": len(found.tensors), "left_out": found.left_out, "prefix": found.prefix}


def _why(problem: Exception) -> str:
    """torch's own message is long, and advises to load the file without protection; of it, only what was found is said."""
    if isinstance(problem, NoWeights):
        return str(problem)
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
