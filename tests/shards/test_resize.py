"""The geometry of the reference pipelines: sizes, rounding, crops and padding, to the bit."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curate.shards.resize import (
    Geometry,
    Mode,
    centre_crop,
    longest_size,
    pad_to_square,
    shortest_size,
)
from tests.media_corpus import scene


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 10_000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def clip_by_pillow(pixels: np.ndarray, size: int, crop: int) -> np.ndarray:
    """Resize(size, bicubic) and CenterCrop(crop), written out after torchvision's documentation."""
    image = Image.fromarray(pixels)
    short, long = sorted(image.size)
    scaled = size, int(size * long / short)
    width, height = scaled if image.width <= image.height else scaled[::-1]
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - crop) / 2.0), round((height - crop) / 2.0)
    return np.asarray(image.crop((left, top, left + crop, top + crop)))


@pytest.mark.parametrize(
    ("height", "width"), [(320, 200), (200, 320), (150, 224), (1, 1), (30, 4000), (224, 224), (225, 301), (31, 77)]
)
@pytest.mark.parametrize(("size", "crop"), [(224, 224), (256, 224), (225, 224)])
def test_the_shortest_side_and_a_centre_crop_are_torchvisions(height: int, width: int, size: int, crop: int) -> None:
    pixels = noise(height, width)
    made = Geometry(size=size, crop=crop)(pixels)
    assert np.array_equal(made, clip_by_pillow(pixels, size, crop))
    assert made.flags.c_contiguous


def test_the_longer_side_is_rounded_down() -> None:
    assert shortest_size(427, 640, 224) == (224, 335)  # 335.74
    assert shortest_size(640, 427, 224) == (335, 224)


def test_the_shorter_side_is_rounded_to_nearest_and_never_lost() -> None:
    assert longest_size(427, 640, 224) == (149, 224)  # 149.45
    assert longest_size(10, 4000, 224) == (1, 224)


@pytest.mark.parametrize(("margin", "rounded", "floored"), [(0, 0, 0), (1, 0, 0), (2, 1, 1), (3, 2, 1), (5, 2, 2), (7, 4, 3)])
def test_an_odd_margin_goes_to_the_even_offset_or_the_lower(margin: int, rounded: int, floored: int) -> None:
    """torchvision rounds 1.5 to 2 and 2.5 to 2; transformers takes the floor."""
    columns = np.tile(np.arange(10 + margin, dtype=np.uint8)[np.newaxis, :, np.newaxis], (10, 1, 3))
    assert centre_crop(columns, 10, "round")[0, 0, 0] == rounded
    assert centre_crop(columns, 10, "floor")[0, 0, 0] == floored


def test_with_floor_it_is_the_pillow_processor_of_transformers() -> None:
    """In a process of its own, where torchvision is hidden: not every machine has one that can be imported."""
    pytest.importorskip("transformers")
    program = """if True:
        import sys
        sys.modules["torchvision"] = None
        import numpy as np
        from PIL import Image
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
        from curate.shards.resize import Geometry
        mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
        rng = np.random.default_rng(3)
        for height, width in [(320, 200), (200, 321), (150, 224), (1, 1), (30, 1000), (427, 640), (131, 77)]:
            pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            ours = Geometry(size=224, rounding="floor")(pixels).transpose(2, 0, 1)
            image = Image.fromarray(pixels)
            bare = CLIPImageProcessorPil(do_rescale=False, do_normalize=False)(images=image, return_tensors="np")
            assert np.array_equal(bare["pixel_values"][0], ours), (height, width)
            processor = CLIPImageProcessorPil()
            theirs = processor(images=image, return_tensors="np")["pixel_values"][0]
            again = processor.normalize(processor.rescale(ours, 1 / 255), mean, std)
            assert np.array_equal(theirs, again), (height, width)
    """
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, cwd=root, timeout=100)


def test_squash_takes_all_of_the_picture() -> None:
    pixels = noise(100, 317)
    expected = np.asarray(Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC))
    assert np.array_equal(Geometry(size=64, mode="squash")(pixels), expected)


