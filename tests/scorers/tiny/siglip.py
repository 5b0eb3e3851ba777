"""Tiny random SigLIPs of the true architecture, saved the way the real ones are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from curate.scorers.libraries import import_transformers
from tests.scorers.tiny.cards import Made

SIDE, WIDTH, HEADS, LAYERS, CONTEXT, VOCABULARY = 32, 32, 4, 2, 64, 300


def save_siglip(folder: Path) -> None:
    """A SiglipModel whose folder holds all that `google/siglip-so400m-patch14-384` does of what is read."""
    transformers = import_transformers()
    shared = {"hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    config = transformers.SiglipConfig(
        text_config={
            **shared,
            "vocab_size": VOCABULARY,
            "max_position_embeddings": CONTEXT,
            "projection_size": WIDTH,
            "bos_token_id": None,
            "eos_token_id": 1,
            "pad_token_id": 0,
        },
        vision_config={**shared, "image_size": SIDE, "patch_size": 8},
    )
    torch.manual_seed(3)
    model = transformers.SiglipModel(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.add_(torch.randn(weight.shape) * 0.2)
            if name in ("logit_scale", "logit_bias"):
                weight.fill_({"logit_scale": 4.7, "logit_bias": -12.0}[name])
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)


def byte_tokenizer() -> Any:
    """A tokenizer of bytes, which ends no text by itself: letters, small or large, and marks are all told apart."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<eos>", "<unk>", *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return import_transformers().PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )


def siglip(folder: Path) -> Made:
    """A SiglipModel with its tokenizer, for a card of the family siglip."""
    save_siglip(folder / "model")
    return Made(weights={"model": {"path": "model"}}, args={"preprocess": {"size": SIDE}})


TINY = {"siglip-so400m": siglip, "siglip2-so400m": siglip}
