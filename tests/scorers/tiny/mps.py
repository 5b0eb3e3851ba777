"""A tiny random MPS under the names of the mirror's checkpoint."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from curate.scorers.libraries import import_transformers
from tests.scorers.tiny.blip import random_state
from tests.scorers.tiny.cards import Made
from tests.scorers.tiny.clip import HEADS, LAYERS, SHARED, SIDE, WIDTH, clip_tokenizer, randomise

CROSS = {"layers": 2, "heads": 2, "head_width": 8, "widening": 2}

CONDITION = "fur, mood, weather, and whatever else a stand-in may ask about."


def cross_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the cross network in the original repository."""
    inner, head, wide = CROSS["heads"] * CROSS["head_width"], CROSS["head_width"], CROSS["widening"] * SHARED
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(CROSS["layers"]):
        reads, mixes = f"layers.{layer}.0.fn", f"layers.{layer}.1.fn"
        for part in (reads, mixes):
            shapes |= {f"{part}.norm.weight": (SHARED,), f"{part}.norm.bias": (SHARED,)}
        shapes |= {f"{reads}.to_q.weight": (inner, SHARED), f"{reads}.to_kv.weight": (2 * head, SHARED)}
        shapes |= {f"{reads}.to_out.weight": (SHARED, inner)}
        shapes |= {f"{reads}.ff.0.weight": (2 * wide, SHARED), f"{reads}.ff.2.weight": (SHARED, wide)}
        shapes |= {f"{mixes}.fused_attn_ff_proj.weight": (inner + 2 * head + 2 * wide, SHARED)}
        shapes |= {f"{mixes}.attn_out.weight": (SHARED, inner), f"{mixes}.ff_out.1.weight": (SHARED, wide)}
        shapes |= {f"{mixes}.rotary_emb.inv_freq": (head // 2,)}
    return shapes


def mps_state(base: Path) -> dict[str, torch.Tensor]:
    """A checkpoint of MPS, and in `base` what it takes from the repository of its CLIP: description and vocabulary."""
    transformers = import_transformers()
    shared = {"hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    config = transformers.CLIPConfig(
        text_config={**shared, "projection_dim": SHARED, "hidden_act": "gelu", "vocab_size": 49408, "eos_token_id": 2},
        vision_config={**shared, "projection_dim": SHARED, "hidden_act": "gelu", "image_size": SIDE, "patch_size": 8},
        projection_dim=SHARED,
        logit_scale_init_value=3.7,
    )
    config.save_pretrained(base)
    clip_tokenizer().save_pretrained(base)
    torch.manual_seed(8)
    clip = transformers.CLIPModel(config)
    randomise(clip)
    cross = random_state(cross_shapes(), seed=9)
    for name in cross:
        if name.endswith("inv_freq"):
            cross[name] = 10000 ** -(torch.arange(0, CROSS["head_width"], 2) / CROSS["head_width"])
    state = {f"mps.model.{name}": weight for name, weight in clip.state_dict().items()}
    return state | {f"mps.cross_model.{name}": weight for name, weight in cross.items()}


def mps(folder: Path) -> Made:
    from safetensors.torch import save_file

    save_file({name: weight.contiguous() for name, weight in mps_state(folder / "base").items()}, folder / "mps.safetensors")
    (folder / "condition.txt").write_text(CONDITION + "\n")
    condition = {"length": len(CONDITION), "sha256": hashlib.sha256(CONDITION.encode()).hexdigest()}
    return Made(
        weights={
            "model": {"path": "mps.safetensors"},
            "base": {"path": "base"},
            "condition": {"path": "condition.txt"},
        },
        args={"cross": CROSS, "condition": condition, "preprocess": {"size": SIDE}},
    )


TINY = {"mps": mps}
