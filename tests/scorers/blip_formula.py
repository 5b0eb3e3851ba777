"""BLIP's networks written out in plain tensor operations, one picture and one text at a time, by the names of the originals."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import numpy as np
import torch
from torch.nn.functional import gelu, unfold

State = Mapping[str, torch.Tensor]

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])


def linear(x: torch.Tensor, state: State, name: str) -> torch.Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def norm(x: torch.Tensor, state: State, name: str, epsilon: float) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + epsilon).sqrt()
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def below(state: State, prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): weight for name, weight in state.items() if name.startswith(prefix)}


def attend(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, heads: int, *, causal: bool = False) -> torch.Tensor:
    """Attention of (i, width) to (j, width), head by head; where it is causal, i reads no j behind it."""
    mixed = []
    for q, k, v in zip(queries.chunk(heads, -1), keys.chunk(heads, -1), values.chunk(heads, -1), strict=True):
        weights = (q @ k.T / sqrt(q.shape[-1])).exp()
        weights = weights.tril() if causal else weights
        mixed.append(weights @ v / weights.sum(-1, keepdim=True))
    return torch.cat(mixed, -1)


def vision(square: np.ndarray, state: State, *, heads: int, epsilon: float = 1e-6, last: float = 1e-6) -> torch.Tensor:
    """All tokens of a picture, (tokens, width), normalised; `square` is 8-bit RGB."""
    pixels = ((torch.from_numpy(square).float() / 255 - MEAN) / STD).permute(2, 0, 1)
    kernel = state["patch_embed.proj.weight"]
    patches = unfold(pixels[None], kernel.shape[-1], stride=kernel.shape[-1])[0].T @ kernel.flatten(1).T
    x = torch.cat([state["cls_token"][0], patches + state["patch_embed.proj.bias"]]) + state["pos_embed"][0]
    layers = sum(name.endswith("attn.qkv.weight") for name in state)
    for layer in range(layers):
        block = f"blocks.{layer}"
        queries, keys, values = linear(norm(x, state, f"{block}.norm1", epsilon), state, f"{block}.attn.qkv").chunk(3, -1)
        x = x + linear(attend(queries, keys, values, heads), state, f"{block}.attn.proj")
        wide = gelu(linear(norm(x, state, f"{block}.norm2", epsilon), state, f"{block}.mlp.fc1"))
        x = x + linear(wide, state, f"{block}.mlp.fc2")
    return norm(x, state, "norm", last)


def original_vision(converted: State) -> dict[str, torch.Tensor]:
    """The weights of a picture tower of transformers under the originals' names."""
    whole = {"embeddings.class_embedding": "cls_token", "embeddings.position_embedding": "pos_embed"}
    parts = {
        "embeddings.patch_embedding": "patch_embed.proj",
        "encoder.layers.": "blocks.",
        "layer_norm": "norm",
        "self_attn.projection": "attn.proj",
        "self_attn.qkv": "attn.qkv",
        "post_layernorm": "norm",
    }
    named = {}
    for name, weight in converted.items():
        new = whole.get(name, name)
        for old, short in parts.items():
            new = new.replace(old, short)
        named[new] = weight
    return named


def cross_attention(
    x: torch.Tensor, y: torch.Tensor, state: State, block: str, *, heads: int, inner: str = "self"
) -> torch.Tensor:
    """What BERT's attention makes of x, reading y: projected, added to x, normalised. The names are BERT's."""
    queries, keys, values = (linear(z, state, f"{block}.{inner}.{part}") for z, part in ((x, "query"), (y, "key"), (y, "value")))
    mixed = linear(attend(queries, keys, values, heads), state, f"{block}.output.dense")
    return norm(x + mixed, state, f"{block}.output.LayerNorm", 1e-12)


def feed_forward(x: torch.Tensor, state: State, block: str, *, kind: str = "") -> torch.Tensor:
    """BERT's feed-forward, added and normalised; `kind` is the suffix of a Q-Former's own for its queries."""
    wide = gelu(linear(x, state, f"{block}.intermediate{kind}.dense"))
    return norm(x + linear(wide, state, f"{block}.output{kind}.dense"), state, f"{block}.output{kind}.LayerNorm", 1e-12)


def embedded(ids: list[int], state: State) -> torch.Tensor:
    """Words and positions of a text, (tokens, width), not normalised."""
    return state["embeddings.word_embeddings.weight"][ids] + state["embeddings.position_embeddings.weight"][: len(ids)]


def text(ids: list[int], picture: torch.Tensor, state: State, *, heads: int) -> torch.Tensor:
    """All states of a text without padding that reads a picture, (tokens, width)."""
    x = norm(embedded(ids, state), state, "embeddings.LayerNorm", 1e-12)
    layers = sum(name.endswith("crossattention.self.query.weight") for name in state)
    for layer in range(layers):
        block = f"encoder.layer.{layer}"
        x = cross_attention(x, x, state, f"{block}.attention", heads=heads)
        x = cross_attention(x, picture, state, f"{block}.crossattention", heads=heads)
        x = feed_forward(x, state, block)
    return x
