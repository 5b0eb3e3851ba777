"""SigLIP's towers: parity with the formula written out, and texts as they were in training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
data = pytest.importorskip("skimage.data")

from PIL import Image  # noqa: E402

from curate.errors import WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.rater_settings import Settings  # noqa: E402
from curate.raters import Item  # noqa: E402
from curate.records import Status  # noqa: E402
from curate.scorers.libraries import import_transformers  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402
from tests.scorers.tiny.siglip import CONTEXT, HEADS, LAYERS, SIDE, WIDTH, byte_tokenizer, save_siglip  # noqa: E402

GOLDEN = Path(__file__).parents[2] / "golden"
PROMPTS = ["A red CAT, on a mat!", "two  dogs", "naïve café"]
LONG = "a very long story " * 8

Make = Callable[..., Item]
State = dict[str, torch.Tensor]


# The formula, written out from the papers over the names of the original's file.


def linear(x: torch.Tensor, state: State, name: str) -> torch.Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def norm(x: torch.Tensor, state: State, name: str) -> torch.Tensor:
    return torch.nn.functional.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    q, k, v = (part.reshape(len(part), HEADS, -1).transpose(0, 1) for part in (q, k, v))
    mixed = (q @ k.transpose(1, 2) / (WIDTH / HEADS) ** 0.5).softmax(-1) @ v
    return mixed.transpose(0, 1).reshape(q.shape[1], -1)


def mlp(x: torch.Tensor, state: State, name: str) -> torch.Tensor:
    y = linear(x, state, f"{name}.fc1")
    y = 0.5 * y * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (y + 0.044715 * y**3)))
    return linear(y, state, f"{name}.fc2")


def encoder(x: torch.Tensor, state: State, tower: str) -> torch.Tensor:
    """Over (tokens, width); every token attends to every other, the padding included."""
    for layer in range(LAYERS):
        name = f"{tower}.encoder.layers.{layer}"
        y = norm(x, state, f"{name}.layer_norm1")
        q, k, v = (linear(y, state, f"{name}.self_attn.{part}_proj") for part in "qkv")
        x = x + linear(attend(q, k, v), state, f"{name}.self_attn.out_proj")
        x = x + mlp(norm(x, state, f"{name}.layer_norm2"), state, f"{name}.mlp")
    return x


def formula_image(square: np.ndarray, state: State) -> torch.Tensor:
    pixels = (torch.from_numpy(square).float() / 255 - 0.5) / 0.5
    kernel = state["vision_model.embeddings.patch_embedding.weight"].reshape(WIDTH, -1)
    patches = torch.nn.functional.unfold(pixels.movedim(-1, 0)[None], 8, stride=8)[0].T @ kernel.T
    x = patches + state["vision_model.embeddings.patch_embedding.bias"]
    x = encoder(x + state["vision_model.embeddings.position_embedding.weight"], state, "vision_model")
    x = norm(x, state, "vision_model.post_layernorm")
    head = "vision_model.head"
    weight, bias = state[f"{head}.attention.in_proj_weight"].chunk(3), state[f"{head}.attention.in_proj_bias"].chunk(3)
    q, k, v = (one @ w.T + b for one, w, b in zip((state[f"{head}.probe"][0], x, x), weight, bias, strict=True))
    pooled = linear(attend(q, k, v), state, f"{head}.attention.out_proj")
    return (pooled + mlp(norm(pooled, state, f"{head}.layernorm"), state, f"{head}.mlp"))[0]


def formula_text(text: str, state: State) -> torch.Tensor:
    """Of an ASCII text in its final wording."""
    words = byte_tokenizer().get_vocab()
    letters = [words["Ġ" if letter == " " else letter] for letter in text][: CONTEXT - 1]
    ids = [*letters, words["<eos>"]]
    ids += [words["<pad>"]] * (CONTEXT - len(ids))
    x = state["text_model.embeddings.token_embedding.weight"][ids] + state["text_model.embeddings.position_embedding.weight"]
    x = norm(encoder(x, state, "text_model"), state, "text_model.final_layer_norm")
    return linear(x[-1], state, "text_model.head")


def formula(square: np.ndarray, text: str, state: State) -> float:
    image, words = formula_image(square, state), formula_text(text, state)
    cosine = torch.dot(image / image.norm(), words / words.norm())
    return float(state["logit_scale"].exp() * cosine + state["logit_bias"])


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [data.astronaut()[:256, 100:400], data.coffee()[100:, 200:500], data.chelsea()]


def judge(rater: Any, make: Make, pairs: list[tuple[np.ndarray, str]]) -> list[Any]:
    items = [
        make(number=number, prompt=prompt, pixels={"response": picture}, preparations=rater.preparations)
        for number, (picture, prompt) in enumerate(pairs)
    ]
    return [judgement.values["match"] for judgement in sorted(rater.judge(items), key=lambda one: one.item)]


@pytest.mark.parametrize("name", ["siglip-so400m", "siglip2-so400m"])
def test_towers_follow_the_formula(name: str, tmp_path: Path, pictures: list[np.ndarray], sample_item: Make) -> None:
    from safetensors.torch import load_file

    rater = load_rater(tiny_card(name, tmp_path))
    state = load_file(tmp_path / "model" / "model.safetensors")
    wordings = {"siglip-so400m": ["a red cat on a mat", "two dogs"], "siglip2-so400m": ["a red cat, on a mat!", "two  dogs"]}
    wanted = [
        formula(rater.preparations[0].make(picture), text, state)
        for picture, text in zip(pictures, [*wordings[name], LONG.strip() if name == "siglip-so400m" else LONG], strict=True)
    ]
    assert np.ptp(wanted) > 1, "the pairs differ enough for parity to mean something"
    values = judge(rater, sample_item, list(zip(pictures, [*PROMPTS[:2], LONG], strict=True)))
    tolerance = json.loads((GOLDEN / f"{name}.json").read_text())["tolerance"]["fp32_cpu"]
    assert [value.value for value in values] == pytest.approx(wanted, abs=tolerance)
    assert [value.detail for value in values] == [None, None, "the prompt was cut to 64 tokens"]


def test_the_logit_orders_what_the_probability_ties(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    rater: Any = load_rater(tiny_card("siglip-so400m", tmp_path))
    rater._bias = -400.0
    logits = rater.score(pictures, ["a cat"] * 3)[:, 0]
    assert len(set(logits.sigmoid().tolist())) == 1
    assert len(set(logits.tolist())) == 3


def test_the_tokenizer_of_siglip_2_is_read_from_its_file(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    """Saved as transformers' own class saves it, which puts small letters into the file."""
    transformers = import_transformers()
    letters = "abcdefghijklmnopqrstuvwxyz▁"
    words = {word: number for number, word in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *letters])}
    card = tiny_card("siglip2-so400m", tmp_path)
    transformers.Siglip2Tokenizer(vocab=words, merges=[]).save_pretrained(tmp_path / "model")
    rater: Any = load_rater(tiny_card_again(card))
    asked: list[Any] = []
    model = rater._towers._library._model
    features = model.get_text_features
    model.get_text_features = lambda input_ids: asked.append(input_ids) or features(input_ids=input_ids)
    rater.score(pictures[:1], ["A Cab"])
    ids = [words[letter] for letter in "a▁cab"]
    assert asked[0].tolist() == [[*ids, words["<eos>"], *[words["<pad>"]] * (CONTEXT - len(ids) - 1)]]


