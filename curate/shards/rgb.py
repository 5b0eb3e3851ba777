"""From any Pillow mode to 8-bit RGB, once, before anything resizes.

The readings chosen, alike for every rater:

- transparency (alpha, a transparent palette entry, a colour key) is composited on white;
- 16-bit grey is scaled by 257, not clipped to white as Pillow's own conversion does; 16-bit colour keeps its high byte;
- CMYK goes to RGB by the ink formula; colour profiles (ICC) are ignored, as the reference pipelines of the reward
  models ignore them, so wide-gamut pictures look less saturated than on a managed screen;
- floating point, Lab and integers beyond 16 bits have no agreed 8-bit reading, and are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WITH_ALPHA = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})
_CONVERTED = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"})
_INTEGER_GREY = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N"})


def to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """RGB pixels (height, width, 3) of a loaded image, C-contiguous and writable.

    Raises `ValueError` for pixels with no agreed reading in 8 bits.
    """
    if image.mode in _INTEGER_GREY:
        return _grey_of_16_bits(image)
    if image.mode in _WITH_ALPHA or (image.mode in _CONVERTED and "transparency" in image.info):
        return np.array(_on_white(image))
    if image.mode in _CONVERTED:
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))
    raise ValueError(f"pixels of mode {image.mode} have no agreed reading in 8 bits")


def _on_white(image: Image.Image) -> Image.Image:
    # PA, La and RGBa reach RGBA in one step too; going through RGB first would lose the alpha.
    layer = image if image.mode == "RGBA" else image.convert("RGBA")
    canvas = Image.new("RGB", layer.size, "white")
    canvas.paste(layer, mask=layer.getchannel("A"))
    return canvas


def _grey_of_16_bits(image: Image.Image) -> NDArray[np.uint8]:
    levels = np.asarray(image).astype(np.int64)
    if levels.size and (levels.min() < 0 or levels.max() > 65535):
        raise ValueError(f"grey levels from {levels.min()} to {levels.max()} do not fit 16 bits")
    grey = ((levels + 128) // 257).astype(np.uint8)
    key = image.info.get("transparency")
    if isinstance(key, int):
        grey[levels == key] = 255
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
