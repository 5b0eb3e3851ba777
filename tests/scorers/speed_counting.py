"""Counting the work of networks that fit in no memory: their large products are counted and not computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import flop_registry

_aten = torch.ops.aten

_ATTENTION = _aten._scaled_dot_product_flash_attention_for_cpu

_FILLS = (
    _aten.copy_,
    _aten.fill_,
    _aten.zero_,
    _aten.normal_,
    _aten.uniform_,
    _aten.erfinv_,
    _aten.mul_,
    _aten.add_,
    _aten.clamp_,
)

_LARGE = 1 << 16
"""Numbers in a tensor from which on it is a matrix of weights."""


class Counter(TorchDispatchMode):
    """Counts the floating point operations of matrix products, convolutions and attention as torch's FlopCounterMode does.

    What these operations give is zeros of the right shape; all others run, so whatever an engine does around its network is done.
    A multiplication and an addition are two operations.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self._loading = False

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Weights are not moved nor drawn meanwhile: nobody will look at them."""
        self._loading = True
        try:
            yield
        finally:
            self._loading = False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        del types
        kwargs, packet = dict(kwargs or {}), func.overloadpacket
        if self._loading and packet in _FILLS and args[0].numel() >= _LARGE:
            return args[0]
        if packet == _ATTENTION:
            query, key, value = (one.shape for one in args[:3])
            self.operations += 2 * query.numel() * key[-2] + 2 * query[:-1].numel() * key[-2] * value[-1]
        elif packet in flop_registry:
            self.operations += flop_registry[packet](*args, **kwargs, out_val=_shaped(func, args, kwargs, "meta"))
        else:
            return func(*args, **kwargs)
        return _shaped(func, args, kwargs, "cpu")


def _shaped(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], device: str) -> Any:
    """Zeros in the shape of what a function gives."""
    given, named = tree_map_only(torch.Tensor, lambda one: one.to("meta"), (args, dict(kwargs)))
    return tree_map_only(torch.Tensor, lambda one: torch.zeros_like(one, device=device), func(*given, **named))
