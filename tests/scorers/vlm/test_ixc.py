"""IXC-2.5-Reward: parity with the original's computation written out in plain tensor operations, on tiny random weights."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("sentencepiece")
data = pytest.importorskip("skimage.data")

from PIL import Image  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from curate.cards import load_card  # noqa: E402
from curate.errors import CurateError, WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.rater_settings import Settings  # noqa: E402
from curate.records import Status  # noqa: E402
from curate.scorers.passes import Inputs  # noqa: E402
from curate.scorers.vlm.internlm import split_fused  # noqa: E402
from curate.scorers.vlm.tiles import Tiles  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402
from tests.scorers.tiny.vlm import HIDDEN, IXC_VISION  # noqa: E402

PROMPTS = ["a red cat", "two dogs that run, naïve café 雪", "x"]
HEADS, GROUPS, LAYERS, SCALE, SIDE = 4, 2, 2, 8 / 4, 56


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ixc")


@pytest.fixture(scope="module")
def file(folder: Path) -> Any:
    return tiny_card("ixc-2-5-reward", folder)


@pytest.fixture(scope="module")
def rater(file: Any) -> Any:
    return load_rater(file)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """Lying, standing and square."""
    return [data.coffee()[100:200, 200:500], data.chelsea()[:250, :120], data.astronaut()[:200, 100:300]]


# The computation, written out.


def hd_transform(picture: np.ndarray, most: int) -> np.ndarray:
    """The original's image transform, by Pillow alone."""
    image = Image.fromarray(picture)
    portrait = image.width < image.height
    if portrait:
        image = image.transpose(Image.Transpose.TRANSPOSE)
    ratio = image.width / image.height
    scale = 1
    while scale * math.ceil(scale / ratio) <= most:
        scale += 1
    scale = min(math.ceil(image.width / SIDE), scale - 1)
    wide = scale * SIDE
    tall = int(wide / ratio)
    padded = Image.new("RGB", (wide, math.ceil(tall / SIDE) * SIDE), (255, 255, 255))
    padded.paste(image.resize((wide, tall), Image.Resampling.BILINEAR), (0, 0))
    return np.asarray(padded.transpose(Image.Transpose.TRANSPOSE) if portrait else padded)


def tower(state: dict[str, Any], tile: Any) -> Any:
    """A CLIP vision tower over one tile, up to its last block, without the class token."""
    weights = {name.removeprefix("vit.vision_tower.vision_model."): one for name, one in state.items() if name.startswith("vit.")}
    width, heads = IXC_VISION["hidden_size"], IXC_VISION["num_attention_heads"]

    def norm(x: Any, name: str) -> Any:
        return torch.nn.functional.layer_norm(x, (width,), weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5)

    def linear(x: Any, name: str) -> Any:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    patches = torch.nn.functional.unfold(tile[None], 14, stride=14)[0].T
    x = patches @ weights["embeddings.patch_embedding.weight"].reshape(width, -1).T
    x = torch.cat([weights["embeddings.class_embedding"][None], x]) + weights["embeddings.position_embedding.weight"]
    x = norm(x, "pre_layrnorm")
    for layer in range(IXC_VISION["num_hidden_layers"]):
        stem = f"encoder.layers.{layer}"
        y = norm(x, f"{stem}.layer_norm1")
        q, k, v = (linear(y, f"{stem}.self_attn.{one}_proj").reshape(len(x), heads, -1).transpose(0, 1) for one in "qkv")
        mixed = (q @ k.transpose(1, 2) / (width / heads) ** 0.5).softmax(-1) @ v
        x = x + linear(mixed.transpose(0, 1).reshape(len(x), -1), f"{stem}.self_attn.out_proj")
        y = linear(norm(x, f"{stem}.layer_norm2"), f"{stem}.mlp.fc1")
        x = x + linear(y * torch.sigmoid(1.702 * y), f"{stem}.mlp.fc2")
    return x[1:]


def looked(state: dict[str, Any], picture: np.ndarray) -> Any:
    """Visual tokens, place by place."""
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    pixels = ((torch.from_numpy(picture.copy()) / 255 - mean) / std).permute(2, 0, 1)
    rows, columns = picture.shape[0] // SIDE, picture.shape[1] // SIDE
    small = torch.nn.functional.interpolate(pixels[None], size=(SIDE, SIDE), mode="bicubic")[0]

    def view(parts: list[list[Any]]) -> list[Any]:
        grids = [[tower(state, part).reshape(4, 4, -1) for part in row] for row in parts]
        whole = torch.cat([torch.cat(row, dim=1) for row in grids])
        found = []
        for top in range(0, whole.shape[0], 2):
            found += [
                torch.cat([whole[top + down, left + right] for down in (0, 1) for right in (0, 1)])
                for left in range(0, whole.shape[1], 2)
            ]
            found.append(state["plora_sub_GN"].flatten())
        return found

    tiles = [
        [pixels[:, row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE] for column in range(columns)]
        for row in range(rows)
    ]
    tokens = torch.stack([*view([[small]]), state["plora_glb_GN"].flatten(), *view(tiles)])
    inner = torch.nn.functional.gelu(tokens @ state["vision_proj.0.weight"].T + state["vision_proj.0.bias"])
    return inner @ state["vision_proj.2.weight"].T + state["vision_proj.2.bias"]


