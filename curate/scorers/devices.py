"""Which device and which precision a network runs with."""

from __future__ import annotations

from typing import Literal

import torch

from curate.errors import CurateError

Precision = Literal["float32", "float16", "bfloat16"]

DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def pick_device(name: str) -> torch.device:
    """The device of that name; `auto` is the first CUDA device where there is one, else the CPU.

    Raises `CurateError` for a device that is not there.
    """
    cuda = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if name == "auto":
        return torch.device(cuda[0] if cuda else "cpu")
    if name in {"cpu", *cuda}:
        return torch.device(name)
    if name == "cuda" and cuda:
        return torch.device(cuda[0])  # by the one name, so that networks are shared
    raise CurateError(f"there is no device '{name}' here: use {' or '.join(['auto', 'cpu', *cuda])}")


_MARKS = ("DefaultCPUAllocator", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""By which a RuntimeError says that it is about memory: the CPU's, and what CUDA's libraries take beside torch."""


def is_out_of_memory(problem: BaseException) -> bool:
    """Whether torch ran out of memory on any device."""
    if isinstance(problem, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(problem, RuntimeError) and any(mark in str(problem) for mark in _MARKS)
