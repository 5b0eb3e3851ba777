"""LPIPS and DISTS: parity with their packages, whose learned weights are the real ones; sizes; what is refused."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
data = pytest.importorskip("skimage.data")

import yaml  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from curate.cards import CardFile, load_card, shipped_cards  # noqa: E402
from curate.errors import CurateError, WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.scorers.libraries import import_transformers  # noqa: E402
from curate.scorers.network import NetworkRater  # noqa: E402
from curate.scorers.pickles import converted_path  # noqa: E402
from curate.weights import weights_file  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402
from tests.scorers.tiny.reference import ALEXNET_CONVOLUTIONS, VGG16_CONVOLUTIONS, convolutions  # noqa: E402

TRUE_WIDTHS = {
    "alexnet": (64, 192, 384, 256, 256),
    "vgg16": (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512),
}
KERNELS = {"alexnet": ALEXNET_CONVOLUTIONS, "vgg16": VGG16_CONVOLUTIONS}


@pytest.fixture(scope="module")
def pairs() -> tuple[list[np.ndarray], list[np.ndarray]]:
    responses = [data.coffee()[:96, :120], data.chelsea()[:96, :120], data.astronaut()[:70, 100:170]]
    noise = np.random.default_rng(1).normal(0, 20, responses[0].shape)
    noisy = (responses[0] + noise).clip(0, 255).astype(np.uint8)
    return responses, [noisy, responses[1][:, ::-1], data.coffee()[:70, 100:170]]


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random convolutions of the true widths."""
    folder = tmp_path_factory.mktemp("backbones")
    for name, widths in TRUE_WIDTHS.items():
        save_file(convolutions(KERNELS[name], widths), folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in TRUE_WIDTHS}


def with_real_weights(
    name: str, role: str, backbone: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[NetworkRater, Path]:
    """The shipped card over a backbone of ours, and the package's own pickle, which was converted as `convert` does."""
    monkeypatch.setenv("CURATE_CACHE", str(folder))
    shipped = shipped_cards()[name]
    original = weights_file(shipped, role)
    target = converted_path(original)
    target.parent.mkdir(parents=True)
    save_file(torch.load(original, weights_only=True, map_location="cpu"), target)
    card = yaml.safe_load(Path(shipped.where).read_text())
    card["weights"]["backbone"] = {"path": str(backbone)}
    (folder / "own.yaml").write_text(yaml.safe_dump(card))
    rater = load_rater(load_card(str(folder / "own.yaml")))
    assert isinstance(rater, NetworkRater)
    return rater, original


def convolutions_of(backbone: str) -> Callable[..., Any]:
    """In place of torchvision's constructor, which downloads weights or draws a hundred million numbers for layers not used."""
    import_transformers()  # makes torchvision fit to be imported beside any torch
    from torchvision import models

    build = getattr(models, backbone)

    def only_convolutions(pretrained: bool) -> Any:
        del pretrained
        with torch.device("meta"):
            network = build(weights=None)
        network.features.to_empty(device="cpu")
        return network

    return only_convolutions


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.copy()).movedim(-1, 0)[None].float() / 255


