"""MPS: parity with the computation written out, on a tiny random checkpoint under the names of the mirror's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")
for needed in ("transformers", "open_clip"):  # open_clip for CLIP's vocabulary
    if find_spec(needed) is None:
        pytest.skip(f"needs {needed}", allow_module_level=True)
data = pytest.importorskip("skimage.data")

from curate.cards import CardFile, load_card  # noqa: E402
from curate.errors import CardError, WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.scorers.matching.mps_network import Mixes  # noqa: E402
from curate.scorers.passes import Inputs  # noqa: E402
from tests.scorers.blip_formula import MEAN, STD, State, attend, below, linear, norm  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402
from tests.scorers.tiny.clip import HEADS, LAYERS, SIDE, clip_tokenizer  # noqa: E402
from tests.scorers.tiny.mps import CONDITION, CROSS, mps_state  # noqa: E402

LONG = "a very long story about a red cat " * 20
PROMPTS = ["a red cat in the rain", "Two dogs, running!", LONG]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> CardFile:
    return tiny_card("mps", tmp_path_factory.mktemp("mps"))


def variant(card: CardFile, folder: Path, *, weights: dict[str, str] | None = None, **args: Any) -> CardFile:
    """The tiny card over the same files, with other arguments, and with other files (by role) of `folder`."""
    said = yaml.safe_load(Path(card.where).read_text())
    said["args"] |= args
    for role, weight in said["weights"].items():
        weight["path"] = str(folder / weights[role] if weights and role in weights else Path(card.where).parent / weight["path"])
    path = folder / "variant.yaml"
    path.write_text(yaml.safe_dump(said))
    return load_card(str(path))


@pytest.fixture(scope="module")
def rater(card: CardFile) -> Iterator[Any]:
    rater = load_rater(card)
    yield rater
    rater.close()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    return below(mps_state(tmp_path_factory.mktemp("again")), "mps.")


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [data.astronaut()[:256, 100:400], data.coffee()[100:, 200:500], data.chelsea()]


# The computation, written out one pair at a time. CLIP's names are those of transformers, as in the checkpoint.


def tower(x: torch.Tensor, state: State, *, causal: bool) -> torch.Tensor:
    for layer in range(LAYERS):
        block = f"encoder.layers.{layer}"
        y = norm(x, state, f"{block}.layer_norm1", 1e-5)
        queries, keys, values = (linear(y, state, f"{block}.self_attn.{part}_proj") for part in "qkv")
        mixed = attend(queries, keys, values, HEADS, causal=causal)
        x = x + linear(mixed, state, f"{block}.self_attn.out_proj")
        wide = linear(norm(x, state, f"{block}.layer_norm2", 1e-5), state, f"{block}.mlp.fc1")
        x = x + linear(torch.nn.functional.gelu(wide), state, f"{block}.mlp.fc2")
    return x


def picture_tokens(square: np.ndarray, state: State) -> torch.Tensor:
    pixels = ((torch.from_numpy(square).float() / 255 - MEAN) / STD).permute(2, 0, 1)
    vision = below(state, "model.vision_model.")
    patches = torch.nn.functional.unfold(pixels[None], 8, stride=8)[0].T
    patches = patches @ vision["embeddings.patch_embedding.weight"].flatten(1).T
    x = torch.cat([vision["embeddings.class_embedding"][None], patches]) + vision["embeddings.position_embedding.weight"]
    x = tower(norm(x, vision, "pre_layrnorm", 1e-5), vision, causal=False)
    return x @ state["model.visual_projection.weight"].T


def token_ids(prompt: str) -> list[int]:
    """77 of them: begin, words, end, and the end once more for each that is missing."""
    words = clip_tokenizer()(prompt, add_special_tokens=False, verbose=False)["input_ids"][:75]
    return [49406, *words, *[49407] * (76 - len(words))]


def text_tokens(prompt: str, state: State) -> torch.Tensor:
    text = below(state, "model.text_model.")
    x = text["embeddings.token_embedding.weight"][token_ids(prompt)] + text["embeddings.position_embedding.weight"]
    x = norm(tower(x, text, causal=True), text, "final_layer_norm", 1e-5)
    return x @ state["model.text_projection.weight"].T


def read_tokens(prompt: str, state: State, threshold: float) -> torch.Tensor:
    """Which of the prompt's tokens are near enough to the condition."""
    similarity = text_tokens(prompt, state) @ text_tokens(CONDITION, state).T
    best = similarity.max(dim=1).values
    return best / best.max() > threshold


