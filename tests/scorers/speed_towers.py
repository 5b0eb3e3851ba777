"""CLIP and SigLIP, the heads on them, and the networks that read the prompt in front of the picture, in their true sizes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

from curate.cards import Card
from curate.scorers.libraries import import_open_clip, import_transformers
from curate.scorers.matching.mps import MpsNetwork
from curate.scorers.matching.mps_network import CrossSizes
from tests.scorers.speed_files import Place, on_meta, save, shapes_of, stand_in, tower
from tests.scorers.tiny import blip, heads
from tests.scorers.tiny.cards import Made
from tests.scorers.tiny.clip import clip_tokenizer
from tests.scorers.tiny.siglip import byte_tokenizer

# CLIP and SigLIP.

_CLIPS = {
    "b32": (tower(768, 12, 12), 32, tower(512, 12, 8), 512),
    "b16": (tower(768, 12, 12), 16, tower(512, 12, 8), 512),
    "l14": (tower(1024, 24, 16), 14, tower(768, 12, 12), 768),
    "h14": (tower(1280, 32, 16), 14, tower(1024, 24, 16), 1024),
}
"""Picture tower, its patch, text tower, width of the space they share."""

_OF_HUB = {
    "openai/clip-vit-base-patch32": "b32",
    "openai/clip-vit-base-patch16": "b16",
    "openai/clip-vit-large-patch14": "l14",
    "zer0int/LongCLIP-L-Diffusers": "l14",
    "yuvalkirstain/PickScore_v1": "h14",
    "laion/CLIP-ViT-H-14-laion2B-s32B-b79K": "h14",
}


def _clip_config(name: str, *, context: int = 77) -> Any:
    vision, patch_side, text, shared = _CLIPS[name]
    config: Any = import_transformers().CLIPConfig(
        vision_config={**vision, "patch_size": patch_side, "image_size": 224, "projection_dim": shared},
        text_config={
            **text,
            "vocab_size": 49408,
            "eos_token_id": 49407,
            "max_position_embeddings": context,
            "projection_dim": shared,
        },
        projection_dim=shared,
    )
    return config


def _clip(hub: str, place: Place, *, context: int = 77) -> Made:
    save(place, "model", on_meta(import_transformers().CLIPModel, _clip_config(_OF_HUB[hub], context=context)))
    clip_tokenizer().save_pretrained(place.folder / "model")
    return Made(weights={"model": {"path": "model"}})


def _open_clip(architecture: str, place: Place) -> Made:
    model = on_meta(import_open_clip().create_model, architecture, device="meta")
    place.write("model/model.safetensors", shapes_of(model))
    return Made(weights={"model": {"path": "model", "file": "model.safetensors"}})


def _siglip(place: Place) -> Made:
    transformers, marks = import_transformers(), {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0}
    config = transformers.SiglipConfig(
        vision_config={**tower(1152, 27, 16, 4304), "image_size": 384, "patch_size": 14},
        text_config={**tower(1152, 27, 16, 4304), "vocab_size": 32000, "projection_size": 1152, **marks},
    )
    save(place, "model", on_meta(transformers.SiglipModel, config))
    byte_tokenizer().save_pretrained(place.folder / "model")
    return Made(weights={"model": {"path": "model"}})


def towers(card: Card, place: Place) -> Made:
    """The towers that a card names."""
    if card.args.get("family") == "siglip":
        return _siglip(place)
    if card.args["library"] == "open_clip":
        return _open_clip(card.args["model"], place)
    return _clip(card.weights["model"].hub or "", place)


def _headed(card: Card, place: Place) -> Made:
    """A head of a few layers on towers; its own work is nothing beside theirs, whatever its widths."""
    made = towers(card, place)
    width = 1152 if card.args.get("family") == "siglip" else _CLIPS[_OF_HUB[card.weights["model"].hub or ""]][3]
    if "head" in card.args:
        path = heads.save_head(place.folder, tuple(card.args["head"]["layers"]), width)
    else:
        path = place.folder / "prompts.safetensors"
        place.write(path.name, {"prompts": (2, width)})
    return Made(weights={**made.weights, "head": {"path": path.name}})


def _directional(card: Card, place: Place) -> Made:
    captions = {"source_caption": "a photograph", "target_caption": "a drawing in ink"}
    return Made(weights=towers(card, place).weights, args=captions)


# Networks that read the prompt in front of the picture.


def _blip(place: Place) -> Made:
    transformers = import_transformers()
    text = {**tower(768, 12, 12), "vocab_size": 30524, "encoder_hidden_size": 768, "bos_token_id": None, "sep_token_id": None}
    config = transformers.BlipConfig(
        vision_config={**tower(768, 12, 12), "image_size": 384, "patch_size": 16}, text_config={**text, "eos_token_id": None}
    )
    save(place, "model", on_meta(transformers.BlipForImageTextRetrieval, config))
    blip.bert_tokenizer().save_pretrained(place.folder / "words")
    return Made(weights={"model": {"path": "model"}, "tokenizer": {"path": "words"}})


def _blip2(place: Place) -> Made:
    """ViT-g, 39 layers of it, and a Q-Former of BERT's size: what the library's own config says."""
    transformers = import_transformers()
    config = transformers.Blip2Config(
        qformer_config={"use_qformer_text_input": True, "vocab_size": 30523}, num_query_tokens=32, image_text_hidden_size=256
    )
    save(place, "model", on_meta(transformers.Blip2ForImageTextRetrieval, config))
    blip.bert_tokenizer().save_pretrained(place.folder / "words")
    return Made(weights={"model": {"path": "model"}, "tokenizer": {"path": "words"}})


def _imagereward(place: Place) -> Made:
    made = blip.imagereward(place.folder)
    sizes = {"SIDE": 224, "PATCH": 16, "PICTURE_WIDTH": 1024, "TEXT_WIDTH": 768}
    with patch.multiple(blip, **sizes, LAYERS=24):
        vision = blip.original_vision_shapes()
    with patch.multiple(blip, **sizes, LAYERS=12):
        text = {name: _wide(name, shape, 64, 3072) for name, shape in blip.original_text_shapes().items()}
    shapes = {f"blip.visual_encoder.{name}": shape for name, shape in vision.items()}
    shapes |= {f"blip.text_encoder.{name}": shape for name, shape in text.items() if not name.endswith("position_ids")}
    for layer, (before, after) in zip((0, 2, 4, 6, 7), ((768, 1024), (1024, 128), (128, 64), (64, 16), (16, 1)), strict=True):
        shapes |= {f"mlp.layers.{layer}.weight": (after, before), f"mlp.layers.{layer}.bias": (after,)}
    place.write("ImageReward.safetensors", shapes)
    path = place.folder / "med_config.json"
    described = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
    path.write_text(json.dumps({**json.loads(path.read_text()), **described}))
    return Made(weights=made.weights)


def _wide(name: str, shape: tuple[int, ...], narrow: int, wide: int) -> tuple[int, ...]:
    """The shape of a feed-forward's weight whose hidden layer is `wide`."""
    feeds = "intermediate" in name or re.search(r"layer\.\d+\.output\.dense\.weight", name)
    return tuple(wide if one == narrow else one for one in shape) if feeds else shape


