"""Between main memory and a device, without waiting: a GPU computes by itself, and whoever waits for it leaves it idle next."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of main memory on a device; to a GPU it travels from pinned memory, behind what the GPU was told before."""
    if device.type == "cuda" and tensor.device.type == "cpu" and not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def rows_of(batch: Tensor, rows: Sequence[int]) -> Tensor:
    """Some rows of a batch, in that order; of all of them the batch itself. `rows` are distinct and rising."""
    return batch if len(rows) == len(batch) else batch[sent(torch.tensor(rows), batch.device)]


class Fetched:
    """Tensors of a device on their way to main memory, in float32."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        """Of one device, right after what computes them: what is told to a GPU later does not hold them up."""
        devices = {tensor.device for tensor in tensors if tensor.device.type == "cuda"}
        self._tensors = [tensor.to("cpu", torch.float32, non_blocking=bool(devices)) for tensor in tensors]
        self._arrivals = [torch.cuda.current_stream(device).record_event() for device in devices]

    def wait(self) -> list[Tensor]:
        """The tensors, once they are there. Raises what the device did not say before."""
        for arrival in self._arrivals:
            arrival.synchronize()
        return self._tensors
