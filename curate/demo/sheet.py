"""The contact sheet: pairs side by side with their prompt, so that a person sees at a glance whether they are right."""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont
    Box = tuple[int, int, int, int]

MARGIN = 40
"""Pixels around the sheet and between its tiles."""
PICTURE = (304, 228)
"""Width and height of the frame that a picture is fitted into."""
GAP = 16
"""Pixels between the pictures of a pair, and between a picture and its words."""
HEADER = 96
PROMPT = 58
"""Room for two lines of a prompt."""
CAPTION = 56
COLUMNS = 2

PAPER, TILE, INK, FAINT = "#f4f3ef", "#ffffff", "#1d1d1b", "#6f6e69"
CHOSEN, REJECTED = "#2f7d4f", "#b3402e"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One response of a pair."""

    data: bytes
    """An image file."""
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A pair as it is shown."""

    prompt: str
    chosen: Side
    rejected: Side
    margin: float


def contact_sheet(tiles: Sequence[Tile], *, title: str, subtitle: str) -> Image.Image:
    """Tiles in columns below a title; texts that do not fit are cut with an ellipsis, never drawn over a neighbour."""
    from PIL import Image, ImageDraw

    width, height = _tile_size()
    rows = -(-len(tiles) // COLUMNS)
    size = (MARGIN + COLUMNS * (width + MARGIN), MARGIN + HEADER + rows * (height + MARGIN))
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    room = size[0] - 2 * MARGIN
    draw.text((MARGIN, MARGIN), _fitted(title, _font(32), room), INK, _font(32))
    draw.text((MARGIN, MARGIN + 46), _fitted(subtitle, _font(19), room), FAINT, _font(19))
    for number, tile in enumerate(tiles):
        row, column = divmod(number, COLUMNS)
        _draw_tile(sheet, draw, tile, (MARGIN + column * (width + MARGIN), MARGIN + HEADER + row * (height + MARGIN)))
    return sheet


def _tile_size() -> tuple[int, int]:
    return 3 * GAP + 2 * PICTURE[0], 2 * GAP + PROMPT + PICTURE[1] + CAPTION


def _draw_tile(sheet: Image.Image, draw: ImageDraw, tile: Tile, corner: tuple[int, int]) -> None:
    x, y = corner
    width, height = _tile_size()
    draw.rounded_rectangle((x, y, x + width - 1, y + height - 1), 10, TILE)
    font = _font(18)
    lines = _wrapped(tile.prompt, font, width - 2 * GAP, lines=2)
    for number, text in enumerate(lines, start=2 - len(lines)):
        draw.text((x + GAP, y + GAP + number * 24), text, INK, font)
    top = y + GAP + PROMPT
    sides = ((tile.chosen, "chosen", CHOSEN), (tile.rejected, f"rejected, by {tile.margin:.3f}", REJECTED))
    for number, (side, word, colour) in enumerate(sides):
        left = x + GAP + number * (PICTURE[0] + GAP)
        _draw_side(sheet, draw, side, word, colour, (left, top))


def _draw_side(sheet: Image.Image, draw: ImageDraw, side: Side, word: str, colour: str, corner: tuple[int, int]) -> None:
    x, y = corner
    width, height = PICTURE
    draw.rectangle((x, y, x + width - 1, y + height - 1), "#e7e5de")
    picture = _fit(side.data)
    sheet.paste(picture, (x + (width - picture.width) // 2, y + (height - picture.height) // 2))
    draw.rectangle((x, y + height, x + width - 1, y + height + 4), colour)
    draw.text((x, y + height + 11), _fitted(word, _font(17), width), colour, _font(17))
    draw.text((x, y + height + 33), _fitted(side.caption, _font(15), width), FAINT, _font(15))


def _fit(data: bytes) -> Image.Image:
    """The picture as large as its frame allows; small ones are enlarged, so that their lack of detail shows."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        picture = image.convert("RGB")
    scale = min(PICTURE[0] / picture.width, PICTURE[1] / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BICUBIC)


def _font(size: int) -> Font:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _fitted(text: str, font: Font, room: int) -> str:
    """The text, or as much of its start as fits into `room` pixels with an ellipsis."""
    if font.getlength(text) <= room:
        return text
    length = bisect_left(range(len(text)), True, key=lambda end: font.getlength(f"{text[: end + 1]}…") > room)
    return text[:length].rstrip() + "…"


def _wrapped(text: str, font: Font, room: int, *, lines: int) -> list[str]:
    """The text in at most `lines` lines of `room` pixels, broken between words; the last one is cut where it must be."""
    made: list[str] = []
    words = text.split()
    while words and len(made) < lines - 1:
        count = 1
        while count < len(words) and font.getlength(" ".join(words[: count + 1])) <= room:
            count += 1
        made.append(_fitted(" ".join(words[:count]), font, room))
        words = words[count:]
    if words:
        made.append(_fitted(" ".join(words), font, room))
    return made
