"""Tiny random detectors of the true architectures, saved the way the real ones are, and what is asked of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from curate.scorers.libraries import import_transformers
from tests.scorers.tiny.cards import Made, Maker
from tests.scorers.tiny.clip import SIDE, transformers_clip

WORDS = ("cat", "dog", "red", "ball", "cup", "##s")

MARKS = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "?": 1029}
"""Where BERT has them."""

CLASSES = ("cat", "cup", "dog")


def bert_tokenizer(*, marks: dict[str, int] | None = None) -> Any:
    """A tokenizer of BERT whose marks are where the real one has them, with few words."""
    marks = MARKS if marks is None else marks
    free = [f"[unused{number}]" for number in range(1100)]
    vocabulary = {number: word for word, number in marks.items()}
    vocabulary |= dict(enumerate(WORDS, start=1050))
    words = {vocabulary.get(number, free[number]): number for number in range(1100)}
    return import_transformers().BertTokenizer(vocab=words, do_lower_case=True)


def swin(**settings: Any) -> Any:
    return import_transformers().SwinConfig(
        image_size=64, patch_size=4, embed_dim=12, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, **settings
    )


def save_grounding(folder: Path, tokenizer: Any) -> None:
    """A GroundingDinoForObjectDetection with its tokenizer."""
    transformers = import_transformers()
    text = {"model_type": "bert", "vocab_size": 1100, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"intermediate_size": 32, "max_position_embeddings": 256}
    config = transformers.GroundingDinoConfig(
        backbone_config=swin(out_indices=[2, 3, 4]),
        text_config=text,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=6,
    )
    torch.manual_seed(7)
    model = transformers.GroundingDinoForObjectDetection(config)
    spread(model, 0.03)
    with torch.no_grad():
        # Confidences of a random network are all or nothing otherwise.
        model.model.decoder.layer_norm.weight.mul_(0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def save_mask2former(folder: Path) -> None:
    """A Mask2FormerForUniversalSegmentation of three classes."""
    transformers = import_transformers()
    config = transformers.Mask2FormerConfig(
        backbone_config=swin(out_features=["stage1", "stage2", "stage3", "stage4"]),
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=32,
        encoder_layers=1,
        decoder_layers=3,
        num_attention_heads=2,
        dim_feedforward=32,
        num_queries=10,
        num_labels=len(CLASSES),
    )
    torch.manual_seed(8)
    model = transformers.Mask2FormerForUniversalSegmentation(config)
    spread(model, 0.1)
    model.save_pretrained(folder)


def spread(model: Any, by: float) -> None:
    """Move the weights off their beginnings, many of which are zero."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape) * by)


def omniaid_state(
    *, width: int = 32, hidden: int = 48, layers: int = 2, patch: int = 8, side: int = 32, experts: int = 6, rank: int = 1
) -> dict[str, torch.Tensor]:
    """A checkpoint of OmniAID: the names of the original, with what it holds for training only."""
    torch.manual_seed(9)
    state = {
        "embeddings.class_embedding": torch.randn(width),
        "embeddings.patch_embedding.weight": torch.randn(width, 3, patch, patch) * 0.3,
        "embeddings.position_embedding.weight": torch.randn((side // patch) ** 2 + 1, width),
        "gating_network.network.0.weight": torch.randn(256, width) / 4,
        "gating_network.network.0.bias": torch.randn(256),
        "gating_network.network.2.weight": torch.randn(experts - 1, 256) / 8,
        "gating_network.network.2.bias": torch.randn(experts - 1),
        "head.weight": torch.randn(2, width) / 2,
        "head.bias": torch.randn(2),
    }
    for name in ("ln_pre", "ln_post"):
        state |= _norm(name, width)
    for number in range(layers):
        layer = f"encoder_layers.{number}"
        state |= _norm(f"{layer}.layer_norm1", width) | _norm(f"{layer}.layer_norm2", width)
        state |= {f"{layer}.mlp.fc1.weight": torch.randn(hidden, width) / 4, f"{layer}.mlp.fc1.bias": torch.randn(hidden)}
        state |= {f"{layer}.mlp.fc2.weight": torch.randn(width, hidden) / 4, f"{layer}.mlp.fc2.bias": torch.randn(width)}
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            state |= _split(f"{layer}.self_attn.{part}", width, experts, rank)
    return state


def _norm(name: str, width: int) -> dict[str, torch.Tensor]:
    return {f"{name}.weight": 1 + torch.randn(width) / 4, f"{name}.bias": torch.randn(width) / 4}


def _split(name: str, width: int, experts: int, rank: int) -> dict[str, torch.Tensor]:
    state = {f"{name}.weight_main": torch.randn(width, width) / 4, f"{name}.bias": torch.randn(width) / 4}
    state |= {f"{name}.U_r": torch.randn(width, width - rank), f"{name}.V_r": torch.randn(width - rank, width)}
    state[f"{name}.weight_original_fnorm"] = torch.tensor(3.0)
    for number in range(experts):
        state[f"{name}.U_experts.{number}"] = torch.randn(width, rank) / 2
        state[f"{name}.S_experts.{number}"] = torch.rand(rank)
        state[f"{name}.V_experts.{number}"] = torch.randn(rank, width) / 2
    return state


def grounding(folder: Path, **args: Any) -> Made:
    """A detector by names."""
    save_grounding(folder / "model", bert_tokenizer())
    return Made(weights={"model": {"path": "model"}}, args=args)


def geneval(folder: Path) -> Made:
    """A segmenter beside a CLIP."""
    save_mask2former(folder / "detector")
    towers = transformers_clip(folder)
    # The middle one is true of some pictures, the last of none.
    include = [{"class": "cup", "count": 1, "color": "red"}, {"class": "cat", "count": 1}]
    asked = {"include": include, "exclude": [{"class": "cup", "count": 2}]}
    return Made(
        weights={**towers.weights, "detector": {"path": "detector"}},
        args={
            "objects": list(CLASSES),
            "preprocess": {"size": SIDE},
            "shortest": 64,
            "longest": 96,
            "confidence": 0.2,
            "metadata": asked,
        },
    )


def omniaid(folder: Path) -> Made:
    """The experts' network for pictures of 32 pixels."""
    from safetensors.torch import save_file

    save_file(omniaid_state(), folder / "omniaid.safetensors")
    return Made(weights={"model": {"path": "omniaid.safetensors"}}, args={"squash": [48, 32], "heads": 4})


TINY: dict[str, Maker] = {
    "grounding-dino-presence": partial(grounding, preprocess={"shortest": 128, "longest": 160}, objects={"cat": 2, "dog": 1}),
    # The threshold is one that random confidences lie on both sides of, so that of the cats some are missing.
    "pfcd-counting": partial(grounding, preprocess={"size": 128}, objects={"cat": 4, "dog": 1}, threshold=0.5),
    "geneval-hf": geneval,
    "omniaid": omniaid,
}
