"""Arithmetic that is the rater's own: what a caller has set for the tensors of a training loop changes no score."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch

_lock = threading.Lock()
_under_way = 0


def _nothing() -> None:
    return None


_put_back: Callable[[], None] = _nothing


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
    global _under_way, _put_back
    with _lock:
        if not _under_way:
            _put_back = _hold()
        _under_way += 1
    try:
        with undisturbed():
            yield
    finally:
        with _lock:
            _under_way -= 1
            if not _under_way:
                _put_back()


def _hold() -> Callable[[], None]:
    """Has float32 computed as such; gives what puts the settings back.

    torch has two sets of settings, and refuses to read the older one where the two do not agree.
    """
    older = _older()
    operations = _operations()
    before = [one.fp32_precision for one in operations]
    if older:
        _set_older(False, "highest")
    for one in operations:
        one.fp32_precision = "ieee"

    def put_back() -> None:
        if older:
            _set_older(*older)
        for one, precision in zip(operations, before, strict=True):
            one.fp32_precision = "none"  # what is set for all of them, where that is what was
            if one.fp32_precision != precision:
                one.fp32_precision = precision

    return put_back


def _older() -> tuple[bool, str] | None:
    """What convolutions and matrix products may do to float32; None where somebody uses the newer settings."""
    with suppress(RuntimeError):
        return torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    return None


def _set_older(convolutions: bool, products: str) -> None:
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.set_float32_matmul_precision(products)


def _operations() -> list[Any]:
    """What has a setting of its own; nothing before torch 2.9."""
    kinds = [
        (torch.backends.cuda, "matmul"),
        *((library, kind) for library in (torch.backends.cudnn, torch.backends.mkldnn) for kind in ("matmul", "conv", "rnn")),
    ]
    found = (getattr(library, kind, None) for library, kind in kinds)
    return [one for one in found if hasattr(one, "fp32_precision")]
