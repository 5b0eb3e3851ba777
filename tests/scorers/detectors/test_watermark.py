"""LAION's watermark detector: its head written out, its names inside, its pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
data = pytest.importorskip("skimage.data")

from PIL import Image  # noqa: E402

from curate.cards import load_card  # noqa: E402
from curate.errors import WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.scorers.detectors.watermark import Watermark, watermark_network  # noqa: E402
from curate.scorers.libraries import import_open_clip  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [data.astronaut()[:256, 100:400], data.coffee()[100:, 200:500], data.chelsea()]


def test_it_is_the_probability_of_the_first_class_flipped(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    """The head over timm's own features; the class of watermarks comes first."""
    from safetensors.torch import load_file

    rater: Any = load_rater(tiny_card("laion-watermark", tmp_path))
    state = load_file(tmp_path / "watermark.safetensors")
    import_open_clip()
    import timm

    backbone = timm.create_model("test_efficientnet", pretrained=False, num_classes=0).eval()
    backbone.load_state_dict({name: one for name, one in state.items() if not name.startswith("classifier")})
    wanted = []
    for picture in pictures:
        pixels = torch.from_numpy(rater.preparations[0].make(picture)).movedim(-1, 0)[None].float() / 255
        mean, std = (torch.tensor(one).view(3, 1, 1) for one in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        with torch.no_grad():
            x = backbone((pixels - mean) / std)
        for number in (0, 3, 5):
            x = (x.relu() if number else x) @ state[f"classifier.{number}.weight"].T + state[f"classifier.{number}.bias"]
        powers = x[0].exp()
        wanted.append(-float(powers[0] / powers.sum()))
    assert np.ptp(wanted) > 1e-3
    assert rater.score(pictures)[:, 0].tolist() == pytest.approx(wanted, abs=1e-5)


def test_names_and_shapes_of_the_true_size() -> None:
    """Those of the original's code: the classifier of efficientnet_b3a, whose features are 1536."""
    state = watermark_network("efficientnet_b3").state_dict()
    head = {name: tuple(one.shape) for name, one in state.items() if name.startswith("classifier")}
    assert head == {
        "classifier.0.weight": (625, 1536),
        "classifier.0.bias": (625,),
        "classifier.3.weight": (256, 625),
        "classifier.3.bias": (256,),
        "classifier.5.weight": (2, 256),
        "classifier.5.bias": (2,),
    }
    assert state["conv_stem.weight"].shape == (40, 3, 3, 3)
    assert "blocks.6.1.bn3.running_var" in state


def test_pixels_are_those_of_the_original(pictures: list[np.ndarray]) -> None:
    import_open_clip()
    from torchvision import transforms

    from curate.scorers.arguments import arguments
    from curate.scorers.detectors.watermark import WatermarkArguments
    from curate.scorers.pixels import declared_preparation

    file = load_card("laion-watermark")
    make: Any = declared_preparation(arguments(file, WatermarkArguments).preprocess, where=file.where).make
    for picture in pictures:
        wanted = np.asarray(transforms.Resize((256, 256))(Image.fromarray(picture)))
        np.testing.assert_array_equal(make(picture), wanted)


def test_half_precision_is_near(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    full, half = (load_rater(tiny_card("laion-watermark", tmp_path, dtype=dtype)) for dtype in ("float32", "bfloat16"))
    assert isinstance(full, Watermark)
    assert isinstance(half, Watermark)
    np.testing.assert_allclose(half.score(pictures), full.score(pictures), atol=0.02)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    card = tiny_card("laion-watermark", tmp_path)
    state = load_file(tmp_path / "watermark.safetensors")
    save_file({name: one for name, one in state.items() if name != "bn1.running_mean"}, tmp_path / "watermark.safetensors")
    with pytest.raises(WeightsError, match=r"bn1\.running_mean"):
        load_rater(load_card(card.where))
