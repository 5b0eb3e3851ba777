"""The adapter to pyiqa: its rules on a stand-in with the same interface, its fit to the real package where that is installed."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
data = pytest.importorskip("skimage.data")

from curate.cards import CardFile, load_card  # noqa: E402
from curate.errors import CardError, MissingExtra, WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.rater_settings import Settings  # noqa: E402
from curate.scorers.adapters import iqa  # noqa: E402

CARDS = ("musiq", "topiq-nr", "clipiqa")


class Metric(torch.nn.Module):
    """What `pyiqa.create_metric` gives: called with pixels in [0, 1], one value a picture."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        super().__init__()
        self.metric_mode = "FR" if name == "psnr" else "NR"
        self.lower_better = name == "niqe"
        self.weight = torch.nn.Parameter(torch.tensor(2.0))
        path = options.get("pretrained_model_path")
        if path is not None:
            self.load_state_dict(torch.load(path, weights_only=False))

    def forward(self, target: torch.Tensor, reference: torch.Tensor | None = None) -> torch.Tensor:
        other = 0 if reference is None else reference
        return self.weight * ((target - other) ** 2).mean(dim=(1, 2, 3))[:, None]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = ModuleType("pyiqa")

    def create_metric(name: str, *, as_loss: bool, loss_reduction: str, device: torch.device, **options: Any) -> Metric:
        assert as_loss, "else pyiqa passes no gradients"
        assert loss_reduction == "none", "else it gives one value for a batch"
        return Metric(name, options).to(device)

    module.create_metric = create_metric  # type: ignore[attr-defined]
    module.list_models = lambda: ["musiq", "niqe", "psnr"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyiqa", module)
    iqa._tell_licence.cache_clear()
    yield
    iqa._tell_licence.cache_clear()


def card(folder: Path, *, metric: str = "musiq", **fields: Any) -> CardFile:
    args = {"metric": metric, **fields.pop("args", {})}
    whole = {"name": "tried", "version": 1, "about": "tried", "target": "curate.scorers.adapters.iqa:Pyiqa", "args": args}
    whole |= {"dimensions": {"quality": {}}, "main": "quality", "extra": "all", "commercial": False, **fields}
    path = folder / "tried.yaml"
    path.write_text(yaml.safe_dump(whole))
    return load_card(str(path))


@pytest.mark.usefixtures("stand_in")
def test_values_and_gradients_pass_through_both_doors(tmp_path: Path) -> None:
    rater = load_rater(card(tmp_path))
    assert isinstance(rater, iqa.Pyiqa)
    pictures = [data.chelsea(), data.astronaut()[:300, :451]]
    wanted = [2 * ((picture / 255) ** 2).mean() for picture in pictures]
    assert rater.score(pictures)[:, 0].tolist() == pytest.approx(wanted, abs=1e-6)
    pixels = torch.rand(2, 3, 9, 7, requires_grad=True)
    rater.score_tensor(pixels).sum().backward()
    assert pixels.grad is not None
    torch.testing.assert_close(pixels.grad, 4 * pixels.detach() / (3 * 9 * 7))


@pytest.mark.usefixtures("stand_in")
def test_a_metric_with_a_reference_takes_one_condition(tmp_path: Path) -> None:
    takes = {"conditions": ["reference"]}
    rater = load_rater(card(tmp_path, metric="psnr", takes=takes))
    assert isinstance(rater, iqa.Pyiqa)
    picture = data.chelsea()
    scores = rater.score([picture, picture], reference=[picture, picture[::-1]])
    assert float(scores[0]) == 0
    assert float(scores[1]) > 0
    with pytest.raises(CardError, match="one condition"):
        load_rater(card(tmp_path, metric="psnr"))
    with pytest.raises(CardError, match="no condition"):
        load_rater(card(tmp_path, takes=takes))
    with pytest.raises(CardError, match="at most"):
        load_rater(card(tmp_path, metric="psnr", takes={"conditions": ["reference", "source"]}))


@pytest.mark.usefixtures("stand_in")
def test_the_direction_has_to_be_the_metric_s_own(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="set higher_is_better to false"):
        load_rater(card(tmp_path, metric="niqe"))
    rater = load_rater(card(tmp_path, metric="niqe", higher_is_better=False))
    assert isinstance(rater, iqa.Pyiqa)
    assert float(rater.score([data.chelsea()])) < 0, "larger is better, whatever the metric's direction"
    with pytest.raises(CardError, match="set higher_is_better to true"):
        load_rater(card(tmp_path, higher_is_better=False))


@pytest.mark.usefixtures("stand_in")
def test_an_unknown_metric_and_an_option_given_twice_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="pyiqa has no metric 'musik'"):
        load_rater(card(tmp_path, metric="musik"))
    twice = {"weights_option": "pretrained_model_path", "options": {"pretrained_model_path": "x"}}
    with pytest.raises(CardError, match="given by weights_option and by options"):
        load_rater(card(tmp_path, args=twice))


