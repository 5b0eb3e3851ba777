"""Files of networks of any size for measuring speed: weights are random, or holes in place of numbers, which take no disk."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

Shapes = Mapping[str, tuple[int, ...]]

_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.int64: "I64"}
_COUNTER = "num_batches_tracked"
_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a network's files go, and what its weights are."""

    folder: Path
    filled: bool
    """With random numbers; without, there are holes, which read as zeros: enough where nothing is computed."""

    def write(self, name: str, shapes: Shapes, dtype: torch.dtype = torch.float32) -> None:
        """A safetensors file of such tensors."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        described, end = {}, 0
        for one, shape in shapes.items():
            kind = _dtype(one, dtype)
            size = math.prod(shape) * kind.itemsize
            described[one] = {"dtype": _NAMES[kind], "shape": list(shape), "data_offsets": [end, end + size]}
            end += size
        header = json.dumps(described).encode()
        header += b" " * (-len(header) % 8)
        with path.open("wb") as file:
            file.write(struct.pack("<Q", len(header)) + header)
            if self.filled:
                for one, shape in shapes.items():
                    _fill(file, one, shape, _dtype(one, dtype))
            else:
                file.truncate(8 + len(header) + end)

    @property
    def weights_bytes(self) -> int:
        """Of all that was written."""
        return sum(path.stat().st_size for path in self.folder.rglob("*.safetensors"))


def on_meta(build: Any, *args: Any, **settings: Any) -> Any:
    """What `build` makes, without memory for its weights."""
    with torch.device("meta"):
        return build(*args, **settings)


def shapes_of(model: Any, *, prefix: str = "") -> dict[str, tuple[int, ...]]:
    """Of a network's weights, by name, or of a state's; tables of positions are left out, which files need not hold."""
    state = model.state_dict() if isinstance(model, torch.nn.Module) else model
    kept = {name: one for name, one in state.items() if one.is_floating_point() or name.endswith(_COUNTER)}
    return {f"{prefix}{name}": tuple(one.shape) for name, one in kept.items()}


def tower(width: int, layers: int, heads: int, hidden: int | None = None) -> dict[str, int]:
    """Sizes of a transformer as the configs of transformers name them; `hidden` is the feed-forward's, four widths by default."""
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    return {**sizes, "intermediate_size": hidden or 4 * width}


def save(place: Place, name: str, model: Any, *, dtype: torch.dtype = torch.float32) -> None:
    """The folder that transformers would have saved."""
    model.config.save_pretrained(place.folder / name)
    place.write(f"{name}/model.safetensors", shapes_of(model), dtype)


def stand_in(place: Place, role: str, length: int, *, slots: str = "") -> tuple[dict[str, str], dict[str, Any]]:
    """A text of `length` characters in place of somebody else's, as `weights` and as `args` name it."""
    text = slots + (" the" * length)[: length - len(slots)]
    path = place.folder / f"{role}-{length}.txt"
    path.write_text(text, encoding="utf-8")
    said = {"length": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest(), "origin": "the measurement of speed"}
    return {"path": path.name}, {"role": role, **said}


def _dtype(name: str, others: torch.dtype) -> torch.dtype:
    return torch.int64 if name.endswith(_COUNTER) else others


def _fill(file: BinaryIO, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Numbers that keep activations near 1, layer after layer: denormal numbers would take longer than real ones."""
    count = math.prod(shape)
    if len(shape) > 1:
        block = _random() / math.sqrt(math.prod(shape[1:]))
    elif name.endswith(("weight", "running_var", "variance")):
        block = torch.ones(_BLOCK)
    else:
        block = 0.02 * _random()
    data = block[:count].to(dtype).view(torch.uint8).numpy().tobytes()
    whole, rest = divmod(count, _BLOCK)
    file.writelines(data for _ in range(whole))
    file.write(data[: rest * dtype.itemsize])


def _random() -> torch.Tensor:
    return torch.randn(_BLOCK, generator=torch.Generator().manual_seed(1))
