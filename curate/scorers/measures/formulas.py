"""What can be measured on pixels without a network: how wide edges are, how noisy flat areas are, how blocky, how bright.

Everything works on luma (BT.601, 0..255) at the native resolution, because shrinking a picture hides the very defects that
are looked for. Large pictures are sampled: sixteen tiles on a fixed grid for the fine structure, every n-th pixel for tone and
colour. So the cost is bounded (about a quarter of a megapixel) and equal pixels always give equal numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Luma = NDArray[np.float32]

WHOLE = 300_000
"""Pictures of up to this many pixels are measured whole; larger ones by tiles."""
TILE = 128
"""Side of a tile in pixels; a multiple of 8, as is its place, so that the grid of JPEG blocks keeps its phase."""
TILES = 16
SMALLEST = 16
"""Sides are mirrored up to this many pixels, so that every measure is defined on a picture of one pixel too."""
TONE_PIXELS = 65_536
"""How many pixels, about, tone and colour are measured on."""

_BT601 = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_BLOCK = 8
_PATCH = 16
_FAR = 8
"""Distance in pixels at which the step over an edge is compared with the step between neighbours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What was measured, in the units of each measure."""

    edge_width: float
    """Blur of the edges as the sigma of a Gaussian, in pixels; 0 is sharp, 16 is the most that is told apart."""
    noise: float
    """Standard deviation of the luma noise, in grey levels of 255."""
    blockiness: float
    """How much stronger luma bends across the borders of 8x8 blocks than inside them; 0 is not at all, 1 is twice as strong."""
    brightness: float
    """Mean luma, 0..1."""
    contrast: float
    """Standard deviation of luma, 0..0.5."""
    clipped: float
    """Share of channel values that are blown out (250 and above)."""
    colourfulness: float
    """Hasler and Süsstrunk's M: 0 is grey, 33 moderate, 59 quite, 109 extremely colourful."""
    side: float
    """Square root of the number of pixels."""


