"""DreamSim: parity with the formula, its low-rank updates left as they are; what does not fit is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
data = pytest.importorskip("skimage.data")

from PIL import Image  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from curate.cards import load_card  # noqa: E402
from curate.errors import CardError, WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.scorers.picture_arguments import CLIP_MEAN, CLIP_STD  # noqa: E402
from curate.scorers.references.dreamsim import DreamSim  # noqa: E402
from curate.scorers.references.encoders import IMAGENET_MEAN, IMAGENET_STD  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402
from tests.scorers.tiny.reference import ALPHA, RANK, VIT_DEPTH, VIT_SIDE, low_rank_updates  # noqa: E402
from tests.scorers.vit_formula import State, attention, layer_norm, linear, patches  # noqa: E402

HEADS = 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def tokens_of(pixels: torch.Tensor, state: State, lora: State, *, clip: bool, quick: bool) -> torch.Tensor:
    """Tokens after the last block of normalised pixels (3, side, side); updates act beside the weights."""
    epsilon = 1e-5 if clip else 1e-6
    x = patches(pixels, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"])
    x = torch.cat([state["cls_token"][0], x]) + state["pos_embed"][0]
    x = layer_norm(x, state, "pos_drop", epsilon) if clip else x
    for number in range(VIT_DEPTH):
        block = f"blocks.{number}"
        y = layer_norm(x, state, f"{block}.norm1", epsilon)
        tuned = y @ lora[f"{block}.attn.qkv.lora_A.weight"].T @ lora[f"{block}.attn.qkv.lora_B.weight"].T
        query, key, value = (linear(y, state, f"{block}.attn.qkv") + ALPHA / RANK * tuned).chunk(3, dim=-1)
        x = x + linear(attention(query, key, value, HEADS), state, f"{block}.attn.proj")
        y = linear(layer_norm(x, state, f"{block}.norm2", epsilon), state, f"{block}.mlp.fc1")
        y = y * torch.sigmoid(1.702 * y) if quick else y * 0.5 * (1 + torch.erf(y / 2**0.5))
        x = x + linear(y, state, f"{block}.mlp.fc2")
    return x


def embedding(picture: np.ndarray, folder: Path, names: list[str]) -> torch.Tensor:
    """The backbones side by side, each with the values that the original reads from it."""
    square = Image.fromarray(picture).resize((VIT_SIDE, VIT_SIDE), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(square)).float() / 255
    parts = []
    for number, name in enumerate(names):
        state, clip = load_file(folder / f"{name}.safetensors"), name != "dino"
        mean, std = (CLIP_MEAN, CLIP_STD) if clip else (IMAGENET_MEAN, IMAGENET_STD)
        prefix = f"base_model.model.extractor_list.{number}.model."
        lora = {key.removeprefix(prefix): value for key, value in low_rank_updates(3).items() if key.startswith(prefix)}
        normalised = ((pixels - torch.tensor(mean)) / torch.tensor(std)).movedim(-1, 0)
        first = tokens_of(normalised, state, lora, clip=clip, quick=name == "clip")[0]
        parts.append(layer_norm(first, state, "norm", 1e-5) @ state["proj"] if clip else first)
    return torch.cat(parts)


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    one, other = (each - each.mean() for each in (one, other))
    return 1 - float(one @ other / (one.norm() * other.norm()))


@pytest.mark.parametrize("names", [["dino", "clip", "open_clip"], ["dino"]])
def test_it_is_the_distance_of_centred_embeddings(names: list[str], folder: Path) -> None:
    file = tiny_card("dreamsim", folder, backbones=names)
    own = {key: value for key, value in low_rank_updates(3).items() if int(key.split(".")[3]) < len(names)}
    save_file(own, folder / "adapter_model.safetensors")
    rater = load_rater(load_card(file.where))
    assert isinstance(rater, DreamSim)
    pictures = [data.coffee()[:100, :90], data.chelsea()[:80], data.astronaut()[:99, 100:200]]
    embeddings = [embedding(picture, folder, names) for picture in pictures]
    wanted = [distance(embeddings[number], embeddings[number - 1]) for number in range(3)]
    found = rater.score(pictures, reference=[pictures[number - 1] for number in range(3)])
    np.testing.assert_allclose(-found[:, 0], wanted, atol=1e-5)
    assert min(wanted) > 1e-3


def test_the_geometry_has_to_be_the_networks(folder: Path) -> None:
    with pytest.raises(CardError, match="squares of 32 pixels"):
        load_rater(tiny_card("dreamsim", folder, preprocess={"size": 40}))


def test_unknown_backbones_are_refused(folder: Path) -> None:
    with pytest.raises(CardError, match="name some of dino, clip, open_clip"):
        load_rater(tiny_card("dreamsim", folder, backbones=["mae"]))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lora: lora.popitem(), "half an update"),
        (lambda lora: lora.update({"base_model.model.mlp.fc1.weight": torch.zeros(1)}), "no low-rank update"),
        (lambda lora: lora.update(_of_block(9)), r"changes blocks\.9\.attn\.qkv\.weight"),
        (lambda lora: [lora.pop(key) for key in list(lora) if "list.2." in key], "for 2 backbones, but the card names 3"),
    ],
)
def test_updates_that_do_not_fit_are_refused(change: object, says: str, folder: Path) -> None:
    file = tiny_card("dreamsim", folder)
    lora = low_rank_updates(3)
    change(lora)  # type: ignore[operator]
    save_file(lora, folder / "adapter_model.safetensors")
    with pytest.raises(WeightsError, match=says):
        load_rater(load_card(file.where))


def _of_block(number: int) -> State:
    name = f"base_model.model.extractor_list.0.model.blocks.{number}.attn.qkv"
    return {f"{name}.lora_A.weight": torch.zeros(RANK, 128), f"{name}.lora_B.weight": torch.zeros(384, RANK)}


def test_a_config_without_alpha_is_refused(folder: Path) -> None:
    file = tiny_card("dreamsim", folder)
    (folder / "adapter_config.json").write_text(json.dumps({"r": RANK}))
    with pytest.raises(WeightsError, match="cannot read lora_alpha"):
        load_rater(file)


def test_weights_of_something_else_are_refused(folder: Path) -> None:
    file = tiny_card("dreamsim", folder)
    updated = {f"blocks.{number}.attn.qkv.weight": torch.zeros(384, 128) for number in range(VIT_DEPTH)}
    save_file(updated, folder / "dino.safetensors")
    with pytest.raises(WeightsError, match=r"weights\.dino is no vision transformer"):
        load_rater(load_card(file.where))
    tiny_card("dreamsim", folder)
    without = {key: value for key, value in load_file(folder / "clip.safetensors").items() if key != "proj"}
    save_file(without, folder / "clip.safetensors")
    with pytest.raises(WeightsError, match=r"weights\.clip holds no proj"):
        load_rater(load_card(file.where))
