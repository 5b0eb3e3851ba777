"""How large a picture is as a JPEG of fixed quality, in kilobytes of 1000 bytes.

The two rewards of DDPO (Black et al., Training Diffusion Models with Reinforcement Learning, 2023) and of RLCM (Oertell et al.,
RL for Consistency Models, 2024): incompressibility is the size, compressibility its negative, which a card says by
`higher_is_better: false`. The encoder is Pillow's, as in the originals, with its default subsampling (4:2:0). Sizes grow with the
number of pixels, so compare pictures of one size.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image
from pydantic import Field

from curate.batch_raters import BatchRater
from curate.cards import CardFile
from curate.rater_settings import Settings
from curate.raters import Item, Judgement, Place, failed, measured
from curate.records import Status
from curate.scorers.arguments import Arguments, arguments

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST_SIDE = 65_500
"""Pixels that libjpeg encodes at most."""


class JpegArguments(Arguments):
    """The `args` of a card for `JpegSize`."""

    quality: int = Field(default=95, ge=1, le=100)


def jpeg_kilobytes(pixels: NDArray[np.uint8], quality: int) -> float:
    """The size of RGB pixels (height, width, 3) as a JPEG."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    return out.tell() / 1000


class JpegSize(BatchRater):
    """Measures pictures where they are decoded."""

    place: Place = "worker"
    batch_size = 1

    def __init__(self, file: CardFile, settings: Settings) -> None:
        del settings  # Neither a device nor batches: nothing of a run matters here.
        self._quality = arguments(file, JpegArguments).quality
        self.dimensions = (file.card.main,)

    def judge_batch(self, batch: Sequence[Item]) -> list[Judgement]:
        return [self._judge(item) for item in batch]

    def _judge(self, item: Item) -> Judgement:
        pixels = item.pixels[0]["response"]
        if max(pixels.shape[:2]) > LONGEST_SIDE:
            return failed(item, self.dimensions, Status.NOT_APPLICABLE, f"a JPEG has at most {LONGEST_SIDE} pixels a side")
        size = measured(jpeg_kilobytes(pixels, self._quality))
        return Judgement(item=item.number, values={self.dimensions[0]: size})