@pytest.mark.usefixtures("stand_in")
def test_offline_it_takes_only_weights_that_the_card_names(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="this run is offline"):
        load_rater(card(tmp_path), Settings(offline=True))
    torch.save({"weight": torch.tensor(5.0)}, tmp_path / "own.pth")
    named = card(tmp_path, args={"weights_option": "pretrained_model_path"}, weights={"model": {"path": "own.pth"}})
    rater = load_rater(named, Settings(offline=True))
    assert isinstance(rater, iqa.Pyiqa)
    assert float(rater.score([np.full((4, 4, 3), 255, dtype=np.uint8)])) == pytest.approx(5)


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("harm",))


@pytest.mark.usefixtures("stand_in")
def test_a_checkpoint_runs_no_code_even_where_pyiqa_would_let_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Harmful()}, tmp_path / "harmful.pth")
    named = card(tmp_path, args={"weights_option": "pretrained_model_path"}, weights={"model": {"path": "harmful.pth"}})
    with pytest.raises(WeightsError, match="cannot load 'musiq'"):
        load_rater(named)
    assert not (tmp_path / "harm").exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ, "and what others load is their own affair"


@pytest.mark.usefixtures("stand_in")
def test_the_licence_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            load_rater(card(tmp_path))
    assert sum("PolyForm Noncommercial" in record.message for record in caplog.records) == 1


def test_the_cards_forbid_commercial_use_and_name_an_extra() -> None:
    for name in CARDS:
        found = load_card(name).card
        assert found.commercial is False
        assert found.extra == "iqa"


@pytest.mark.skipif(find_spec("pyiqa") is not None, reason="pyiqa is installed")
def test_without_pyiqa_it_is_one_sentence_with_the_extra() -> None:
    with pytest.raises(MissingExtra, match=r"\[iqa\]"):
        load_rater(load_card("clipiqa"))


@pytest.mark.skipif(find_spec("pyiqa") is None, reason="needs pyiqa, which is not for commercial use and no dependency")
def test_the_real_package_fits(tmp_path: Path) -> None:
    # Random weights: what is tested is the way of the pixels into it, and of the values and gradients out of it.
    torch.manual_seed(0)
    rater = load_rater(card(tmp_path, args={"options": {"pretrained": False}}))
    assert isinstance(rater, iqa.Pyiqa)
    pictures = [data.chelsea(), data.chelsea()[::-1], data.astronaut()[:300, :451]]
    together = rater.score(pictures)
    alone = torch.cat([rater.score([picture]) for picture in pictures])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    pixels = torch.from_numpy(data.chelsea().copy()).movedim(-1, 0)[None].float() / 255
    assert float(rater.score_tensor(pixels)) == pytest.approx(float(alone[0]), abs=1e-5)
    pixels.requires_grad_()
    rater.score_tensor(pixels).sum().backward()
    assert pixels.grad is not None
    assert float(pixels.grad.norm()) > 0
