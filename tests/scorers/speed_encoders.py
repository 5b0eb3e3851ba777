"""Networks that compare pictures, and detectors, in their true sizes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from curate.cards import Card
from curate.scorers.detectors.watermark import watermark_network
from curate.scorers.libraries import import_transformers
from curate.scorers.references.vit import VisionTransformer
from tests.scorers.speed_files import Place, on_meta, save, shapes_of, tower
from tests.scorers.speed_towers import towers
from tests.scorers.tiny import detectors, reference
from tests.scorers.tiny.cards import Made

ASKED = {"include": [{"class": "person", "count": 1}]}
"""Of GenEval's detector; no colour."""

# Networks that compare pictures.


def _lpips(kernels: dict[int, int], widths: Sequence[int], taps: Sequence[int], place: Place) -> Made:
    place.write("backbone.safetensors", shapes_of(reference.convolutions(kernels, widths)))
    place.write("heads.safetensors", shapes_of(reference.heads(taps)))
    return Made(weights={"backbone": {"path": "backbone.safetensors"}, "heads": {"path": "heads.safetensors"}})


_ALEXNET = (64, 192, 384, 256, 256)
_VGG16 = (64, 64, 128, 128, 256, 256, 256, *[512] * 6)
_VGG16_TAPS = (64, 128, 256, 512, 512)


def _dists(place: Place) -> Made:
    place.write("backbone.safetensors", shapes_of(reference.convolutions(reference.VGG16_CONVOLUTIONS, _VGG16)))
    place.write("channels.safetensors", dict.fromkeys(("alpha", "beta"), (1, 3 + sum(_VGG16_TAPS), 1, 1)))
    return Made(weights={"backbone": {"path": "backbone.safetensors"}, "channels": {"path": "channels.safetensors"}})


def _dreamsim(place: Place) -> Made:
    names = ("dino", "clip", "open_clip")
    sizes = {"width": 768, "hidden": 3072, "depth": 12, "patch": 16, "positions": 197}
    updates: dict[str, tuple[int, ...]] = {}
    for number, name in enumerate(names):
        clip = name != "dino"
        network = on_meta(VisionTransformer, **sizes, activation=torch.nn.functional.gelu, epsilon=1e-6, norm_first=clip)
        place.write(f"{name}.safetensors", shapes_of(network) | ({"proj": (768, 512)} if clip else {}))
        for block in range(12):
            stem = f"base_model.model.extractor_list.{number}.model.blocks.{block}.attn.qkv"
            updates |= {f"{stem}.lora_A.weight": (16, 768), f"{stem}.lora_B.weight": (2304, 16)}
    place.write("adapter_model.safetensors", updates)
    (place.folder / "adapter_config.json").write_text(json.dumps({"lora_alpha": 0.5, "r": 16}))
    return Made(
        weights={name: {"path": f"{name}.safetensors"} for name in names} | {"lora": {"path": "adapter_model.safetensors"}}
    )


def _dino(place: Place) -> Made:
    transformers = import_transformers()
    save(place, "model", on_meta(transformers.ViTModel, transformers.ViTConfig(**tower(384, 12, 6)), add_pooling_layer=False))
    return Made(weights={"model": {"path": "model"}})


def _dinov2(place: Place) -> Made:
    transformers = import_transformers()
    save(place, "model", on_meta(transformers.Dinov2Model, transformers.Dinov2Config(image_size=518, patch_size=14)))
    return Made(weights={"model": {"path": "model"}})


def _deep_feature(place: Place) -> Made:
    made = _dinov2(place)
    head = {"layers.0.weight": (512, 768), "layers.0.bias": (512,), "layers.2.weight": (1, 512), "layers.2.bias": (1,)}
    place.write("head.safetensors", head)
    return Made(weights={**made.weights, "head": {"path": "head.safetensors"}})


# Detectors.


def _swin(depths: Sequence[int], **settings: Any) -> Any:
    return import_transformers().SwinConfig(
        embed_dim=96, depths=list(depths), num_heads=[3, 6, 12, 24], window_size=7, **settings
    )


def _grounding(place: Place) -> Made:
    """Grounding DINO tiny: all but its Swin-T is what the library's own config says."""
    transformers = import_transformers()
    config = transformers.GroundingDinoConfig(
        backbone_config=_swin((2, 2, 6, 2), out_indices=[2, 3, 4]), text_config={"model_type": "bert"}
    )
    save(place, "model", on_meta(transformers.GroundingDinoForObjectDetection, config))
    detectors.bert_tokenizer().save_pretrained(place.folder / "model")
    return Made(weights={"model": {"path": "model"}}, args={"objects": {"cat": 2, "dog": 1}})


def _geneval(card: Card, place: Place) -> Made:
    transformers = import_transformers()
    stages = [f"stage{number}" for number in (1, 2, 3, 4)]
    config = transformers.Mask2FormerConfig(backbone_config=_swin((2, 2, 18, 2), out_features=stages), num_labels=80)
    save(place, "detector", on_meta(transformers.Mask2FormerForUniversalSegmentation, config))
    return Made(weights={**towers(card, place).weights, "detector": {"path": "detector"}}, args={"metadata": ASKED})


def _watermark(card: Card, place: Place) -> Made:
    network = on_meta(watermark_network, card.args["network"])
    place.write("watermark.safetensors", shapes_of(network))
    return Made(weights={"model": {"path": "watermark.safetensors"}})


def _omniaid(place: Place) -> Made:
    state = on_meta(detectors.omniaid_state, width=1024, hidden=4096, layers=24, patch=14, side=336)
    place.write("omniaid.safetensors", shapes_of(state))
    return Made(weights={"model": {"path": "omniaid.safetensors"}})


BY_CARD: dict[str, Callable[[Place], Made]] = {
    "lpips-alex": partial(_lpips, reference.ALEXNET_CONVOLUTIONS, _ALEXNET, _ALEXNET),
    "lpips-vgg": partial(_lpips, reference.VGG16_CONVOLUTIONS, _VGG16, _VGG16_TAPS),
    "dists": _dists,
    "dreamsim": _dreamsim,
    "dino": _dino,
    "dinov2": _dinov2,
    "deep-feature": _deep_feature,
    "grounding-dino-presence": _grounding,
    "pfcd-counting": _grounding,
    "omniaid": _omniaid,
}

BY_ENGINE: dict[str, Callable[[Card, Place], Made]] = {
    "curate.scorers.detectors.geneval:Geneval": _geneval,
    "curate.scorers.detectors.watermark:Watermark": _watermark,
}