def test_the_longest_side_is_padded_on_both_sides_the_odd_row_below() -> None:
    made = Geometry(size=10, mode="longest", fill=(1, 2, 3))(np.full((5, 10, 3), 200, np.uint8))
    assert (made[:2] == (1, 2, 3)).all()
    assert (made[2:7] == 200).all()
    assert (made[7:] == (1, 2, 3)).all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="too few for a crop of 9"):
        centre_crop(noise(8, 20), 9)
    with pytest.raises(ValueError, match="too many for a square of 19"):
        pad_to_square(noise(8, 20), 19)


@pytest.mark.parametrize(
    ("settings_", "complaint"),
    [
        ({"size": 224, "mode": "fit"}, "'fit' is none of shortest, squash, longest"),
        ({"size": 224, "interpolation": "cubic"}, "'cubic' is none of nearest"),
        ({"size": 224, "rounding": "up"}, "'up' is none of round, floor"),
        ({"size": 224, "fill": (0, 0, 256)}, "three levels from 0 to 255"),
        ({"size": 224, "mode": "longest", "crop": 200}, "padded, not cropped"),
        ({"size": 224, "crop": 225}, "a crop of 225 does not fit"),
        ({"size": 0}, "does not fit"),
    ],
)
def test_a_geometry_that_cannot_be_is_refused(settings_: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Geometry(**settings_)  # type: ignore[arg-type]


GEOMETRIES = st.builds(
    lambda size, less, mode, interpolation, rounding: Geometry(
        size=size,
        mode=mode,
        crop=None if mode == "longest" else max(1, size - less),
        interpolation=interpolation,
        rounding=rounding,
    ),
    st.integers(1, 80),
    st.integers(0, 20),
    st.sampled_from(["shortest", "squash", "longest"]),
    st.sampled_from(["nearest", "box", "bilinear", "bicubic", "lanczos"]),
    st.sampled_from(["round", "floor"]),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(GEOMETRIES, st.integers(1, 120), st.integers(1, 120))
def test_any_picture_becomes_the_square_and_a_flat_one_stays_flat(geometry: Geometry, height: int, width: int) -> None:
    made = geometry(np.full((height, width, 3), (9, 100, 250), np.uint8))
    assert made.shape == (geometry.side, geometry.side, 3)
    assert made.dtype == np.uint8
    assert geometry.mode == "longest" or (made == (9, 100, 250)).all()


@pytest.mark.parametrize(
    "change", [{"size": 33}, {"mode": "squash"}, {"crop": 29}, {"interpolation": "bilinear"}, {"rounding": "floor"}], ids=str
)
def test_a_name_says_everything_that_changes_the_result(change: dict[str, object]) -> None:
    """Raters share what has the same name."""
    usual = Geometry(size=32, crop=30)
    changed = replace(usual, **change)  # type: ignore[arg-type]
    pixels = noise(61, 94)
    assert not np.array_equal(changed(pixels), usual(pixels))
    assert changed.name != usual.name


def test_the_name_of_a_padded_picture_says_its_colour() -> None:
    names = {Geometry(size=32, mode="longest", fill=fill).name for fill in ((0, 0, 0), (0, 0, 1), (255, 0, 0))}
    assert len(names) == 3


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
def test_a_geometry_crosses_processes(mode: Mode) -> None:
    geometry = Geometry(size=32, mode=mode)
    copy = pickle.loads(pickle.dumps(geometry))
    assert copy == geometry
    assert np.array_equal(copy(scene(50, 40)), geometry(scene(50, 40)))


def test_a_line_of_pixels_is_cropped_before_it_fills_memory() -> None:
    """1 x 32767 with its short side at 224 would be 1.6 billion pixels."""
    line = np.repeat(np.linspace(0, 255, 32_767).astype(np.uint8)[np.newaxis, :, np.newaxis], 3, axis=2)
    made = Geometry(size=224)(line)
    assert made.shape == (224, 224, 3)
    assert np.abs(made.astype(int) - 127).max() <= 1


def test_cropping_first_is_close_to_resizing_first(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = scene(900, 60)
    geometry = Geometry(size=64)
    usual = geometry(pixels).astype(int)
    monkeypatch.setattr("curate.shards.resize._MOST_RESIZED_PIXELS", 1)
    assert np.abs(geometry(pixels) - usual).max() <= 3
