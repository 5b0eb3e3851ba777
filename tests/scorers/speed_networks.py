"""The networks of the cards in their true sizes, with weights that are random or missing, which change no time.

Sizes are those that the publications and the repositories of the weights state; where OpenCLIP or timm know an architecture by
name, theirs. Vocabularies are small ones, since looking words up costs nothing, with a token for each word that is asked;
texts that are not ours to ship are stood in for by others of their length.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from curate.cards import Card, shipped_cards
from curate.scorers.detectors.watermark import watermark_network
from curate.scorers.libraries import import_open_clip, import_transformers
from curate.scorers.matching.mps import MpsNetwork
from curate.scorers.matching.mps_network import CrossSizes
from curate.scorers.references.vit import VisionTransformer
from tests.scorers.speed_files import Place, on_meta, shapes_of
from tests.scorers.tiny import blip, detectors, heads, reference, token_probability, vlm
from tests.scorers.tiny.cards import Made
from tests.scorers.tiny.clip import clip_tokenizer
from tests.scorers.tiny.siglip import byte_tokenizer

Maker = Callable[[Place], Made]

ASKED = {"include": [{"class": "person", "count": 1}]}
"""Of GenEval's detector; no colour."""

HALF = torch.bfloat16
"""Of networks whose work is only counted, and which are read from files of one piece."""


def _tower(width: int, layers: int, heads: int, hidden: int | None = None) -> dict[str, int]:
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    return {**sizes, "intermediate_size": hidden or 4 * width}


def _save(place: Place, name: str, model: Any, *, dtype: torch.dtype = torch.float32) -> None:
    """The folder that transformers would have saved."""
    model.config.save_pretrained(place.folder / name)
    place.write(f"{name}/model.safetensors", shapes_of(model), dtype)


# CLIP and SigLIP.

_CLIPS = {
    "b32": (_tower(768, 12, 12), 32, _tower(512, 12, 8), 512),
    "b16": (_tower(768, 12, 12), 16, _tower(512, 12, 8), 512),
    "l14": (_tower(1024, 24, 16), 14, _tower(768, 12, 12), 768),
    "h14": (_tower(1280, 32, 16), 14, _tower(1024, 24, 16), 1024),
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
        text_config={**text, "vocab_size": 49408, "eos_token_id": 49407, "max_position_embeddings": context, "projection_dim": shared},
        projection_dim=shared,
    )
    return config


def _clip(hub: str, place: Place, *, context: int = 77) -> Made:
    _save(place, "model", on_meta(import_transformers().CLIPModel, _clip_config(_OF_HUB[hub], context=context)))
    clip_tokenizer().save_pretrained(place.folder / "model")
    return Made(weights={"model": {"path": "model"}})


def _open_clip(architecture: str, place: Place) -> Made:
    model = on_meta(import_open_clip().create_model, architecture, device="meta")
    place.write("model/model.safetensors", shapes_of(model))
    return Made(weights={"model": {"path": "model", "file": "model.safetensors"}})


def _siglip(place: Place) -> Made:
    transformers, marks = import_transformers(), {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0}
    config = transformers.SiglipConfig(
        vision_config={**_tower(1152, 27, 16, 4304), "image_size": 384, "patch_size": 14},
        text_config={**_tower(1152, 27, 16, 4304), "vocab_size": 32000, "projection_size": 1152, **marks},
    )
    _save(place, "model", on_meta(transformers.SiglipModel, config))
    byte_tokenizer().save_pretrained(place.folder / "model")
    return Made(weights={"model": {"path": "model"}})


def _towers(card: Card, place: Place) -> Made:
    """The towers that a card names."""
    if card.args.get("family") == "siglip":
        return _siglip(place)
    if card.args["library"] == "open_clip":
        return _open_clip(card.args["model"], place)
    return _clip(card.weights["model"].hub or "", place)


