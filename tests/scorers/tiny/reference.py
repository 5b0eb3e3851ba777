"""Tiny random networks for the raters that compare pictures, under the names of the original checkpoints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from curate.scorers.libraries import import_transformers
from tests.scorers.tiny.cards import Made
from tests.scorers.tiny.clip import randomise, transformers_clip

ALEXNET_CONVOLUTIONS = {0: 11, 3: 5, 6: 3, 8: 3, 10: 3}
"""Kernel by position in torchvision's `features`."""
VGG16_CONVOLUTIONS = dict.fromkeys((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), 3)

ALEXNET_WIDTHS = (8, 12, 16, 12, 12)
VGG16_WIDTHS = (8, 8, 12, 12, *[16] * 9)
VGG16_TAPS = (8, 12, 16, 16, 16)

VIT_WIDTH, VIT_DEPTH, VIT_PATCH, VIT_SIDE = 128, 2, 8, 32
RANK, ALPHA = 4, 0.5


def convolutions(kernels: dict[int, int], widths: Sequence[int], seed: int = 5) -> dict[str, torch.Tensor]:
    """The state of a network that classifies, its convolutions and the last of its other layers."""
    generator = torch.Generator().manual_seed(seed)
    state, before = {"classifier.6.weight": torch.zeros(4, 4)}, 3
    for (position, kernel), width in zip(kernels.items(), widths, strict=True):
        scale = (2 / (before * kernel * kernel)) ** 0.5
        state[f"features.{position}.weight"] = torch.randn(width, before, kernel, kernel, generator=generator) * scale
        state[f"features.{position}.bias"] = torch.randn(width, generator=generator) * 0.1
        before = width
    return state