def shared_attention(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Many heads of queries over one head of keys and values."""
    heads = queries.chunk(CROSS["heads"], -1)
    return torch.cat([(one @ keys.T / sqrt(CROSS["head_width"])).softmax(-1) @ values for one in heads], -1)


def turned(x: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """Every pair of numbers as a complex one, multiplied by that of its position's angle; heads lie side by side."""
    angles = torch.arange(len(x))[:, None] * frequencies
    turns = torch.polar(torch.ones_like(angles), angles)
    heads = []
    for head in x.split(CROSS["head_width"], -1):
        pairs = torch.complex(*head.chunk(2, -1)) * turns
        heads += [pairs.real, pairs.imag]
    return torch.cat(heads, -1)


def swiglu(wide: torch.Tensor) -> torch.Tensor:
    value, gate = wide.chunk(2, -1)
    return value * gate * torch.sigmoid(gate)


def cross(picture: torch.Tensor, words: torch.Tensor, state: State) -> torch.Tensor:
    """`words` are those that may be read, and only those: nothing has to be masked."""
    x = picture
    head, inner = CROSS["head_width"], CROSS["heads"] * CROSS["head_width"]
    for layer in range(CROSS["layers"]):
        weights = below(state, f"cross_model.layers.{layer}.0.fn.")
        y = norm(x, weights, "norm", 1e-5)
        keys, values = (words @ weights["to_kv.weight"].T).chunk(2, -1)
        attended = shared_attention(y @ weights["to_q.weight"].T, keys, values) @ weights["to_out.weight"].T
        x = x + attended + swiglu(y @ weights["ff.0.weight"].T) @ weights["ff.2.weight"].T
        weights = below(state, f"cross_model.layers.{layer}.1.fn.")
        fused = norm(x, weights, "norm", 1e-5) @ weights["fused_attn_ff_proj.weight"].T
        queries, keys, values, wide = fused.split([inner, head, head, fused.shape[-1] - inner - 2 * head], -1)
        frequencies = weights["rotary_emb.inv_freq"]
        attended = shared_attention(turned(queries, frequencies), turned(keys, frequencies), values)
        x = x + attended @ weights["attn_out.weight"].T + swiglu(wide) @ weights["ff_out.1.weight"].T
    return x


def expected(square: np.ndarray, prompt: str, state: State, threshold: float) -> float:
    words = text_tokens(prompt, state)
    end = words[token_ids(prompt).index(49407)]
    seen = cross(picture_tokens(square, state), words[read_tokens(prompt, state, threshold)], state)[0]
    return float(state["model.logit_scale"].exp() * (seen @ end) / seen.norm() / end.norm())


@pytest.mark.parametrize("threshold", [0.3, 0.75])
def test_it_follows_the_formula(
    threshold: float, card: CardFile, state: State, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    rater: Any = load_rater(variant(card, tmp_path, threshold=threshold))
    squares = [rater.preparations[0].make(picture) for picture in pictures]
    wanted = [expected(square, prompt, state, threshold) for square, prompt in zip(squares, PROMPTS, strict=True)]
    assert np.ptp(wanted) > 0.5, "the pairs differ enough for parity to mean something"
    factor = float(state["model.logit_scale"].exp())
    scores = rater.score(pictures, PROMPTS)[:, 0] / factor
    assert scores.tolist() == pytest.approx([one / factor for one in wanted], abs=1e-5)


def test_the_threshold_decides_what_is_read(state: State) -> None:
    """Otherwise the two cases above would be one."""
    for prompt in PROMPTS:
        counts = [int(read_tokens(prompt, state, threshold).sum()) for threshold in (0.75, 0.3)]
        assert 0 < counts[0] < counts[1] <= 77


def test_other_prompts_of_a_batch_change_nothing(rater: Any, pictures: list[np.ndarray]) -> None:
    """The original divides by the best similarity of the batch, so that a prompt's neighbours would decide what is read of it."""
    scores = []
    for prompts in ([PROMPTS[0]], [PROMPTS[0], *PROMPTS[1:]]):
        rater._prompts.clear()
        scores.append(float(rater.score(pictures[: len(prompts)], prompts)[0, 0]))
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_a_prompt_goes_through_the_text_tower_once(
    rater: Any, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    rater._prompts.clear()
    asked: list[str] = []
    embed = rater._embed
    monkeypatch.setattr(rater, "_embed", lambda texts: asked.extend(texts) or embed(texts))
    rater.score(pictures, ["one", "two", "one"])
    rater.score(pictures, ["one", "two", "two"])
    assert asked == ["one", "two"]


def test_a_cut_prompt_says_so(rater: Any, pictures: list[np.ndarray]) -> None:
    squares = np.stack([rater.preparations[0].make(picture) for picture in pictures])
    pixels = torch.from_numpy(squares).movedim(-1, 1) / 255
    notes = rater.forward(Inputs(pixels={"response": pixels}, prompts=PROMPTS)).notes
    assert notes == {2: "the prompt was cut to 77 tokens"}


def test_half_precision_stays_near_and_turns_no_token_astray(
    card: CardFile, rater: Any, tmp_path: Path, pictures: list[np.ndarray]
) -> None:
    half: Any = load_rater(variant(card, tmp_path, dtype="bfloat16"))
    mixes = [module for module in half._network.modules() if isinstance(module, Mixes)]
    assert [one.frequencies.dtype for one in mixes] == [torch.float32] * CROSS["layers"]
    assert half._network.scale == rater._network.scale
    wanted = rater.score(pictures, PROMPTS)
    torch.testing.assert_close(half.score(pictures, PROMPTS), wanted, atol=0.1 * rater._network.scale, rtol=0)


def test_names_of_the_original_and_of_the_mirror_both_fit(card: CardFile, rater: Any, state: State, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    tables = {"model.text_model.embeddings.position_ids": torch.arange(77)[None]}
    save_file({name: weight.contiguous() for name, weight in state.items()} | tables, tmp_path / "mps.safetensors")
    other: Any = load_rater(variant(card, tmp_path, weights={"model": "mps.safetensors"}))
    picture = [data.chelsea()]
    assert torch.equal(other.score(picture, PROMPTS[:1]), rater.score(picture, PROMPTS[:1]))


def test_a_vocabulary_that_says_no_length_is_cut_where_the_text_tower_ends(card: CardFile, rater: Any, tmp_path: Path) -> None:
    """Of a folder with vocab.json and merges.txt alone, transformers makes a tokenizer whose limit is 10^30."""
    (tmp_path / "base").mkdir()
    clip_tokenizer().backend_tokenizer.model.save(str(tmp_path / "base"))
    shutil.copy(Path(card.where).parent / "base" / "config.json", tmp_path / "base")
    other: Any = load_rater(variant(card, tmp_path, weights={"base": "base"}))
    picture = [data.chelsea()] * 3
    assert torch.equal(other.score(picture, PROMPTS), rater.score(picture, PROMPTS))


@pytest.mark.parametrize("change", ["missing", "strange"])
def test_every_weight_has_to_find_its_place(change: str, card: CardFile, state: State, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    changed = {name: weight.contiguous() for name, weight in state.items()}
    if change == "missing":
        del changed["cross_model.layers.1.0.fn.ff.0.weight"]
    else:
        changed["cross_model.layers.1.2.fn.weight"] = torch.zeros(3)
    save_file(changed, tmp_path / "mps.safetensors")
    with pytest.raises(WeightsError, match=r"layers\.1\.reads\.widen" if change == "missing" else r"layers\.1\.2\.fn"):
        load_rater(variant(card, tmp_path, weights={"model": "mps.safetensors"}))


@pytest.mark.parametrize("form", ["alone", "with a line break", "in Python"])
def test_the_condition_is_found_in_the_file_of_its_authors(form: str, card: CardFile, rater: Any, tmp_path: Path) -> None:
    texts = {
        "alone": CONDITION,
        "with a line break": CONDITION + "\n",
        "in Python": f"raise SystemExit('never run')\ndef ask(condition=None):\n    return condition or {CONDITION!r}\n",
    }
    path = tmp_path / ("condition.py" if form == "in Python" else "condition.txt")
    path.write_text(texts[form])
    again: Any = load_rater(variant(card, tmp_path, weights={"condition": path.name}))
    assert torch.equal(again._condition, rater._condition)


def test_a_condition_that_is_missing_or_another_is_a_sentence(card: CardFile, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"there is no file .*copy the card and set weights\.condition\.path") as problem:
        load_rater(variant(card, tmp_path, weights={"condition": "nowhere.txt"}))
    assert "github.com/Kwai-Kolors/MPS" in str(problem.value)
    (tmp_path / "other.txt").write_text("something else")
    with pytest.raises(WeightsError, match="does not hold the text that is meant"):
        load_rater(variant(card, tmp_path, weights={"condition": "other.txt"}))


def test_the_threshold_is_said_and_leaves_something_to_read(card: CardFile, tmp_path: Path) -> None:
    with pytest.raises(CardError, match="threshold"):
        load_rater(variant(card, tmp_path, threshold=1.0))


def test_the_size_of_the_squares_is_the_network_s(card: CardFile, tmp_path: Path) -> None:
    with pytest.raises(CardError, match=f"the network takes {SIDE}"):
        load_rater(variant(card, tmp_path, preprocess={"size": 2 * SIDE}))
