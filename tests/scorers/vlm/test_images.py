"""Pictures for Qwen-VL: sizes, pixels and patches as the processors of the originals make them."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from PIL import Image  # noqa: E402

from curate.errors import CurateError  # noqa: E402
from curate.scorers.libraries import import_transformers  # noqa: E402
from curate.scorers.pixels import resize_fast  # noqa: E402
from curate.scorers.vlm.images import (  # noqa: E402
    AreaResize,
    is_unfit,
    patches,
    resize_rounded_once,
    smart_size,
    visual_tokens,
)

import_transformers()
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize  # noqa: E402

AREA = 256 * 28 * 28

sides = st.integers(28, 3000)


@given(height=sides, width=sides, least=st.integers(28 * 28, AREA), most=st.integers(AREA, 2 * AREA))
def test_sizes_are_those_of_the_processor(height: int, width: int, least: int, most: int) -> None:
    """From one token on: below, the processor rounds a side to nothing, which the originals' own copy does not."""
    if max(height, width) <= 200 * min(height, width):
        assert smart_size(height, width, min_pixels=least, max_pixels=most) == smart_resize(height, width, 28, least, most)


@given(height=st.integers(1, 5000), width=st.integers(1, 5000))
def test_sizes_are_multiples_near_the_area(height: int, width: int) -> None:
    if max(height, width) > 200 * min(height, width):
        with pytest.raises(ValueError, match="200 times"):
            smart_size(height, width, min_pixels=AREA, max_pixels=AREA)
        return
    tall, wide = smart_size(height, width, min_pixels=AREA, max_pixels=AREA)
    assert tall % 28 == wide % 28 == 0
    assert tall >= 28
    assert wide >= 28
    assert math.isclose(tall * wide, AREA, rel_tol=0.3) or min(tall, wide) <= 84


@pytest.mark.parametrize("shape", [(300, 500), (448, 448), (30, 61), (1200, 40)])
def test_pixels_are_pillows_and_the_processor_leaves_them(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    make = AreaResize(min_pixels=AREA, max_pixels=AREA)
    tall, wide = smart_size(*shape, min_pixels=AREA, max_pixels=AREA)
    wanted = np.asarray(Image.fromarray(pixels).resize((wide, tall), Image.Resampling.BICUBIC))
    made = make(pixels)
    np.testing.assert_array_equal(made, wanted)
    processor = Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 16384 * 28 * 28})
    out = processor(Image.fromarray(made), return_tensors="pt")
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (processor.image_mean, processor.image_std))
    ours, grid = patches(((torch.from_numpy(made).movedim(-1, 0) / 255 - mean) / std)[None, None])
    assert grid.tolist() == out["image_grid_thw"].tolist()
    torch.testing.assert_close(ours, out["pixel_values"], atol=1e-6, rtol=0)
    assert visual_tokens(tall, wide) == len(ours) / 4


def test_patches_of_a_video_are_laid_out_as_the_processor_does() -> None:
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    video = torch.randint(0, 256, (4, 3, 56, 84), dtype=torch.uint8)
    processor = Qwen2VLVideoProcessor(do_resize=False, do_sample_frames=False, cap_pixels_per_frame=False)
    out = processor([video], return_tensors="pt")
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (processor.image_mean, processor.image_std))
    ours, grid = patches(((video / 255 - mean) / std)[None])
    assert grid.tolist() == out["video_grid_thw"].tolist()
    torch.testing.assert_close(ours, out["pixel_values_videos"], atol=1e-6, rtol=0)


def test_the_last_frame_fills_an_odd_number() -> None:
    video = torch.rand(2, 3, 3, 28, 56)
    padded = torch.cat([video, video[:, -1:]], dim=1)
    assert torch.equal(patches(video)[0], patches(padded)[0])
    assert patches(video)[1].tolist() == [[2, 2, 4]] * 2
    assert visual_tokens(28, 56, frames=3) == 4


