"""The size of pictures as JPEGs: Pillow's bytes, flipped by the card, without torch."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import curate
from curate.cards import load_card
from curate.rater_loading import load_rater
from curate.raters import Item
from curate.records import Status
from curate.scorers.measures.jpeg_size import JpegSize, jpeg_kilobytes
from curate.testing import write_shard
from tests.scorers.conftest import make_item

CARDS = ("jpeg-compressibility", "jpeg-incompressibility")


def noisy(level: float, size: int = 96) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, level, (size, size, 3))
    return np.clip(128 + noise, 0, 255).astype(np.uint8)


def judge(rater: object, item: Item) -> tuple[float | None, Status]:
    assert isinstance(rater, JpegSize)
    (judgement,) = rater.judge([item])
    value = judgement.values["size"]
    return value.value, value.status


@pytest.mark.parametrize("quality", [50, 95])
def test_it_is_the_number_of_bytes_that_pillow_writes(quality: int) -> None:
    for picture in (noisy(0), noisy(40), noisy(40)[:7, :1]):
        out = io.BytesIO()
        Image.fromarray(picture, "RGB").save(out, format="JPEG", quality=quality)
        assert jpeg_kilobytes(picture, quality) == len(out.getvalue()) / 1000


def test_more_detail_is_more_bytes() -> None:
    sizes = [jpeg_kilobytes(noisy(level), 95) for level in (0, 5, 20, 60)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] / 4


def test_one_of_the_two_cards_prefers_small_files(tmp_path: Path) -> None:
    records = []
    for number, level in enumerate((0, 30)):
        out = io.BytesIO()
        Image.fromarray(noisy(level)).save(out, "PNG")
        records.append((f"{number}", {"png": out.getvalue(), "txt": b"noise"}))
    write_shard(tmp_path / "made.tar", records)
    curate.rate([str(tmp_path / "made.tar")], raters=list(CARDS), store=tmp_path / "store", workers=0)
    best = {}
    for card in CARDS:
        curate.filter(str(tmp_path / "store"), top="1", by=card.replace("-", "_"), out=tmp_path / card, format="ids")
        best[card] = (tmp_path / card / "ids.txt").read_text()
    assert best[CARDS[0]] != best[CARDS[1]]
    assert load_card(CARDS[0]).card.higher_is_better is False


def test_a_picture_that_no_jpeg_holds_is_not_applicable() -> None:
    rater = load_rater(load_card(CARDS[0]))
    long = np.zeros((1, 65_501, 3), dtype=np.uint8)
    assert judge(rater, make_item(pixels={"response": long})) == (None, Status.NOT_APPLICABLE)
    value, status = judge(rater, make_item(pixels={"response": long[:, :65_500]}))
    assert status is Status.OK
    assert value is not None
    assert value > 0


def test_it_lives_beside_the_decoder_and_needs_no_torch() -> None:
    assert isinstance(rater := load_rater(load_card(CARDS[0])), JpegSize)
    assert rater.place == "worker"
    code = "import sys; from curate.cards import load_card; from curate.rater_loading import load_rater;"
    code += f"load_rater(load_card('{CARDS[0]}')); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_golden_files_name_the_quality_of_the_cards() -> None:
    for card in CARDS:
        golden = json.loads((Path(__file__).parents[2] / "golden" / f"{card}.json").read_text())
        assert f"quality {load_card(card).card.args['quality']}" in golden["formula"]
