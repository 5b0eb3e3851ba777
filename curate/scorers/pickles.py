"""Which files of weights are pickles, and where their converted form lies; known without torch."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".p", ".pkl", ".tar")


def converted_path(original: Path) -> Path:
    """Where the safetensors form of a pickled original lies, or will."""
    root = os.environ.get("CURATE_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    with original.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Path(root) / "curate" / "converted" / f"{digest}.safetensors"
