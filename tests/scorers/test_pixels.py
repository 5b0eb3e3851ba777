"""The fast resize against Pillow's, and what cards may say of preprocessing."""

from __future__ import annotations

import pickle
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import skimage.data
import sklearn.datasets
import torch

from curate.errors import CardError
from curate.scorers import pixels as pixels_module
from curate.scorers.pixels import Resized, declared_preparation, fit_tensor, preparation, resize_fast
from curate.shards.media import decode_image
from curate.shards.resize import Geometry, resize
from tests.media_corpus import golden, scene

PHOTOS = [
    *sorted((Path(sklearn.datasets.__file__).parent / "images").glob("*.jpg")),
    *(Path(skimage.data.__file__).parent / name for name in ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")),
]


@pytest.fixture(scope="module")
def photographs() -> list[np.ndarray]:
    return [decode_image(path.read_bytes()).pixels for path in PHOTOS]


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry(size=224),
        Geometry(size=224, interpolation="bilinear"),
        Geometry(size=256, crop=224),
        Geometry(size=224, mode="squash"),
        Geometry(size=224, mode="longest"),
    ],
    ids=lambda geometry: geometry.steps,
)
def test_shrinking_photographs_is_within_one_level_of_pillow(geometry: Geometry, photographs: list[np.ndarray]) -> None:
    for pixels in photographs:
        apart = np.abs(Resized(geometry)(pixels).astype(int) - geometry(pixels))
        assert apart.max() <= 1
        assert apart.mean() < 0.01


@pytest.mark.parametrize("geometry", [Geometry(size=384), Geometry(size=384, mode="squash")], ids=lambda geometry: geometry.steps)
def test_enlarging_photographs_is_within_two_levels_of_pillow(geometry: Geometry, photographs: list[np.ndarray]) -> None:
    for pixels in photographs:
        apart = np.abs(Resized(geometry)(pixels).astype(int) - geometry(pixels))
        assert apart.max() <= 2
        assert apart.mean() < 0.02


@pytest.mark.parametrize("name", ["1 x 1", "4000 x 30", "224 x 150", "rgb portrait", "16-bit grey png"])
@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
def test_odd_shapes_are_within_two_levels_of_pillow(name: str, mode: str) -> None:
    pixels = decode_image(golden()[name].data).pixels
    geometry = Geometry(size=224, mode=mode)  # type: ignore[arg-type]
    made = Resized(geometry)(pixels)
    assert made.shape == (224, 224, 3)
    assert made.flags.c_contiguous
    assert np.abs(made.astype(int) - geometry(pixels)).max() <= 2


def test_memory_that_may_not_be_written_is_read_without_a_warning() -> None:
    """Decoders hand over views of shared memory; warnings are errors here."""
    pixels = scene(90, 60)
    pixels.flags.writeable = False
    assert np.array_equal(resize_fast(pixels, 20, 30), resize_fast(scene(90, 60), 20, 30))
    upside_down = scene(90, 60)[::-1]
    assert np.array_equal(resize_fast(upside_down, 20, 30), resize_fast(upside_down.copy(), 20, 30))
    assert np.abs(resize_fast(pixels, 20, 30).astype(int) - resize(pixels, 20, 30)).max() <= 1


def test_a_line_of_pixels_does_not_fill_memory() -> None:
    assert Resized(Geometry(size=224))(np.full((20_000, 1, 3), 77, np.uint8)).shape == (224, 224, 3)


