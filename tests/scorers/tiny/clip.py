"""Tiny random CLIPs of the true architecture, saved the way the real ones are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from curate.scorers.libraries import import_open_clip, import_transformers
from tests.scorers.tiny.cards import Made, Maker

SIDE, WIDTH, SHARED, HEADS, LAYERS = 32, 32, 16, 4, 2
ARCHITECTURE = "curate-tiny"


@lru_cache
def clip_tokenizer() -> Any:
    """CLIP's real tokenizer, rebuilt from the merges that OpenCLIP ships."""
    import gzip

    import_open_clip()
    from open_clip.tokenizer import bytes_to_unicode, default_bpe

    with gzip.open(default_bpe(), "rt", encoding="utf-8") as file:
        merges = [tuple(line.split()) for line in file.read().split("\n")[1:48895]]
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(letter + "</w>" for letter in letters), *map("".join, merges), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    return import_transformers().CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


def save_transformers(
    folder: Path, tokenizer: Any, *, activation: str = "quick_gelu", eos: int = 49407, context: int = 77, seed: int = 1
) -> None:
    transformers = import_transformers()
    shared = {"hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    shared |= {"hidden_act": activation, "projection_dim": SHARED}
    config = transformers.CLIPConfig(
        text_config={
            **shared,
            "vocab_size": 49408,
            "eos_token_id": eos,
            "bos_token_id": 49406,
            "max_position_embeddings": context,
        },
        vision_config={**shared, "image_size": SIDE, "patch_size": 8},
        projection_dim=SHARED,
        logit_scale_init_value=3.7,
    )
    torch.manual_seed(seed)
    model = transformers.CLIPModel(config)
    randomise(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def save_openclip(folder: Path, *, quick_gelu: bool = False) -> str:
    open_clip = import_open_clip()
    name = f"{ARCHITECTURE}-quickgelu" if quick_gelu else ARCHITECTURE
    vision = {"image_size": SIDE, "layers": LAYERS, "width": WIDTH, "patch_size": 8, "head_width": WIDTH // HEADS}
    text = {"context_length": 77, "vocab_size": 49408, "width": WIDTH, "heads": HEADS, "layers": LAYERS}
    config = {"embed_dim": SHARED, "quick_gelu": quick_gelu, "vision_cfg": vision, "text_cfg": text}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / f"{name}.json")
    from safetensors.torch import save_file

    torch.manual_seed(2)
    model = open_clip.create_model(name)
    randomise(model)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return name


def randomise(model: Any) -> None:
    """Initial weights leave embeddings nearly alike; larger ones make every part of the formula count."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name != "logit_scale":
                weight.add_(torch.randn(weight.shape) * 0.15)
            else:
                weight.fill_(3.7)


def transformers_clip(folder: Path, **settings: Any) -> Made:
    """A CLIPModel with its tokenizer, for a card with `library: transformers`."""
    save_transformers(folder / "model", clip_tokenizer(), **settings)
    return Made(weights={"model": {"path": "model"}}, args={"preprocess": {"size": SIDE}})


def openclip(folder: Path, *, quick_gelu: bool = False) -> Made:
    """A CLIP of OpenCLIP, for a card with `library: open_clip`."""
    name = save_openclip(folder / "model", quick_gelu=quick_gelu)
    weights = {"model": {"path": "model", "file": "open_clip_model.safetensors"}}
    return Made(weights=weights, args={"model": name, "preprocess": {"size": SIDE}})


def twin_of(args: Mapping[str, Any]) -> Maker:
    """What makes the weights of a card of two CLIP towers, whichever."""
    if args["library"] == "transformers":
        return transformers_clip
    return partial(openclip, quick_gelu=bool(args.get("quick_gelu")))


DEFAULTS = {"curate.scorers.towers.clip:Similarity": twin_of}

TINY = {
    # Of this seed the cosines of the pictures that tests push uphill lie above zero, below which there is no gradient.
    "clipscore": partial(transformers_clip, seed=6),
    "long-clip": partial(transformers_clip, context=248),
}
