"""Pictures as Qwen-VL takes them: sides that are multiples of 28, near a given area, cut into patches by tensor operations.

The reward models built on Qwen-VL fix the area before the processor of the network sees the picture, whose own resize is then
none at all. The sizes and the bicubic resize are those of the originals' `smart_resize` (MizzenAI/HPSv3 `hpsv3/dataset/utils.py`,
KwaiVGI/VideoAlign `vision_process.py`): pictures by Pillow, frames of videos by torchvision. The patches come out in the order
of `Qwen2VLImageProcessor`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from curate.errors import CurateError
from curate.shards.resize import resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

PATCH, MERGE, TEMPORAL = 14, 2, 2
"""Pixels of a patch's side, patches of a visual token's side, and frames of a patch."""

FACTOR = PATCH * MERGE

MOST_STRETCHED = 200
"""Longer side over shorter side beyond which the originals raise."""


def smart_size(height: int, width: int, *, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """Height and width, multiples of 28, of nearly the same shape and with an area from `min_pixels` to `max_pixels`.

    Where no multiples fit between the two, as with equal ones, a picture that is too large ends at or below `max_pixels` and
    one that is too small at or above `min_pixels`. Raises `ValueError` for shapes beyond 200 to 1.
    """
    if max(height, width) > MOST_STRETCHED * min(height, width):
        raise ValueError(f"{width} x {height} pixels are more than {MOST_STRETCHED} times as long as wide")
    tall, wide = (max(FACTOR, round(side / FACTOR) * FACTOR) for side in (height, width))
    if tall * wide > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        tall, wide = (max(FACTOR, math.floor(side / shrink / FACTOR) * FACTOR) for side in (height, width))
    elif tall * wide < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        tall, wide = (math.ceil(side * grow / FACTOR) * FACTOR for side in (height, width))
    return tall, wide


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaResize:
    """A preparation: from RGB pixels (height, width, 3) to the size that `smart_size` says.

    A picture of a shape beyond 200 to 1 becomes a single pixel, which `is_unfit` knows: the network is not asked about it.
    """

    min_pixels: int
    max_pixels: int
    library: Literal["pillow", "torchvision"] = "pillow"
    """Whose resize the original calls: on 8 bits they differ by a grey level here and there."""

    @property
    def name(self) -> str:
        """What it makes, completely: equal names, equal pixels."""
        return f"{self.library}:area-{self.min_pixels}-{self.max_pixels}-by-{FACTOR}-bicubic"

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        try:
            tall, wide = smart_size(*pixels.shape[:2], min_pixels=self.min_pixels, max_pixels=self.max_pixels)
        except ValueError:
            return np.ascontiguousarray(pixels[:1, :1])
        return resize(pixels, tall, wide) if self.library == "pillow" else resize_rounded_once(pixels, tall, wide)

    def on_tensor(self, pixels: Float[Tensor, "*batch 3 height width"]) -> Float[Tensor, "*batch 3 tall wide"]:
        """The same by tensor operations, of RGB in [0, 1]; raises `CurateError` for a shape beyond 200 to 1."""
        try:
            tall, wide = smart_size(*pixels.shape[-2:], min_pixels=self.min_pixels, max_pixels=self.max_pixels)
        except ValueError as problem:
            raise CurateError(f"the network takes no such picture: {problem}") from problem
        return resize_tensor(pixels, tall, wide, "bicubic")


def resize_rounded_once(pixels: NDArray[np.uint8], tall: int, wide: int) -> NDArray[np.uint8]:
    """8-bit pixels (height, width, 3) as torchvision's `functional.resize` makes them of tensors, bicubic and antialiased.

    It computes in float32 and rounds at the end; torch's kernel for 8 bits, and Pillow, round after the rows as well.
    """
    if pixels.shape[:2] == (tall, wide):
        return pixels
    # Channels last, as decoded frames lie in memory there too.
    picture = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(picture, (tall, wide), mode="bicubic", antialias=True)
    return np.ascontiguousarray(resized[0].clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).numpy())


def resize_tensor(
    pixels: Float[Tensor, "*batch 3 height width"], tall: int, wide: int, mode: str
) -> Float[Tensor, "*batch 3 tall wide"]:
    """Antialiased, overshoots cut to [0, 1]; any number of leading axes, such as samples and frames."""
    if tuple(pixels.shape[-2:]) == (tall, wide):
        return pixels
    flat = pixels.flatten(0, -4) if pixels.ndim > 3 else pixels[None]
    resized = torch.nn.functional.interpolate(flat, (tall, wide), mode=mode, antialias=True).clamp(0, 1)
    return resized.reshape(*pixels.shape[:-2], tall, wide)


def is_unfit(pixels: Tensor) -> bool:
    """Whether these are pixels (…, 3, 1, 1) that a preparation made of a picture the network cannot take."""
    return tuple(pixels.shape[-2:]) == (1, 1)


def patches(
    pixels: Float[Tensor, "batch frames 3 height width"],
) -> tuple[Float[Tensor, "patches values"], Int[Tensor, "batch 3"]]:
    """Normalised pixels as the vision tower takes them, and how many patches of time, height and width each sample has.

    A picture is a video of one frame. The last frame is repeated where their number does not divide into patches of two.
    Each row holds channel, frame, row and column of one patch; rows go by pair of frames, then by visual token, then by the
    four patches of a token.
    """
    if missing := -pixels.shape[1] % TEMPORAL:
        pixels = torch.cat([pixels, pixels[:, -1:].expand(-1, missing, -1, -1, -1)], dim=1)
    batch, frames, channels, height, width = pixels.shape
    times, rows, columns = frames // TEMPORAL, height // FACTOR, width // FACTOR
    split = pixels.reshape(batch, times, TEMPORAL, channels, rows, MERGE, PATCH, columns, MERGE, PATCH)
    ordered = split.permute(0, 1, 4, 7, 5, 8, 3, 2, 6, 9)
    grid = torch.tensor([[times, rows * MERGE, columns * MERGE]] * batch, device=pixels.device)
    return ordered.reshape(-1, channels * TEMPORAL * PATCH * PATCH), grid


def visual_tokens(height: int, width: int, frames: int = 1) -> int:
    """How many visual tokens pixels of that size become."""
    return -(-frames // TEMPORAL) * (height // FACTOR) * (width // FACTOR)