# The tensor door.


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("shape", [(3, 400), (1, 60), (700, 40), (90, 131)], ids=str)
@pytest.mark.parametrize("geometry", [{"size": 32}, {"size": 48, "crop": 31, "rounding": "floor"}], ids=["shortest", "crop"])
def test_the_crop_alone_is_what_is_left_of_all_resized(
    geometry: dict[str, Any], shape: tuple[int, int], interpolation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its pixels and in their gradients, for shapes that memory allows both ways."""
    make = Geometry(**geometry, interpolation=interpolation)
    noise = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2  # nothing is cut to [0, 1]
    weights = torch.rand(2, 3, make.side, make.side, generator=torch.Generator().manual_seed(1))
    found = []
    for most in (10**9, 0):
        monkeypatch.setattr(pixels_module, "_MOST_TIMES_KEPT", most)
        given = noise.clone().requires_grad_()
        made = fit_tensor(make, given)
        found.append((made.detach(), *torch.autograd.grad((made * weights).sum(), given)))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-4, rtol=0)
    torch.testing.assert_close(found[0][1], found[1][1], atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("shape", [(1, 100_000), (100_000, 1), (2, 60_000)], ids=str)
def test_a_line_of_pixels_does_not_fill_memory_at_the_tensor_door(shape: tuple[int, int]) -> None:
    """Resized whole, the first would be 60 GB; and it shows what the door for pictures shows."""
    line = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made = fit_tensor(Geometry(size=224), torch.from_numpy(line).movedim(-1, 0)[None].float() / 255)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < 64 * 1024, "KB"
    wanted = Geometry(size=224)(line)
    assert (255 * made[0].movedim(0, -1) - torch.from_numpy(wanted)).abs().max() <= 3


def test_it_crosses_processes_and_says_whose_it_is() -> None:
    fast = Resized(Geometry(size=32))
    copy = pickle.loads(pickle.dumps(fast))
    assert copy == fast
    assert np.array_equal(copy(scene(50, 40)), fast(scene(50, 40)))
    assert fast.name != fast.geometry.name


def test_it_refuses_what_torch_does_not_antialias() -> None:
    with pytest.raises(ValueError, match="not lanczos: use the backend pillow"):
        Resized(Geometry(size=32, interpolation="lanczos"))


@pytest.mark.parametrize("backend", ["pillow", "fast"])
def test_a_card_decides_geometry_and_backend(backend: str) -> None:
    declared = declared_preparation(
        {"size": 32, "mode": "longest", "fill": [9, 9, 9], "backend": backend}, where="my card", role="source"
    )
    expected = preparation(Geometry(size=32, mode="longest", fill=(9, 9, 9)), backend=backend, role="source")  # type: ignore[arg-type]
    assert declared == expected
    assert declared.name.startswith("torch" if backend == "fast" else "pillow")
    assert (declared.make(scene(64, 32))[0] == 9).all()


def test_pillow_is_what_a_card_gets_that_does_not_say() -> None:
    assert declared_preparation({"size": 32}, where="my card").make == Geometry(size=32)


@pytest.mark.parametrize(
    ("preprocess", "complaint"),
    [
        ({"size": 224, "interpolaton": "bicubic"}, "no field 'interpolaton'. Did you mean 'interpolation'"),
        ({"size": 224, "backend": "torch"}, "pillow or fast or tensor, not 'torch'"),
        ({"size": 224, "backend": "tensor", "antialias": False}, "squashed or padded, not cropped"),
        ({"size": 224, "antialias": False}, "the backend pillow always antialiases"),
        ({"size": 224, "backend": "tensor", "antialias": "no"}, "true or false, not 'no'"),
        ({"size": 224, "backend": "tensor", "interpolation": "lanczos"}, "bilinear or bicubic, not lanczos"),
        ({"size": 224, "backend": "fast", "interpolation": "lanczos"}, "bilinear or bicubic, not lanczos"),
        ({"size": "224"}, "does not hold together"),
        ({"size": 224, "fill": 0}, "does not hold together"),
        ({}, "does not hold together"),
    ],
)
def test_a_card_that_cannot_be_read_is_one_sentence(preprocess: dict[str, object], complaint: str) -> None:
    with pytest.raises(CardError, match=complaint) as caught:
        declared_preparation(preprocess, where="my card")
    assert str(caught.value).startswith("my card")