def _headed(card: Card, place: Place) -> Made:
    """A head of a few layers on towers; its own work is nothing beside theirs, whatever its widths."""
    made = _towers(card, place)
    width = 1152 if card.args.get("family") == "siglip" else _CLIPS[_OF_HUB[card.weights["model"].hub or ""]][3]
    if "head" in card.args:
        path = heads.save_head(place.folder, tuple(card.args["head"]["layers"]), width)
    else:
        path = place.folder / "prompts.safetensors"
        place.write(path.name, {"prompts": (2, width)})
    return Made(weights={**made.weights, "head": {"path": path.name}})


def _directional(card: Card, place: Place) -> Made:
    captions = {"source_caption": "a photograph", "target_caption": "a drawing in ink"}
    return Made(weights=_towers(card, place).weights, args=captions)


# Networks that read the prompt in front of the picture.


def _blip(place: Place) -> Made:
    transformers = import_transformers()
    text = {**_tower(768, 12, 12), "vocab_size": 30524, "encoder_hidden_size": 768, "bos_token_id": None, "sep_token_id": None}
    config = transformers.BlipConfig(
        vision_config={**_tower(768, 12, 12), "image_size": 384, "patch_size": 16}, text_config={**text, "eos_token_id": None}
    )
    _save(place, "model", on_meta(transformers.BlipForImageTextRetrieval, config))
    blip.bert_tokenizer().save_pretrained(place.folder / "words")
    return Made(weights={"model": {"path": "model"}, "tokenizer": {"path": "words"}})


def _blip2(place: Place) -> Made:
    """ViT-g, 39 layers of it, and a Q-Former of BERT's size: what the library's own config says."""
    transformers = import_transformers()
    config = transformers.Blip2Config(
        qformer_config={"use_qformer_text_input": True, "vocab_size": 30523}, num_query_tokens=32, image_text_hidden_size=256
    )
    _save(place, "model", on_meta(transformers.Blip2ForImageTextRetrieval, config))
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
    condition, said = _stand_in(place, "condition", 182)
    return Made(
        weights={"model": {"path": "mps.safetensors"}, "base": {"path": "base"}, "condition": condition}, args={"condition": said}
    )


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
    return Made(weights={name: {"path": f"{name}.safetensors"} for name in names} | {"lora": {"path": "adapter_model.safetensors"}})


def _dino(place: Place) -> Made:
    transformers = import_transformers()
    _save(place, "model", on_meta(transformers.ViTModel, transformers.ViTConfig(**_tower(384, 12, 6)), add_pooling_layer=False))
    return Made(weights={"model": {"path": "model"}})


def _dinov2(place: Place) -> Made:
    transformers = import_transformers()
    _save(place, "model", on_meta(transformers.Dinov2Model, transformers.Dinov2Config(image_size=518, patch_size=14)))
    return Made(weights={"model": {"path": "model"}})


def _deep_feature(place: Place) -> Made:
    made = _dinov2(place)
    head = {"layers.0.weight": (512, 768), "layers.0.bias": (512,), "layers.2.weight": (1, 512), "layers.2.bias": (1,)}
    place.write("head.safetensors", head)
    return Made(weights={**made.weights, "head": {"path": "head.safetensors"}})


# Detectors.


def _swin(depths: Sequence[int], **settings: Any) -> Any:
    return import_transformers().SwinConfig(embed_dim=96, depths=list(depths), num_heads=[3, 6, 12, 24], window_size=7, **settings)


def _grounding(place: Place) -> Made:
    """Grounding DINO tiny: all but its Swin-T is what the library's own config says."""
    transformers = import_transformers()
    config = transformers.GroundingDinoConfig(
        backbone_config=_swin((2, 2, 6, 2), out_indices=[2, 3, 4]), text_config={"model_type": "bert"}
    )
    _save(place, "model", on_meta(transformers.GroundingDinoForObjectDetection, config))
    detectors.bert_tokenizer().save_pretrained(place.folder / "model")
    return Made(weights={"model": {"path": "model"}}, args={"objects": {"cat": 2, "dog": 1}})


