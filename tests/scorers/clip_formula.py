"""CLIP's computation written out from its paper, over plain tensors and independent of both libraries."""

from __future__ import annotations

import numpy as np
import torch

from curate.scorers.libraries import import_open_clip
from tests.scorers.tiny.clip import HEADS, LAYERS, WIDTH

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def layer_norm(x: torch.Tensor, weights: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    return torch.nn.functional.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5)


def encoder(x: torch.Tensor, weights: dict[str, torch.Tensor], *, quick: bool, causal: bool) -> torch.Tensor:
    """Pre-norm transformer blocks over (tokens, width); weights by OpenCLIP's names."""
    for layer in range(LAYERS):
        block = f"resblocks.{layer}"
        y = layer_norm(x, weights, f"{block}.ln_1")
        q, k, v = (y @ weights[f"{block}.attn.in_proj_weight"].T + weights[f"{block}.attn.in_proj_bias"]).chunk(3, dim=-1)
        q, k, v = (part.reshape(len(x), HEADS, -1).transpose(0, 1) for part in (q, k, v))
        logits = q @ k.transpose(1, 2) / (WIDTH / HEADS) ** 0.5
        if causal:
            logits = logits + torch.full((len(x), len(x)), -torch.inf).triu(1)
        mixed = (logits.softmax(-1) @ v).transpose(0, 1).reshape(len(x), -1)
        x = x + mixed @ weights[f"{block}.attn.out_proj.weight"].T + weights[f"{block}.attn.out_proj.bias"]
        y = layer_norm(x, weights, f"{block}.ln_2")
        y = y @ weights[f"{block}.mlp.c_fc.weight"].T + weights[f"{block}.mlp.c_fc.bias"]
        y = y * torch.sigmoid(1.702 * y) if quick else torch.nn.functional.gelu(y)
        x = x + y @ weights[f"{block}.mlp.c_proj.weight"].T + weights[f"{block}.mlp.c_proj.bias"]
    return x


def below(weights: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}


def formula_image(square: np.ndarray, weights: dict[str, torch.Tensor], *, quick: bool) -> torch.Tensor:
    pixels = torch.from_numpy(square).float() / (255 if square.dtype == np.uint8 else 1)
    pixels = ((pixels - torch.tensor(MEAN)) / torch.tensor(STD)).permute(2, 0, 1)
    patches = torch.nn.functional.unfold(pixels[None], 8, stride=8)[0].T @ weights["visual.conv1.weight"].reshape(WIDTH, -1).T
    x = torch.cat([weights["visual.class_embedding"][None], patches]) + weights["visual.positional_embedding"]
    x = encoder(layer_norm(x, weights, "visual.ln_pre"), below(weights, "visual.transformer."), quick=quick, causal=False)
    return layer_norm(x[0], weights, "visual.ln_post") @ weights["visual.proj"]


def formula_text(ids: list[int], weights: dict[str, torch.Tensor], *, quick: bool) -> torch.Tensor:
    x = weights["token_embedding.weight"][ids] + weights["positional_embedding"][: len(ids)]
    x = layer_norm(encoder(x, below(weights, "transformer."), quick=quick, causal=True), weights, "ln_final")
    return x[ids.index(49407)] @ weights["text_projection"]


def as_openclip(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a CLIPModel under OpenCLIP's names."""
    named = {
        "visual.class_embedding": state["vision_model.embeddings.class_embedding"],
        "visual.conv1.weight": state["vision_model.embeddings.patch_embedding.weight"],
        "visual.positional_embedding": state["vision_model.embeddings.position_embedding.weight"],
        "visual.proj": state["visual_projection.weight"].T,
        "token_embedding.weight": state["text_model.embeddings.token_embedding.weight"],
        "positional_embedding": state["text_model.embeddings.position_embedding.weight"],
        "text_projection": state["text_projection.weight"].T,
    }
    norms = {"vision_model.pre_layrnorm": "visual.ln_pre", "vision_model.post_layernorm": "visual.ln_post"}
    norms["text_model.final_layer_norm"] = "ln_final"
    for tower, prefix in (("vision_model", "visual.transformer"), ("text_model", "transformer")):
        for layer in range(LAYERS):
            old, new = f"{tower}.encoder.layers.{layer}", f"{prefix}.resblocks.{layer}"
            norms |= {f"{old}.layer_norm1": f"{new}.ln_1", f"{old}.layer_norm2": f"{new}.ln_2"}
            norms |= {f"{old}.mlp.fc1": f"{new}.mlp.c_fc", f"{old}.mlp.fc2": f"{new}.mlp.c_proj"}
            norms[f"{old}.self_attn.out_proj"] = f"{new}.attn.out_proj"
            for kind in ("weight", "bias"):
                parts = [state[f"{old}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
                named[f"{new}.attn.in_proj_{kind}"] = torch.cat(parts)
    for old, new in norms.items():
        named |= {f"{new}.{kind}": state[f"{old}.{kind}"] for kind in ("weight", "bias")}
    return named


def expected(square: np.ndarray, ids: list[int], weights: dict[str, torch.Tensor], *, quick: bool) -> float:
    image, text = formula_image(square, weights, quick=quick), formula_text(ids, weights, quick=quick)
    return float(torch.dot(image / image.norm(), text / text.norm()))


def token_ids(prompt: str, context: int = 77) -> list[int]:
    """By OpenCLIP's tokenizer, cut to the context with the end token kept."""
    import_open_clip()
    from open_clip.tokenizer import _tokenizer

    return [*[49406, *_tokenizer.encode(prompt)][: context - 1], 49407]
