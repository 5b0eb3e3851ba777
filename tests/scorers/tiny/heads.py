"""Random heads over tiny towers, and a random watermark detector; names inside are those of the originals' files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from curate.scorers.detectors.watermark import watermark_network
from tests.scorers.tiny.cards import Made, Maker
from tests.scorers.tiny.clip import SHARED, transformers_clip
from tests.scorers.tiny.siglip import WIDTH, siglip

V1 = ("",)
V2 = tuple(f"layers.{number}" for number in (0, 2, 4, 6, 7))
RELU = tuple(f"layers.{number}" for number in (0, 3, 6, 9, 11))
V2_5 = tuple(f"scoring_head.{number}" for number in (0, 2, 4, 6, 8))
NSFW = tuple(f"linear_{number}" for number in (1, 2, 3, 4))

HIDDEN = (24, 12, 10, 6)


def layers(names: Sequence[str], width: int) -> dict[str, torch.Tensor]:
    """Random linear layers of an original's names, from an embedding of `width` numbers to one number."""
    sizes = [width, *HIDDEN[: len(names) - 1], 1]
    state = {}
    for name, before, after in zip(names, sizes[:-1], sizes[1:], strict=True):
        dot = f"{name}." if name else ""
        state[f"{dot}weight"] = torch.randn(after, before) / before**0.5
        state[f"{dot}bias"] = torch.randn(after)
    return state


def save_head(folder: Path, names: Sequence[str], width: int) -> Path:
    from safetensors.torch import save_file

    torch.manual_seed(4)
    state = layers(names, width)
    if names == NSFW:
        state |= {"norm.mean": torch.randn(width) / 10, "norm.variance": 0.05 + torch.rand(width) / 10}
    path = folder / f"{names[0] or 'linear'}.safetensors"
    save_file(state, path)
    return path


def save_prompts(folder: Path) -> Path:
    """Two prompts as near each other as Q16's, so that a softmax of 100 cosines is not all or nothing."""
    from safetensors.torch import save_file

    torch.manual_seed(5)
    common = torch.randn(SHARED)
    save_file({"prompts": 20 * (common + 0.01 * torch.randn(2, SHARED))}, folder / "prompts.safetensors")
    return folder / "prompts.safetensors"


def over(tower: Maker, names: Sequence[str], width: int, folder: Path) -> Made:
    """A head on the embeddings of a tiny tower."""
    made = tower(folder)
    return Made(weights={**made.weights, "head": {"path": save_head(folder, names, width).name}}, args=made.args)


def prompts(folder: Path) -> Made:
    """Learned prompts beside a tiny tower."""
    made = transformers_clip(folder)
    return Made(weights={**made.weights, "head": {"path": save_prompts(folder).name}}, args=made.args)


def watermark(folder: Path) -> Made:
    """The detector over timm's smallest EfficientNet."""
    from safetensors.torch import save_file

    torch.manual_seed(6)
    network = watermark_network("test_efficientnet")
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.startswith("classifier"):
                weight.add_(torch.randn(weight.shape) * 0.2)
    save_file(network.state_dict(), folder / "watermark.safetensors")
    return Made(
        weights={"model": {"path": "watermark.safetensors"}}, args={"network": "test_efficientnet", "preprocess": {"size": 32}}
    )


TINY: dict[str, Maker] = {
    **dict.fromkeys(
        (f"laion-aesthetic-v1-{tower}" for tower in ("b32", "b16", "l14")), partial(over, transformers_clip, V1, SHARED)
    ),
    "laion-aesthetic-v2": partial(over, transformers_clip, V2, SHARED),
    "aesthetic-v2-5": partial(over, siglip, V2_5, WIDTH),
    "laion-nsfw": partial(over, transformers_clip, NSFW, SHARED),
    "q16": prompts,
    "laion-watermark": watermark,
}
