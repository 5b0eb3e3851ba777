"""Resizing by torch; the card says whether a rater uses that or Pillow, as its original does.

In 8 bits (`fast`) it is many times faster than Pillow and nearly equal:

torch's antialiased kernels take 8-bit pixels as they lie in memory (height, width, channel), so nothing is converted. They run
on the calling thread and let go of the GIL: no setting of threads is needed beside other workers.

Both libraries sum in fixed point, torch with fewer bits. Measured on the 30 pictures of scikit-image and scikit-learn
brought to 224: mean difference from Pillow below 0.01 grey levels, largest 1 (2 in a few smooth or enlarged ones). A golden
number asks for `pillow`, a large run for `fast`.

In float32 (`tensor`) nothing is rounded and nothing cut: for originals that turn pictures into tensors before they resize them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from curate.errors import CardError, CurateError, nearest
from curate.raters import Preparation
from curate.shards.resize import Geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray

Backend = Literal["pillow", "fast", "tensor"]

_TORCH_INTERPOLATIONS = ("bilinear", "bicubic")

_MOST_TIMES_KEPT = 64
"""So many times the pixels of the crop may be made for it: a line of 1 x 2000, its short side scaled to 224, would be 1.2 GB of
which 600 KB are kept."""


def resize_fast(pixels: NDArray[np.uint8], height: int, width: int, interpolation: str = "bicubic") -> NDArray[np.uint8]:
    """Pixels (height, width, 3) of the size asked for; Pillow's but for the last bit or two."""
    if pixels.shape[:2] == (height, width):
        return pixels
    # torch warns of memory it must not write to, though this only reads; a shared-memory view is such memory.
    source = pixels if pixels.flags.writeable and pixels.flags.c_contiguous else np.array(pixels, order="C")
    # The batch axis goes on before the channels move, which torch recognises as channels-last and leaves in place.
    batch = torch.from_numpy(source).unsqueeze(0).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(batch, (height, width), mode=interpolation, antialias=True)
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())


@dataclass(frozen=True, slots=True)
class Resized:
    """A geometry resized by torch. Called, pickled and named like a `Geometry`; its name says that it is not Pillow's.

    Raises `ValueError` for an interpolation that torch does not antialias. Extremely long and thin pictures, which are cropped
    before they are resized, go to Pillow.
    """

    geometry: Geometry

    def __post_init__(self) -> None:
        if self.geometry.interpolation not in _TORCH_INTERPOLATIONS:
            known = " or ".join(_TORCH_INTERPOLATIONS)
            raise ValueError(f"the fast backend resizes {known}, not {self.geometry.interpolation}: use the backend pillow")

    @property
    def name(self) -> str:
        """What it makes, completely: equal names, equal pixels."""
        return f"torch:{self.geometry.steps}"

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = pixels.shape[:2]
        if self.geometry.is_extreme(height, width):
            return self.geometry(pixels)
        tall, wide = self.geometry.resized(height, width)
        return self.geometry.frame(resize_fast(pixels, tall, wide, self.geometry.interpolation))


