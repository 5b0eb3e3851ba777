"""BLIP-2's two heads: parity with the original's computation written out, on tiny random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
data = pytest.importorskip("skimage.data")

from curate.errors import CardError, WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.scorers.passes import Inputs  # noqa: E402
from tests.scorers import blip_formula as formula  # noqa: E402
from tests.scorers.tiny.blip import HEADS, LAYERS, QUERIES, bert_tokenizer, blip2  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402

PROMPTS = ["a red cat", "A cup of coffee <image>, behind it", "a very long story about a dog " * 8]
CARDS = ("blip2-itm", "blip2-itc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("blip2")


@pytest.fixture(scope="module")
def raters(folder: Path) -> Iterator[dict[str, Any]]:
    raters = {name: load_rater(tiny_card(name, folder)) for name in CARDS}
    yield raters
    for rater in raters.values():
        rater.close()


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [data.astronaut()[:256, 100:400], data.coffee()[100:, 200:500], data.chelsea()]


def query_former(queries: torch.Tensor, words: torch.Tensor, picture: torch.Tensor, state: formula.State) -> torch.Tensor:
    """States of the queries, which read the picture in every other layer, and of the words; all attend to all."""
    x = formula.norm(torch.cat([queries, words]), state, "qformer.layernorm", 1e-12)
    count = len(queries)
    for layer in range(LAYERS):
        block = f"qformer.encoder.layer.{layer}"
        x = formula.cross_attention(x, x, state, f"{block}.attention", heads=HEADS, inner="attention")
        asked, read = x[:count], x[count:]
        if layer % 2 == 0 and count:
            asked = formula.cross_attention(asked, picture, state, f"{block}.crossattention", heads=HEADS, inner="attention")
        x = torch.cat([formula.feed_forward(asked, state, block, kind="_query"), formula.feed_forward(read, state, block)])
    return x


def expected(square: np.ndarray, prompt: str, state: formula.State) -> dict[str, float]:
    tower = formula.original_vision(formula.below(state, "vision_model."))
    # The blocks have an epsilon of 1e-6, the normalisation behind them torch's own 1e-5.
    picture = formula.vision(square, tower, heads=HEADS, epsilon=1e-6, last=1e-5)
    words = formula.embedded(bert_tokenizer()(prompt, truncation=True, max_length=32)["input_ids"], state)
    queries, nothing = state["query_tokens"][0], words[:0]
    together = query_former(queries, words, picture, state)[:QUERIES]
    apart = query_former(queries, nothing, picture, state)
    text = formula.linear(query_former(nothing, words, picture, state)[0], state, "text_projection")
    seen = formula.linear(apart, state, "vision_projection")
    return {
        "blip2-itm": float(formula.linear(together, state, "itm_head").mean(0).softmax(-1)[1]),
        "blip2-itc": float((seen @ text / seen.norm(dim=-1) / text.norm()).max()),
    }


@pytest.mark.parametrize("name", CARDS)
def test_it_follows_the_formula(name: str, raters: dict[str, Any], folder: Path, pictures: list[np.ndarray]) -> None:
    from safetensors.torch import load_file

    state = load_file(folder / "model" / "model.safetensors")
    squares = [raters[name].preparations[0].make(picture) for picture in pictures]
    wanted = [expected(square, prompt, state)[name] for square, prompt in zip(squares, PROMPTS, strict=True)]
    assert np.ptp(wanted) > 0.01, "the pairs differ enough for parity to mean something"
    assert raters[name].score(pictures, PROMPTS)[:, 0].tolist() == pytest.approx(wanted, abs=1e-5)


def test_the_last_normalisation_has_the_original_s_epsilon(raters: dict[str, Any]) -> None:
    """The conversion gives it that of the blocks; in scores of random weights the difference is too small to show."""
    tower = raters["blip2-itm"]._network._model.vision_model
    assert (tower.encoder.layers[0].layer_norm1.eps, tower.post_layernorm.eps) == (1e-6, 1e-5)


def test_the_two_heads_share_one_network_and_one_look_at_a_picture(
    raters: dict[str, Any], pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    matching, contrast = (raters[name] for name in CARDS)
    assert matching._network is contrast._network
    network = matching._network
    network.forget()
    looked, read = [], []
    look, embed = network._look, network._embed
    monkeypatch.setattr(network, "_look", lambda pixels: looked.append(len(pixels)) or look(pixels))
    monkeypatch.setattr(network, "_embed", lambda prompts: read.extend(prompts) or embed(prompts))
    for rater in (matching, contrast):
        rater.score(pictures, ["a cat", "a dog", "a cat"])
    assert looked == [3]
    assert read == ["a cat", "a dog"]


def test_a_cut_prompt_says_so(raters: dict[str, Any], pictures: list[np.ndarray]) -> None:
    for rater in raters.values():
        squares = np.stack([rater.preparations[0].make(picture) for picture in pictures])
        pixels = torch.from_numpy(squares).movedim(-1, 1) / 255
        notes = rater.forward(Inputs(pixels={"response": pixels}, prompts=PROMPTS)).notes
        assert notes == {2: "the prompt was cut to 32 tokens"}


def test_only_the_tower_is_in_half_precision(raters: dict[str, Any], tmp_path: Path, pictures: list[np.ndarray]) -> None:
    for name in CARDS:
        half: Any = load_rater(tiny_card(name, tmp_path, dtype="bfloat16"))
        assert half._network._model.query_tokens.dtype is torch.float32
        wanted = raters[name].score(pictures, PROMPTS)
        torch.testing.assert_close(half.score(pictures, PROMPTS), wanted, atol=0.05, rtol=0)


def test_a_network_that_reads_no_texts_is_refused(tmp_path: Path) -> None:
    card = tiny_card("blip2-itm", tmp_path)
    blip2(tmp_path, reads_texts=False)
    with pytest.raises(WeightsError, match="reads no texts"):
        load_rater(card)


def test_the_head_is_one_of_two(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="head"):
        load_rater(tiny_card("blip2-itm", tmp_path, head="itg"))
