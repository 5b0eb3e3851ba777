"""The vision transformer written out over plain tensors, by the names that transformers saves for DINO and DINOv2."""

from __future__ import annotations

import torch

State = dict[str, torch.Tensor]


def linear(x: torch.Tensor, state: State, name: str) -> torch.Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def layer_norm(x: torch.Tensor, state: State, name: str, epsilon: float = 1e-6) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + epsilon).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int) -> torch.Tensor:
    """Of (tokens, width) each."""
    width = query.shape[-1] // heads
    mixed = []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        mixed.append((query[:, part] @ key[:, part].T / width**0.5).softmax(-1) @ value[:, part])
    return torch.cat(mixed, dim=-1)


def patches(pixels: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """(tokens, width) of pixels (3, side, side)."""
    size = kernel.shape[-1]
    cut = torch.nn.functional.unfold(pixels[None], size, stride=size)[0].T
    return cut @ kernel.flatten(1).T + bias


def tokens_of(pixels: torch.Tensor, state: State, *, heads: int, depth: int = 2) -> torch.Tensor:
    """Tokens after the last norm of normalised pixels (3, side, side), [CLS] first."""
    embedded = "embeddings.patch_embeddings.projection"
    x = patches(pixels, state[f"{embedded}.weight"], state[f"{embedded}.bias"])
    positions = state["embeddings.position_embeddings"][0]
    grid = positions[1:]
    if len(grid) != len(x):  # DINOv2 stretches its table of positions.
        old, new = round(len(grid) ** 0.5), round(len(x) ** 0.5)
        square = grid.T.reshape(1, -1, old, old)
        grid = torch.nn.functional.interpolate(square, (new, new), mode="bicubic").reshape(grid.shape[1], -1).T
    x = torch.cat([state["embeddings.cls_token"][0] + positions[:1], x + grid])
    for number in range(depth):
        x = block(x, state, f"encoder.layer.{number}", heads)
    return layer_norm(x, state, "layernorm")


def block(x: torch.Tensor, state: State, name: str, heads: int) -> torch.Tensor:
    dinov2 = f"{name}.norm1.weight" in state
    first, second = ("norm1", "norm2") if dinov2 else ("layernorm_before", "layernorm_after")
    up, down = ("mlp.fc1", "mlp.fc2") if dinov2 else ("intermediate.dense", "output.dense")
    scales = [state[f"{name}.layer_scale{number}.lambda1"] if dinov2 else 1 for number in (1, 2)]
    y = layer_norm(x, state, f"{name}.{first}")
    query, key, value = (linear(y, state, f"{name}.attention.attention.{part}") for part in ("query", "key", "value"))
    x = x + scales[0] * linear(attention(query, key, value, heads), state, f"{name}.attention.output.dense")
    y = linear(layer_norm(x, state, f"{name}.{second}"), state, f"{name}.{up}")
    y = y * 0.5 * (1 + torch.erf(y / 2**0.5))
    return x + scales[1] * linear(y, state, f"{name}.{down}")
