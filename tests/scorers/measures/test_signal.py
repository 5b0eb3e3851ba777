"""The signal rater puts photographs and their degradations in order, and answers for every size."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from curate.cards import load_card
from curate.rater_loading import load_rater
from curate.raters import Item
from curate.scorers.measures.formulas import WHOLE, luma, measure
from curate.scorers.measures.signal import WEIGHTS, grades

skimage_data = pytest.importorskip("skimage.data")
sklearn_datasets = pytest.importorskip("sklearn.datasets")

Pixels = np.ndarray


def photo(name: str) -> Pixels:
    if name in {"china", "flower"}:
        return np.asarray(sklearn_datasets.load_sample_image(f"{name}.jpg"))
    pixels = getattr(skimage_data, name)()
    return np.stack([pixels] * 3, axis=-1) if pixels.ndim == 2 else pixels


def rounded(values: Pixels) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def blur(pixels: Pixels, sigma: float) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma)))


def noise(pixels: Pixels, sigma: float) -> Pixels:
    return rounded(pixels + np.random.default_rng(7).normal(0, sigma, pixels.shape))


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def darken(pixels: Pixels, gain: float) -> Pixels:
    return rounded(pixels * gain)


def overexpose(pixels: Pixels, share: float) -> Pixels:
    """Brightened until `share` of all values is blown out: the same gain would do nothing to a night scene."""
    return rounded(pixels * max(1.0, 250 / max(1.0, float(np.percentile(pixels, 100 - 100 * share)))))


def flatten(pixels: Pixels, contrast: float) -> Pixels:
    return rounded(pixels.mean() + (pixels - pixels.mean()) * contrast)


def shrink(pixels: Pixels, scale: float) -> Pixels:
    height, width = pixels.shape[:2]
    return np.asarray(Image.fromarray(pixels).resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC))


def upscale(pixels: Pixels, scale: float) -> Pixels:
    """Shrunk and brought back to size."""
    height, width = pixels.shape[:2]
    return np.asarray(Image.fromarray(shrink(pixels, scale)).resize((width, height), Image.Resampling.BICUBIC))


LADDER: dict[str, tuple[Callable[..., Pixels], tuple[float, float, float]]] = {
    "blur": (blur, (1, 2, 4)),
    "noise": (noise, (5, 15, 30)),
    "jpeg": (jpeg, (60, 30, 10)),
    "dark": (darken, (0.7, 0.45, 0.25)),
    "overexposed": (overexpose, (0.1, 0.3, 0.6)),
    "flat": (flatten, (0.7, 0.45, 0.25)),
    "small": (shrink, (0.7, 0.5, 0.25)),
    "upscaled": (upscale, (0.5, 0.3, 0.125)),
}
"""Families of degradations in three severities; equal severities of different families look about equally bad."""


def ladder(pixels: Pixels) -> dict[tuple[str, int], float]:
    """`overall` of the photograph (severity 0) and of each degradation of it."""
    found = {("original", 0): grades(pixels)["overall"]}
    for family, (degrade, strengths) in LADDER.items():
        for severity, strength in enumerate(strengths, start=1):
            found[family, severity] = grades(degrade(pixels, strength))["overall"]
    return found


def ordered(found: dict[tuple[str, int], float]) -> Iterator[tuple[str, str, bool]]:
    """For each pair of different severities: both families, and whether the less severe one is graded higher."""
    for (better, low), high_grade in found.items():
        for (worse, high), low_grade in found.items():
            if low < high:
                yield better, worse, high_grade > low_grade


TUNED_ON = ("astronaut", "chelsea", "coffee", "rocket", "camera")
HELD_OUT = ("china", "flower")


@pytest.fixture(scope="module", params=["tuned on", "held out"])
def verdicts(request: pytest.FixtureRequest) -> list[tuple[str, str, bool]]:
    names = TUNED_ON if request.param == "tuned on" else HELD_OUT
    return [verdict for name in names for verdict in ordered(ladder(photo(name)))]


def test_orders_the_severities_of_each_degradation(verdicts: list[tuple[str, str, bool]]) -> None:
    right = [ok for better, worse, ok in verdicts if better in {worse, "original"}]
    assert np.mean(right) >= 0.98


def test_orders_severities_across_different_degradations(verdicts: list[tuple[str, str, bool]]) -> None:
    assert np.mean([ok for _, _, ok in verdicts]) >= 0.97


@pytest.mark.parametrize(
    ("dimension", "family"),
    [
        ("sharpness", "blur"),
        ("sharpness", "upscaled"),
        ("noise", "noise"),
        ("blockiness", "jpeg"),
        ("exposure", "dark"),
        ("exposure", "overexposed"),
        ("contrast", "flat"),
        ("colourfulness", "flat"),
        ("resolution", "small"),
    ],
)
def test_each_dimension_falls_with_its_defect(dimension: str, family: str) -> None:
    degrade, strengths = LADDER[family]
    for name in ("coffee", "chelsea"):
        pixels = photo(name)
        falling = [grades(pixels)[dimension], *(grades(degrade(pixels, strength))[dimension] for strength in strengths)]
        assert falling == sorted(falling, reverse=True)
        assert falling[0] - falling[-1] > 0.1


def test_measures_are_in_their_units() -> None:
    grey = np.full((256, 256, 3), 120, dtype=np.uint8)
    # Equal noise on the three channels is noise on luma of the same size.
    same = np.repeat(np.random.default_rng(0).normal(0, 12, (256, 256, 1)), 3, axis=2)
    assert measure(rounded(grey + same)).noise == pytest.approx(12, rel=0.1)
    bars = grey.copy()
    bars[:, np.arange(256) // 41 % 2 == 1] = 200
    assert measure(bars).edge_width == pytest.approx(0, abs=0.1)
    assert measure(blur(bars, 2)).edge_width == pytest.approx(2, rel=0.1)
    assert measure(bars).brightness == pytest.approx(luma(bars).mean() / 255)
    assert measure(bars).clipped == 0
    assert measure(bars).side == 256


def test_blockiness_is_how_much_more_luma_bends_at_the_borders_of_blocks() -> None:
    # Inside blocks a ramp of 2 levels a pixel, across borders a step of 10: the bend is 8, and none elsewhere.
    line = np.cumsum(np.where(np.arange(64) % 8 == 0, 10, 2))
    blocky = np.broadcast_to((20 + line)[None, :, None], (64, 64, 3)).astype(np.uint8)
    across_only = 8 / 2  # down the picture nothing bends
    assert measure(blocky).blockiness == pytest.approx(across_only / 0.5, rel=1e-4)
    assert measure(blocky[:, 3:]).blockiness == 0, "the grid is looked for from the corner on"


def test_low_contrast_is_not_taken_for_blur_nor_noise_for_sharpness() -> None:
    pixels = photo("coffee")
    sharp = measure(pixels).edge_width
    assert measure(flatten(pixels, 0.25)).edge_width == pytest.approx(sharp, abs=0.1)
    assert measure(noise(blur(pixels, 2), 10)).edge_width > sharp + 0.7


def test_a_large_picture_is_graded_about_as_its_parts_are() -> None:
    """Tiles stand for the whole: a mosaic of one photograph has the photograph's fine structure."""
    part = photo("astronaut")
    mosaic = np.tile(part, (2, 2, 1))
    assert mosaic.shape[0] * mosaic.shape[1] > WHOLE >= part.shape[0] * part.shape[1]
    for name in ("sharpness", "noise", "blockiness", "exposure", "contrast"):
        assert grades(mosaic)[name] == pytest.approx(grades(part)[name], abs=0.1)


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), kind=st.sampled_from(["black", "white", "noise", "ramp"]))
def test_every_size_has_grades_between_0_and_1(height: int, width: int, kind: str) -> None:
    made = {
        "black": np.zeros((height, width, 3)),
        "white": np.full((height, width, 3), 255),
        "noise": np.random.default_rng(1).integers(0, 256, (height, width, 3)),
        "ramp": np.broadcast_to(np.linspace(0, 255, width)[None, :, None], (height, width, 3)),
    }[kind]
    found = grades(made.astype(np.uint8))
    assert set(found) == {*WEIGHTS, "colourfulness", "overall"}
    assert all(math.isfinite(value) and 0 <= value <= 1 for value in found.values())


@pytest.mark.parametrize("shape", [(1, 1), (1, 32767), (32767, 1), (13, 30000), (3000, 2000)])
def test_extreme_shapes(shape: tuple[int, int]) -> None:
    found = grades(np.random.default_rng(2).integers(0, 256, (*shape, 3), dtype=np.uint8))
    assert all(0 <= value <= 1 for value in found.values())


def test_the_card_loads_and_judges_in_a_worker(sample_item: Callable[..., Item]) -> None:
    rater = load_rater(load_card("signal"))
    assert rater.place == "worker"
    pixels = photo("coffee")
    (judgement,) = rater.judge([sample_item(number=3, pixels={"response": pixels})])
    assert judgement.item == 3
    assert {name: value.value for name, value in judgement.values.items()} == grades(pixels)


def test_needs_numpy_only() -> None:
    """Decode workers load this rater; none of them may have to load torch for it."""
    heavy = ("torch", "scipy", "PIL", "transformers")
    code = f"import sys, curate.scorers.measures.signal; print([m for m in {heavy} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert ran.stdout.strip() == "[]"