def _geneval(card: Card, place: Place) -> Made:
    transformers = import_transformers()
    stages = [f"stage{number}" for number in (1, 2, 3, 4)]
    config = transformers.Mask2FormerConfig(backbone_config=_swin((2, 2, 18, 2), out_features=stages), num_labels=80)
    _save(place, "detector", on_meta(transformers.Mask2FormerForUniversalSegmentation, config))
    return Made(weights={**_towers(card, place).weights, "detector": {"path": "detector"}}, args={"metadata": ASKED})


def _watermark(card: Card, place: Place) -> Made:
    network = on_meta(watermark_network, card.args["network"])
    place.write("watermark.safetensors", shapes_of(network))
    return Made(weights={"model": {"path": "watermark.safetensors"}})


def _omniaid(place: Place) -> Made:
    state = on_meta(detectors.omniaid_state, width=1024, hidden=4096, layers=24, patch=14, side=336)
    place.write("omniaid.safetensors", shapes_of(state))
    return Made(weights={"model": {"path": "omniaid.safetensors"}})


# Vision-language models; their work is only counted, so their precision does not matter.


def _stand_in(place: Place, role: str, length: int, *, slots: str = "") -> tuple[dict[str, str], dict[str, Any]]:
    """A text of `length` characters in place of somebody else's, as `weights` and as `args` name it."""
    text = slots + (" the" * length)[: length - len(slots)]
    path = place.folder / f"{role}-{length}.txt"
    path.write_text(text, encoding="utf-8")
    said = {"length": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest(), "origin": "the measurement of speed"}
    return {"path": path.name}, {"role": role, **said}


def _qwen_processor(card: Card) -> Any:
    """Qwen's, with a token for each word that a card's own texts and ours hold."""
    texts = json.dumps(dict(card.args)) + " You are a helpful assistant system a photograph number of something"
    words = dict.fromkeys([*token_probability.SPACED, *token_probability.WORDS, *re.findall(r"[A-Za-z]+", texts)])
    spaced = [f" {word}" for word in words if not word.startswith(" ")]
    with patch.multiple(token_probability, SPACED=tuple(spaced), WORDS=tuple(words)):
        return token_probability.qwen_processor()


_QWENS = {
    "7b": {"hidden_size": 3584, "intermediate_size": 18944, "num_attention_heads": 28, "num_key_value_heads": 4},
    "2b": {"hidden_size": 1536, "intermediate_size": 8960, "num_attention_heads": 12, "num_key_value_heads": 2},
}


def _qwen_config(kind: str, size: str, tokenizer: Any) -> Any:
    """Qwen2-VL or Qwen2.5-VL; their picture towers are what the library's own configs say."""
    transformers, text = import_transformers(), dict(_QWENS[size])
    width = text["hidden_size"]
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    names = {"image": "<|image_pad|>", "video": "<|video_pad|>", "vision_start": "<|vision_start|>"}
    settings = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}
    settings["text_config"] = {
        **text,
        **{"num_hidden_layers": 28, "vocab_size": 152064, "max_position_embeddings": 32768, "rope_parameters": rope},
        **{"bos_token_id": None, "eos_token_id": None},
    }
    if kind == "qwen2_vl":
        return transformers.Qwen2VLConfig(vision_config={"embed_dim": 1280, "hidden_size": width}, **settings)
    vision = {"hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": width}
    return transformers.Qwen2_5_VLConfig(vision_config=vision, tie_word_embeddings=False, **settings)


def _qwen_answering(card: Card, place: Place) -> Made:
    """Qwen2.5-VL 7B with its language head."""
    processor = _qwen_processor(card)
    processor.save_pretrained(place.folder / "model")
    config = _qwen_config("qwen2_5_vl", "7b", processor.tokenizer)
    _save(place, "model", on_meta(import_transformers().Qwen2_5_VLForConditionalGeneration, config), dtype=HALF)
    weights: dict[str, Mapping[str, str]] = {"model": {"path": "model"}}
    args: dict[str, Any] = {"least_mass": 0.0}
    if "template" in card.args:
        weights["template"], args["template"] = _stand_in(place, "template", card.args["template"]["length"])
    return Made(weights=weights, args=args)


