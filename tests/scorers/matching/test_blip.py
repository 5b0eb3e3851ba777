"""BLIP's image-text matching: parity with the original's computation written out, on tiny random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
data = pytest.importorskip("skimage.data")

from curate.errors import WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.scorers.libraries import import_transformers  # noqa: E402
from tests.scorers import blip_formula as formula  # noqa: E402
from tests.scorers.tiny.blip import HEADS, bert_tokenizer  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402

PROMPTS = ["a red cat", "A cup of coffee, and an astronaut behind it", "a very long story about a dog " * 8]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("blip")


@pytest.fixture(scope="module")
def rater(folder: Path) -> Iterator[Any]:
    rater = load_rater(tiny_card("blip-itm", folder))
    yield rater
    rater.close()


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [data.astronaut()[:256, 100:400], data.coffee()[100:, 200:500], data.chelsea()]


def expected(square: np.ndarray, prompt: str, state: formula.State) -> float:
    ids = bert_tokenizer()(prompt, truncation=True, max_length=35)["input_ids"]
    picture = formula.vision(square, formula.original_vision(formula.below(state, "vision_model.")), heads=HEADS)
    read = formula.text(ids, picture, formula.below(state, "text_encoder."), heads=HEADS)
    return float(formula.linear(read[0], state, "itm_head").softmax(-1)[1])


def test_it_follows_the_formula(rater: Any, folder: Path, pictures: list[np.ndarray]) -> None:
    from safetensors.torch import load_file

    state = load_file(folder / "model" / "model.safetensors")
    squares = [rater.preparations[0].make(picture) for picture in pictures]
    wanted = [expected(square, prompt, state) for square, prompt in zip(squares, PROMPTS, strict=True)]
    assert np.ptp(wanted) > 0.02, "the pairs differ enough for parity to mean something"
    assert rater.score(pictures, PROMPTS)[:, 0].tolist() == pytest.approx(wanted, abs=1e-5)


def test_it_agrees_with_the_model_of_transformers_but_for_the_epsilon(
    rater: Any, folder: Path, pictures: list[np.ndarray]
) -> None:
    transformers = import_transformers()
    model = transformers.BlipForImageTextRetrieval.from_pretrained(str(folder / "model")).eval()
    made = np.stack([rater.preparations[0].make(picture) for picture in pictures])
    pixels = rater._normalise(rater._on_device(torch.from_numpy(made)))
    tokens = bert_tokenizer()(PROMPTS, padding=True, truncation=True, max_length=35, return_tensors="pt")

    def matches() -> torch.Tensor:
        with torch.no_grad():
            scores: torch.Tensor = model(tokens["input_ids"], pixels, attention_mask=tokens["attention_mask"]).itm_score
            return scores.softmax(-1)[:, 1]

    ours = rater.score(pictures, PROMPTS)[:, 0]
    assert model.vision_model.post_layernorm.eps == 1e-5
    assert float((matches() - ours).abs().max()) > 1e-5, "the config's epsilon makes other numbers"
    for module in model.vision_model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-6
    torch.testing.assert_close(matches(), ours, atol=1e-6, rtol=0)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    card = tiny_card("blip-itm", tmp_path)
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text().replace('"model_type": "blip",', '"model_type": "clip",'))
    with pytest.raises(WeightsError, match="a model of the type 'clip', not 'blip'"):
        load_rater(card)
