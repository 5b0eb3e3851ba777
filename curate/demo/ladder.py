"""Known ways of making a picture worse, in known steps: the answer key of the demo.

Severity 0 is the photograph itself. Equal severities of different defects look about equally bad, so any two candidates of
different severity have a right order.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

QUALITY = 95
"""JPEG quality in which candidates are stored; fine enough to add no visible blocks of its own."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One response of the demo: a photograph, perhaps made worse, as the bytes of a JPEG file."""

    defect: str
    severity: int
    data: bytes


def candidates(picture: Image.Image, name: str) -> Iterator[Candidate]:
    """The picture and each of its degradations; equal names and pictures give equal bytes."""
    yield Candidate("original", 0, _jpeg(picture, QUALITY))
    for defect, (worsen, amounts) in DEFECTS.items():
        for severity, amount in enumerate(amounts, start=1):
            # Seeded by name, so that adding a photograph or a defect leaves the others as they are.
            chance = np.random.default_rng(zlib.crc32(f"{name} {defect} {severity}".encode()))
            yield Candidate(defect, severity, _jpeg(worsen(picture, amount, chance), QUALITY))


def _blur(picture: Image.Image, radius: float, chance: np.random.Generator) -> Image.Image:
    from PIL import ImageFilter

    return picture.filter(ImageFilter.GaussianBlur(radius))


def _noise(picture: Image.Image, levels: float, chance: np.random.Generator) -> Image.Image:
    values = np.asarray(picture, dtype=np.float32)
    return _picture(values + chance.normal(0, levels, values.shape))


def _compress(picture: Image.Image, quality: float, chance: np.random.Generator) -> Image.Image:
    from PIL import Image

    return Image.open(io.BytesIO(_jpeg(picture, round(quality)))).convert("RGB")


def _darken(picture: Image.Image, gain: float, chance: np.random.Generator) -> Image.Image:
    return _picture(np.asarray(picture, dtype=np.float32) * gain)


def _flatten(picture: Image.Image, contrast: float, chance: np.random.Generator) -> Image.Image:
    values = np.asarray(picture, dtype=np.float32)
    mean = values.mean()
    return _picture(mean + (values - mean) * contrast)


def _coarsen(picture: Image.Image, scale: float, chance: np.random.Generator) -> Image.Image:
    """Shrunk, and brought back to its size without the detail."""
    from PIL import Image

    small = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
    return small.resize(picture.size, Image.Resampling.BICUBIC)


DEFECTS: dict[str, tuple[Callable[[Image.Image, float, np.random.Generator], Image.Image], tuple[float, ...]]] = {
    "blur": (_blur, (1.0, 2.0, 4.0)),
    "noise": (_noise, (6.0, 15.0, 30.0)),
    "jpeg": (_compress, (50, 25, 8)),
    "dark": (_darken, (0.65, 0.4, 0.2)),
    "flat": (_flatten, (0.65, 0.4, 0.2)),
    "coarse": (_coarsen, (0.5, 0.3, 0.125)),
}
"""How a picture is made worse, and by how much for severities 1, 2, 3."""


def _picture(values: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> Image.Image:
    from PIL import Image

    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()