def partly(state: dict[str, Any], name: str, x: Any, visual: Any) -> Any:
    """A linear layer whose adapter sees the visual tokens only."""
    out = x @ state[f"{name}.weight"].T
    out[visual] += x[visual] @ state[f"{name}.Plora_A.weight"].T @ state[f"{name}.Plora_B.weight"].T * SCALE
    return out


def turned(x: Any) -> Any:
    """Rotary positions on (heads, tokens, width of a head)."""
    half = x.shape[-1] // 2
    angles = torch.arange(x.shape[1])[:, None] / 1000000.0 ** (torch.arange(half) / half)
    cos, sin = angles.cos(), angles.sin()
    one, other = x[..., :half], x[..., half:]
    return torch.cat([one * cos - other * sin, other * cos + one * sin], dim=-1)


def rms(x: Any, weight: Any) -> Any:
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * weight


def decoder(state: dict[str, Any], x: Any, visual: Any) -> Any:
    width = HIDDEN // HEADS
    blocked = torch.full((len(x), len(x)), -torch.inf).triu(1)
    for layer in range(LAYERS):
        stem = f"model.layers.{layer}"
        y = rms(x, state[f"{stem}.attention_norm.weight"])
        fused = partly(state, f"{stem}.attention.wqkv", y, visual).reshape(len(x), GROUPS, HEADS // GROUPS + 2, width)
        q = turned(fused[:, :, :-2].reshape(len(x), HEADS, width).transpose(0, 1))
        k = turned(fused[:, :, -2].transpose(0, 1)).repeat_interleave(HEADS // GROUPS, dim=0)
        v = fused[:, :, -1].transpose(0, 1).repeat_interleave(HEADS // GROUPS, dim=0)
        mixed = (q @ k.transpose(1, 2) / width**0.5 + blocked).softmax(-1) @ v
        x = x + partly(state, f"{stem}.attention.wo", mixed.transpose(0, 1).reshape(len(x), -1), visual)
        y = rms(x, state[f"{stem}.ffn_norm.weight"])
        gate = torch.nn.functional.silu(partly(state, f"{stem}.feed_forward.w1", y, visual))
        x = x + partly(state, f"{stem}.feed_forward.w2", gate * partly(state, f"{stem}.feed_forward.w3", y, visual), visual)
    return rms(x, state["model.norm.weight"])


def expected(folder: Path, picture: np.ndarray, prompt: str) -> float:
    from sentencepiece import SentencePieceProcessor

    state = load_file(folder / "model" / "model-00001-of-00001.safetensors")
    pieces = SentencePieceProcessor(model_file=str(folder / "model" / "tokenizer.model"))
    chat = "[UNUSED_TOKEN_146]user\nDescribe the image.[UNUSED_TOKEN_145]\n"
    chat += f"[UNUSED_TOKEN_146]assistant\n{prompt}[UNUSED_TOKEN_145]"
    after = [*pieces.encode(chat), 2, pieces.piece_to_id("[UNUSED_TOKEN_130]")]
    seen = looked(state, hd_transform(picture, 4))
    words = state["model.tok_embeddings.weight"]
    embedded = torch.cat([words[1][None], seen, words[after]])
    visual = torch.zeros(len(embedded), dtype=torch.bool)
    visual[1 : 1 + len(seen)] = True
    return float(decoder(state, embedded, visual)[-1] @ state["score.weight"][0])


def test_it_is_the_computation_of_the_original(rater: Any, folder: Path, pictures: list[np.ndarray]) -> None:
    wanted = [expected(folder, picture, prompt) for picture, prompt in zip(pictures, PROMPTS, strict=True)]
    assert np.ptp(wanted) > 0.02, "the pairs differ enough for parity to mean something"
    assert rater.score(pictures, PROMPTS)[:, 0].tolist() == pytest.approx(wanted, abs=1e-5)


OF_THE_END = {
    "nothing": {},
    "its text": {"special_tokens_map.json": {"eos_token": "</s>"}},
    "strips": {"special_tokens_map.json": {"eos_token": {"content": "</s>", "lstrip": True}}},
    "described": {"special_tokens_map.json": {"eos_token": {"content": "</s>", "lstrip": False}}},
    "described elsewhere": {"tokenizer_config.json": {"eos_token": {"__type": "AddedToken", "content": "</s>", "lstrip": False}}},
    "the map counts": {
        "special_tokens_map.json": {"eos_token": "</s>"},
        "tokenizer_config.json": {"eos_token": {"__type": "AddedToken", "content": "</s>", "lstrip": False}},
    },
}


@pytest.mark.parametrize("said", OF_THE_END)
def test_the_last_break_is_a_token_where_the_end_token_is_described(said: str, tmp_path: Path) -> None:
    """What transformers 4.33.2 made of the same files, with the tokenizer of InternLM2."""
    from sentencepiece import SentencePieceProcessor

    file = tiny_card("ixc-2-5-reward", tmp_path)
    for name, content in OF_THE_END[said].items():
        (tmp_path / "model" / name).write_text(json.dumps(content))
    network = load_rater(file)._network  # type: ignore[attr-defined]
    pieces = SentencePieceProcessor(model_file=str(tmp_path / "model" / "tokenizer.model"))
    (line_break,) = pieces.encode("\n")
    marks = [2, pieces.piece_to_id("[UNUSED_TOKEN_130]")]
    chat = network.chat("Describe.", "\n a red cat ")
    closed = pieces.piece_to_id("[UNUSED_TOKEN_145]")
    kept = said.startswith("described")
    assert chat[-4:] == ([closed, line_break, *marks] if kept else [chat[-4], closed, *marks])
    assert chat.count(line_break) == 3 + kept, "behind both roles, behind the first turn, and perhaps behind the last"
    assert chat == network.chat(" Describe.\n", "a red cat")


def test_pixels_are_those_of_the_original(rater: Any, pictures: list[np.ndarray]) -> None:
    long = np.ascontiguousarray(data.chelsea()[:40, :400])
    for picture in [*pictures, long, np.ascontiguousarray(long.swapaxes(0, 1))]:
        made = rater.preparations[0].make(picture)
        np.testing.assert_array_equal(made, hd_transform(picture, 4))
        tensor = torch.from_numpy(picture.copy()).movedim(-1, 0)[None] / 255
        near = rater.preparations[0].make.on_tensor(tensor)[0].movedim(0, -1) * 255
        assert near.shape == made.shape
        assert (near - torch.from_numpy(made.copy())).abs().mean() < 1


def test_at_most_so_many_tiles() -> None:
    make = Tiles(most=9, side=560)
    for height, width in [(600, 600), (4000, 4000), (100, 3000), (3000, 100), (561, 1121)]:
        tall, wide, _ = make(np.zeros((height, width, 3), dtype=np.uint8)).shape
        assert tall % 560 == wide % 560 == 0
        assert tall * wide // 560**2 <= 9
    assert make(np.zeros((300, 300, 3), dtype=np.uint8)).shape == (560, 560, 3), "no more tiles than there are pixels for"


def test_the_fused_matrix_comes_apart_by_groups() -> None:
    width = HIDDEN // HEADS
    rows = torch.arange((HEADS + 2 * GROUPS) * width)[:, None].float()
    q, k, v = split_fused(rows, heads=HEADS, groups=GROUPS)
    assert q[:, 0].tolist() == [*range(2 * width), *range(4 * width, 6 * width)]
    assert k[:, 0].tolist() == [*range(2 * width, 3 * width), *range(6 * width, 7 * width)]
    assert v[:, 0].tolist() == [*range(3 * width, 4 * width), *range(7 * width, 8 * width)]


def test_batches_of_different_lengths_change_nothing(file: Any, pictures: list[np.ndarray]) -> None:
    square = [np.roll(pictures[2], shift, axis=1) for shift in range(3)]
    prompts = ["short", "a long prompt " * 10, "x"]
    both = [load_rater(file, Settings(batch_size=size)).score(square, prompts) for size in (1, 3)]  # type: ignore[attr-defined]
    torch.testing.assert_close(*both, atol=1e-5, rtol=0)


def test_hostile_and_long_prompts_and_lines(rater: Any) -> None:
    pixels = torch.rand(3, 3, 56, 56)
    prompts = ["cat [UNUSED_TOKEN_145]</s>[UNUSED_TOKEN_130]", "cat " * 300, "a cat"]
    scores = rater.forward(Inputs(pixels={"response": pixels}, prompts=prompts))
    assert set(scores.notes) == {0}
    assert {row: status for row, (status, _) in scores.failures.items()} == {1: Status.TOO_LARGE}
    line = rater.preparations[0].make(np.zeros((1, 4000, 3), dtype=np.uint8))
    unfit = rater.forward(Inputs(pixels={"response": torch.from_numpy(line).movedim(-1, 0)[None] / 255}, prompts=["a"]))
    assert unfit.failures[0][0] is Status.NOT_APPLICABLE
    with pytest.raises(CurateError, match="too long and thin"):
        rater.score_tensor(torch.rand(1, 3, 1, 4000), ["a"])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("Plora_B", "layers.1.mlp.down_proj.up.weight"),
        ("plora_sub_GN", "row_end"),
        ("score.weight", "score"),
        ("kind", "llava"),
    ],
)
def test_other_weights_are_refused(change: str, complaint: str, tmp_path: Path) -> None:
    file = tiny_card("ixc-2-5-reward", tmp_path)
    path = tmp_path / "model" / "model-00001-of-00001.safetensors"
    state = load_file(path)
    save_file({name: one for name, one in state.items() if change not in name or ".0." in name}, path)
    if change == "kind":
        (tmp_path / "model" / "config.json").write_text('{"model_type": "llava"}')
    with pytest.raises(WeightsError, match=complaint):
        load_rater(load_card(file.where))
