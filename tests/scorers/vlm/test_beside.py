"""Settings that lie beside weights: where they say otherwise than the card, it is refused in one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from curate.cards import CardFile, load_card  # noqa: E402
from curate.errors import WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.rater_settings import Settings  # noqa: E402
from tests.scorers.tiny.cards import merged, tiny_card  # noqa: E402
from tests.scorers.tiny.vlm import AREA  # noqa: E402

MODEL_CONFIG = {
    "data_config": {"max_frame_pixels": AREA, "fps": 2.0, "num_frames": None, "sample_type": "uniform", "meta_data": "/a/path"},
    "model_config": {"reward_token": "special", "output_dim": 1},
    "peft_lora_config": {"lora_alpha": 8, "use_rslora": False, "lora_r": 4},
    "inference_config": {
        "VQ_mean": 3.6757,
        "VQ_std": 2.2476,
        "MQ_mean": 1.1646,
        "MQ_std": 1.3811,
        "TA_mean": 2.8105,
        "TA_std": 2.5121,
        "use_norm": True,
    },
}
"""Of VideoReward, as its training writes it: the numbers of the tiny card, and entries that no number depends on."""

PROCESSOR = {
    "size": {"shortest_edge": 28, "longest_edge": 56},
    "do_image_splitting": False,
    "resample": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "Idefics2ImageProcessor",
}
"""Of VideoScore."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CardFile]:
    return {name: tiny_card(name, tmp_path_factory.mktemp(name)) for name in ("videoreward", "videoscore")}


def beside(file: CardFile, settings: Any) -> Path:
    """The settings where the original keeps them."""
    folder = Path(file.where).parent
    path = folder / "model_config.json" if file.card.name == "videoreward" else folder / "model" / "preprocessor_config.json"
    path.write_text(settings if isinstance(settings, str) else json.dumps(settings))
    return path


@pytest.mark.parametrize(("name", "settings"), [("videoreward", MODEL_CONFIG), ("videoscore", PROCESSOR)])
def test_settings_that_agree_are_taken(name: str, settings: dict[str, Any], files: dict[str, CardFile]) -> None:
    beside(files[name], settings)
    load_rater(files[name]).close()


def test_a_processor_that_says_nothing_has_the_sizes_of_the_shipped_card(tmp_path: Path) -> None:
    file = tiny_card("videoscore", tmp_path, shortest=378, longest=980)
    beside(file, {})
    load_rater(file).close()
    beside(file, {"size": {"shortest_edge": 378}})
    load_rater(file).close()


