"""Directional similarity of edits: parity with the formula, where captions come from, and what has no direction."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
data = pytest.importorskip("skimage.data")

from PIL import Image  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

import curate  # noqa: E402
from curate.cards import CardFile, load_card  # noqa: E402
from curate.errors import CardError, CurateError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.records import Rating, Status  # noqa: E402
from curate.scorers.pixels import fit_tensor  # noqa: E402
from curate.scorers.references.directional import Captions, Directional  # noqa: E402
from curate.store.store import Store  # noqa: E402
from curate.testing import write_shard  # noqa: E402
from tests.scorers.clip_formula import as_openclip, formula_image, formula_text, token_ids  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402

BEFORE, AFTER = "a cat on a mat", "a dog on a mat"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("directional")


@pytest.fixture(scope="module")
def own_captions(folder: Path) -> CardFile:
    """The tiny card, for samples that bring their captions."""
    file = tiny_card("clip-directional", folder)
    card = yaml.safe_load(Path(file.where).read_text())
    card["args"] = {name: value for name, value in card["args"].items() if "caption" not in name}
    (folder / "own.yaml").write_text(yaml.safe_dump(card))
    return load_card(str(folder / "own.yaml"))


@pytest.fixture(scope="module")
def rater(own_captions: CardFile) -> Directional:
    rater = load_rater(own_captions)
    assert isinstance(rater, Directional)
    return rater


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [data.coffee()[:64, :80], data.chelsea()[:64, :80]]


@pytest.fixture(scope="module")
def wanted(rater: Directional, folder: Path, pictures: list[np.ndarray]) -> float:
    """The formula, for the first picture as the source and the second as the edit."""
    weights = as_openclip(load_file(folder / "model" / "model.safetensors"))
    squares = [rater.preparations[0].make(picture) for picture in pictures]
    embeddings = [formula_image(square, weights, quick=True) for square in squares]
    embeddings += [formula_text(token_ids(text), weights, quick=True) for text in (BEFORE, AFTER)]
    source, edited, before, after = (one / one.norm() for one in embeddings)
    change, meant = edited - source, after - before
    return float(change @ meant / (change.norm() * meant.norm()))


def test_pictures_are_squashed_without_antialiasing_as_in_the_original(rater: Directional, pictures: list[np.ndarray]) -> None:
    for picture in (*pictures, data.coffee(), data.astronaut()[:300, :40]):
        tensor = torch.from_numpy(picture).movedim(-1, 0)[None].float() / 255
        wanted = torch.nn.functional.interpolate(tensor, size=rater.preparations[0].make.geometry.size, mode="bicubic")  # type: ignore[attr-defined]
        made = torch.from_numpy(rater.preparations[0].make(picture)).movedim(-1, 0)[None]
        assert torch.equal(made, wanted)
        assert torch.equal(fit_tensor(rater.preparations[0].make, tensor), wanted)


def test_it_is_the_cosine_of_two_changes(rater: Directional, pictures: list[np.ndarray], wanted: float) -> None:
    found = rater.score(pictures[1:], [Captions(BEFORE, AFTER)], source=pictures[:1])
    assert float(found) == pytest.approx(wanted, abs=1e-5)
    back = rater.score(pictures[1:], [Captions(AFTER, BEFORE)], source=pictures[:1])
    assert float(back) == pytest.approx(-wanted, abs=1e-5), "the other way round"


def ratings_in(store: Path) -> list[Rating]:
    with Store.open(store) as opened:
        return list(opened.ratings())


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_captions_come_with_the_sample(own_captions: CardFile, pictures: list[np.ndarray], wanted: float, tmp_path: Path) -> None:
    source, edited = png(pictures[0]), png(pictures[1])
    told = json.dumps({"source_caption": BEFORE, "target_caption": AFTER, "instruction": "make it a dog"}).encode()
    records = [
        ("json", {"source.png": source, "edited.png": edited, "json": told}),
        ("files", {"source.png": source, "edited.png": edited, "input_caption.txt": b"x", "output_caption.txt": b"y"}),
        ("none", {"source.png": source, "edited.png": edited, "txt": b"make it a dog"}),
        ("same", {"source.png": source, "edited.png": source, "json": told}),
    ]
    write_shard(tmp_path / "made.tar", records)
    store = tmp_path / "store"
    report = curate.rate([str(tmp_path / "made.tar")], raters=[own_captions.where], store=store, workers=0)
    assert report.statuses["clip-directional"] == {Status.OK: 2, Status.MISSING_CONDITION: 1, Status.NOT_APPLICABLE: 1}
    found = [rating for rating in ratings_in(store) if rating.value is not None]
    assert any(rating.value == pytest.approx(wanted, abs=1e-5) for rating in found)


def test_captions_of_the_card_hold_for_all(folder: Path, rater: Directional, pictures: list[np.ndarray]) -> None:
    fixed = load_rater(tiny_card("clip-directional", folder))
    assert isinstance(fixed, Directional)
    own = rater.score(pictures[1:], [Captions("a photograph", "a drawing in ink")], source=pictures[:1])
    assert float(fixed.score(pictures[1:], source=pictures[:1])) == pytest.approx(float(own), abs=1e-6)


def test_the_tensor_door_takes_captions_and_nothing_else(rater: Directional) -> None:
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert rater.score_tensor(pixels, [Captions(BEFORE, AFTER)], source=pixels.flip(-1)).isfinite().all()
    with pytest.raises(CurateError, match="missing_condition, there are no captions"):
        rater.score_tensor(pixels, ["make it a dog"], source=pixels.flip(-1))
    with pytest.raises(CurateError, match="the caption did not change"):
        rater.score_tensor(pixels, [Captions(BEFORE, BEFORE)], source=pixels.flip(-1))


def test_a_caption_that_is_cut_is_said(own_captions: CardFile, pictures: list[np.ndarray], tmp_path: Path) -> None:
    long = "a very long story about " * 30
    told = json.dumps({"source_caption": BEFORE, "target_caption": long}).encode()
    write_shard(tmp_path / "made.tar", [("0", {"source.png": png(pictures[0]), "edited.png": png(pictures[1]), "json": told})])
    curate.rate([str(tmp_path / "made.tar")], raters=[own_captions.where], store=tmp_path / "store", workers=0)
    (rating,) = ratings_in(tmp_path / "store")
    assert rating.detail == "a caption was cut to 77 tokens"


def test_one_caption_alone_is_refused(folder: Path) -> None:
    with pytest.raises(CardError, match="come together"):
        load_rater(tiny_card("clip-directional", folder, target_caption=None))
