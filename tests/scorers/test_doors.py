"""The public door to one scorer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import curate  # noqa: E402
from curate.errors import CurateError  # noqa: E402
from curate.scorers.network import NetworkRater  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402


def test_both_doors_of_a_scorer(tmp_path: Path) -> None:
    pickscore = curate.scorer(tiny_card("pickscore", tmp_path).where, device="cpu", batch_size=2)
    picture = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    scores = pickscore.score([picture] * 3, ["a cat", "a dog", "a cat"])
    assert scores.shape == (3, 1)
    assert scores[0] == scores[2] != scores[1]
    pixels = torch.from_numpy(picture).movedim(-1, 0)[None].float() / 255
    assert torch.allclose(pickscore.score_tensor(pixels, ["a cat"]), scores[0], atol=1e-4), "no resize, so no rounding"


@pytest.mark.parametrize(
    ("name", "device", "said"),
    [
        ("signal", "auto", "'signal' has no network to be called from here"),
        ("pikscore", "auto", "Did you mean 'pickscore'"),
        ("pickscore", "cpu,cpu", "a scorer lives on one device, not on 'cpu,cpu'"),
    ],
)
def test_what_cannot_be_called_is_one_sentence(name: str, device: str, said: str) -> None:
    with pytest.raises(CurateError, match=said):
        curate.scorer(name, device=device)


def test_the_door_is_there_before_torch_is() -> None:
    code = "import curate, sys; assert callable(curate.scorer); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_torch_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import curate\n"
        "for call, card in (curate.scorer, 'pickscore'), (curate.convert, 'imagereward'), (curate.parity, 'nsfw'):\n"
        "    try: call(card)\n"
        "    except curate.CurateError as problem: print(problem)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(said) == 3
    assert all("pip install 'curate-preferences[rewards]'" in line for line in said)


# Mistakes at the doors.


@pytest.fixture
def similar(tmp_path: Path) -> NetworkRater:
    rater = curate.scorer(tiny_card("pickscore", tmp_path).where)
    assert isinstance(rater, NetworkRater)
    return rater


def test_pictures_of_the_same_bytes_and_another_size_are_other_pictures(tmp_path: Path) -> None:
    rater = curate.scorer(tiny_card("hpsv2-1", tmp_path).where)
    flat = np.full((100, 200, 3), (200, 40, 90), dtype=np.uint8)
    tall = flat.reshape(200, 100, 3)
    alone = rater.score([tall], ["a"])
    rater.close()
    rater.score([flat], ["a"])
    assert rater.score([tall], ["a"]) == pytest.approx(alone)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"prompts": ["a"]}, "2 pictures and 1 prompts"),
        ({"prompts": "ab"}, "a list, one text for each"),
        ({"prompts": ["a", " "]}, "needs a prompt for each"),
        ({"prompts": None}, "needs a prompt for each"),
        ({"refrence": torch.zeros(2, 3, 8, 8)}, "takes no condition 'refrence'"),
        ({"pixels": torch.rand(2, 3, 32, 32) * 255}, r"RGB in \[0, 1\]"),
        ({"pixels": torch.zeros(2, 3, 32, 32, dtype=torch.uint8)}, "float32, not .* in uint8"),
        ({"pixels": torch.rand(3, 32, 32)}, r"\(batch, 3, height, width\)"),
        ({"pixels": torch.rand(2, 4, 32, 32)}, r"\(batch, 3, height, width\)"),
        ({"pixels": torch.full((2, 3, 32, 32), float("nan"))}, "not finite"),
    ],
)
def test_what_does_not_fit_the_tensor_door_is_one_sentence(similar: NetworkRater, change: dict[str, Any], complaint: str) -> None:
    given: dict[str, Any] = {"pixels": torch.rand(2, 3, 32, 32), "prompts": ["a", "b"], **change}
    with pytest.raises(curate.CurateError, match=complaint):
        similar.score_tensor(**given)


def test_a_cut_prompt_is_said_at_both_doors(similar: NetworkRater, caplog: pytest.LogCaptureFixture) -> None:
    pixels = torch.rand(2, 3, 32, 32)
    similar.score_tensor(pixels, ["a", "word " * 200])
    similar.score([np.zeros((9, 9, 3), np.uint8)] * 2, ["a", "word " * 200])
    said = "pickscore, of 1 of 2 pictures: the prompt was cut to 77 tokens"
    assert [record.getMessage() for record in caplog.records] == [said, said]
