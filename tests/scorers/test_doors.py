"""The public door to one scorer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import curate  # noqa: E402
from curate.errors import CurateError  # noqa: E402
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