def _qwen_reading(
    kind: str, size: str, rewards: Sequence[str], head: Mapping[str, tuple[int, ...]], card: Card, place: Place
) -> dict[str, Mapping[str, str]]:
    """A Qwen-VL without its language head, with `rewards` tokens more and a head of its own."""
    transformers = import_transformers()
    processor = _qwen_processor(card)
    processor.save_pretrained(place.folder / "base")
    config = _qwen_config(kind, size, processor.tokenizer)
    config.save_pretrained(place.folder / "base")
    config.text_config.vocab_size = len(processor.tokenizer) + len(rewards)
    model = on_meta(transformers.Qwen2VLModel if kind == "qwen2_vl" else transformers.Qwen2_5_VLModel, config)
    place.write("checkpoint.safetensors", {**shapes_of(model, prefix="model."), **head}, HALF)
    return {"model": {"path": "checkpoint.safetensors"}, "base": {"path": "base"}}


def _rank_head(prefix: str, width: int) -> dict[str, tuple[int, ...]]:
    sizes = {"0": (1024, width), "3": (16, 1024), "5": (2, 16)}
    return {f"{prefix}.{n}.weight": size for n, size in sizes.items()} | {f"{prefix}.{n}.bias": size[:1] for n, size in sizes.items()}


def _gaussian(kind: str, card: Card, place: Place) -> Made:
    head = {name: size for one in card.args["passes"] for name, size in _rank_head(one["head"], 3584).items()}
    weights = _qwen_reading(kind, "7b", ["<|Reward|>"], head, card, place)
    passes = []
    for one in card.args["passes"]:
        role = one["dimension"]
        weights[role], template = _stand_in(place, role, one["template"]["length"], slots="{text_prompt}")
        passes.append({**one, "template": template})
    return Made(weights=weights, args={"passes": passes, "dtype": "bfloat16"})


def _videoreward(card: Card, place: Place) -> Made:
    tokens = [one["token"] for one in card.args["qualities"]]
    weights = _qwen_reading("qwen2_vl", "2b", tokens, {"rm_head.weight": (1, 1536)}, card, place)
    slots = "".join(tokens) + "{text_prompt}"
    weights["template"], template = _stand_in(place, "template", card.args["template"]["length"], slots=slots)
    return Made(weights=weights, args={"template": template, "dtype": "bfloat16"})


