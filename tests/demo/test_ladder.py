"""The answer key: known defects in known steps, the same on every machine and run."""

from __future__ import annotations

import hashlib
import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from curate.demo.ladder import DEFECTS, candidates
from curate.demo.photos import PHOTOS, SIDE, photographs

pytest.importorskip("skimage", reason="the photographs lie in scikit-image")
pytest.importorskip("sklearn", reason="the photographs lie in scikit-learn")


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=np.float32)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return next(picture for photo, picture in photographs() if photo.name == "china")


def test_the_photographs_are_there_and_small() -> None:
    shown = [(photo.name, picture.mode, max(picture.size)) for photo, picture in photographs()]
    assert [name for name, _, _ in shown] == [photo.name for photo in PHOTOS]
    assert len(shown) >= 12
    assert {mode for _, mode, _ in shown} == {"RGB"}
    assert max(side for _, _, side in shown) <= SIDE


def test_prompts_and_names_are_distinct() -> None:
    """Samples with one prompt are one group, so two photographs must never share one."""
    assert len({photo.prompt for photo in PHOTOS}) == len({photo.name for photo in PHOTOS}) == len(PHOTOS)


def test_candidates_are_the_same_every_time(picture: Image.Image) -> None:
    first, second = ([hashlib.sha256(one.data).digest() for one in candidates(picture, "china")] for _ in range(2))
    assert first == second
    assert len(set(first)) == len(first), "two candidates are the same file"


def test_every_defect_comes_in_three_severities_and_the_photograph_itself_once(picture: Image.Image) -> None:
    made = [(one.defect, one.severity) for one in candidates(picture, "china")]
    assert made == [("original", 0), *((defect, severity) for defect in DEFECTS for severity in (1, 2, 3))]


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_a_higher_severity_is_further_from_the_photograph(picture: Image.Image, defect: str) -> None:
    def distance(data: bytes) -> float:
        worse = Image.fromarray(pixels(data).astype(np.uint8)).resize(picture.size, Image.Resampling.BICUBIC)
        return float(np.abs(np.asarray(worse, dtype=np.float32) - np.asarray(picture, dtype=np.float32)).mean())

    distances = [distance(one.data) for one in candidates(picture, "china") if one.defect in {"original", defect}]
    assert len(distances) == 4
    assert all(near < far for near, far in pairwise(distances))
