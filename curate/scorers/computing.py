"""How a batch computes: on its part of the cores, and in float32 where that is what its card says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_on_cpu = 0
_on_cuda = 0
_tf32 = True


@contextmanager
def computing(device: torch.device, threads: int) -> Iterator[None]:
    """For one batch, in the thread that computes it; `threads` are what torch may use on the CPU in all."""
    with _share_of_cores(threads) if device.type == "cpu" else _full_precision():
        yield


@contextmanager
def _share_of_cores(threads: int) -> Iterator[None]:
    """Batches that are under way at once divide the cores, rather than each taking all and waiting for the others.

    How many threads torch uses is kept for each calling thread, so what others compute is left alone.
    """
    global _on_cpu
    with _lock:
        _on_cpu += 1
        sharing = _on_cpu
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // sharing))
    try:
        yield
    finally:
        torch.set_num_threads(before)
        with _lock:
            _on_cpu -= 1


@contextmanager
def _full_precision() -> Iterator[None]:
    """Convolutions in float32, for which torch takes TF32 where nobody says otherwise; half precision does not look at that.

    The setting is the process's, so it is put back when no batch is under way.
    """
    global _on_cuda, _tf32
    with _lock:
        if not _on_cuda:
            _tf32 = torch.backends.cudnn.allow_tf32
            torch.backends.cudnn.allow_tf32 = False
        _on_cuda += 1
    try:
        yield
    finally:
        with _lock:
            _on_cuda -= 1
            if not _on_cuda:
                torch.backends.cudnn.allow_tf32 = _tf32
