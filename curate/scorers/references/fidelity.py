"""How close a picture is to its reference, pixel by pixel and window by window: PSNR, SSIM, MS-SSIM.

    psnr      -10 log10(mean squared difference), pixels in [0, 1]; at most 100 dB, which equal pictures get
    ssim      mean over places of (2 mx my + c1)(2 cov + c2) / ((mx^2 + my^2 + c1)(vx + vy + c2)), c1 = 0.01^2, c2 = 0.03^2
    ms-ssim   product over scales of that formula's second factor, at the coarsest scale of both, to the powers of the paper

Means, variances and covariances are those of a Gaussian window of 11 x 11 pixels with sigma 1.5; places where it does not fit are
left out. `luma` is BT.601 (0.299 R + 0.587 G + 0.114 B), `rgb` the mean over the three channels (for PSNR: over all values).
Nothing is shrunk first, which some programs do. Computed in float64: variances of flat areas are small differences.

Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, TIP 2004; Wang, Simoncelli and Bovik,
Multiscale Structural Similarity for Image Quality Assessment, Asilomar 2003.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

from curate.cards import CardFile
from curate.rater_settings import Settings
from curate.scorers.arguments import arguments
from curate.scorers.passes import Pixels
from curate.scorers.references.base import ReferenceRater
from curate.scorers.references.perceptual import PairArguments

WINDOW = 11
"""Pixels of each side of the Gaussian window."""

_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2
_SMALLEST_ERROR = 1e-10


class _Fidelity(ReferenceRater[Tensor]):
    """Compares four planes of each picture: red, green, blue and luma."""

    any_size = False
    batch_size = 8

    def __init__(self, file: CardFile, settings: Settings, args: PairArguments | None = None) -> None:
        args = args or arguments(file, PairArguments)
        super().__init__(file, settings, prepare=lambda role: args.prepare(role, file.where), several=args.several)
        self._order = [("luma", "rgb").index(name) for name in self.dimensions]

    def describe(self, pixels: Pixels, keys: Sequence[str] | None) -> Float[Tensor, "batch 4 height width"]:
        rgb = pixels.double()
        weights = torch.tensor((0.299, 0.587, 0.114), dtype=rgb.dtype, device=rgb.device)
        return torch.cat([rgb, torch.einsum("bchw,c->bhw", rgb, weights)[:, None]], dim=1)

    def compare(self, response: Tensor, reference: Tensor) -> Float[Tensor, "batch dimensions"]:
        if response.device.type != "cpu":
            return self._compared(response, reference)
        # What is in between for a whole batch would be new memory of the system's each time, which costs more than the sums.
        rows = zip(response, reference, strict=True)
        return torch.cat([self._compared(one[None], other[None]) for one, other in rows])

    @abstractmethod
    def _compared(self, response: Tensor, reference: Tensor) -> Float[Tensor, "batch dimensions"]: ...

    def _columns(self, luma: Tensor, rgb: Tensor) -> Float[Tensor, "batch dimensions"]:
        """The two numbers in the order of the card's dimensions."""
        return torch.stack([luma, rgb], dim=-1)[:, self._order].float()


class Psnr(_Fidelity):
    """Peak signal-to-noise ratio in dB."""

    def _compared(self, response: Tensor, reference: Tensor) -> Float[Tensor, "batch dimensions"]:
        errors = ((response - reference) ** 2).mean(dim=(2, 3))
        return self._columns(_decibels(errors[:, 3]), _decibels(errors[:, :3].mean(dim=1)))


def _decibels(errors: Tensor) -> Tensor:
    return -10 * errors.clamp_min(_SMALLEST_ERROR).log10()


class Ssim(_Fidelity):
    """Structural similarity."""

    smallest = WINDOW

    def _compared(self, response: Tensor, reference: Tensor) -> Float[Tensor, "batch dimensions"]:
        brightness, structure = _similarities(response, reference)
        alike = (brightness * structure).mean(dim=(2, 3))
        return self._columns(alike[:, 3], alike[:, :3].mean(dim=1))


class MultiscaleArguments(PairArguments):
    """The `args` of a card for `MultiscaleSsim`."""

    powers: tuple[float, ...] = Field(default=(0.0448, 0.2856, 0.3001, 0.2363, 0.1333), min_length=1)
    """Of each scale, the finest first; those of the paper."""


class MultiscaleSsim(_Fidelity):
    """Structural similarity over scales, each half as large as the one before."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, MultiscaleArguments)
        super().__init__(file, settings, args)
        self._powers = args.powers
        self.smallest = WINDOW * 2 ** (len(args.powers) - 1)

    def _compared(self, response: Tensor, reference: Tensor) -> Float[Tensor, "batch dimensions"]:
        alike = torch.ones(response.shape[:2], dtype=response.dtype, device=response.device)
        for number, power in enumerate(self._powers):
            brightness, structure = _similarities(response, reference)
            coarsest = number == len(self._powers) - 1
            mean = (brightness * structure if coarsest else structure).mean(dim=(2, 3))
            # A negative mean has no such power; 0 is where the product ends.
            alike = alike * mean.clamp_min(_SMALLEST_ERROR) ** power
            response, reference = avg_pool2d(response, 2), avg_pool2d(reference, 2)
        return self._columns(alike[:, 3], alike[:, :3].mean(dim=1))


def _similarities(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Of brightness, and of contrast and structure, at each place where the window fits: (batch, 4, tall, wide) each."""
    mean, another = _blurred(one), _blurred(other)
    variance, covariance = _blurred(one * one) - mean**2, _blurred(one * other) - mean * another
    brightness = (2 * mean * another + _C1) / (mean**2 + another**2 + _C1)
    return brightness, (2 * covariance + _C2) / (variance + _blurred(other * other) - another**2 + _C2)


def _blurred(planes: Float[Tensor, "batch planes height width"]) -> Float[Tensor, "batch planes tall wide"]:
    offsets = torch.arange(WINDOW, dtype=planes.dtype, device=planes.device) - WINDOW // 2
    line = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    line = line / line.sum()
    count = planes.shape[1]
    across = conv2d(planes, line.repeat(count, 1, 1, 1), groups=count)
    return conv2d(across, line[:, None].repeat(count, 1, 1, 1), groups=count)