def test_a_line_of_pixels_is_set_aside() -> None:
    make = AreaResize(min_pixels=AREA, max_pixels=AREA)
    line = make(np.zeros((1, 4000, 3), dtype=np.uint8))
    assert line.shape == (1, 1, 3)
    assert is_unfit(torch.from_numpy(line).movedim(-1, 0))
    with pytest.raises(CurateError, match="takes no such picture"):
        make.on_tensor(torch.zeros(1, 3, 1, 4000))


def test_the_form_for_tensors_is_near_and_takes_any_leading_axes() -> None:
    make = AreaResize(min_pixels=AREA, max_pixels=AREA)
    smooth = np.asarray(Image.fromarray(np.random.default_rng(2).integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize((300, 200)))
    exact = torch.from_numpy(make(smooth)).movedim(-1, 0) / 255
    tensor = torch.from_numpy(smooth.copy()).movedim(-1, 0) / 255
    videos = make.on_tensor(tensor.expand(2, 3, -1, -1, -1))
    assert videos.shape[:2] == (2, 3)
    assert (videos[1, 2] - exact).abs().mean() < 1 / 255
    assert torch.equal(videos[0, 0], make.on_tensor(tensor[None])[0])


def test_names_say_what_is_made() -> None:
    names = {
        AreaResize(min_pixels=least, max_pixels=most, library=library).name
        for least, most in ((784, 784), (784, 3136), (3136, 3136))
        for library in ("pillow", "torchvision")
    }
    assert len(names) == 6


def keys_matrix(given: int, made: int) -> np.ndarray:
    """What each of `made` pixels in a line takes of `given`: Keys' cubic at -1/2, as wide as a pixel of the smaller line."""
    scale = given / made
    distance = np.abs(np.arange(given) + 0.5 - scale * (np.arange(made)[:, None] + 0.5)) / max(scale, 1.0)
    near, far = (1.5 * distance - 2.5) * distance**2 + 1, ((2.5 - 0.5 * distance) * distance - 4) * distance + 2
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)


FRAME_SIZES = [(56, 84), (308, 420), (28, 28), (140, 532)]


@pytest.mark.parametrize("size", FRAME_SIZES)
def test_frames_are_rounded_once(size: tuple[int, int]) -> None:
    """The kernel written out in float64: every pixel is the nearest to what it gives. Torch's own for 8 bits is not so near."""
    frame = np.random.default_rng(3).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    exact = np.einsum(
        "th,hwc,vw->tvc", keys_matrix(90, size[0]), frame.astype(np.float64), keys_matrix(160, size[1]), optimize=True
    )
    made = resize_rounded_once(frame, *size)
    assert made.dtype == np.uint8
    assert np.abs(made - exact.clip(0, 255)).max() < 0.505
    assert np.abs(resize_fast(frame, *size) - exact.clip(0, 255)).max() > 0.6


@pytest.mark.parametrize("size", FRAME_SIZES)
def test_frames_are_those_of_torchvision(size: tuple[int, int]) -> None:
    """To the bit, of a whole video at once, as decoders give it: frames, rows, columns, colours."""
    pytest.importorskip("torchvision")
    from torchvision.transforms.functional import InterpolationMode
    from torchvision.transforms.functional import resize as original

    video = np.random.default_rng(4).integers(0, 256, (3, 120, 200, 3), dtype=np.uint8)
    wanted = original(torch.tensor(video).permute(0, 3, 1, 2), list(size), InterpolationMode.BICUBIC, antialias=True)
    made = np.stack([resize_rounded_once(frame, *size) for frame in video])
    np.testing.assert_array_equal(made, wanted.permute(0, 2, 3, 1).numpy())


def test_videoreward_resizes_by_torchvision_to_the_size_of_its_card() -> None:
    frame = np.random.default_rng(5).integers(0, 256, (480, 832, 3), dtype=np.uint8)
    make = AreaResize(min_pixels=100_352, max_pixels=200_704, library="torchvision")
    tall, wide = smart_size(480, 832, min_pixels=100_352, max_pixels=200_704)
    np.testing.assert_array_equal(make(frame), resize_rounded_once(frame, tall, wide))
    np.testing.assert_array_equal(make(make(frame)), make(frame))
