"""OmniAID's network: a CLIP vision transformer whose attention projections are a main weight and experts; see `omniaid`.

Names and shapes of the weights are the original's. The shapes (width, layers, experts, ranks) are read from the checkpoint; heads
leave no trace there, so the card says how many.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from curate.errors import CardError, WeightsError
from curate.scorers.states import fit

SPARE = ("*.U_r", "*.V_r", "*.weight_original_fnorm", "*position_ids")
"""What checkpoints hold for training only."""

_NEEDED = (
    "embeddings.patch_embedding.weight",
    "embeddings.position_embedding.weight",
    "encoder_layers.0.self_attn.q_proj.U_experts.0",
    "encoder_layers.0.mlp.fc1.weight",
    "gating_network.network.0.weight",
    "gating_network.network.2.weight",
)
"""The weights whose shapes say everything."""


class Choice(NamedTuple):
    """Which experts work on each picture of a batch, and how much each counts."""

    experts: Int[Tensor, "batch chosen"]
    gates: Float[Tensor, "batch chosen"]


class _Experts(nn.Module):
    """A linear layer with its experts."""

    def __init__(self, width: int, experts: int, rank: int) -> None:
        super().__init__()
        self.register_buffer("weight_main", torch.zeros(width, width))
        self.U_experts = nn.ParameterList(torch.zeros(width, rank) for _ in range(experts))
        self.S_experts = nn.ParameterList(torch.zeros(rank) for _ in range(experts))
        self.V_experts = nn.ParameterList(torch.zeros(rank, width) for _ in range(experts))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "batch tokens width"], choice: Choice) -> Float[Tensor, "batch tokens width"]:
        # Of the chosen experts, one wide expert is made: (batch, chosen * rank, width) down, and its mirror up.
        up = torch.stack(list(self.U_experts))[choice.experts].movedim(1, -2).flatten(-2)
        scales = torch.stack(list(self.S_experts))[choice.experts] * choice.gates[..., None].to(x.dtype)
        down = torch.stack(list(self.V_experts))[choice.experts].flatten(1, 2)
        by_experts = (x @ down.mT * scales.flatten(1)[:, None]) @ up.mT
        main: Tensor = nn.functional.linear(x, self.weight_main, self.bias)  # type: ignore[arg-type]
        return main + by_experts


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, experts: int, rank: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (_Experts(width, experts, rank) for _ in range(4))
        self._heads = heads

    def forward(self, x: Tensor, choice: Choice) -> Tensor:
        query, key, value = (
            part(x, choice).unflatten(-1, (self._heads, -1)).transpose(1, 2) for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(-2), choice)
        return out


class _Perceptron(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.fc1(x)
        # QuickGELU, as in OpenAI's CLIP.
        out: Tensor = self.fc2(hidden * torch.sigmoid(1.702 * hidden))
        return out


class _Layer(nn.Module):
    def __init__(self, width: int, hidden: int, heads: int, experts: int, rank: int) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(width)
        self.self_attn = _Attention(width, heads, experts, rank)
        self.layer_norm2 = nn.LayerNorm(width)
        self.mlp = _Perceptron(width, hidden)

    def forward(self, x: Tensor, choice: Choice) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x), choice)
        after: Tensor = x + self.mlp(self.layer_norm2(x))
        return after


class _Embeddings(nn.Module):
    def __init__(self, width: int, patch: int, positions: int) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.patch_embedding = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.position_embedding = nn.Embedding(positions, width)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(patches), 1, -1)
        tokens: Tensor = torch.cat([first, patches], dim=1) + self.position_embedding.weight
        return tokens


class _Router(nn.Module):
    def __init__(self, width: int, hidden: int, routed: int) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, routed))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits


class OmniAidNetwork(nn.Module):
    """The network, with the names of the original's weights."""

    def __init__(
        self,
        *,
        width: int,
        hidden: int,
        layers: int,
        heads: int,
        patch: int,
        positions: int,
        experts: int,
        rank: int,
        routed: int,
        routing: int,
        top_k: int,
    ) -> None:
        super().__init__()
        self.embeddings = _Embeddings(width, patch, positions)
        self.ln_pre = nn.LayerNorm(width)
        self.encoder_layers = nn.ModuleList(_Layer(width, hidden, heads, experts, rank) for _ in range(layers))
        self.ln_post = nn.LayerNorm(width)
        self.gating_network = _Router(width, routing, routed)
        self.head = nn.Linear(width, 2)
        self.side = round((positions - 1) ** 0.5) * patch
        self._top_k = top_k
        self._always_on = experts - 1 if routed < experts else None
        self._dtype = torch.float32

    def in_precision(self, dtype: torch.dtype) -> OmniAidNetwork:
        """The same network with its layers in `dtype`; router and head stay in float32."""
        for part in (self.embeddings, self.ln_pre, self.encoder_layers, self.ln_post):
            part.to(dtype)
        self._dtype = dtype
        return self

    def forward(self, pixels: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch 2"]:
        """Logits of the two classes, in float32, of normalised pixels."""
        tokens = self.embeddings(pixels.to(self._dtype))
        choice = self._choose(tokens[:, 1:].mean(dim=1).float())
        tokens = self.ln_pre(tokens)
        for layer in self.encoder_layers:
            tokens = layer(tokens, choice)
        logits: Tensor = self.head(self.ln_post(tokens[:, 0]).float())
        return logits

    def _choose(self, features: Float[Tensor, "batch width"]) -> Choice:
        best = self.gating_network(features).topk(self._top_k, dim=-1)
        experts, gates = best.indices, best.values.softmax(dim=-1)
        if self._always_on is not None:
            experts = torch.cat([experts, torch.full_like(experts[:, :1], self._always_on)], dim=1)
            gates = torch.cat([gates, torch.ones_like(gates[:, :1])], dim=1)
        return Choice(experts, gates)


def build_network(state: Mapping[str, Tensor], *, heads: int, top_k: int, where: str) -> OmniAidNetwork:
    """The network that a checkpoint describes, filled with it; raises `WeightsError` where it is that of something else."""
    state = {name: tensor for name, tensor in state.items() if not any(fnmatch(name, spare) for spare in SPARE)}
    missing = [name for name in _NEEDED if name not in state]
    if missing:
        raise WeightsError(f"{where}: weights.model is no OmniAID: it holds no {missing[0]}")
    width, _, patch, _ = state["embeddings.patch_embedding.weight"].shape
    prefix = "encoder_layers.0.self_attn.q_proj.U_experts."
    routed = len(state["gating_network.network.2.weight"])
    if width % heads or top_k > routed:
        raise CardError(
            f"{where}: {heads} heads and {top_k} experts a picture do not fit a width of {width} and {routed} experts"
        )
    network = OmniAidNetwork(
        width=width,
        hidden=len(state["encoder_layers.0.mlp.fc1.weight"]),
        layers=len({name.split(".")[1] for name in state if name.startswith("encoder_layers.")}),
        heads=heads,
        patch=patch,
        positions=len(state["embeddings.position_embedding.weight"]),
        experts=sum(name.startswith(prefix) for name in state),
        rank=state[f"{prefix}0"].shape[1],
        routed=routed,
        routing=len(state["gating_network.network.0.weight"]),
        top_k=top_k,
    )
    fit(network, state, where=where, place="weights.model")
    return network
