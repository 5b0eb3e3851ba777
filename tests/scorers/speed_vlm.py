"""Vision-language models in their true sizes; their work is only counted, so their precision does not matter."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from unittest.mock import patch

import torch

from curate.cards import Card, shipped_cards
from curate.scorers.libraries import import_transformers
from tests.scorers.speed_files import Place, on_meta, save, shapes_of, stand_in, tower
from tests.scorers.tiny import token_probability, vlm
from tests.scorers.tiny.cards import Made

HALF = torch.bfloat16
"""A file is mapped in one piece, and systems refuse one that is larger than their memory, read or not."""


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
        "num_hidden_layers": 28,
        "vocab_size": 152064,
        "max_position_embeddings": 32768,
        "rope_parameters": rope,
        "bos_token_id": None,
        "eos_token_id": None,
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
    save(place, "model", on_meta(import_transformers().Qwen2_5_VLForConditionalGeneration, config), dtype=HALF)
    weights: dict[str, Mapping[str, str]] = {"model": {"path": "model"}}
    args: dict[str, Any] = {"least_mass": 0.0}
    if "template" in card.args:
        weights["template"], args["template"] = stand_in(place, "template", card.args["template"]["length"])
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
    return {f"{prefix}.{n}.weight": size for n, size in sizes.items()} | {
        f"{prefix}.{n}.bias": size[:1] for n, size in sizes.items()
    }


def _gaussian(kind: str, card: Card, place: Place) -> Made:
    head = {name: size for one in card.args["passes"] for name, size in _rank_head(one["head"], 3584).items()}
    weights = _qwen_reading(kind, "7b", ["<|Reward|>"], head, card, place)
    passes = []
    for one in card.args["passes"]:
        role = one["dimension"]
        weights[role], template = stand_in(place, role, one["template"]["length"], slots="{text_prompt}")
        passes.append({**one, "template": template})
    return Made(weights=weights, args={"passes": passes, "dtype": "bfloat16"})


def _videoreward(card: Card, place: Place) -> Made:
    tokens = [one["token"] for one in card.args["qualities"]]
    weights = _qwen_reading("qwen2_vl", "2b", tokens, {"rm_head.weight": (1, 1536)}, card, place)
    slots = "".join(tokens) + "{text_prompt}"
    weights["template"], template = stand_in(place, "template", card.args["template"]["length"], slots=slots)
    return Made(weights=weights, args={"template": template, "dtype": "bfloat16"})


def _videoscore(card: Card, place: Place) -> Made:
    """Idefics2 8B: SigLIP so400m, 64 latents, Mistral 7B. Its tokenizer here has no words, so the text has fewer letters."""
    transformers, tokenizer = import_transformers(), vlm.idefics_tokenizer()
    text = {
        **tower(4096, 32, 32, 14336),
        "num_key_value_heads": 8,
        "vocab_size": 32003,
        "model_type": "mistral",
        "pad_token_id": 0,
    }
    config = transformers.Idefics2Config(
        text_config={**text, "max_position_embeddings": 32768, "sliding_window": None},
        vision_config={**tower(1152, 27, 16, 4304), "image_size": 980, "patch_size": 14},
        perceiver_config={"hidden_size": 4096},
        image_token_id=vlm.IDEFICS_TOKENS.index("<image>"),
        tie_word_embeddings=False,
    )
    config.save_pretrained(place.folder / "model")
    tokenizer.save_pretrained(place.folder / "model")
    network = on_meta(transformers.Idefics2Model, config)
    place.write(
        "model/model.safetensors", {**shapes_of(network, prefix="model."), "score.weight": (5, 4096), "score.bias": (5,)}, HALF
    )
    template, said = stand_in(place, "template", card.args["template"]["length"] // 4, slots="{text_prompt}")
    return Made(weights={"model": {"path": "model"}, "template": template}, args={"template": said, "dtype": "bfloat16"})


def _ixc(place: Place) -> Made:
    """InternLM2 7B with adapters of rank 256, and the card's own picture tower."""
    (place.folder / "model").mkdir()
    pieces = vlm.save_pieces(place.folder / "model" / "tokenizer.model")
    vision = {"image_size": 560, "patch_size": 14, **tower(1024, 24, 16)}
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
    vision = import_transformers().CLIPVisionConfig(**tower(1024, 24, 16), image_size=336, patch_size=14)
    (place.folder / "vision" / "config.json").write_text(json.dumps({"model_type": "clip_vision_model", **vision.to_dict()}))
    network = on_meta(SeeingT5, ClipT5Config.from_dict(said), vision)
    (place.folder / "model" / "config.json").write_text(json.dumps(said))
    place.write("model/model.safetensors", shapes_of(network), HALF)
    template, system = stand_in(place, "template", card.args["system"]["length"] // 4)
    weights = {name: {"path": name} for name in ("model", "vision", "tokenizer")}
    return Made(weights={**weights, "template": template}, args={"system": system})


BY_CARD: dict[str, Callable[[Place], Made]] = {
    "ixc-2-5-reward": _ixc,
    "hpsv3": partial(_gaussian, "qwen2_vl", shipped_cards()["hpsv3"].card),
    "editreward": partial(_gaussian, "qwen2_5_vl", shipped_cards()["editreward"].card),
}

BY_ENGINE: dict[str, Callable[[Card, Place], Made]] = {
    "curate.scorers.vlm.token_probability:QwenTokenProbability": _qwen_answering,
    "curate.scorers.vlm.video:VideoReward": _videoreward,
    "curate.scorers.vlm.videoscore:VideoScore": _videoscore,
    "curate.scorers.vlm.flant5_vqa:VqaScore": _flant5,
}
