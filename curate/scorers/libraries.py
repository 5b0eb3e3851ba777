"""Libraries that load towers, imported so that their known troubles stay out of the engines."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

_declared: list[torch.library.Library] = []
"""Keeps what was declared alive; torch forgets the operators of a library that is collected."""


def import_open_clip() -> ModuleType:
    """The package `open_clip`; ModuleNotFoundError where it is not installed."""
    _spare_torchvision_operators()
    return importlib.import_module("open_clip")


def import_transformers() -> Any:
    """The package `transformers`; ModuleNotFoundError where it is not installed."""
    _spare_torchvision_operators()
    return importlib.import_module("transformers")


def _spare_torchvision_operators() -> None:
    """Let torchvision be imported where its compiled operators do not fit this torch.

    Both libraries import torchvision for its transforms, and its import registers shapes for operators (nms, qnms) that only
    its compiled part defines. A torchvision built for CUDA beside a torch for the CPU cannot load that part, and then the
    import fails with "operator torchvision::nms does not exist". The towers call none of these operators, so it is enough
    that they are declared; calling one would still raise. Which ones, torchvision's own source says.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations or _declared:
        return
    folder = Path(spec.submodule_search_locations[0])
    if _loads_operators(folder):
        return
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    registrations = folder / "_meta_registrations.py"
    source = registrations.read_text(encoding="utf-8") if registrations.is_file() else ""
    for name in sorted(set(re.findall(r"""register_fake\(["']torchvision::(\w+)["']\)""", source))):
        # Any signature will do for what is never called.
        library.define(f"{name}(Tensor boxes) -> Tensor")  # type: ignore[no-untyped-call]
    _declared.append(library)


def _loads_operators(folder: Path) -> bool:
    for compiled in sorted(folder.glob("_C*")):
        if compiled.suffix in {".so", ".pyd", ".dylib"}:
            try:
                torch.ops.load_library(str(compiled))  # type: ignore[no-untyped-call]
            except OSError:
                continue
            return True
    return False