def _mps(place: Place) -> Made:
    config = _clip_config("h14")
    network = on_meta(lambda: MpsNetwork(import_transformers().CLIPModel(config), CrossSizes()))
    place.write("mps.safetensors", shapes_of(network))
    config.save_pretrained(place.folder / "base")
    clip_tokenizer().save_pretrained(place.folder / "base")
    condition, said = stand_in(place, "condition", 182)
    return Made(
        weights={"model": {"path": "mps.safetensors"}, "base": {"path": "base"}, "condition": condition}, args={"condition": said}
    )


BY_CARD: dict[str, Callable[[Place], Made]] = {
    "blip-itm": _blip,
    "blip2-itc": _blip2,
    "blip2-itm": _blip2,
    "imagereward": _imagereward,
    "mps": _mps,
    "long-clip": partial(_clip, "zer0int/LongCLIP-L-Diffusers", context=248),
}

BY_ENGINE: dict[str, Callable[[Card, Place], Made]] = {
    "curate.scorers.towers.clip:Similarity": towers,
    "curate.scorers.towers.heads:EmbeddingHead": _headed,
    "curate.scorers.towers.heads:PromptHead": _headed,
    "curate.scorers.references.image_similarity:TowerSimilarity": towers,
    "curate.scorers.references.directional:Directional": _directional,
}
