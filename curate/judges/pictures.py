"""Pictures as judges are sent them: brought to size beside the decoder, encoded by us, never as they came from outside.

What is sent was decoded and encoded again, so a file that is two things at once, or that only a careless decoder opens, does not
reach a server. JPEG at quality 95 is what UnifiedReward's own client sends (https://github.com/CodeGoat24/UnifiedReward).
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from curate.asks import Picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a picture is sent; its own size where nothing is said. Shapes are kept, but with `side`."""

    area: int | None = None
    """The most pixels."""
    longest: int | None = None
    """The most pixels of the longer side."""
    side: int | None = None
    """Width and height, whatever the shape."""
    upscale: bool = False
    """Whether a smaller picture is brought up to `area` or `longest`."""

    @property
    def name(self) -> str:
        """Says all that decides the pixels."""
        return f"judged-{self.area}-{self.longest}-{self.side}-{self.upscale}"

    def of(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that a picture is sent in; at least one pixel each."""
        if self.side is not None:
            return self.side, self.side
        scale = 1.0
        if self.area is not None:
            scale = math.sqrt(self.area / (width * height))
        elif self.longest is not None:
            scale = self.longest / max(width, height)
        if scale > 1 and not self.upscale:
            return width, height
        return max(1, round(width * scale)), max(1, round(height * scale))

    def __call__(self, pixels: Pixels) -> Pixels:
        """RGB (height, width, 3) in that size, by Pillow's antialiased bicubic."""
        height, width = pixels.shape[:2]
        return resized(pixels, *self.of(width, height))


def resized(pixels: Pixels, width: int, height: int) -> Pixels:
    """RGB (height, width, 3) in another size, by Pillow's antialiased bicubic."""
    import numpy as np
    from PIL import Image

    if pixels.shape[:2] == (height, width):
        return np.ascontiguousarray(pixels)
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def encoded(pixels: Pixels, kind: Literal["png", "jpeg"], quality: int) -> Picture:
    """A picture of RGB (height, width, 3); `quality` is that of JPEG."""
    from PIL import Image

    out = io.BytesIO()
    if kind == "jpeg":
        Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    else:
        # The fastest: time on the way to a server costs less than the time to make a file a little smaller.
        Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    height, width = pixels.shape[:2]
    mime: Literal["image/png", "image/jpeg"] = "image/jpeg" if kind == "jpeg" else "image/png"
    return Picture(data=out.getvalue(), mime=mime, width=width, height=height)