def tiny_card_again(card: Any) -> Any:
    """The card read anew, since the digest of its folder changed."""
    from curate.cards import load_card

    return load_card(card.where)


def test_pixels_are_those_of_the_original_processor(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    processors: Any = import_transformers()
    for name, resample in (("siglip-so400m", Image.Resampling.BICUBIC), ("siglip2-so400m", Image.Resampling.BILINEAR)):
        rater: Any = load_rater(tiny_card(name, tmp_path))
        processor = processors.SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE}, resample=resample)
        for picture in [*pictures, pictures[0][:233, :77]]:
            wanted = processor(Image.fromarray(picture), return_tensors="np")["pixel_values"][0]
            made = rater._normalise(rater._on_device(torch.from_numpy(np.stack([rater.preparations[0].make(picture)]))))[
                0
            ].numpy()
            np.testing.assert_allclose(made, wanted, atol=1e-6)


def test_half_precision_keeps_scale_and_bias(tmp_path: Path, pictures: list[np.ndarray], sample_item: Make) -> None:
    full: Any = load_rater(tiny_card("siglip-so400m", tmp_path))
    half: Any = load_rater(tiny_card("siglip-so400m", tmp_path, dtype="bfloat16"))
    assert (half._factor, half._bias) == (full._factor, full._bias)
    pairs = list(zip(pictures, PROMPTS, strict=True))
    values = [value.value for value in judge(half, sample_item, pairs)]
    assert values == pytest.approx([value.value for value in judge(full, sample_item, pairs)], abs=0.03 * full._factor)


def test_no_prompt_is_a_status(tmp_path: Path, pictures: list[np.ndarray], sample_item: Make) -> None:
    rater = load_rater(tiny_card("siglip-so400m", tmp_path), Settings(batch_size=2))
    values = judge(rater, sample_item, [(pictures[0], ""), (pictures[1], "a cat"), (pictures[2], "?!")])
    assert [value.status for value in values] == [Status.MISSING_PROMPT, Status.OK, Status.OK]


def test_a_tokenizer_without_its_marks_is_refused(tmp_path: Path) -> None:
    card = tiny_card("siglip-so400m", tmp_path)
    tokenizer = byte_tokenizer()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path / "model")
    with pytest.raises(WeightsError, match="names no end and padding token"):
        load_rater(tiny_card_again(card))


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    card = tiny_card("siglip-so400m", tmp_path)
    path = tmp_path / "model" / "model.safetensors"
    state = load_file(path)
    save_file({name: one for name, one in state.items() if name != "logit_bias"}, path, {"format": "pt"})
    with pytest.raises(WeightsError, match="logit_bias"):
        load_rater(tiny_card_again(card))
    save_siglip(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "model_type": "siglip2"}))
    with pytest.raises(WeightsError, match="'siglip2', not 'siglip'"):
        load_rater(tiny_card_again(card))