def measure(pixels: Pixels) -> Measures:
    """Measure RGB pixels (height, width, 3) of any size from 1x1 on."""
    height, width = pixels.shape[:2]
    tiles = luma(_tiles(pixels))
    noise = noise_level(tiles)
    step = max(1, math.isqrt(height * width // TONE_PIXELS))
    some = pixels[::step, ::step].astype(np.float32)
    tone = luma(some) / 255
    return Measures(
        edge_width=edge_width(tiles, noise),
        noise=noise,
        blockiness=blockiness(tiles),
        brightness=float(tone.mean()),
        contrast=float(tone.std()),
        clipped=float((some >= 250).mean()),
        colourfulness=colourfulness(some),
        side=math.sqrt(height * width),
    )


def luma(pixels: NDArray[np.uint8] | NDArray[np.float32]) -> Luma:
    """BT.601 luma of RGB (..., 3), 0..255."""
    weighted: Luma = pixels.astype(np.float32, copy=False) @ _BT601
    return weighted


def _tiles(pixels: Pixels) -> Pixels:
    """The picture whole, or sixteen tiles of it: (tiles, height, width, 3), each side at least `SMALLEST`."""
    height, width = pixels.shape[:2]
    if height * width <= WHOLE:
        return _grown(pixels)[np.newaxis]
    tall, wide = min(height, TILE), min(width, TILE)
    # A strip has room for fewer rows of tiles, and gets more columns for it.
    rows = min(4, math.ceil(height / tall))
    columns = min(TILES // rows, math.ceil(width / wide))
    rows = min(TILES // columns, math.ceil(height / tall))
    tops = np.linspace(0, height - tall, rows).astype(int) // _BLOCK * _BLOCK
    lefts = np.linspace(0, width - wide, columns).astype(int) // _BLOCK * _BLOCK
    return np.stack([_grown(pixels[top : top + tall, left : left + wide]) for top in tops for left in lefts])


def _grown(pixels: Pixels) -> Pixels:
    missing = [max(0, SMALLEST - side) for side in pixels.shape[:2]]
    return np.pad(pixels, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="symmetric") if any(missing) else pixels


def noise_level(tiles: Luma) -> float:
    """Standard deviation of the noise: Immerkær's filter, read where the picture is flat.

    The filter (J. Immerkær, Fast Noise Variance Estimation, CVIU 1996) answers to noise and not to ramps, but it answers to
    texture too; so it is averaged over patches of 16x16 pixels, and the patch that a fifth of all patches lie below is taken.
    Patches near black and white are left out, since noise is cut off there.
    """
    across = tiles[:, :, 2:] - 2 * tiles[:, :, 1:-1] + tiles[:, :, :-2]
    answer = np.abs(across[:, 2:] - 2 * across[:, 1:-1] + across[:, :-2])
    # 6 is the norm of the filter, and sqrt(pi / 2) turns a mean deviation into a standard one.
    levels = _patch_means(answer) * (math.sqrt(math.pi / 2) / 6)
    shades = _patch_means(tiles[:, 1:-1, 1:-1])
    seen = (shades > 24) & (shades < 232)
    return float(np.percentile(levels[seen] if seen.mean() > 0.1 else levels, 20))


def _patch_means(values: Luma) -> Luma:
    """Means over patches of 16x16, or over all where there is no room for one patch."""
    count, height, width = values.shape
    tall, wide = min(_PATCH, height), min(_PATCH, width)
    rows, columns = height // tall, width // wide
    patches = values[:, : rows * tall, : columns * wide].reshape(count, rows, tall, columns, wide)
    means: Luma = patches.mean(axis=(2, 4)).ravel()
    return means


def edge_width(tiles: Luma, noise: float) -> float:
    """How blurred the edges are: the sigma in pixels of the Gaussian that a step would have to be blurred with to look alike.

    Compares the mean squared step between neighbours with that between pixels 8 apart. For one step edge blurred with
    sigma s the mean squared step over a distance d is in proportion to `_blurred_step(d, s)`, so the ratio of the two tells s
    whatever the height of the edges, and pictures of low contrast are not taken for blurred ones. Squares let strong
    edges speak, so an out-of-focus background costs little. What noise adds to both is taken off first. A picture without
    edges counts as blurred as can be.
    """
    near = _mean_square_step(tiles, 1) - 2 * noise**2
    far = _mean_square_step(tiles, _FAR) - 2 * noise**2
    # The one grey level squared keeps rounding from passing for detail where nothing is to be seen.
    ratio = max(near, 0.0) / (max(far, 0.0) + 1.0)
    return float(np.interp(-ratio, -_RATIOS, _SIGMAS))


def _mean_square_step(tiles: Luma, distance: int) -> float:
    across = (tiles[:, :, distance:] - tiles[:, :, :-distance]).ravel()
    down = (tiles[:, distance:] - tiles[:, :-distance]).ravel()
    return float(np.dot(across, across) / across.size + np.dot(down, down) / down.size) / 2


def _blurred_step(distance: int, sigma: float) -> float:
    """The integral over x of (E(x + distance) - E(x))^2 for a unit step E blurred with a Gaussian."""
    reach = distance / (2 * sigma)
    return distance * math.erf(reach) - 2 * sigma / math.sqrt(math.pi) * -math.expm1(-reach * reach)


_SIGMAS = np.concatenate([[0.0], np.geomspace(0.1, 16, 80)])
_RATIOS = np.array([1 / _FAR, *(_blurred_step(1, s) / _blurred_step(_FAR, s) for s in _SIGMAS[1:])])


def blockiness(tiles: Luma) -> float:
    """How visible the grid of 8x8 blocks is that JPEG and its kin leave.

    Block coding leaves luma smooth inside blocks and bent where they meet. The bend at a place is how far the step there is
    from the mean of the steps on both sides (so ramps have none); its mean at the borders of blocks is compared with that
    elsewhere. After an idea of Wang, Sheikh and Bovik, No-reference perceptual quality assessment of JPEG compressed images,
    ICIP 2002. The grid is looked for where encoders put it, from the top left corner on: a cropped picture hides it.
    """
    bends = (_bends_by_phase(tiles, axis=1) + _bends_by_phase(tiles, axis=2)) / 2
    inside = float(np.median(bends[:5]))
    # The half grey level keeps the ratio quiet where a picture is flat.
    return max(0.0, (float(bends[6]) - inside) / (inside + 0.5))


def _bends_by_phase(tiles: Luma, *, axis: int) -> NDArray[np.float64]:
    """Mean bend at each of the eight places in a block, along one axis; the border of blocks is at place 6."""
    steps = np.diff(tiles, axis=axis)
    before, here, after = (steps[_along(axis, slice(start, stop))] for start, stop in ((0, -2), (1, -1), (2, None)))
    # Edges of things are far stronger than those of blocks; capped, they cannot drown them.
    bends = np.minimum(np.abs(here - (before + after) / 2), 30)
    whole = bends.shape[axis] // _BLOCK * _BLOCK
    lines: NDArray[np.float64] = bends[_along(axis, slice(whole))].mean(axis=(0, 3 - axis), dtype=np.float64)
    phases: NDArray[np.float64] = lines.reshape(-1, _BLOCK).mean(axis=0)
    return phases


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return tuple(part if place == axis else slice(None) for place in range(3))


def colourfulness(pixels: NDArray[np.float32]) -> float:
    """M of D. Hasler and S. Süsstrunk, Measuring colourfulness in natural images, SPIE 2003, on RGB in 0..255."""
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    red_green = red - green
    yellow_blue = (red + green) / 2 - blue
    spread = math.hypot(float(red_green.std()), float(yellow_blue.std()))
    mean = math.hypot(float(red_green.mean()), float(yellow_blue.mean()))
    return spread + 0.3 * mean
