"""Starts the command line of transformers, for `transformers serve` in this environment: `python -m … serve MODEL …`."""

from __future__ import annotations

import io
import sys
from typing import Any

from curate.scorers.libraries import import_transformers


def by_pillow(data: Any, *_: object, **__: object) -> Any:
    """A picture's bytes as pixels (3, height, width), in place of torchvision's decoder."""
    import numpy as np
    import torch
    from PIL import Image

    pixels = np.array(Image.open(io.BytesIO(data.numpy().tobytes())).convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def main() -> None:
    import_transformers()
    import torchvision.io

    if not torchvision.io.image._has_image_ops():
        # A torchvision that was built for another torch: its resizing works, its decoders do not.
        torchvision.io.decode_image = by_pillow
    from transformers.cli.transformers import main as command

    sys.exit(command())


if __name__ == "__main__":
    main()
