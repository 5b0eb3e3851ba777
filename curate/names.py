"""The files by which the folders that curate makes are known."""

from __future__ import annotations

from pathlib import Path

MANIFEST = "curate.json"
"""In every export: what it is and how it was made; written last."""

STORE_MARK = "store.json"
"""In every store: its format."""


def is_store(folder: str | Path) -> bool:
    """Whether a folder says of itself that it is a store."""
    return (Path(folder) / STORE_MARK).is_file()
