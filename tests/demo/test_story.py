"""The demo end to end: real photographs, the public verbs, and a verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from curate.api import check
from curate.cli.demo import _show
from curate.cli.session import Session
from curate.demo import run_demo
from curate.demo.story import DemoReport
from curate.errors import MissingExtra, OutputError

pytest.importorskip("skimage", reason="the photographs lie in scikit-image")
pytest.importorskip("sklearn", reason="the photographs lie in scikit-learn")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DemoReport]:
    folder = tmp_path_factory.mktemp("demo") / "demo-output"
    return folder, run_demo(folder)


def test_the_less_degraded_one_is_chosen(demo: tuple[Path, DemoReport]) -> None:
    verdict = demo[1].verdict
    assert verdict.right + verdict.wrong >= 50
    assert verdict.share >= 0.95


def test_nothing_is_wrong_with_its_pairs(demo: tuple[Path, DemoReport]) -> None:
    """Candidates are one photograph in several qualities, and a check must not take them for the same picture."""
    assert check(demo[0] / "pairs").counts == {}


def test_every_step_adds_up(demo: tuple[Path, DemoReport]) -> None:
    funnels = [funnel for step in demo[1].steps for funnel in step.funnels]
    assert len(funnels) >= 5
    assert all(funnel.adds_up for funnel in funnels)


def test_a_step_is_shown_as_its_command_shows_it(demo: tuple[Path, DemoReport], capsys: pytest.CaptureFixture[str]) -> None:
    for step in demo[1].steps:
        _show(step, Session(quiet=False, as_json=False))
    shown = capsys.readouterr().out
    assert f"{demo[0] / 'pairs'}: nothing wrong" in shown
    assert "Ratings by status" in shown


def test_it_leaves_what_it_says(demo: tuple[Path, DemoReport]) -> None:
    folder = demo[0]
    with Image.open(folder / "contact-sheet.png") as sheet:
        assert sheet.width > 1000
        assert sheet.height > 1000
    assert {path.name for path in folder.iterdir()} == {
        "shards",
        "store",
        "kept",
        "ranking.parquet",
        "pairs",
        "contact-sheet.png",
    }
    answers = json.loads((folder / "shards" / "answers.json").read_text())
    assert len(answers) == demo[1].computed >= 200
    assert all(answer["credit"] for answer in answers.values())


def test_a_second_run_computes_nothing_and_ends_the_same(demo: tuple[Path, DemoReport]) -> None:
    folder, first = demo
    sheet = (folder / "contact-sheet.png").read_bytes()
    again = run_demo(folder)
    assert again.computed == 0
    assert again.verdict == first.verdict
    assert (folder / "contact-sheet.png").read_bytes() == sheet


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "precious.txt").write_text("mine")
    with pytest.raises(OutputError, match="other things"):
        run_demo(tmp_path)
    assert (tmp_path / "pairs" / "precious.txt").exists()


def test_missing_photographs_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.demo.photos.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'curate-preferences\[demo\]'"):
        run_demo(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()
