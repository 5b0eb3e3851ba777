"""Which files of weights are pickles, and where their converted form lies; known without torch.

Nothing that rates opens one: `curate.scorers.convert` does, in a process of its own, and what it wrote is what is read.
"""

from __future__ import annotations

import os
from pathlib import Path

from curate.weights import sha256_of

PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".p", ".pkl", ".tar")

SAVED_PICKLES = "pytorch_model*.bin"
"""What transformers calls the files of weights in a folder that it saved before it had safetensors."""


def converted_path(original: Path) -> Path:
    """Where the safetensors form of a pickled original lies, or will."""
    root = os.environ.get("CURATE_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "curate" / "converted" / f"{sha256_of(original)}.safetensors"
