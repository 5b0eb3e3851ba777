"""InternLM2 as IXC-2.5 has it: a Llama whose linear layers have low-rank adapters that act on visual tokens only (partial LoRA).

transformers has no such network, but all of its parts: InternLM2 is Llama with the projections to queries, keys and values in one
matrix, by groups of heads. That matrix is taken apart here, its adapter with it, and every linear layer of a `LlamaModel` gets
the adapter beside it. The names are those of InternLM/InternLM-XComposer (`modeling_internlm2.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from curate.scorers.libraries import import_transformers
from curate.scorers.vlm.loading import empty, filled

_LAYERS = {"attention.wo": "self_attn.o_proj", "feed_forward.w1": "mlp.gate_proj"}
_LAYERS |= {"feed_forward.w3": "mlp.up_proj", "feed_forward.w2": "mlp.down_proj"}

_NORMS = {"attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}

_PARTS = {"weight": "linear.weight", "Plora_A.weight": "down.weight", "Plora_B.weight": "up.weight"}

_FUSED = "attention.wqkv"

_IN_LAYER = re.compile(r"(layers\.\d+)\.(.+?)\.(weight|Plora_[AB]\.weight)")


_visual: ContextVar[Float[Tensor, "batch tokens 1"]] = ContextVar("visual tokens")
"""1 where a token of the batch under way is visual, else 0. Several raters may read by one network at the same time, each in a
thread of its own, so this goes with the call and not with the network."""


class PartlyAdapted(nn.Module):
    """A linear layer with an adapter, without bias, that adds to visual tokens only."""

    def __init__(self, linear: nn.Linear, *, rank: int, scale: float) -> None:
        super().__init__()
        self.linear = linear
        self.down = nn.Linear(linear.in_features, rank, bias=False, dtype=linear.weight.dtype)
        self.up = nn.Linear(rank, linear.out_features, bias=False, dtype=linear.weight.dtype)
        self._scale = scale

    def forward(self, states: Float[Tensor, "batch tokens inputs"]) -> Float[Tensor, "batch tokens outputs"]:
        """Raises `LookupError` outside of `PartialLlama.read`, which says where the visual tokens are."""
        visual = _visual.get()
        adapted: Tensor = self.up(self.down(states))
        plain: Tensor = self.linear(states)
        return plain + visual.to(plain.dtype) * self._scale * adapted


class PartialLlama:
    """The decoder: embeds tokens and reads sequences of words and visual tokens."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings of tokens."""
        return self._model.embed_tokens(ids)  # type: ignore[no-any-return]

    def read(
        self,
        embedded: Float[Tensor, "batch tokens hidden"],
        visual: Bool[Tensor, "batch tokens"],
        mask: Bool[Tensor, "batch tokens"],
    ) -> Float[Tensor, "batch tokens hidden"]:
        """States after the last norm; `mask` is False at padding, which is on the right."""
        positions = torch.arange(embedded.shape[1], device=embedded.device).expand(embedded.shape[:2])
        told = _visual.set(visual[..., None].float())
        try:
            output = self._model(inputs_embeds=embedded, attention_mask=mask.long(), position_ids=positions, use_cache=False)
        finally:
            _visual.reset(told)
        return output.last_hidden_state  # type: ignore[no-any-return]


def load_partial_llama(
    config: Mapping[str, Any], state: Mapping[str, Tensor], *, alpha: float, dtype: torch.dtype, device: torch.device, where: str
) -> PartialLlama:
    """The decoder of a checkpoint, by its names below `model.`; `config` is InternLM2's.

    Raises `WeightsError`, naming `where`, for a checkpoint that does not hold exactly its tensors.
    """
    transformers = import_transformers()
    shared = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    llama = transformers.LlamaConfig(
        **{name: config[name] for name in (*shared, "max_position_embeddings", "rms_norm_eps")},
        # The scaling is NTK by length, which is none up to `max_position_embeddings`; longer texts are not read.
        rope_parameters={"rope_type": "default", "rope_theta": float(config["rope_theta"])},
        bos_token_id=None,
        eos_token_id=None,
    )
    named = as_llama(state, heads=config["num_attention_heads"], groups=config["num_key_value_heads"])
    model = empty(transformers.LlamaModel, llama, dtype)
    for name, linear in [(name, one) for name, one in model.layers.named_modules() if isinstance(one, nn.Linear)]:
        # Where an adapter is missing from the checkpoint, the complaint is about its weights.
        rank = len(named.get(f"layers.{name}.down.weight", (0,)))
        adapted = PartlyAdapted(linear, rank=rank, scale=alpha / rank)
        block, _, own = name.rpartition(".")
        setattr(model.layers.get_submodule(block), own, adapted)
    cast = {name: tensor.to(dtype) for name, tensor in named.items()}
    return PartialLlama(filled(model, cast, where=where).to(device))


def as_llama(state: Mapping[str, Tensor], *, heads: int, groups: int) -> dict[str, Tensor]:
    """InternLM2's tensors under the names of a Llama with adapters; names that are not known come through."""
    named = {}
    for name, tensor in state.items():
        match = _IN_LAYER.fullmatch(name)
        if match is None:
            named[name.replace("tok_embeddings", "embed_tokens")] = tensor
            continue
        stem, module, kind = match.groups()
        if module == _FUSED:
            parts = [tensor] * 3 if kind == "Plora_A.weight" else split_fused(tensor, heads=heads, groups=groups)
            named |= {f"{stem}.self_attn.{one}_proj.{_PARTS[kind]}": part for one, part in zip("qkv", parts, strict=True)}
        elif module in _LAYERS:
            named[f"{stem}.{_LAYERS[module]}.{_PARTS[kind]}"] = tensor
        else:
            named[f"{stem}.{_NORMS.get(module, module)}.{kind}"] = tensor
    return named


def split_fused(rows: Float[Tensor, "outputs inputs"], *, heads: int, groups: int) -> list[Tensor]:
    """The rows for queries, keys and values: of each group of heads its queries, then its key, then its value."""
    of_group = heads // groups
    grouped = rows.reshape(groups, of_group + 2, -1, rows.shape[-1])
    return [part.flatten(0, -2) for part in (grouped[:, :of_group], grouped[:, -2:-1], grouped[:, -1:])]
