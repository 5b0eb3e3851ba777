"""Float32 that is float32: what torch does to convolutions on CUDA where nobody says otherwise."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_under_way = 0
_before = True


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """For one batch: convolutions on CUDA in float32 and not in TF32, which keeps 10 bits; half precision is left as it is.

    The setting is the process's, so it is put back when no batch is under way in any thread.
    """
    global _under_way, _before
    if device.type != "cuda":
        yield
        return
    with _lock:
        if not _under_way:
            _before = torch.backends.cudnn.allow_tf32
            torch.backends.cudnn.allow_tf32 = False
        _under_way += 1
    try:
        yield
    finally:
        with _lock:
            _under_way -= 1
            if not _under_way:
                torch.backends.cudnn.allow_tf32 = _before
