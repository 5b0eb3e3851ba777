"""Parquet files of a dataset, read as `datasets.load_dataset` would find them, row by row."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.checking.files import file_inside, files_below, relative
from curate.checking.findings import Finding, Place
from curate.checking.ledger import no_rows
from curate.content import parse_yaml
from curate.errors import CurateError

if TYPE_CHECKING:
    import pyarrow as pa

_NAMED = re.compile(r"(?P<folder>^|.*/)(?P<split>\w+)-(?P<number>\d{5})-of-(?P<count>\d{5})[^/]*\.parquet")
_KEYWORDS = {"validation": ("validation", "valid", "dev", "val"), "test": ("test", "eval"), "train": ("train",)}
_ALL = "all"
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

        with self._path.open("rb") as file:  # Arrow opens no file whose name is not UTF-8
            return pq.read_schema(file)

    def rows(self, columns: Sequence[str] | None) -> Iterator[tuple[Place, dict[str, Any]]]:
        """Rows with those of the columns that exist, None for all, a few at a time. Raises as `schema`."""
        import pyarrow.parquet as pq

        with self._path.open("rb") as stream, pq.ParquetFile(stream, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            present = [name for name in dict.fromkeys(names if columns is None else columns) if name in names]
            number = 0
            for batch in file.iter_batches(batch_size=_ROWS, columns=present):
                for row in batch.to_pylist():
                    yield Place(file=self.name, row=number), row
                    number += 1


def tables(folder: Path) -> list[Table]:
    """The Parquet files of a dataset, split by split."""
    return [Table(folder, path) for path in files_below(folder, ".parquet") if is_table(relative(folder, path))]


def is_table(name: str) -> bool:
    """Whether `datasets.load_dataset` takes a file for a table, by its name below the folder: not in `.git`, nor in `__cache`."""
    *folders, last = name.split("/")
    hidden = last.startswith(".") or any(part.startswith((".", "__")) for part in folders)
    return last.endswith(".parquet") and not hidden


def split_of(name: str) -> str:
    """The split that a file's name says: by `SPLIT-00000-of-00001`, by a keyword in it, else train."""
    if match := _NAMED.fullmatch(name):
        return match["split"]
    words = re.split(r"[^a-z0-9]+", name.lower())
    return next((split for split, keywords in _KEYWORDS.items() if any(word in keywords for word in words)), "train")


def walk(
    folder: Path,
    columns: Sequence[str] | None,
    of_columns: Callable[[Table], Iterator[Finding]],
    of_row: Callable[[dict[str, Any], str, Place], Iterator[Finding]],
) -> Generator[Finding, None, Counter[str]]:
    """Findings of every Parquet file, and at the end how many rows each split has.

    `of_columns` looks at a file before `of_row` looks at its rows, each with its split and its place; `columns` are those of them
    that it needs, None for all.
    """
    import pyarrow as pa

    yield from _missing_parts(folder)
    rows = Counter[str]()
    for table in tables(folder):
        try:
            yield from of_columns(table)
            for place, row in table.rows(columns):
                rows[table.split] += 1
                yield from of_row(row, table.split, place)
        except (OSError, pa.ArrowInvalid) as problem:
            yield table.place.error("unreadable-table", f"it cannot be read ({problem})", "Write the export again.")
    if _ALL in rows:
        message = f"a split is called '{_ALL}', by which `datasets` means all splits together, and so loads none of them"
        yield Place().error("unread-split", message, "Call the split otherwise.")
    if not rows:
        yield no_rows("row in a Parquet file")
    return rows


def _missing_parts(folder: Path) -> Iterator[Finding]:
    """Files that the names of the others promise: `train-00001-of-00002` promises `train-00000-of-00002`."""
    parts = defaultdict[tuple[str, str, str], set[int]](set)
    for table in tables(folder):
        if match := _NAMED.fullmatch(table.name):
            parts[match["folder"], match["split"], match["count"]].add(int(match["number"]))
    for (base, split, count), found in sorted(parts.items()):
        for number in sorted(set(range(int(count))) - found):
            other = Place(file=f"{base}{split}-{number:05}-of-{count}.parquet")
            yield other.error("missing-file", f"the names of the other parts say that there are {int(count)}", "Put it back.")


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
    said = front_matter(folder).get("dataset_info", [])
    infos = said if isinstance(said, list) else [said]
    features = [one for info in infos if isinstance(info, dict) for one in info.get("features") or []]
    return {str(one.get("name")) for one in features if isinstance(one, dict) and one.get("dtype") == "image"}


def front_matter(folder: Path) -> Mapping[str, Any]:
    """What the README says to programs; empty where it says nothing that can be read."""
    path = file_inside(folder, "README.md")
    text = path.read_text(encoding="utf-8", errors="replace") if path is not None else ""
    match = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    try:
        return parse_yaml(match[1], where=str(path), error=CurateError) if match else {}
    except CurateError:
        return {}
