"""`curate raters convert`: pickled weights of a card become safetensors, in a process of its own.

A pickle is a program. It is opened by `torch.load(weights_only=True)`, which runs none of it and knows tensors, numbers, texts
and their containers, or, where it holds arrays of numpy, by `curate.scorers.array_pickles`; and that in a process with bounded
memory and time, which may neither start another one nor open a connection (`curate.scorers.convert_process`). What comes out lies
under the SHA-256 of the original, where
`curate.scorers.states.load_state` and `curate.scorers.pretrained.load_pretrained` look for it, and beside it a record says what
became of what.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curate.cards import CardFile, Weights
from curate.errors import CurateError, MissingExtra, WeightsError
from curate.files import atomic_file
from curate.scorers.pickles import PICKLES, SAVED_PICKLES, converted_path
from curate.weights import sha256_of, weights_file, weights_folder

MEMORY_BYTES = 2 << 30
"""What the process may take beside three times the size of the file: as read, as written, and once more."""

SECONDS = 120
SECONDS_PER_GIB = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """One file of weights, converted."""

    role: str
    """Where the card names it, under `weights`."""
    original: str
    original_sha256: str
    converted: str
    sha256: str
    """Of the converted file."""
    tensors: int
    left_out: tuple[str, ...]
    """What the original holds beside the weights, by name: it is not in the converted file."""
    prefix: str = ""
    """What was taken off the front of every name: wrappers of a network put it there (`module.`, `_orig_mod.`)."""
    fresh: bool = True
    """False where it had been converted before."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def convert(file: CardFile, *, offline: bool = False) -> list[Conversion]:
    """Convert every pickled file of weights that a card names, and those in folders of transformers that it names and that are on
    this machine; what was converted before is left as it is.

    Raises `WeightsError` where there is none, and for a file that is not to be had, that holds more than tensors, or that takes
    more memory or time than its size explains; `MissingExtra` where there is one and torch is not installed.
    """
    named = [role for role, weights in file.card.weights.items() if _file_name(weights).suffix in PICKLES]
    folders = [(role, path) for role in file.card.weights if role not in named for path in _in_folder(file, role)]
    if not named and not folders:
        raise WeightsError(
            f"{file.where}: '{file.card.name}' names no pickled file of weights, and no folder on this machine that holds one, "
            "so there is nothing to convert"
        )
    if importlib.util.find_spec("torch") is None:
        raise MissingExtra("converting weights", "rewards", ModuleNotFoundError("No module named 'torch'"))
    originals = [*((role, weights_file(file, role, offline=offline)) for role in named), *folders]
    return [_converted(role, original, file.where) for role, original in originals]


def is_as_converted(converted: Path) -> bool:
    """Whether a converted file is what the record beside it says. Without a record there is nothing to hold it against."""
    try:
        wanted = json.loads(_record_of(converted).read_text(encoding="utf-8"))["sha256"]
    except FileNotFoundError:
        return True
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return bool(wanted == sha256_of(converted))


def _record_of(converted: Path) -> Path:
    return converted.with_suffix(".json")


def _file_name(weights: Weights) -> Path:
    return Path(weights.file or weights.path or "")


def _in_folder(file: CardFile, role: str) -> list[Path]:
    """The pickles of weights in the folder of a role; none where it holds safetensors as well, or is not on this machine.

    Nothing is downloaded: whether a folder is wanted for its weights or for a tokenizer, only the engine knows.
    """
    if file.card.weights[role].file is not None:
        return []
    try:
        folder = weights_folder(file, role, (SAVED_PICKLES,), offline=True)
    except CurateError:
        return []
    return [] if any(folder.glob("model*.safetensors")) else sorted(folder.glob(SAVED_PICKLES))


def _converted(role: str, original: Path, where: str) -> Conversion:
    target = converted_path(original)
    record = _record_of(target)
    known = _known(target, record)
    if known is not None:
        return Conversion(**{**known, "role": role, "original": str(original), "converted": str(target)}, fresh=False)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(target) as aside:
        said = _in_a_process(original, aside, where)
        digest = sha256_of(aside)
    made = {
        "original_sha256": target.stem,
        "sha256": digest,
        "tensors": said["tensors"],
        "left_out": tuple(said["left_out"]),
        "prefix": said["prefix"],
    }
    done = Conversion(role=role, original=str(original), converted=str(target), **made)
    with atomic_file(record) as aside:
        about = {name: value for name, value in asdict(done).items() if name not in ("converted", "fresh")}
        aside.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return done


def _known(target: Path, record: Path) -> dict[str, Any] | None:
    """What the record says of an earlier conversion; None where there was none, or its file is not what the record says."""
    try:
        known: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
        if known["sha256"] != sha256_of(target):
            return None
        kept = ("original_sha256", "sha256", "tensors", "prefix")
        return {name: known[name] for name in kept} | {"left_out": tuple(known["left_out"])}
    except (OSError, ValueError, LookupError, TypeError):
        return None  # It is converted once more, which costs seconds and mends it.


def _in_a_process(original: Path, target: Path, where: str) -> dict[str, Any]:
    """What the converting process says of its work: the number of `tensors`, the names `left_out`, the `prefix` of all others."""
    size = original.stat().st_size
    seconds = SECONDS + SECONDS_PER_GIB * (size >> 30)
    command = [sys.executable, "-m", "curate.scorers.convert_process", str(original), str(target)]
    limits = [str(MEMORY_BYTES + 3 * size), str(seconds)]
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    try:
        done = subprocess.run(
            [*command, *limits],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * seconds,
            env=os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
        )
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        said = {"refused": f"it was not read within {2 * seconds} seconds"}
    except (ValueError, IndexError):
        said = {"refused": f"reading it ended the process that did so (exit code {done.returncode}): out of memory or time"}
    if "refused" in said:
        raise WeightsError(f"{where}: {original} was not converted: {said['refused']}")
    return said