def changed(settings: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    for name in reversed(place.split(".")):
        value = {name: value}
    return merged(settings, value)


def as_shipped(file: CardFile) -> CardFile:
    """Held to all that its original does; a card of somebody's own may look at other frames."""
    return file.model_copy(update={"shipped": True})


@pytest.mark.parametrize(
    ("name", "place", "value", "wanted"),
    [
        ("videoreward", "data_config.max_frame_pixels", 448 * 448, AREA),
        ("videoreward", "data_config.fps", 8.0, 2.0),
        ("videoreward", "data_config.num_frames", 16, None),
        ("videoreward", "data_config.sample_type", "multi_pts", "uniform"),
        ("videoreward", "model_config.reward_token", "last", "special"),
        ("videoreward", "peft_lora_config.lora_alpha", 128, 8.0),
        ("videoreward", "peft_lora_config.use_rslora", True, False),
        ("videoreward", "inference_config.VQ_mean", 3.7, 3.6757),
        ("videoreward", "inference_config.TA_std", 1.0, 2.5121),
        ("videoscore", "size.longest_edge", 980, 56),
        ("videoscore", "size.shortest_edge", 378, 28),
        ("videoscore", "do_image_splitting", True, False),
        ("videoscore", "resample", 3, 2),
        ("videoscore", "image_mean", [0.48, 0.46, 0.41], [0.5, 0.5, 0.5]),
    ],
)
def test_settings_that_differ_are_refused(name: str, place: str, value: Any, wanted: Any, files: dict[str, CardFile]) -> None:
    settings = MODEL_CONFIG if name == "videoreward" else PROCESSOR
    path = beside(files[name], changed(settings, place, value))
    said = f"{path} says that {place} is {json.dumps(value)}, and the card is for {json.dumps(wanted)}: name the weights"
    with pytest.raises(WeightsError) as refused:
        load_rater(as_shipped(files[name]))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_left_unsaid_is_what_the_original_takes(files: dict[str, CardFile]) -> None:
    """Its classes have defaults; without means and deviations it gives the raw numbers."""
    for section, place in (
        ("data_config", "data_config.max_frame_pixels is 76800"),
        ("peft_lora_config", "peft_lora_config.lora_alpha is 32"),
        ("inference_config", "inference_config.VQ_mean is null"),
    ):
        beside(files["videoreward"], {name: one for name, one in MODEL_CONFIG.items() if name != section})
        with pytest.raises(WeightsError, match=place):
            load_rater(as_shipped(files["videoreward"]))


def test_a_card_of_ones_own_may_look_at_other_frames_and_not_at_other_scores(files: dict[str, CardFile]) -> None:
    for place, value in (("data_config.fps", 8.0), ("data_config.max_frame_pixels", 448 * 448)):
        beside(files["videoreward"], changed(MODEL_CONFIG, place, value))
        load_rater(files["videoreward"]).close()
    beside(files["videoreward"], changed(MODEL_CONFIG, "inference_config.VQ_mean", 3.7))
    with pytest.raises(WeightsError, match="VQ_mean is 3.7"):
        load_rater(files["videoreward"])


@pytest.mark.parametrize("text", ["[1, 2]", "{", "\x00", "[" * 100_000])
@pytest.mark.parametrize("name", ["videoreward", "videoscore"])
def test_a_file_that_is_none_is_one_sentence(name: str, text: str, files: dict[str, CardFile]) -> None:
    path = beside(files[name], text)
    with pytest.raises(WeightsError, match=rf"cannot read .*{path.name}|{path.name} holds no settings"):
        load_rater(files[name])


def test_the_folder_of_a_step_is_passed_over(tmp_path: Path) -> None:
    """The published repository: settings at the top, weights in `checkpoint-11352`."""
    file = tiny_card("videoreward", tmp_path)
    step = tmp_path / "checkpoint-11352"
    step.mkdir()
    shutil.move(tmp_path / "checkpoint.safetensors", step / "checkpoint.safetensors")
    text = Path(file.where).read_text().replace("path: checkpoint.safetensors", f"path: {step.name}/checkpoint.safetensors")
    Path(file.where).write_text(text)
    beside(file, changed(MODEL_CONFIG, "data_config.fps", 1.0))
    with pytest.raises(WeightsError, match=r"data_config\.fps is 1\.0"):
        load_rater(as_shipped(load_card(file.where)))
    beside(file, MODEL_CONFIG)
    load_rater(load_card(file.where)).close()


def test_without_such_a_file_nothing_is_compared(tmp_path: Path) -> None:
    for name in ("videoreward", "videoscore"):
        (tmp_path / name).mkdir()
        load_rater(tiny_card(name, tmp_path / name)).close()


@pytest.mark.parametrize("name", ["videoreward", "videoscore"])
def test_settings_of_a_repository_are_fetched_with_the_weights(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights are here, their settings are not: a hub that is this test has both. Offline, nothing is asked."""
    hub = pytest.importorskip("huggingface_hub")
    file = tiny_card(name, tmp_path)
    snapshot = tmp_path if name == "videoreward" else tmp_path / "model"
    asked: list[list[str]] = []

    def download(repository: str, *, allow_patterns: list[str] | None, local_files_only: bool, revision: str) -> str:
        assert (repository, revision) == ("org/net", "0" * 40)
        if not local_files_only:
            asked.append(allow_patterns or [])
            settings = MODEL_CONFIG if name == "videoreward" else PROCESSOR
            place = "data_config.fps" if name == "videoreward" else "size.shortest_edge"
            beside(file, changed(settings, place, 99))
        return str(snapshot)

    monkeypatch.setattr(hub, "snapshot_download", download)
    fields = yaml.safe_load(Path(file.where).read_text())
    fields["weights"]["model"] = {"hub": "org/net", "revision": "0" * 40}
    fields["weights"]["model"] |= {"file": "checkpoint.safetensors"} if name == "videoreward" else {}
    Path(file.where).write_text(yaml.safe_dump(fields))
    load_rater(load_card(file.where), Settings(offline=True)).close()
    assert not asked
    for _ in range(2):
        with pytest.raises(WeightsError, match="is 99, and the card is for"):
            load_rater(as_shipped(load_card(file.where)))
    assert [beside(file, {}).name in patterns for patterns in asked] == [True]


def test_a_repository_without_settings_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    file = tiny_card("videoscore", tmp_path)
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(tmp_path / "model"))
    fields = yaml.safe_load(Path(file.where).read_text())
    fields["weights"]["model"] = {"hub": "org/net", "revision": "0" * 40}
    Path(file.where).write_text(yaml.safe_dump(fields))
    load_rater(load_card(file.where)).close()
