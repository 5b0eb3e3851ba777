"""Reading the files that a dataset names, without leaving its folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
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
    return found if _lies_in(folder, found) else None


def file_inside(folder: Path, name: str) -> Path | None:
    """The path of a plain file, as `inside`; None, too, where there is none of that name."""
    path = inside(folder, name)
    return path if path is not None and is_file(path) else None


def _lies_in(folder: Path, path: Path) -> bool:
    """Whether a path, its links followed, lies in a folder, or in that with the files of all versions, where the Hub's cache
    has made the folder of links to those."""
    root = folder.resolve()
    roots = [root, root.parents[1] / "blobs"] if root.parent.name == "snapshots" else [root]
    try:
        return any(path.resolve().is_relative_to(one) for one in roots)
    except RuntimeError:
        return True  # a link that leads back to itself: nowhere else, and to no file


def _stays_below(name: str) -> bool:
    """Whether a name leads to a place below a folder, as far as the name alone tells."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name and len(name) <= _LONGEST_NAME


def escape(folder: Path, name: str, place: Place) -> Finding:
    """The finding for a name that `inside` does not follow; the same one for all that lie in a folder which is a link out."""
    path = PurePosixPath(name)
    if _stays_below(name):
        for above in (*reversed(path.parents[:-1]), path):
            if (folder / above).is_symlink() and (folder / above).is_dir() and inside(folder, str(above)) is None:
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
    place, path = Place(file=name), inside(folder, name)
    if path is None:
        raise Problem(escape(folder, name, place))
    if not is_file(path):
        what = "is no file" if path.exists() else "does not exist"
        raise Problem(place.error("missing-file", f"it {what}, and its readers open it", "Write it, if only as []."))
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as problem:
        raise Problem(place.error("not-json", f"it is not JSON ({problem})", "Write the export again.")) from problem
    if not isinstance(rows, list):
        raise Problem(place.error("not-json", "it holds no list of rows", "Write a list of objects."))
    return [(Place(file=name, row=number), row) for number, row in enumerate(rows)]


def relative(folder: Path, path: Path) -> str:
    """A path as findings name it."""
    return path.relative_to(folder).as_posix()


def files_below(folder: Path, suffix: str, *, root: Path | None = None, with_links: bool = False) -> Iterator[Path]:
    """All files of a folder tree that end in `suffix`, sorted, without hidden ones; links out of `root` only to be named.

    `root` is the dataset that the folder is of; None where it is the dataset itself.
    """
    for path in sorted(folder.rglob(f"*{suffix}")):
        # No link to a folder is followed, so only a file that is itself a link can lie elsewhere.
        elsewhere = path.is_symlink() and not _lies_in(root or folder, path)
        if path.is_file() and (with_links or not elsewhere) and not _is_hidden(path.relative_to(folder)):
            yield path


def links_out(folder: Path, reads: Callable[[Path, str], bool]) -> Iterator[Finding]:
    """A finding for each link that leads out of a dataset, to a folder or to what `reads`, by `folder` and name, says is data."""
    for path in sorted(folder.rglob("*")):
        name = relative(folder, path)
        leads_out = path.is_symlink() and not _is_hidden(path.relative_to(folder)) and inside(folder, name) is None
        if leads_out and (path.is_dir() or reads(folder, name)):
            yield escape(folder, name, Place(file=name))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