def _videoscore(card: Card, place: Place) -> Made:
    """Idefics2 8B: SigLIP so400m, 64 latents, Mistral 7B. Its tokenizer here has no words, so the text has fewer letters."""
    transformers, tokenizer = import_transformers(), vlm.idefics_tokenizer()
    text = {**_tower(4096, 32, 32, 14336), "num_key_value_heads": 8, "vocab_size": 32003, "model_type": "mistral", "pad_token_id": 0}
    config = transformers.Idefics2Config(
        text_config={**text, "max_position_embeddings": 32768, "sliding_window": None},
        vision_config={**_tower(1152, 27, 16, 4304), "image_size": 980, "patch_size": 14},
        perceiver_config={"hidden_size": 4096},
        image_token_id=vlm.IDEFICS_TOKENS.index("<image>"),
        tie_word_embeddings=False,
    )
    config.save_pretrained(place.folder / "model")
    tokenizer.save_pretrained(place.folder / "model")
    network = on_meta(transformers.Idefics2Model, config)
    place.write("model/model.safetensors", {**shapes_of(network, prefix="model."), "score.weight": (5, 4096), "score.bias": (5,)}, HALF)
    template, said = _stand_in(place, "template", card.args["template"]["length"] // 4, slots="{text_prompt}")
    return Made(weights={"model": {"path": "model"}, "template": template}, args={"template": said, "dtype": "bfloat16"})


def _ixc(place: Place) -> Made:
    """InternLM2 7B with adapters of rank 256, and the card's own picture tower."""
    (place.folder / "model").mkdir()
    pieces = vlm.save_pieces(place.folder / "model" / "tokenizer.model")
    vision = {"image_size": 560, "patch_size": 14, **_tower(1024, 24, 16)}
    with patch.multiple(vlm, HIDDEN=4096, IXC_VISION=vision):
        config = vlm.ixc_config(pieces)
        config |= {"intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8}
        config["max_position_embeddings"] = 24576
        state = on_meta(vlm.ixc_state, config, rank=256)
    (place.folder / "model" / "config.json").write_text(json.dumps(config))
    place.write("model/model-00001-of-00001.safetensors", shapes_of(state), HALF)
    return Made(weights={"model": {"path": "model"}}, args={"dtype": "bfloat16"})


def _flant5(card: Card, place: Place) -> Made:
    """Flan-T5 XXL behind CLIP ViT-L/14 of 336 pixels."""
    from curate.scorers.vlm.clip_t5 import ClipT5Config, SeeingT5

    token_probability.save_flant5(place.folder)
    said = json.loads((place.folder / "model" / "config.json").read_text())
    said |= {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_decoder_layers": 24, "num_heads": 64}
    said |= {"vocab_size": 32128, "mm_hidden_size": 1024}
    vision = import_transformers().CLIPVisionConfig(**_tower(1024, 24, 16), image_size=336, patch_size=14)
    (place.folder / "vision" / "config.json").write_text(json.dumps({"model_type": "clip_vision_model", **vision.to_dict()}))
    network = on_meta(SeeingT5, ClipT5Config.from_dict(said), vision)
    (place.folder / "model" / "config.json").write_text(json.dumps(said))
    (place.folder / "model" / "pytorch_model.bin").unlink()
    place.write("model/model.safetensors", shapes_of(network), HALF)
    template, system = _stand_in(place, "template", card.args["system"]["length"] // 4)
    weights = {name: {"path": name} for name in ("model", "vision", "tokenizer")}
    return Made(weights={**weights, "template": template}, args={"system": system})


# Which card takes which.

_BY_CARD: dict[str, Maker] = {
    "blip-itm": _blip,
    "blip2-itc": _blip2,
    "blip2-itm": _blip2,
    "imagereward": _imagereward,
    "mps": _mps,
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
    "ixc-2-5-reward": _ixc,
    "long-clip": partial(_clip, "zer0int/LongCLIP-L-Diffusers", context=248),
}

_BY_ENGINE: dict[str, Callable[[Card, Place], Made]] = {
    "curate.scorers.towers.clip:Similarity": _towers,
    "curate.scorers.towers.heads:EmbeddingHead": _headed,
    "curate.scorers.towers.heads:PromptHead": _headed,
    "curate.scorers.references.image_similarity:TowerSimilarity": _towers,
    "curate.scorers.references.directional:Directional": _directional,
    "curate.scorers.detectors.geneval:Geneval": _geneval,
    "curate.scorers.detectors.watermark:Watermark": _watermark,
    "curate.scorers.vlm.token_probability:QwenTokenProbability": _qwen_answering,
    "curate.scorers.vlm.video:VideoReward": _videoreward,
    "curate.scorers.vlm.videoscore:VideoScore": _videoscore,
    "curate.scorers.vlm.flant5_vqa:VqaScore": _flant5,
}

_BY_CARD_OF_PASSES = {"hpsv3": "qwen2_vl", "editreward": "qwen2_5_vl"}


def maker(name: str) -> Maker | None:
    """What makes the network of a shipped card; None where its weights ship with a package, or it has none."""
    card = shipped_cards()[name].card
    if name in _BY_CARD:
        return _BY_CARD[name]
    if name in _BY_CARD_OF_PASSES:
        return partial(_gaussian, _BY_CARD_OF_PASSES[name], card)
    return partial(_BY_ENGINE[card.target], card) if card.target in _BY_ENGINE else None
