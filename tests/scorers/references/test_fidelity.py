"""PSNR, SSIM and MS-SSIM: parity with scikit-image and with the formula written out, closed forms, and edges."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
data = pytest.importorskip("skimage.data")

import yaml  # noqa: E402
from scipy.ndimage import convolve  # noqa: E402
from skimage.metrics import peak_signal_noise_ratio, structural_similarity  # noqa: E402

from curate.cards import load_card, shipped_cards  # noqa: E402
from curate.errors import CurateError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.scorers.network import NetworkRater  # noqa: E402

GOLDEN = Path(__file__).parents[2] / "golden"
POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def shipped(name: str) -> NetworkRater:
    rater = load_rater(shipped_cards()[name])
    assert isinstance(rater, NetworkRater)
    return rater


@pytest.fixture(scope="module")
def pairs() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Noisy, flat, mirrored and unrelated, of odd sizes."""
    random = np.random.default_rng(3)
    coffee, chelsea = data.coffee()[:200, :181], data.chelsea()[:179, :233]
    noisy = (coffee + random.normal(0, 15, coffee.shape)).clip(0, 255).astype(np.uint8)
    flat = np.full_like(coffee, 128)
    return [coffee, coffee, chelsea, coffee], [noisy, flat, chelsea[:, ::-1], data.astronaut()[:200, :181]]


def luma(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float64) / 255 @ (0.299, 0.587, 0.114)


def test_ssim_is_scikit_images(pairs: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
    responses, references = pairs
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    wanted = [
        (
            structural_similarity(luma(one), luma(other), **settings),
            structural_similarity(one / 255, other / 255, channel_axis=-1, **settings),
        )
        for one, other in zip(responses, references, strict=True)
    ]
    np.testing.assert_allclose(shipped("ssim").score(responses, reference=references), wanted, atol=1e-6)


def test_psnr_is_scikit_images(pairs: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
    responses, references = pairs
    wanted = [
        (
            peak_signal_noise_ratio(luma(other), luma(one), data_range=1.0),
            peak_signal_noise_ratio(other, one, data_range=255),
        )
        for one, other in zip(responses, references, strict=True)
    ]
    np.testing.assert_allclose(shipped("psnr").score(responses, reference=references), wanted, atol=1e-4)


def multiscale(one: np.ndarray, other: np.ndarray) -> float:
    """The paper's formula on planes in [0, 1], by scipy."""
    line = np.exp(-(np.arange(-5, 6.0) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2

    def blurred(plane: np.ndarray) -> np.ndarray:
        return convolve(plane, window)[5:-5, 5:-5]

    product = 1.0
    for number, power in enumerate(POWERS):
        means, covariance = (blurred(one), blurred(other)), blurred(one * other) - blurred(one) * blurred(other)
        variances = [blurred(plane**2) - mean**2 for plane, mean in zip((one, other), means, strict=True)]
        alike = (2 * covariance + 0.03**2) / (sum(variances) + 0.03**2)
        if number == len(POWERS) - 1:
            alike *= (2 * means[0] * means[1] + 0.01**2) / (means[0] ** 2 + means[1] ** 2 + 0.01**2)
        product *= max(alike.mean(), 1e-10) ** power
        tall, wide = (side // 2 * 2 for side in one.shape)
        one, other = (plane[:tall, :wide].reshape(tall // 2, 2, wide // 2, 2).mean(axis=(1, 3)) for plane in (one, other))
    return product


def test_ms_ssim_is_the_formula(pairs: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
    responses, references = pairs
    wanted = [
        (
            multiscale(luma(one), luma(other)),
            np.mean([multiscale(one[..., channel] / 255, other[..., channel] / 255) for channel in range(3)]),
        )
        for one, other in zip(responses, references, strict=True)
    ]
    np.testing.assert_allclose(shipped("ms-ssim").score(responses, reference=references), wanted, atol=1e-6)


@pytest.mark.parametrize("name", ["psnr", "ssim", "ms-ssim"])
def test_closed_forms_of_flat_pictures(name: str) -> None:
    """Two grey pictures: what their brightness alone makes of each measure, by hand."""
    rater = shipped(name)
    for case in json.loads((GOLDEN / f"{name}.json").read_text())["head"]:
        response, reference = (np.full((180, 180, 3), case[role], dtype=np.uint8) for role in ("response", "reference"))
        found = rater.score([response], reference=[reference])
        np.testing.assert_allclose(found[0], [case["expected"]] * 2, atol=case["tolerance"])


def test_sizes() -> None:
    small, other = data.coffee()[:10, :50], data.coffee()[:11, :50]
    with pytest.raises(CurateError, match="50 x 10 pixels are too few: ssim needs 11"):
        shipped("ssim").score([small], reference=[small])
    with pytest.raises(CurateError, match="too few: ms-ssim needs 176"):
        shipped("ms-ssim").score([other], reference=[other])
    with pytest.raises(CurateError, match="50 x 10 pixels and its reference 50 x 11"):
        shipped("psnr").score([small], reference=[other])
    assert float(shipped("ssim").score([other], reference=[other])[0, 0]) == pytest.approx(1)


def test_the_dimensions_may_stand_in_any_order(tmp_path: Path) -> None:
    card = yaml.safe_load(Path(shipped_cards()["psnr"].where).read_text())
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({**card, "dimensions": {"rgb": {}}, "main": "rgb"}))
    own = load_rater(load_card(str(tmp_path / "own.yaml")))
    assert isinstance(own, NetworkRater)
    one, other = [data.coffee()[:50, :50]], [data.chelsea()[:50, :50]]
    assert float(own.score(one, reference=other)) == pytest.approx(float(shipped("psnr").score(one, reference=other)[0, 1]))