@pytest.mark.parametrize(("name", "net", "backbone"), [("lpips-alex", "alex", "alexnet"), ("lpips-vgg", "vgg", "vgg16")])
def test_lpips_is_the_package(
    name: str,
    net: str,
    backbone: str,
    backbones: dict[str, Path],
    pairs: tuple[list[np.ndarray], list[np.ndarray]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if find_spec("lpips") is None:
        pytest.skip("needs lpips")
    rater, heads = with_real_weights(name, "heads", backbones[backbone], tmp_path, monkeypatch)
    only_convolutions = convolutions_of(backbone)
    import lpips

    monkeypatch.setattr(lpips.pn.tv, backbone, only_convolutions)
    state = load_file(backbones[backbone])
    original = lpips.LPIPS(net=net, pnet_rand=True, model_path=str(heads), verbose=False)
    convolution = {key.removeprefix("features."): value for key, value in state.items() if key.startswith("features.")}
    for part in (original.net.slice1, original.net.slice2, original.net.slice3, original.net.slice4, original.net.slice5):
        part.load_state_dict({key: convolution.pop(key) for key in part.state_dict()})
    assert not convolution
    with torch.no_grad():
        wanted = [float(original(tensor(one), tensor(other), normalize=True)) for one, other in zip(*pairs, strict=True)]
    responses, references = pairs
    found = rater.score(responses, reference=references)
    np.testing.assert_allclose(-found[:, 0], wanted, atol=1e-5, rtol=1e-5)
    assert min(wanted) > 1e-3


def test_dists_is_the_package(
    backbones: dict[str, Path],
    pairs: tuple[list[np.ndarray], list[np.ndarray]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if find_spec("DISTS_pytorch") is None:
        pytest.skip("needs DISTS-pytorch")
    rater, channels = with_real_weights("dists", "channels", backbones["vgg16"], tmp_path, monkeypatch)
    only_convolutions = convolutions_of("vgg16")
    from DISTS_pytorch import DISTS_pt

    monkeypatch.setattr(DISTS_pt.models, "vgg16", only_convolutions)
    original = DISTS_pt.DISTS(load_weights=False)
    state = {key: value for key, value in load_file(backbones["vgg16"]).items() if key.startswith("features.")}
    stages = {f"stage{number}" for number in range(1, 6)}
    for key in original.state_dict():
        stage, *rest = key.split(".")
        if stage in stages and not key.endswith("filter"):
            original.get_parameter(key).data = state.pop(f"features.{'.'.join(rest)}")
    assert not state
    for key, value in torch.load(channels, weights_only=True, map_location="cpu").items():
        original.get_parameter(key).data = value
    with torch.no_grad():
        wanted = [float(original(tensor(one), tensor(other))) for one, other in zip(*pairs, strict=True)]
    responses, references = pairs
    found = rater.score(responses, reference=references)
    np.testing.assert_allclose(-found[:, 0], wanted, atol=1e-5)
    assert min(wanted) > 1e-3


@pytest.fixture(scope="module", params=["lpips-alex", "lpips-vgg", "dists"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CardFile:
    return tiny_card(request.param, tmp_path_factory.mktemp(request.param))


def rater_of(file: CardFile) -> NetworkRater:
    rater = load_rater(file)
    assert isinstance(rater, NetworkRater)
    return rater


def test_equal_pictures_are_at_zero_and_the_order_does_not_matter(
    tiny: CardFile, pairs: tuple[list[np.ndarray], list[np.ndarray]]
) -> None:
    rater = rater_of(tiny)
    responses, references = pairs
    np.testing.assert_allclose(rater.score(responses, reference=responses), 0, atol=1e-6)
    forth, back = rater.score(responses, reference=references), rater.score(references, reference=responses)
    np.testing.assert_allclose(forth, back, atol=1e-6)
    assert (forth < 0).all(), "larger is more alike, and nothing is more alike than equal"


def test_gradients_are_finite_where_nothing_is_seen(tiny: CardFile) -> None:
    """Black and flat pictures: zeros behind every ReLU, where a root has no gradient."""
    pixels = torch.zeros(1, 3, 64, 64, requires_grad=True)
    rater_of(tiny).score_tensor(pixels, reference=torch.full((1, 3, 64, 64), 0.5)).sum().backward()
    assert pixels.grad is not None
    assert pixels.grad.isfinite().all()


def test_pictures_of_two_sizes_have_no_value_unless_brought_to_one(tiny: CardFile, tmp_path: Path) -> None:
    wide, tall = data.coffee()[:64, :90], data.chelsea()[:90, :64]
    with pytest.raises(CurateError, match="not_applicable, the picture has 90 x 64 pixels and its reference 64 x 90"):
        rater_of(tiny).score([wide], reference=[tall])
    card = yaml.safe_load(Path(tiny.where).read_text())
    card["args"]["preprocess"] = {"size": 64, "mode": "squash"}
    card["weights"] = {role: {"path": str(Path(tiny.where).parent / one["path"])} for role, one in card["weights"].items()}
    (tmp_path / "squash.yaml").write_text(yaml.safe_dump(card))
    assert rater_of(load_card(str(tmp_path / "squash.yaml"))).score([wide], reference=[tall]).isfinite().all()


def test_too_small_a_picture_has_no_value(tmp_path: Path) -> None:
    rater = rater_of(tiny_card("lpips-alex", tmp_path))
    dot = data.coffee()[:30, :64]
    with pytest.raises(CurateError, match="64 x 30 pixels are too few: lpips-alex needs 31"):
        rater.score([dot], reference=[dot])
    assert rater.score([data.coffee()[:31, :31]], reference=[data.chelsea()[:31, :31]]).isfinite().all()


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"features.0.weight": None}, "4 convolutions, which is another network"),
        ({"features.3.bias": None}, r"do not fit the architecture: features\.3\.bias"),
        ({"features.12.extra": torch.zeros(1)}, r"do not fit the architecture: features\.12\.extra"),
    ],
)
def test_a_backbone_that_does_not_fit_is_refused(broken: dict[str, torch.Tensor | None], says: str, tmp_path: Path) -> None:
    file = tiny_card("lpips-alex", tmp_path)
    state = {**load_file(tmp_path / "backbone.safetensors"), **broken}
    save_file({key: value for key, value in state.items() if value is not None}, tmp_path / "backbone.safetensors")
    with pytest.raises(WeightsError, match=says):
        load_rater(load_card(file.where))


def test_heads_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    file = tiny_card("lpips-alex", tmp_path)
    save_file({"lin0.model.1.weight": torch.zeros(1, 8, 1, 1)}, tmp_path / "heads.safetensors")
    with pytest.raises(WeightsError, match="does not hold lin0"):
        load_rater(load_card(file.where))
    file = tiny_card("dists", tmp_path)
    save_file({"alpha": torch.zeros(1, 71, 1, 1)}, tmp_path / "channels.safetensors")
    with pytest.raises(WeightsError, match="alpha and beta"):
        load_rater(load_card(file.where))
