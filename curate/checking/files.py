"""Reading the files that a dataset names, without leaving its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from curate.checking.findings import Finding, Place

_MOST_BYTES = 64 << 20
_LONGEST_NAME = 1024


class Problem(Exception):
    """A file that cannot be had, as the finding to report."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def inside(folder: Path, name: str) -> Path | None:
    """The path of a file by its name relative to `folder`; None for a name that leads out of it, by dots, links or at all."""
    if not _stays_below(name):
        return None
    found = folder / PurePosixPath(name)
    try:
        return found if found.resolve().is_relative_to(folder.resolve()) else None
    except RuntimeError:
        return found  # a link that leads back to itself: nowhere else, and to no file


def _stays_below(name: str) -> bool:
    """Whether a name leads to a place below a folder, as far as the name alone tells."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name and len(name) <= _LONGEST_NAME


def escape(folder: Path, name: str, place: Place) -> Finding:
    """The finding for a name that `inside` does not follow; the same one for all that lie in a folder which is a link out."""
    path = PurePosixPath(name)
    if _stays_below(name):
        for above in reversed(path.parents[:-1]):
            if (folder / above).is_symlink() and inside(folder, str(above)) is None:
                message = "it is a link that leads out of the folder, and nothing in it is looked at"
                return Place(file=str(above)).error("path-escape", message, "Put the folder itself in place of the link.")
    message = f"{str(path)!r:.200} leads out of the folder"
    return place.error("path-escape", message, "Copy the file into the folder, or leave it out.")


def read_named(folder: Path, base: str, name: object, place: Place) -> bytes:
    """The bytes of a file that a row names, relative to `base` in `folder`. Raises `Problem`; opens nothing outside."""
    if not isinstance(name, str) or not name:
        raise Problem(place.error("wrong-type", f"a path is text, not {name!r:.80}", "Write the path of the image."))
    path = inside(folder, f"{base}/{name}") if not name.startswith("/") else None
    if path is None:
        raise Problem(escape(folder, f"{base}/{name}" if not name.startswith("/") else name, place))
    if not is_file(path):
        raise Problem(place.error("missing-file", f"{base}/{name} does not exist", "Put the image back, or leave the row out."))
    if path.stat().st_size > _MOST_BYTES:
        raise Problem(place.error("undecodable", f"{base}/{name} is larger than {_MOST_BYTES >> 20} MiB", "Leave the row out."))
    return path.read_bytes()


def is_file(path: Path) -> bool:
    """Whether a file is there; False, too, for a name that no file can have."""
    try:
        return path.is_file()
    except OSError:
        return False


def json_rows(folder: Path, name: str) -> list[tuple[Place, Any]]:
    """The rows of a file that is a JSON list, loaded whole as its readers do. Raises `Problem`."""
    place = Place(file=name)
    try:
        rows = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Problem(
            place.error("missing-file", "it does not exist, and its readers open it", "Write it, if only as [].")
        ) from None
    except (ValueError, RecursionError) as problem:
        raise Problem(place.error("not-json", f"it is not JSON ({problem})", "Write the export again.")) from problem
    if not isinstance(rows, list):
        raise Problem(place.error("not-json", "it holds no list of rows", "Write a list of objects."))
    return [(Place(file=name, row=number), row) for number, row in enumerate(rows)]


def relative(folder: Path, path: Path) -> str:
    """A path as findings name it."""
    return path.relative_to(folder).as_posix()


def files_below(folder: Path, suffix: str, *, with_links: bool = False) -> Iterator[Path]:
    """All files of a folder tree that end in `suffix`, sorted, without hidden ones; links out of it only to be named."""
    for path in sorted(folder.rglob(f"*{suffix}")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or not path.is_file():
            continue
        # No link to a folder is followed, so only a file that is itself a link can lie elsewhere.
        if with_links or not path.is_symlink() or path.resolve().is_relative_to(folder.resolve()):
            yield path
