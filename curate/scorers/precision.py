"""Arithmetic that is the rater's own: what a caller has set for the tensors of a training loop changes no score."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

_lock = threading.Lock()
_under_way = 0
_before = (True, "highest")


@contextmanager
def undisturbed() -> Iterator[None]:
    """Outside of the autocast and of the inference mode that a caller may be in; gradients are wanted or not, as they were.

    Autocast would compute a card of float32 in half precision. What inference mode makes, weights among it, takes part in no
    gradient ever after. Both would last, since networks are shared and what they have embedded is remembered.
    """
    wanted = torch.is_grad_enabled()
    with ExitStack() as entered:
        for kind in ("cpu", "cuda"):
            entered.enter_context(torch.autocast(kind, enabled=False))
        entered.enter_context(torch.inference_mode(False))
        entered.enter_context(torch.set_grad_enabled(wanted))  # leaving inference mode asks for them
        yield


@contextmanager
def full_precision() -> Iterator[None]:
    """For one batch: undisturbed, and what is float32 in float32: not in TF32, which keeps 10 bits, nor in anything less.

    A network in half precision stays in it. The settings are the process's, so they are put back when no batch is under way in
    any thread.
    """
    global _under_way, _before
    with _lock:
        if not _under_way:
            _before = (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision())
            _hold(False, "highest")
        _under_way += 1
    try:
        with undisturbed():
            yield
    finally:
        with _lock:
            _under_way -= 1
            if not _under_way:
                _hold(*_before)


def _hold(convolutions: bool, products: str) -> None:
    """What convolutions and matrix products may do to float32."""
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.set_float32_matmul_precision(products)
