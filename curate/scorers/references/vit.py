"""The plain vision transformer under the names of DINO's and timm's checkpoints, its sizes read from the weights.

    tokens = [CLS, patches] + positions (-> layer norm, in CLIP's) -> blocks of attention and MLP, each behind a layer norm

Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021. CLIP's towers fit the same names where `pos_drop` is the layer norm
before the blocks and `proj` the projection; that is how DreamSim stores them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from curate.errors import WeightsError
from curate.scorers.states import fit

HEAD_WIDTH = 64
"""Numbers of each attention head, in all of these networks."""

_SHAPES = ("patch_embed.proj.weight", "pos_embed", "blocks.0.mlp.fc1.weight")


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        query, key, value = self.qkv(tokens).reshape(batch, count, 3, -1, HEAD_WIDTH).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        projected: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, count, width))
        return projected


class _Perceptron(nn.Module):
    def __init__(self, width: int, hidden: int, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self._activation = activation

    def forward(self, tokens: Tensor) -> Tensor:
        projected: Tensor = self.fc2(self._activation(self.fc1(tokens)))
        return projected


class _Block(nn.Module):
    def __init__(self, width: int, hidden: int, activation: Callable[[Tensor], Tensor], epsilon: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=epsilon)
        self.attn = _Attention(width)
        self.norm2 = nn.LayerNorm(width, eps=epsilon)
        self.mlp = _Perceptron(width, hidden, activation)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        after: Tensor = tokens + self.mlp(self.norm2(tokens))
        return after


class _PatchEmbedding(nn.Module):
    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, stride=patch)

    def forward(self, pixels: Tensor) -> Tensor:
        patches: Tensor = self.proj(pixels).flatten(2).transpose(1, 2)
        return patches


class VisionTransformer(nn.Module):
    """From normalised pixels to the tokens after the last block; `norm` is there for who wants it."""

    def __init__(
        self,
        *,
        width: int,
        hidden: int,
        depth: int,
        patch: int,
        positions: int,
        activation: Callable[[Tensor], Tensor],
        epsilon: float,
        norm_first: bool,
    ) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, positions, width))
        self.patch_embed = _PatchEmbedding(width, patch)
        self.pos_drop = nn.LayerNorm(width, eps=epsilon) if norm_first else nn.Identity()
        self.blocks = nn.ModuleList(_Block(width, hidden, activation, epsilon) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=epsilon)
        self.side = round((positions - 1) ** 0.5) * patch

    def forward(self, pixels: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch tokens width"]:
        patches = self.patch_embed(pixels)
        tokens: Tensor = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1) + self.pos_embed
        tokens = self.pos_drop(tokens)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


def build_vit(
    state: Mapping[str, Tensor], *, activation: Callable[[Tensor], Tensor], epsilon: float, where: str, place: str
) -> VisionTransformer:
    """The network that a state describes, filled with it; raises `WeightsError` where it is the state of something else."""
    missing = [name for name in _SHAPES if name not in state]
    if missing:
        raise WeightsError(f"{where}: {place} is no vision transformer: it holds no {missing[0]}")
    width, _, patch, _ = state["patch_embed.proj.weight"].shape
    network = VisionTransformer(
        width=width,
        hidden=len(state["blocks.0.mlp.fc1.weight"]),
        depth=len({name.split(".")[1] for name in state if name.startswith("blocks.")}),
        patch=patch,
        positions=state["pos_embed"].shape[1],
        activation=activation,
        epsilon=epsilon,
        norm_first="pos_drop.weight" in state,
    )
    fit(network, state, where=where, place=place)
    return network
