"""Which format a folder holds, by what it says of itself, else by its files and columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from curate.checking.files import inside, is_file
from curate.checking.outline import Likeness, Outline
from curate.errors import CurateError, Option
from curate.exporting.formats import format_module, format_names
from curate.names import MANIFEST


def manifest(folder: Path) -> dict[str, Any] | None:
    """What an export says of itself; None where there is no manifest. Raises `CurateError` for one that cannot be read."""
    path = folder / MANIFEST
    if not is_file(path):
        return None
    if inside(folder, MANIFEST) is None:
        raise CurateError(f"{path} is a link that leads out of the folder; copy the file into it")
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(said, dict) and isinstance(said.get("format"), str) and isinstance(said.get("files"), list):
            return said
    except (ValueError, RecursionError):
        pass
    raise CurateError(f"{path} is not a manifest of an export; remove it to check the folder by its files alone")


def guess_format(folder: Path) -> tuple[str, str]:
    """The format that a folder's files look like, and the reason as a clause. Raises `CurateError` where they look like none."""
    outline = Outline(folder)
    found = {name: format_module(__package__, name).looks_like(outline) for name in format_names()}
    alike: dict[str, Likeness] = {name: likeness for name, likeness in found.items() if likeness is not None}
    if not alike:
        raise CurateError(f"cannot tell which format {folder} is in; say it with ", Option("format"))
    name = max(alike, key=lambda name: alike[name].names)
    return name, alike[name].reason
