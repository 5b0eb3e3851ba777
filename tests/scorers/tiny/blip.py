"""Tiny random BLIPs: ImageReward's checkpoint under its original names, BLIP and BLIP-2 as transformers saves them."""

from __future__ import annotations

import json
import string
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from curate.scorers.libraries import import_transformers
from tests.scorers.tiny.cards import Made

SIDE, PATCH, PICTURE_WIDTH, TEXT_WIDTH, HEADS, LAYERS, QUERIES = 32, 8, 48, 32, 4, 2, 5

_ARTICLES = ["a", "an", "the", "of", "in", "on", "and", "with", "very", "about", "behind", "it"]
_NOUNS = ["long", "cat", "dog", "red", "cup", "coffee", "astronaut", "photograph", "story", "prompt"]


@lru_cache
def bert_tokenizer() -> Any:
    """BERT's own tokenizer over a vocabulary of a few words and all letters."""
    signs = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_ARTICLES, *_NOUNS, *signs, *(f"##{sign}" for sign in signs)]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    return import_transformers().BertTokenizer(vocab=vocabulary)


def vocabulary_size(marks: int) -> int:
    """Rows of the word table: what the tokenizer knows, and the marks that BLIP's authors appended."""
    return len(bert_tokenizer().get_vocab()) + marks


def original_vision_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the picture tower in the original repositories, BLIP's and ImageReward's."""
    width = PICTURE_WIDTH
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, (SIDE // PATCH) ** 2 + 1, width),
        "patch_embed.proj.weight": (width, 3, PATCH, PATCH),
        "patch_embed.proj.bias": (width,),
        **_norm("norm", width),
    }
    for layer in range(LAYERS):
        block = f"blocks.{layer}"
        shapes |= {**_norm(f"{block}.norm1", width), **_norm(f"{block}.norm2", width)}
        shapes |= {**_linear(f"{block}.attn.qkv", width, 3 * width), **_linear(f"{block}.attn.proj", width, width)}
        shapes |= {**_linear(f"{block}.mlp.fc1", width, 4 * width), **_linear(f"{block}.mlp.fc2", 4 * width, width)}
    return shapes


def original_text_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the text network in the original repositories."""
    width = TEXT_WIDTH
    shapes = {
        "embeddings.position_ids": (1, 64),
        "embeddings.word_embeddings.weight": (vocabulary_size(2), width),
        "embeddings.position_embeddings.weight": (64, width),
        **_norm("embeddings.LayerNorm", width),
    }
    for layer in range(LAYERS):
        block = f"encoder.layer.{layer}"
        for kind, read in (("attention", width), ("crossattention", PICTURE_WIDTH)):
            shapes |= _linear(f"{block}.{kind}.self.query", width, width)
            shapes |= {**_linear(f"{block}.{kind}.self.key", read, width), **_linear(f"{block}.{kind}.self.value", read, width)}
            shapes |= {
                **_linear(f"{block}.{kind}.output.dense", width, width),
                **_norm(f"{block}.{kind}.output.LayerNorm", width),
            }
        shapes |= {**_linear(f"{block}.intermediate.dense", width, 64), **_linear(f"{block}.output.dense", 64, width)}
        shapes |= _norm(f"{block}.output.LayerNorm", width)
    return shapes


def imagereward_state() -> dict[str, torch.Tensor]:
    """A checkpoint of ImageReward, with everything that the real one holds and its computation does not use."""
    shapes = {f"blip.visual_encoder.{name}": shape for name, shape in original_vision_shapes().items()}
    shapes |= {f"blip.text_encoder.{name}": shape for name, shape in original_text_shapes().items()}
    shapes |= {**_linear("blip.vision_proj", PICTURE_WIDTH, 16), **_linear("blip.text_proj", TEXT_WIDTH, 16)}
    widths = (TEXT_WIDTH, 1024, 128, 64, 16, 1)
    for layer, before, after in zip((0, 2, 4, 6, 7), widths, widths[1:], strict=False):
        shapes |= _linear(f"mlp.layers.{layer}", before, after)
    return random_state(shapes, seed=5)


