"""JSON files at the top of a folder, of which trainers open those that they are told to: which of them hold rows."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from curate.checking.files import Problem, files_below, inside, json_rows, relative
from curate.checking.guess import manifest
from curate.names import MANIFEST


def files_of_rows(folder: Path, fields: Collection[str]) -> list[str]:
    """Their names; of an export of curate without what was put beside its rows and holds none with `fields`."""
    names = [relative(folder, path) for path in files_below(folder, ".json", with_links=True)]
    names = [name for name in names if "/" not in name and name != MANIFEST]
    said = manifest(folder)
    if said is None:
        return names
    listed = {str(entry.get("name")) for entry in said["files"] if isinstance(entry, dict)}
    return [name for name in names if name in listed or has_rows(folder, name, fields)]


def has_rows(folder: Path, name: str, fields: Collection[str]) -> bool:
    """Whether a file at the top is a JSON list whose first row has all of `fields`."""
    if "/" in name or not name.endswith(".json") or inside(folder, name) is None:
        return False
    try:
        first = next((row for _, row in json_rows(folder, name)), None)
    except Problem:
        return False
    return isinstance(first, dict) and set(fields) <= first.keys()