def heads(taps: Sequence[int]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(6)
    return {f"lin{number}.model.1.weight": torch.rand(1, width, 1, 1, generator=generator) for number, width in enumerate(taps)}


def _lpips(folder: Path, kernels: dict[int, int], widths: Sequence[int], taps: Sequence[int]) -> Made:
    save_file(convolutions(kernels, widths), folder / "backbone.safetensors")
    save_file(heads(taps), folder / "heads.safetensors")
    return Made(weights={"backbone": {"path": "backbone.safetensors"}, "heads": {"path": "heads.safetensors"}})


def lpips_alex(folder: Path) -> Made:
    return _lpips(folder, ALEXNET_CONVOLUTIONS, ALEXNET_WIDTHS, ALEXNET_WIDTHS)


def lpips_vgg(folder: Path) -> Made:
    return _lpips(folder, VGG16_CONVOLUTIONS, VGG16_WIDTHS, VGG16_TAPS)


def dists(folder: Path) -> Made:
    generator = torch.Generator().manual_seed(7)
    shape = (1, 3 + sum(VGG16_TAPS), 1, 1)
    channels = {name: torch.rand(shape, generator=generator) for name in ("alpha", "beta")}
    save_file(convolutions(VGG16_CONVOLUTIONS, VGG16_WIDTHS), folder / "backbone.safetensors")
    save_file(channels, folder / "channels.safetensors")
    return Made(weights={"backbone": {"path": "backbone.safetensors"}, "channels": {"path": "channels.safetensors"}})


def vision_transformer(seed: int, *, clip: bool) -> dict[str, torch.Tensor]:
    """The state of a ViT under DINO's names; CLIP's has a layer norm before the blocks and a projection."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int, scale: float = 0.15) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * scale

    width, hidden = VIT_WIDTH, 2 * VIT_WIDTH
    state = {"cls_token": random(1, 1, width), "pos_embed": random(1, (VIT_SIDE // VIT_PATCH) ** 2 + 1, width)}
    state |= {"patch_embed.proj.weight": random(width, 3, VIT_PATCH, VIT_PATCH), "patch_embed.proj.bias": random(width)}
    norms = ["norm", *(["pos_drop"] if clip else [])]
    for number in range(VIT_DEPTH):
        block = f"blocks.{number}"
        norms += [f"{block}.norm1", f"{block}.norm2"]
        for name, rows, columns in (
            ("attn.qkv", 3 * width, width),
            ("attn.proj", width, width),
            ("mlp.fc1", hidden, width),
            ("mlp.fc2", width, hidden),
        ):
            state[f"{block}.{name}.weight"], state[f"{block}.{name}.bias"] = random(rows, columns, scale=0.08), random(rows)
    for name in norms:
        state[f"{name}.weight"], state[f"{name}.bias"] = 1 + random(width), random(width)
    return state | ({"proj": random(width, width // 2)} if clip else {})


def low_rank_updates(count: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(11)
    state = {}
    for backbone in range(count):
        for block in range(VIT_DEPTH):
            name = f"base_model.model.extractor_list.{backbone}.model.blocks.{block}.attn.qkv"
            state[f"{name}.lora_A.weight"] = torch.randn(RANK, VIT_WIDTH, generator=generator) * 0.3
            state[f"{name}.lora_B.weight"] = torch.randn(3 * VIT_WIDTH, RANK, generator=generator) * 0.3
    return state


def dreamsim(folder: Path) -> Made:
    names = ("dino", "clip", "open_clip")
    for seed, name in enumerate(names):
        save_file(vision_transformer(seed, clip=name != "dino"), folder / f"{name}.safetensors")
    save_file(low_rank_updates(len(names)), folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"lora_alpha": ALPHA, "r": RANK}))
    weights = {name: {"path": f"{name}.safetensors"} for name in names} | {"lora": {"path": "adapter_model.safetensors"}}
    return Made(weights=weights, args={"preprocess": {"size": VIT_SIDE}})


def dino(folder: Path) -> Made:
    transformers = import_transformers()
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(8)
    model = transformers.ViTModel(transformers.ViTConfig(**shape, image_size=32, patch_size=8, layer_norm_eps=1e-6))
    randomise(model)
    model.save_pretrained(folder / "model")
    return Made(weights={"model": {"path": "model"}}, args={"preprocess": {"size": 40, "crop": 32}})


def save_dinov2(folder: Path) -> None:
    transformers = import_transformers()
    shape = {"hidden_size": 32, "mlp_ratio": 2, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(9)
    model = transformers.Dinov2Model(transformers.Dinov2Config(**shape, image_size=56, patch_size=14))
    randomise(model)
    model.save_pretrained(folder)


def dinov2(folder: Path) -> Made:
    save_dinov2(folder / "model")
    return Made(weights={"model": {"path": "model"}}, args={"preprocess": {"size": 32, "crop": 28}})


def deep_feature(folder: Path) -> Made:
    save_dinov2(folder / "model")
    generator = torch.Generator().manual_seed(10)
    head = {"layers.0.weight": (16, 32), "layers.0.bias": (16,), "layers.2.weight": (1, 16), "layers.2.bias": (1,)}
    state = {name: torch.randn(shape, generator=generator) for name, shape in head.items()}
    save_file(state, folder / "head.safetensors")
    weights = {"model": {"path": "model"}, "head": {"path": "head.safetensors"}}
    return Made(weights=weights, args={"side": 56, "patches": 6})


def clip_directional(folder: Path) -> Made:
    made = transformers_clip(folder)
    captions = {"source_caption": "a photograph", "target_caption": "a drawing in ink"}
    return Made(weights=made.weights, args={**made.args, **captions})


def nothing(folder: Path) -> Made:
    del folder  # What has no network has no weights.
    return Made(weights={})


def ms_ssim(folder: Path) -> Made:
    del folder
    return Made(weights={}, args={"powers": [0.4, 0.6]})


TINY = {
    "clip-i": transformers_clip,
    "clip-directional": clip_directional,
    "deep-feature": deep_feature,
    "dino": dino,
    "dinov2": dinov2,
    "dists": dists,
    "dreamsim": dreamsim,
    "lpips-alex": lpips_alex,
    "lpips-vgg": lpips_vgg,
    "ms-ssim": ms_ssim,
    "psnr": nothing,
    "ssim": nothing,
}
