"""The raters of videos over a shard of videos, and what every differentiable scorer keeps to."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
av = pytest.importorskip("av")
data = pytest.importorskip("skimage.data")

import curate  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.records import Status  # noqa: E402
from curate.shards.video import Video  # noqa: E402
from curate.testing import write_shard  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402

NAMES = ["videoreward", "videoscore"]


@pytest.fixture(scope="module", params=NAMES)
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny_card(request.param, tmp_path_factory.mktemp(request.param))


def mp4(picture: np.ndarray, frames: int, rate: int = 8) -> bytes:
    """The picture, moving to the right."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = picture.shape[1], picture.shape[0], "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.roll(picture, 4 * number, axis=1)), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


def test_it_rates_a_shard_of_videos(file: Any, tmp_path: Path) -> None:
    pictures = [data.astronaut()[:96, 100:228], data.coffee()[100:196, 200:328], data.chelsea()[:128, :96]]
    records = [
        (f"{number:04d}", {"mp4": mp4(picture, 9 + 8 * number), "txt": f"video {number}".encode()})
        for number, picture in enumerate(pictures)
    ]
    write_shard(tmp_path / "made.tar", records)
    report = curate.rate([str(tmp_path / "made.tar")], raters=[file.where], store=tmp_path / "store", workers=0)
    assert report.statuses[file.card.name] == {Status.OK: 3}


def test_videoreward_is_given_the_frames_and_the_pixels_of_the_original(tmp_path: Path) -> None:
    """81 frames at 16 a second: ten of them, from the first to the last, as torchvision resizes them."""
    pytest.importorskip("torchvision")
    from torchvision.transforms.functional import InterpolationMode
    from torchvision.transforms.functional import resize as original

    file = tiny_card("videoreward", tmp_path)
    video = Video(mp4(data.astronaut()[:96, 100:228], 81, rate=16))
    assert file.card.frames is not None
    chosen = file.card.frames.choose(video.times, key="")
    assert chosen == [0, 9, 18, 27, 36, 44, 53, 62, 71, 80]
    rater: Any = load_rater(file)
    (preparation,) = rater.preparations
    for _, frame in video.frames(chosen[:3]):
        made = preparation.make(frame)
        wanted = original(torch.tensor(frame).permute(2, 0, 1), list(made.shape[:2]), InterpolationMode.BICUBIC, antialias=True)
        assert made.shape[:2] != frame.shape[:2]
        np.testing.assert_array_equal(made, wanted.permute(1, 2, 0).numpy())


def test_gradients_are_those_of_finite_differences(file: Any) -> None:
    rater: Any = load_rater(file)
    torch.manual_seed(0)
    frames = (0.05 + 0.9 * torch.rand(2, 4, 3, 56, 56)).requires_grad_()
    prompts = ["a red cat", "a cup of coffee"]
    (gradient,) = torch.autograd.grad(rater.score_tensor(frames, prompts).sum(), frames)
    step = 1e-2 * gradient / gradient.norm()
    with torch.no_grad():
        rise = rater.score_tensor(frames + step, prompts).sum() - rater.score_tensor(frames - step, prompts).sum()
    assert float(rise / 2) == pytest.approx(float(1e-2 * gradient.norm()), rel=0.05, abs=1e-6)


def test_twenty_steps_of_ascent_raise_the_score(file: Any) -> None:
    rater: Any = load_rater(file)
    torch.manual_seed(0)
    frames = torch.rand(1, 2, 3, 56, 56).requires_grad_()
    optimiser = torch.optim.Adam([frames], lr=0.01, maximize=True)
    before = rater.score_tensor(frames, ["a"]).detach()
    for _ in range(20):
        optimiser.zero_grad()
        rater.score_tensor(frames.clamp(0, 1), ["a"]).sum().backward()
        optimiser.step()
    assert (rater.score_tensor(frames.clamp(0, 1), ["a"]).detach() > before).all()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [((3.6757, 1.1646, 2.8105), (0.0, 0.0, 0.0, 0.0)), ((5.9233, -0.2165, 7.8347), (2.0, 1.0, -1.0, 2.0))],
)
def test_standardising_by_the_constants_of_the_card(raw: tuple[float, ...], expected: tuple[float, ...], tmp_path: Path) -> None:
    """Overall, visual quality, motion quality, text alignment."""
    rater: Any = load_rater(tiny_card("videoreward", tmp_path))
    made = dict(zip(rater.dimensions, rater._standardised(torch.tensor([raw]))[0].tolist(), strict=True))
    names = ("overall", "visual_quality", "motion_quality", "text_alignment")
    assert made == pytest.approx(dict(zip(names, expected, strict=True)), abs=1e-5)
