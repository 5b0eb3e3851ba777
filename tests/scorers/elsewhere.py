"""A device that is another place and computes as the CPU does, for machines without a GPU.

Every operation on its tensors is done by the CPU, and one on tensors of two places is refused, as a GPU refuses it. So all that
a GPU shows is seen here, except its arithmetic and its speed. torch has one device for uses of one's own, and a process that has
one is not rid of it: import this in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_setup_privateuseone_for_python_backend("elsewhere")
ELSEWHERE = torch.device("elsewhere:0")

aten = torch.ops.aten
_CROSSINGS = {aten._to_copy.default, aten.copy_.default}
"""What may be given tensors of two places."""
_PLACES = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
"""A GPU takes its indices from main memory too."""


class There(torch.Tensor):
    """A tensor elsewhere; `inner` is what it holds."""

    inner: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, inner: Tensor) -> There:
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=ELSEWHERE,
        )
        made.inner = inner
        return made  # type: ignore[no-any-return]

    def tolist(self) -> Any:
        """Of a subclass torch refuses it."""
        return self.inner.tolist()

    def __format__(self, spec: str) -> str:
        return format(self.inner, spec)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        return _computed(func, args, kwargs or {})


class _Device(TorchDispatchMode):
    """Sees the operations that have no tensor of that device among their arguments: those that make one."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        return _computed(func, args, kwargs or {})


class _Numbers(TorchFunctionMode):
    """`torch.tensor` of numbers that are tensors reads them where no operation is seen."""

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        if func is torch.tensor:
            args = (tree_map(lambda one: one.item() if isinstance(one, There) else one, args[0]), *args[1:])
        return func(*args, **(kwargs or {}))


def _computed(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
    there = any(isinstance(one, There) for one in tensors)
    if there and func not in _CROSSINGS:
        _check_one_place(func, args, tensors)
    goes_there = there if kwargs.get("device") is None else torch.device(kwargs["device"]).type == ELSEWHERE.type
    by_the_cpu = {**kwargs, "device": torch.device("cpu")} if goes_there and "device" in kwargs else kwargs
    found = func(*tree_map(_inner, args), **tree_map(_inner, by_the_cpu))
    if func._schema.is_mutable:
        return next((one for one in tensors if _inner(one) is found), found)
    return tree_map(_wrapped, found) if goes_there else found


def _check_one_place(func: Any, args: Sequence[Any], tensors: Sequence[Tensor]) -> None:
    """A single number may come from main memory, as may the places of an index; nothing else."""
    indices = {id(one) for one in tree_leaves(args[1:2])} if func in _PLACES else set()
    strangers = [one for one in tensors if not isinstance(one, There) and one.dim() and id(one) not in indices]
    if strangers:
        raise RuntimeError(f"{func}: tensors are on {ELSEWHERE} and on the CPU, one of shape {tuple(strangers[0].shape)}")


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, There) else value


def _wrapped(value: Any) -> Any:
    return There(value) if isinstance(value, Tensor) and not isinstance(value, There) else value


@contextmanager
def a_device_elsewhere() -> Iterator[None]:
    """Inside, the device is there to be used."""
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    torch._C._set_only_lift_cpu_tensors(True)  # `torch.tensor(…, device=…)` makes it here and moves it
    with mock.patch("torch.Tensor.pin_memory", lambda tensor: tensor), _Numbers(), _Device():
        yield