def random_state(shapes: dict[str, tuple[int, ...]], *, seed: int) -> dict[str, torch.Tensor]:
    """Random weights of those names, of a size that makes every part of the computation count.

    What enters the picture tower is small, so that the epsilon of its first normalisation shows.
    """
    torch.manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        enters = any(part in name for part in ("patch_embed", "pos_embed", "cls_token", "vision_model.embeddings"))
        if name.endswith("position_ids"):
            state[name] = torch.arange(shape[-1]).expand(shape).contiguous()
        elif "norm" in name.lower() and name.endswith("weight"):
            state[name] = 1 + 0.1 * torch.randn(shape)
        elif len(shape) in (1, 3) or "_embeddings" in name:
            state[name] = 0.3 * torch.randn(shape)
        else:
            state[name] = torch.randn(shape) / torch.tensor(shape[1:]).prod().sqrt()
        if enters:
            state[name] *= 0.1
    return state


def imagereward(folder: Path) -> Made:
    from safetensors.torch import save_file

    save_file(imagereward_state(), folder / "ImageReward.safetensors")
    description = {
        "model_type": "bert",
        "vocab_size": vocabulary_size(2),
        "hidden_size": TEXT_WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "encoder_width": 768,
        "add_cross_attention": True,
    }
    (folder / "med_config.json").write_text(json.dumps(description))
    bert_tokenizer().save_pretrained(folder / "words")
    vision = {"side": SIDE, "patch": PATCH, "width": PICTURE_WIDTH, "layers": LAYERS, "heads": HEADS}
    return Made(
        weights={
            "model": {"path": "ImageReward.safetensors"},
            "text_config": {"path": "med_config.json"},
            "tokenizer": {"path": "words"},
        },
        args={"vision": vision, "preprocess": {"size": SIDE}},
    )


def blip_itm(folder: Path) -> Made:
    transformers = import_transformers()
    sizes = {"num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    none = {"bos_token_id": None, "eos_token_id": None, "sep_token_id": None}
    config = transformers.BlipConfig(
        vision_config={**sizes, "hidden_size": PICTURE_WIDTH, "intermediate_size": 64, "image_size": SIDE, "patch_size": PATCH},
        text_config={
            **sizes,
            **none,
            "hidden_size": TEXT_WIDTH,
            "intermediate_size": 64,
            "vocab_size": vocabulary_size(2),
            "encoder_hidden_size": PICTURE_WIDTH,
            "max_position_embeddings": 64,
        },
        image_text_hidden_size=16,
    )
    _save(transformers.BlipForImageTextRetrieval(config), folder, seed=6)
    return Made(weights=_FOLDERS, args={"preprocess": {"size": SIDE}})


def blip2(folder: Path, *, reads_texts: bool = True) -> Made:
    transformers = import_transformers()
    sizes = {"num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": 64}
    config = transformers.Blip2Config(
        vision_config={**sizes, "hidden_size": PICTURE_WIDTH, "image_size": SIDE, "patch_size": PATCH},
        qformer_config={
            **sizes,
            "hidden_size": TEXT_WIDTH,
            "vocab_size": vocabulary_size(1),
            "max_position_embeddings": 64,
            "use_qformer_text_input": reads_texts,
        },
        num_query_tokens=QUERIES,
        image_text_hidden_size=16,
    )
    _save(transformers.Blip2ForImageTextRetrieval(config), folder, seed=7)
    return Made(weights=_FOLDERS, args={"preprocess": {"size": SIDE}})


_FOLDERS = {"model": {"path": "model"}, "tokenizer": {"path": "words"}}


def _save(model: Any, folder: Path, *, seed: int) -> None:
    shapes = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    model.load_state_dict(random_state(shapes, seed=seed))
    model.save_pretrained(folder / "model")
    bert_tokenizer().save_pretrained(folder / "words")


def _linear(name: str, before: int, after: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (after, before), f"{name}.bias": (after,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


TINY = {"imagereward": imagereward, "blip-itm": blip_itm, "blip2-itm": blip2, "blip2-itc": blip2}
