"""The reward of a head on frozen features: parity with the formula, and a draw of patches that does not wander."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
data = pytest.importorskip("skimage.data")

from safetensors.torch import load_file, save_file  # noqa: E402

from curate.cards import load_card  # noqa: E402
from curate.errors import WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.scorers.references.deep_feature import DeepFeature  # noqa: E402
from curate.scorers.references.encoders import IMAGENET_MEAN, IMAGENET_STD  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402
from tests.scorers.vit_formula import State, linear, tokens_of  # noqa: E402

SIDE, PATCHES = 56, 6
PICTURES = [data.coffee()[:100, :90], data.chelsea()[:80], data.coffee()[:100, :90]]


def rater_of(folder: Path, **args: object) -> DeepFeature:
    rater = load_rater(tiny_card("deep-feature", folder, **args))
    assert isinstance(rater, DeepFeature)
    return rater


def formula(picture: np.ndarray, folder: Path, drawn: list[int]) -> float:
    pixels = torch.from_numpy(picture.copy()).movedim(-1, 0)[None].float() / 255
    pixels = torch.nn.functional.interpolate(pixels, (SIDE, SIDE), mode="bicubic", align_corners=False)[0]
    pixels = (pixels - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[:, None, None]
    tokens = tokens_of(pixels, load_file(folder / "model" / "model.safetensors"), heads=4)
    head = load_file(folder / "head.safetensors")
    whole = judged(tokens[0], head)
    return 0.7 * whole + 0.3 * float(np.mean([judged(tokens[1 + place], head) for place in drawn]))


def judged(token: torch.Tensor, head: State) -> float:
    hidden = linear(token / token.norm(), head, "layers.0")
    return float(linear(hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5)), head, "layers.2"))


@pytest.mark.parametrize("seed", [0, 7])
def test_it_is_the_weighted_sum_of_the_head(seed: int, tmp_path: Path) -> None:
    found = rater_of(tmp_path, seed=seed).score(PICTURES)
    drawn = torch.randint(0, 16, (PATCHES,), generator=torch.Generator().manual_seed(seed)).tolist()
    np.testing.assert_allclose(found[:, 0], [formula(one, tmp_path, drawn) for one in PICTURES], atol=1e-5)


def test_a_picture_gets_the_same_number_wherever_it_stands(tmp_path: Path) -> None:
    rater = rater_of(tmp_path)
    found = rater.score(PICTURES)[:, 0]
    assert float(found[0]) == pytest.approx(float(found[2]), abs=1e-6)
    np.testing.assert_allclose(rater.score(PICTURES[::-1])[:, 0], found.flip(0), atol=1e-6)


def test_a_picture_has_no_more_patches_than_it_has(tmp_path: Path) -> None:
    rater = rater_of(tmp_path, patches=64)
    drawn = torch.randint(0, 16, (16,), generator=torch.Generator().manual_seed(0)).tolist()
    assert float(rater.score(PICTURES[:1])) == pytest.approx(formula(PICTURES[0], tmp_path, drawn), abs=1e-5)


def test_a_head_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tiny_card("deep-feature", tmp_path)
    state = load_file(tmp_path / "head.safetensors")
    save_file({key: value for key, value in state.items() if key != "layers.2.bias"}, tmp_path / "head.safetensors")
    with pytest.raises(WeightsError, match=r"weights\.head do not fit the architecture: layers\.2\.bias"):
        load_rater(load_card(file.where))
    save_file({"weight": torch.zeros(1)}, tmp_path / "head.safetensors")
    with pytest.raises(WeightsError, match="no head of Adv-GRPO's"):
        load_rater(load_card(file.where))