@dataclass(frozen=True, slots=True)
class InFloat:
    """A geometry resized by torch in float32, where what the kernel overshoots lies outside [0, 1] and stays there.

    Raises `ValueError` for an interpolation that torch does not have.
    """

    geometry: Geometry
    antialias: bool = True
    """Whether the kernel is as wide as a pixel of the result; if not, many pixels of a large picture count for nothing."""

    def __post_init__(self) -> None:
        if self.geometry.interpolation not in _TORCH_INTERPOLATIONS:
            known = " or ".join(_TORCH_INTERPOLATIONS)
            raise ValueError(f"the tensor backend resizes {known}, not {self.geometry.interpolation}: use the backend pillow")
        if not self.antialias and self.geometry.mode == "shortest":
            raise ValueError("without antialiasing a picture is squashed or padded, not cropped from its shortest side")

    @property
    def name(self) -> str:
        """What it makes, completely: equal names, equal pixels."""
        return f"tensor:{self.geometry.steps}" + ("" if self.antialias else ":aliased")

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB (side, side, 3) in about [0, 1]."""
        # The channels stay last in memory, which is three times as fast and bit for bit the same.
        batch = torch.from_numpy(pixels.astype(np.float32) / np.float32(255)).movedim(-1, 0)[None]
        return np.ascontiguousarray(self.on_tensor(batch)[0].movedim(0, -1).numpy())

    def on_tensor(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 side side"]:
        """The same of pixels in [0, 1]."""
        return _fitted(pixels, self.geometry, antialias=self.antialias)


class Normalise:
    """Subtracts a mean from each channel and divides by a standard deviation."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self._mean, self._std = tuple(mean), tuple(std)
        self._on: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def __call__(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        if pixels.device not in self._on:  # once: on its way to a GPU, it waits for all that is computed there
            mean, std = (torch.tensor(one, device=pixels.device).view(3, 1, 1) for one in (self._mean, self._std))
            self._on[pixels.device] = (mean, std)
        mean, std = self._on[pixels.device]
        return (pixels - mean) / std


@runtime_checkable
class OnTensors(Protocol):
    """A preparation that also has a form made of tensor operations, so that gradients pass."""

    def on_tensor(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 tall wide"]:
        """From RGB in [0, 1] to what calling it on 8-bit pixels makes, but for rounding."""
        ...


def fit_tensor(make: object, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 tall wide"]:
    """What a preparation makes of RGB in [0, 1], by tensor operations that pass gradients.

    Against Pillow on 8 bits it differs by the rounding that is not done: below one grey level in the mean. Overshoots of the
    bicubic kernel are cut to [0, 1], as 8-bit pixels cut them. Of long and thin pictures the crop alone is made. Raises
    `CurateError` for a preparation without such a form.
    """
    if isinstance(make, OnTensors):
        return make.on_tensor(pixels)
    geometry = make.geometry if isinstance(make, Resized) else make
    if not isinstance(geometry, Geometry):
        raise CurateError(f"{type(make).__name__} prepares pictures only, not tensors: use score")
    fitted = _fitted(pixels, geometry, antialias=True)
    return fitted if geometry.resized(*pixels.shape[-2:]) == tuple(pixels.shape[-2:]) else fitted.clamp(0, 1)


def _fitted(pixels: Tensor, geometry: Geometry, *, antialias: bool) -> Tensor:
    """Resized and cropped or padded, with what the kernel overshoots."""
    tall, wide = geometry.resized(*pixels.shape[-2:])
    if (tall, wide) != tuple(pixels.shape[-2:]):
        mode = geometry.interpolation
        if mode not in _TORCH_INTERPOLATIONS:
            raise CurateError(f"tensors are resized {' or '.join(_TORCH_INTERPOLATIONS)}, not {mode}: use score")
        if tall * wide > _MOST_TIMES_KEPT * geometry.side**2:
            return _resized_crop(pixels, geometry, tall, wide)
        pixels = torch.nn.functional.interpolate(pixels, (tall, wide), mode=mode, antialias=antialias, align_corners=False)
    if geometry.mode == "longest":
        return _padded(pixels, geometry)
    top, left = geometry.corner(tall, wide)
    return pixels[..., top : top + geometry.side, left : left + geometry.side]


def _resized_crop(pixels: Tensor, geometry: Geometry, tall: int, wide: int) -> Tensor:
    """The crop of pixels resized to `tall` x `wide`, made of those that it depends on; as if all of them were resized."""
    top, left = geometry.corner(tall, wide)
    rows, down = _taps(pixels.shape[-2], tall, range(top, top + geometry.side), geometry.interpolation)
    columns, across = _taps(pixels.shape[-1], wide, range(left, left + geometry.side), geometry.interpolation)
    return down.to(pixels) @ pixels[..., rows, columns] @ across.to(pixels).T


def _taps(given: int, made: int, wanted: range, interpolation: str) -> tuple[slice, Float[Tensor, "wanted seen"]]:
    """Which of `given` pixels in a line those `wanted` of the line resized to `made` depend on, and how much on each.

    torch's antialiased kernels: as wide in the source as one pixel of the result, where that is more than one of the source.
    """
    scale = given / made
    wide = max(scale, 1.0)
    reach = wide * (2 if interpolation == "bicubic" else 1)
    centres = scale * (torch.arange(wanted.start, wanted.stop, dtype=torch.float64) + 0.5)
    seen = slice(max(0, int(centres[0] - reach)), min(given, int(centres[-1] + reach) + 1))
    x = (torch.arange(seen.start, seen.stop) + 0.5 - centres[:, None]).abs() / wide
    if interpolation == "bicubic":  # Keys' kernel at -1/2, as in Pillow
        near, far = (1.5 * x - 2.5) * x.square() + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2
        weights = torch.where(x < 1, near, far) * (x < 2)
    else:
        weights = (1 - x).clamp(min=0)
    return seen, weights / weights.sum(dim=1, keepdim=True)


def _padded(pixels: Tensor, geometry: Geometry) -> Tensor:
    tall, wide = pixels.shape[-2:]
    top, left = (geometry.side - tall) // 2, (geometry.side - wide) // 2
    fill = torch.tensor(geometry.fill, device=pixels.device, dtype=pixels.dtype).view(1, 3, 1, 1) / 255
    square = fill.repeat(pixels.shape[0], 1, geometry.side, geometry.side)
    square[..., top : top + tall, left : left + wide] = pixels
    return square


def preparation(
    geometry: Geometry, *, backend: Backend = "pillow", antialias: bool = True, role: str = "response"
) -> Preparation:
    """The preparation that makes `geometry` of a medium by the library asked for. Raises `ValueError` for what that cannot do."""
    if backend == "tensor":
        make: Geometry | Resized | InFloat = InFloat(geometry, antialias)
    elif antialias:
        make = geometry if backend == "pillow" else Resized(geometry)
    else:
        raise ValueError(f"the backend {backend} always antialiases")
    return Preparation(name=make.name, make=make, role=role)


def declared_preparation(preprocess: Mapping[str, Any], *, where: str, role: str = "response") -> Preparation:
    """The preparation that a card declares under `args.preprocess`: the fields of `Geometry`, `backend` and `antialias`.

        preprocess: {size: 224, mode: shortest, interpolation: bicubic, backend: pillow}

    The backend is `pillow` where the card does not say, and it antialiases; of the backend `tensor` a card can say otherwise.
    Raises `CardError`, naming `where`, for what cannot be read.
    """
    known = {field.name for field in fields(Geometry)} | {"backend", "antialias"}
    for name in preprocess:
        if name not in known:
            raise CardError(f"{where}: preprocess has no field '{name}'. {nearest(name, known)}")
    settings = dict(preprocess)
    backend, antialias = settings.pop("backend", "pillow"), settings.pop("antialias", True)
    if backend not in get_args(Backend):
        raise CardError(f"{where}: the backend of preprocess is {' or '.join(get_args(Backend))}, not '{backend}'")
    if not isinstance(antialias, bool):
        raise CardError(f"{where}: antialias of preprocess is true or false, not '{antialias}'")
    try:
        if "fill" in settings:
            settings["fill"] = tuple(settings["fill"])
        return preparation(Geometry(**settings), backend=backend, antialias=antialias, role=role)
    except (TypeError, ValueError) as problem:
        raise CardError(f"{where}: preprocess does not hold together: {problem}") from problem
