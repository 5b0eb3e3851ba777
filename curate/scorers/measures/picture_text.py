"""Reading the text in pictures: RapidOCR on the files that a card names, and the base of the raters that judge what was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from curate.batch_raters import BatchRater
from curate.cards import CardFile
from curate.rater_settings import Settings
from curate.raters import Item, Preparation
from curate.scorers.arguments import Arguments, arguments
from curate.shards.resize import longest_size, resize
from curate.weights import weights_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

SMALLEST = 32
"""Sides are padded up to this many pixels; the reader cannot take smaller ones, and no text is that small."""
SLIMMEST = 8
"""Pictures more than so many times longer than wide are padded; the reader would enlarge them until memory runs out."""
TOLD = 500
"""Characters of what was read that `told` gives."""


class ReadingArguments(Arguments):
    """The `args` of a card for a `ReadingRater`."""

    longest_side: int = Field(default=1600, ge=SMALLEST)
    """Larger pictures are shrunk to this many pixels before they are read."""
    min_confidence: float = Field(default=0.5, ge=0, le=1)
    """Lines that the reader is less sure of are taken as not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable:
    """Pixels of a size that can be read: not longer than `longest` on any side, padded with white where thin. Picklable."""

    longest: int

    @property
    def name(self) -> str:
        return f"pillow:at-most-{self.longest}-bicubic:at-least-{SMALLEST}-and-1-to-{SLIMMEST}"

    def __call__(self, pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        if max(height, width) > self.longest:
            pixels = resize(pixels, *longest_size(height, width, self.longest))
        least = max(SMALLEST, max(pixels.shape[:2]) // SLIMMEST)
        below, beside = (max(0, least - side) for side in pixels.shape[:2])
        if not below and not beside:
            return pixels
        return np.pad(pixels, [(0, below), (0, beside), (0, 0)], constant_values=255)


class ReadingRater(BatchRater):
    """Base of the raters that read a picture and judge what stands in it; `args` are `ReadingArguments`."""

    batch_size = 1

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, ReadingArguments)
        self.dimensions = (file.card.main,)
        make = Readable(longest=args.longest_side)
        self._preparation = Preparation(name=make.name, make=make)
        self.preparations = (self._preparation,)
        self._reader = _reader(file, args, offline=settings.offline)

    def read(self, item: Item) -> list[str]:
        """Lines of text in the picture, from top to bottom."""
        pixels = item.prepared[0][self._preparation.role, self._preparation.name]
        # The reader takes arrays in OpenCV's order of colours.
        found = self._reader(np.ascontiguousarray(pixels[..., ::-1]))
        lines, scores = found.txts, found.scores
        if lines is None:
            return []
        if isinstance(lines, str) or not all(isinstance(line, str) for line in lines) or len(lines) != len(scores):
            raise ValueError(f"the reader gave {lines!r:.80}, which are no lines of text")
        return list(lines)


def told(lines: list[str]) -> str:
    """What was read, as a rationale."""
    return f"read: {' / '.join(lines)}"[:TOLD] if lines else "read: nothing"


def _reader(file: CardFile, args: ReadingArguments, *, offline: bool) -> Any:
    """RapidOCR on the files that the card names, so that it downloads none and the fingerprint says which."""
    from rapidocr import RapidOCR

    parts = {"Det": "detector", "Cls": "turner", "Rec": "reader"}
    models = {f"{part}.model_path": str(weights_file(file, role, offline=offline)) for part, role in parts.items()}
    reader = RapidOCR(params={**models, "Global.text_score": args.min_confidence, "Global.log_level": "critical"})
    # Loaded now, not at the first picture: a model that cannot be run is said before the run.
    for name in ("det", "cls", "rec"):
        load = getattr(reader, f"_load_{name}_model", None)  # older ones load by themselves
        part = load() if load is not None else getattr(reader, f"text_{name}")
        part.session = _Checked(part.session)
    return reader


class _Checked:
    """A session of RapidOCR whose numbers are looked at: of numbers that are not finite it makes "no text", and says nothing."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __call__(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._session(pixels)
        if not np.isfinite(found).all():
            raise ValueError("the numbers of the reader's network are not finite")
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)
