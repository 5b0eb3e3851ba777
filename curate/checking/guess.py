"""Which format a folder holds, by what it says of itself, else by its files and columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curate.checking.files import Problem, files_below, json_rows, relative
from curate.checking.tables import picture_columns, tables
from curate.errors import CurateError, Option
from curate.exporting.folder import MANIFEST

_FIELDS: Mapping[str, frozenset[str]] = {
    "imagereward": frozenset({"generations", "ranking"}),
    "hpdv2": frozenset({"human_preference", "file_path"}),
    "hpdv3": frozenset({"path1", "path2"}),
}
_COLUMNS: Mapping[str, frozenset[str]] = {
    "diffusers-dpo": frozenset({"jpg_0", "jpg_1"}),
    "rankdpo": frozenset({"images", "phi", "ranks"}),
}


def manifest(folder: Path) -> dict[str, Any] | None:
    """What an export says of itself; None where there is no manifest. Raises `CurateError` for one that cannot be read."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(said, dict) and isinstance(said.get("format"), str) and isinstance(said.get("files"), list):
            return said
    except (ValueError, RecursionError):
        pass
    raise CurateError(f"{path} is not a manifest of an export; remove it to check the folder by its files alone")


def guess_format(folder: Path) -> tuple[str, str]:
    """The format that a folder's files look like, and the reason as a clause. Raises `CurateError` where they look like none."""
    if (folder / "store.json").is_file():
        raise CurateError(f"{folder} is a store, not a dataset made from one: look at it with `curate show {folder}`")
    if (folder / "win").is_dir() and (folder / "lose").is_dir():
        return "win-lose-folders", "it has the folders win and lose"
    if found := _by_columns(folder) or _by_fields(folder):
        return found
    if next(files_below(folder, ".tar"), None):
        return "shards", "it has .tar files"
    raise CurateError(f"cannot tell which format {folder} is in; say it with ", Option("format"))


def _by_columns(folder: Path) -> tuple[str, str] | None:
    import pyarrow as pa

    for table in tables(folder):
        try:
            columns = table.schema()
        except (OSError, pa.ArrowInvalid):
            continue
        for name, needed in _COLUMNS.items():
            if needed <= set(columns.names):
                return name, f"{table.name} has the columns {', '.join(sorted(needed))}"
        if picture_columns(folder, columns):
            return "parquet", f"{table.name} has a column of images"
        if "sample" in columns.names:
            return "ids", f"{table.name} has a column of samples and no images"
    return None


def _by_fields(folder: Path) -> tuple[str, str] | None:
    for path in files_below(folder, ".json"):
        name = relative(folder, path)
        try:
            first = next((row for _, row in json_rows(folder, name)), None)
        except Problem:
            continue
        for form, needed in _FIELDS.items():
            if isinstance(first, dict) and needed <= first.keys():
                return form, f"the rows of {name} have {' and '.join(sorted(needed))}"
    return None
