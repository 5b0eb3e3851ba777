"""Faces in a picture, found by YuNet and brought to the square of 112 pixels that face recognisers take.

YuNet (Wu, Peng and Yu, YuNet: A Tiny Millisecond-level Face Detector, 2023) says where faces are, and where in them eyes, nose
and corners of the mouth. It runs in OpenCV, which knows how to read its grids; ONNX Runtime refuses the 8-bit file of OpenCV's
zoo. Larger pictures are shrunk to 640 pixels on the longer side, so that faces have about the sizes it was trained on.

The five points are laid on those of the template by turning, scaling and moving (least squares; Umeyama 1991), as in ArcFace.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from curate.shards.resize import resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

SIDE = 112
"""Pixels of each side of a face that was brought to the template."""

LONGEST = 640
"""Pixels of the longer side that faces are looked for in."""

_OVERLAP = 0.3
"""Of two boxes that share more of their union the surer one stays."""
_MOST = 5000
"""Faces in a picture."""

TEMPLATE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)], dtype=np.float64
)
"""Right eye, left eye, nose, right and left corner of the mouth (as seen: left to right) in the square, x and y in pixels."""


class Face(NamedTuple):
    """A face in a picture, in its pixels."""

    box: tuple[float, float, float, float]
    """Left, top, width, height."""
    points: NDArray[np.float64]
    """(5, 2): x and y of the points of `TEMPLATE`."""
    confidence: float

    @property
    def area(self) -> float:
        return self.box[2] * self.box[3]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceCrops:
    """The preparation that makes of a picture its faces: (faces, 112, 112, 3), the largest first; none is (0, 112, 112, 3).

    Picklable; the detector is opened where it is used, once in a process.
    """

    detector: Path
    min_confidence: float
    digest: str
    """SHA-256 of the detector, so that the name says what is made."""

    @property
    def name(self) -> str:
        return f"faces:{self.digest[:16]}:{self.min_confidence}"

    def __call__(self, pixels: Pixels) -> Pixels:
        faces = find_faces(pixels, open_detector(self.detector, self.min_confidence))
        crops = [aligned(pixels, face) for face in sorted(faces, key=lambda face: -face.area)]
        return np.stack(crops) if crops else np.zeros((0, SIDE, SIDE, 3), dtype=np.uint8)


@lru_cache(maxsize=4)
def open_detector(path: Path, min_confidence: float) -> Any:
    """YuNet in OpenCV, the same for the same arguments; not for several threads at once."""
    import cv2

    return cv2.FaceDetectorYN.create(str(path), "", (LONGEST, LONGEST), min_confidence, _OVERLAP, _MOST)


SMALLEST = 10
"""Pixels of a side below which a picture shows no face; the detector was trained on faces of 10 pixels and more."""


def find_faces(pixels: Pixels, detector: Any) -> list[Face]:
    """The faces in RGB pixels (height, width, 3), the surest first."""
    height, width = pixels.shape[:2]
    if min(height, width) < SMALLEST:
        return []  # OpenCV 4 finds a face in a single pixel
    scale = min(1.0, LONGEST / max(height, width))
    tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
    small = resize(pixels, tall, wide, "bilinear")
    detector.setInputSize((wide, tall))
    _, rows = detector.detect(np.ascontiguousarray(small[..., ::-1]))  # It was trained on blue, green, red.
    if rows is None:
        return []
    return [
        Face(box=(x, y, w, h), points=np.array(points).reshape(5, 2), confidence=confidence)
        for x, y, w, h, *points, confidence in (rows / (*[scale] * 14, 1)).tolist()
    ]


def aligned(pixels: Pixels, face: Face) -> Pixels:
    """The face (112, 112, 3) on the template, bilinear; black where it reaches over the border of the picture."""
    # As complex numbers, turning and scaling is one factor: target = factor * point + shift.
    points, targets = face.points @ (1, 1j), TEMPLATE @ (1, 1j)
    centred = points - points.mean()
    spread = float((abs(centred) ** 2).sum())
    factor = (centred.conj() * (targets - targets.mean())).sum() / max(spread, 1e-12)
    shift = targets.mean() - factor * points.mean()
    across, down = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    places = (across + 1j * down - shift) / factor if factor else np.full((SIDE, SIDE), -2 - 2j)
    return _sampled(pixels, places.real, places.imag)


def _sampled(pixels: Pixels, x: NDArray[np.float64], y: NDArray[np.float64]) -> Pixels:
    """Bilinear samples at places in pixels; beyond the border is black."""
    height, width = pixels.shape[:2]
    x, y = x.clip(-1, width), y.clip(-1, height)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, low = (x - left)[..., None], (y - top)[..., None]
    framed = np.pad(pixels, [(1, 2), (1, 2), (0, 0)])
    values = (
        framed[top + 1, left + 1] * (1 - right) * (1 - low)
        + framed[top + 1, left + 2] * right * (1 - low)
        + framed[top + 2, left + 1] * (1 - right) * low
        + framed[top + 2, left + 2] * right * low
    )
    return np.asarray(values.round(), dtype=np.uint8)
