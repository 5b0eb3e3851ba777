"""Parquet files of a dataset, read as `datasets.load_dataset` would find them, row by row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.checking.files import files_below, relative
from curate.checking.findings import Finding, Place
from curate.content import parse_yaml
from curate.errors import CurateError

if TYPE_CHECKING:
    import pyarrow as pa

_NAMED = re.compile(r"(?:^|/)(?P<split>\w+)-\d{5}-of-(?P<count>\d{5})[^/]*\.parquet$")
_KEYWORDS = {"validation": ("validation", "valid", "dev", "val"), "test": ("test", "eval"), "train": ("train",)}
_ROWS = 8


class Table:
    """One Parquet file of one split."""

    def __init__(self, folder: Path, path: Path) -> None:
        self.name = relative(folder, path)
        self.split = split_of(self.name)
        self.place = Place(file=self.name)
        self._path = path

    def schema(self) -> pa.Schema:
        """Its columns, with metadata. Raises `OSError` or `pa.ArrowInvalid` for a file that is no Parquet."""
        import pyarrow.parquet as pq

        return pq.read_schema(self._path)

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[Place, dict[str, Any]]]:
        """Rows with those of the columns that exist, a few at a time. Raises as `schema`."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self._path, page_checksum_verification=True) as file:
            present = [name for name in columns if name in file.schema_arrow.names]
            number = 0
            for batch in file.iter_batches(batch_size=_ROWS, columns=present):
                for row in batch.to_pylist():
                    yield Place(file=self.name, row=number), row
                    number += 1


def tables(folder: Path) -> list[Table]:
    """The Parquet files of a dataset, split by split."""
    return [Table(folder, path) for path in files_below(folder, ".parquet")]


def split_of(name: str) -> str:
    """The split that a file's name says: by `SPLIT-00000-of-00001`, by a keyword in it, else train."""
    if match := _NAMED.search(name):
        return match["split"]
    words = re.split(r"[^a-z0-9]+", name.lower())
    return next((split for split, keywords in _KEYWORDS.items() if any(word in keywords for word in words)), "train")


def unreadable(table: Table, problem: Exception) -> Finding:
    """The finding for a file that is no Parquet."""
    return table.place.error("unreadable-table", f"it cannot be read ({problem})", "Write the export again.")


def missing_parts(folder: Path) -> Iterator[Finding]:
    """Files that the names of the others promise: `train-00000-of-00002` promises `train-00001-of-00002`."""
    names = {table.name for table in tables(folder)}
    for name in sorted(names):
        match = _NAMED.search(name)
        if match and "-00000-of-" in name:
            for number in range(1, int(match["count"])):
                other = name.replace("-00000-of-", f"-{number:05}-of-")
                if other not in names:
                    yield Place(file=other).error("missing-file", f"{name} says that it exists, and it does not", "Put it back.")


def picture_columns(folder: Path, columns: pa.Schema) -> set[str]:
    """Columns that `datasets` would decode into pictures, by the file's own metadata, its type, or the README."""
    try:
        features = json.loads((columns.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        said = {name for name, feature in features.items() if feature["_type"] == "Image"}
    except (ValueError, KeyError, TypeError, AttributeError):
        said = set()  # none, or none that `datasets` would understand either
    shaped = {field.name for field in columns if str(field.type) == "struct<bytes: binary, path: string>"}
    return (said | shaped | _pictures_in_readme(folder)) & set(columns.names)


def _pictures_in_readme(folder: Path) -> set[str]:
    """Columns that the front matter of the README declares as images."""
    path = folder / "README.md"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    match = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    if not match:
        return set()
    try:
        said = parse_yaml(match[1], where=str(path), error=CurateError).get("dataset_info", [])
    except CurateError:
        return set()
    infos = said if isinstance(said, list) else [said]
    features = [one for info in infos if isinstance(info, dict) for one in info.get("features") or []]
    return {str(one.get("name")) for one in features if isinstance(one, dict) and one.get("dtype") == "image"}
