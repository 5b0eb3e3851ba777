"""The cross network of MPS: tokens of a picture read the tokens of a prompt, layer after layer.

A layer is two steps, each added to what it was given: the picture's tokens attend to the prompt's, beside a feed-forward of the
same input; then they attend to each other, with rotary positions, beside another feed-forward of the same input. Both
attentions have many query heads and one head of keys and values that all share (Shazeer, Fast Transformer Decoding, 2019).
Feed-forwards are SwiGLU, linear maps have no bias. What the normalisations and rotations need besides weights lies in the
checkpoint and is read from it: a bias that was never trained, and the frequencies.
"""

from __future__ import annotations

import re

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import layer_norm, scaled_dot_product_attention, silu

from curate.scorers.arguments import Arguments

_NAMES = (
    (r"^layers\.(\d+)\.0\.fn\.ff\.0\.", r"layers.\1.reads.widen."),
    (r"^layers\.(\d+)\.0\.fn\.ff\.2\.", r"layers.\1.reads.narrow."),
    (r"^layers\.(\d+)\.0\.fn\.", r"layers.\1.reads."),
    (r"^layers\.(\d+)\.1\.fn\.ff_out\.1\.", r"layers.\1.mixes.narrow."),
    (r"^layers\.(\d+)\.1\.fn\.rotary_emb\.inv_freq$", r"layers.\1.mixes.frequencies"),
    (r"^layers\.(\d+)\.1\.fn\.", r"layers.\1.mixes."),
)

_MASKED = -1e30
"""Added to what must not be read; finite, so that no row of a softmax is ever nothing but infinities."""


class CrossSizes(Arguments):
    """What the checkpoint does not say of the cross network; its width is that of the space which CLIP's towers share."""

    layers: int = 4
    heads: int = 16
    head_width: int = 64
    widening: int = 4
    """Of the feed-forwards, as a multiple of the width."""


def cross_name(original: str) -> str:
    """What the network here calls a weight that the original calls `original`."""
    for pattern, replacement in _NAMES:
        original = re.sub(pattern, replacement, original)
    return original


class Norm(nn.Module):
    """Layer normalisation with a weight, and with the constant that the original keeps in place of a bias."""

    bias: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.register_buffer("bias", torch.zeros(width))

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        return layer_norm(x, x.shape[-1:], self.weight, self.bias)


class Reads(nn.Module):
    """The picture's tokens attend to the prompt's, beside a feed-forward."""

    def __init__(self, width: int, sizes: CrossSizes) -> None:
        super().__init__()
        inner, wide = sizes.heads * sizes.head_width, sizes.widening * width
        self.heads = sizes.heads
        self.norm = Norm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, 2 * sizes.head_width, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)
        self.widen = nn.Linear(width, 2 * wide, bias=False)
        self.narrow = nn.Linear(wide, width, bias=False)

    def forward(
        self, x: Float[Tensor, "batch i width"], prompt: Float[Tensor, "batch j width"], added: Float[Tensor, "batch 1 1 j"]
    ) -> Float[Tensor, "batch i width"]:
        x = self.norm(x)
        keys, values = self.to_kv(prompt).chunk(2, dim=-1)
        attended: Tensor = self.to_out(_attend(_split(self.to_q(x), self.heads), keys, values, added))
        ahead: Tensor = self.narrow(_gated(self.widen(x)))
        return attended + ahead


class Mixes(nn.Module):
    """The picture's tokens attend to each other, beside a feed-forward."""

    frequencies: Tensor

    def __init__(self, width: int, sizes: CrossSizes) -> None:
        super().__init__()
        inner, wide = sizes.heads * sizes.head_width, sizes.widening * width
        self.heads = sizes.heads
        self.parts = (inner, sizes.head_width, sizes.head_width, 2 * wide)
        self.norm = Norm(width)
        self.fused_attn_ff_proj = nn.Linear(width, sum(self.parts), bias=False)
        self.attn_out = nn.Linear(inner, width, bias=False)
        self.narrow = nn.Linear(wide, width, bias=False)
        self.register_buffer("frequencies", torch.zeros(sizes.head_width // 2))

    def forward(self, x: Float[Tensor, "batch i width"]) -> Float[Tensor, "batch i width"]:
        queries, keys, values, wide = self.fused_attn_ff_proj(self.norm(x)).split(self.parts, dim=-1)
        angles = torch.arange(x.shape[1], device=x.device)[:, None].float() * self.frequencies
        turned = _rotated(_split(queries, self.heads), angles)
        attended: Tensor = self.attn_out(_attend(turned, _rotated(keys, angles), values, None))
        ahead: Tensor = self.narrow(_gated(wide))
        return attended + ahead


class Layer(nn.Module):
    """One layer of the cross network."""

    def __init__(self, width: int, sizes: CrossSizes) -> None:
        super().__init__()
        self.reads = Reads(width, sizes)
        self.mixes = Mixes(width, sizes)

    def forward(self, x: Tensor, prompt: Tensor, added: Tensor) -> Tensor:
        x = x + self.reads(x, prompt, added)
        mixed: Tensor = x + self.mixes(x)
        return mixed


class CrossNetwork(nn.Module):
    """All layers."""

    def __init__(self, width: int, sizes: CrossSizes) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(width, sizes) for _ in range(sizes.layers))

    def forward(
        self, picture: Float[Tensor, "batch i width"], prompt: Float[Tensor, "batch j width"], read: Bool[Tensor, "batch j"]
    ) -> Float[Tensor, "batch i width"]:
        """The picture's tokens, having read those tokens of the prompt that `read` marks: at least one of each prompt."""
        added = torch.where(read, 0.0, _MASKED).to(picture.dtype)[:, None, None, :]
        for layer in self.layers:
            picture = layer(picture, prompt, added)
        return picture

    def in_precision(self, dtype: torch.dtype) -> CrossNetwork:
        """This network with weights of that precision; frequencies stay float32, half precision would turn far tokens astray."""
        exact = [(one, one.frequencies) for one in self.modules() if isinstance(one, Mixes)]
        self.to(dtype)
        for one, frequencies in exact:
            one.frequencies = frequencies
        return self


def _split(x: Float[Tensor, "batch i inner"], heads: int) -> Float[Tensor, "batch heads i d"]:
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def _attend(queries: Tensor, keys: Tensor, values: Tensor, added: Tensor | None) -> Float[Tensor, "batch i inner"]:
    """Many query heads, (batch, heads, i, d), over one shared head of keys and values, (batch, j, d)."""
    keys, values = (one[:, None].expand(-1, queries.shape[1], -1, -1) for one in (keys, values))
    return scaled_dot_product_attention(queries, keys, values, attn_mask=added).transpose(1, 2).flatten(2)


def _rotated(x: Float[Tensor, "*batch i d"], angles: Float[Tensor, "i half"]) -> Float[Tensor, "*batch i d"]:
    """Pairs of numbers, one of each half, turned by their position's angles (Su et al., RoFormer, 2021)."""
    first, second = x.float().chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)


def _gated(wide: Float[Tensor, "*batch double"]) -> Float[Tensor, "*batch half"]:
    value, gate = wide.chunk(2, dim=-1)
    return silu(gate) * value
