"""The contact sheet: everything inside its frame, whatever the pictures and the texts are."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from curate.demo.sheet import COLUMNS, MARGIN, PAPER, TILE, Side, Tile, contact_sheet


def picture(size: tuple[int, int], colour: str = "#0000ff") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def tile(
    prompt: str = "a prompt", caption: str = "caption", sizes: tuple[tuple[int, int], tuple[int, int]] = ((64, 48), (64, 48))
) -> Tile:
    chosen, rejected = (Side(data=picture(size), caption=caption) for size in sizes)
    return Tile(prompt=prompt, chosen=chosen, rejected=rejected, margin=0.1)


def colours(sheet: Image.Image, box: tuple[int, int, int, int]) -> set[tuple[int, ...]]:
    return {tuple(colour) for colour in np.asarray(sheet.crop(box)).reshape(-1, 3).tolist()}


def rgb(name: str) -> tuple[int, ...]:
    return tuple(int(name[at : at + 2], 16) for at in (1, 3, 5))


def margins(sheet: Image.Image) -> list[tuple[int, int, int, int]]:
    """The strips around the sheet, and the one between the columns, below the header."""
    width, height = sheet.size
    middle, inner = width // 2, MARGIN - 4  # letters reach a little beyond their box
    return [
        (0, 0, width, inner),
        (0, height - inner, width, height),
        (0, 0, inner, height),
        (width - inner, 0, width, height),
        (middle - inner // 2, 140, middle + inner // 2, height),
    ]


@pytest.mark.parametrize("text", ["", "a", "word " * 100, "x" * 500, "日本語 ünïcode"])
def test_no_text_leaves_its_place(text: str) -> None:
    sheet = contact_sheet([tile(prompt=text, caption=text)] * 4, title=text, subtitle=text)
    for strip in margins(sheet):
        assert colours(sheet, strip) == {rgb(PAPER)}


@pytest.mark.parametrize("size", [(1, 1), (2000, 3), (3, 2000), (64, 48)])
def test_pictures_of_any_shape_fit_their_frame(size: tuple[int, int]) -> None:
    sheet = contact_sheet([tile(sizes=(size, (64, 48)))], title="t", subtitle="s")
    assert (0, 0, 255) in colours(sheet, (0, 0, *sheet.size))
    for strip in margins(sheet)[:4]:
        assert colours(sheet, strip) == {rgb(PAPER)}


def test_a_sheet_grows_by_rows() -> None:
    heights = [contact_sheet([tile()] * count, title="t", subtitle="s").height for count in (1, COLUMNS, COLUMNS + 1)]
    assert heights[0] == heights[1] < heights[2]


def test_a_sheet_without_pairs_is_its_header() -> None:
    sheet = contact_sheet([], title="t", subtitle="s")
    assert rgb(TILE) not in colours(sheet, (0, 0, *sheet.size))
