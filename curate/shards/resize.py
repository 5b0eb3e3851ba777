"""From pixels of any size to the square a network takes, by Pillow, in the exact geometry of the reference pipelines.

Three ways of fitting, named after what is scaled to `size`: the `shortest` side and then a centre crop (CLIP, DINO,
ImageReward …), both sides (`squash`; SigLIP, DFN …), or the `longest` side and then padding (HPSv2). Rounding follows
torchvision for the shortest side, open_clip for the longest; results are bit-identical to their Pillow paths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

Mode = Literal["shortest", "squash", "longest"]
Interpolation = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]
Rounding = Literal["round", "floor"]

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

_MOST_RESIZED_PIXELS = 64_000_000
"""A line of 1 x 32767 pixels, its short side scaled to 224, would be 1.6 billion pixels of which the crop keeps 50 thousand."""


def resize(pixels: NDArray[np.uint8], height: int, width: int, interpolation: Interpolation = "bicubic") -> NDArray[np.uint8]:
    """Pixels (height, width, 3) of the size asked for, antialiased when shrinking, as Pillow makes them."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.array(Image.fromarray(pixels).resize((width, height), _RESAMPLING[interpolation]))


def shortest_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width when the shorter side becomes `size`; the longer is rounded down, as torchvision does."""
    if height <= width:
        return size, int(size * width / height)
    return int(size * height / width), size


def longest_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width when the longer side becomes `size`; the shorter is rounded as open_clip does, and at least 1."""
    ratio = max(height, width) / size
    return max(1, round(height / ratio)), max(1, round(width / ratio))


def centre_crop(pixels: NDArray[np.uint8], size: int, rounding: Rounding = "round") -> NDArray[np.uint8]:
    """The middle (size, size, 3) of pixels at least that large, C-contiguous.

    An odd margin puts its extra row or column by `rounding`: `round` to the even offset, as torchvision and open_clip;
    `floor` before the smaller side, as transformers.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < size:
        raise ValueError(f"{width} x {height} pixels are too few for a crop of {size}")
    top, left = _offset(height - size, rounding), _offset(width - size, rounding)
    return np.ascontiguousarray(pixels[top : top + size, left : left + size])


def pad_to_square(pixels: NDArray[np.uint8], size: int, fill: tuple[int, int, int] = (0, 0, 0)) -> NDArray[np.uint8]:
    """Pixels (size, size, 3) with the picture in the middle; an odd margin is larger at the bottom and the right."""
    height, width = pixels.shape[:2]
    if max(height, width) > size:
        raise ValueError(f"{width} x {height} pixels are too many for a square of {size}")
    square = np.empty((size, size, 3), dtype=np.uint8)
    square[:] = fill
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square


def _offset(margin: int, rounding: Rounding) -> int:
    return round(margin / 2) if rounding == "round" else margin // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """How a picture becomes the square a network takes. Call it on pixels (height, width, 3): gives (side, side, 3).

    Picklable, pure, and named by everything that decides its result, so it can be a preparation of a rater.
    """

    size: int
    """Pixels that the shortest, both or the longest side is scaled to."""
    mode: Mode = "shortest"
    crop: int | None = None
    """Side of the centre crop, at most `size`; None is `size`. Not with `longest`, which pads."""
    interpolation: Interpolation = "bicubic"
    rounding: Rounding = "round"
    """Where the crop begins when the margin is odd: see `centre_crop`."""
    fill: tuple[int, int, int] = (0, 0, 0)
    """RGB around a picture fitted by its longest side."""

    def __post_init__(self) -> None:
        for choice, choices in ((self.mode, Mode), (self.interpolation, Interpolation), (self.rounding, Rounding)):
            if choice not in get_args(choices):
                raise ValueError(f"'{choice}' is none of {', '.join(get_args(choices))}")
        levels = list(self.fill)
        if len(levels) != 3 or not all(0 <= level <= 255 for level in levels):
            raise ValueError(f"fill is three levels from 0 to 255, not {self.fill}")
        if self.mode == "longest" and self.crop is not None:
            raise ValueError("a picture fitted by its longest side is padded, not cropped")
        if not 1 <= self.side <= self.size:
            raise ValueError(f"a crop of {self.side} does not fit a size of {self.size}")

    @property
    def side(self) -> int:
        """Pixels of each side of the result."""
        return self.size if self.crop is None else self.crop

    @property
    def name(self) -> str:
        """What it makes, completely: equal names, equal pixels."""
        return f"pillow:{self.steps}"

    @property
    def steps(self) -> str:
        """The geometry without the library that resizes."""
        scaled = f"{self.mode}-{self.size}-{self.interpolation}"
        if self.mode == "longest":
            return f"{scaled}:pad-{'-'.join(map(str, self.fill))}"
        return scaled if self.side == self.size and self.mode == "squash" else f"{scaled}:crop-{self.side}-{self.rounding}"

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after resizing, before the crop or the padding."""
        if self.mode == "squash":
            return self.size, self.size
        return (shortest_size if self.mode == "shortest" else longest_size)(height, width, self.size)

    def corner(self, height: int, width: int) -> tuple[int, int]:
        """Top and left of the centre crop in pixels of that size."""
        return _offset(height - self.side, self.rounding), _offset(width - self.side, self.rounding)

    def is_extreme(self, height: int, width: int) -> bool:
        """Whether the picture is so long and thin that resizing all of it, to crop the middle, would exhaust memory."""
        tall, wide = self.resized(height, width)
        return tall * wide > _MOST_RESIZED_PIXELS

    def frame(self, resized: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The crop or the padding that makes resized pixels square."""
        if self.mode == "longest":
            return pad_to_square(resized, self.side, self.fill)
        return centre_crop(resized, self.side, self.rounding)

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = pixels.shape[:2]
        if self.is_extreme(height, width):
            return self._crop_of_extreme(pixels)
        return self.frame(resize(pixels, *self.resized(height, width), self.interpolation))

    def _crop_of_extreme(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The crop alone, resampled from its place in the source: within 3 grey levels of resizing everything first."""
        height, width = pixels.shape[:2]
        tall, wide = self.resized(height, width)
        top, left = self.corner(tall, wide)
        down, across = height / tall, width / wide
        box = (left * across, top * down, (left + self.side) * across, (top + self.side) * down)
        image = Image.fromarray(pixels).resize((self.side, self.side), _RESAMPLING[self.interpolation], box=box)
        return np.array(image)
