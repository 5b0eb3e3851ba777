"""Pictures and videos that golden numbers name by their hash: found in a folder of the user's, or inside installed packages."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from curate.errors import CurateError, Option
from curate.scorers.golden import Medium
from curate.scorers.pictures import pixels_of


class Shelf:
    """The pictures at hand: in a folder of the user's, and in installed packages."""

    def __init__(self, folder: Path | None) -> None:
        if folder is not None and not folder.is_dir():
            raise CurateError(f"there is no folder {folder}")
        self._files = sorted(path for path in folder.iterdir() if path.is_file()) if folder is not None else []
        self._digests: dict[Path, str] = {}

    def find(self, medium: Medium) -> Path | None:
        """The file of a medium: by its hash where one is given, else by its name; None where it is not at hand."""
        for path in [*_in_package(medium), *sorted(self._files, key=lambda path: path.name != Path(medium.picture).name)]:
            if medium.sha256 is not None:
                found = self._sha256(path).startswith(medium.sha256)
            elif medium.pixels_sha256 is not None:
                found = _pixels_sha256(path) == medium.pixels_sha256
            else:
                found = path.name == Path(medium.picture).name
            if found:
                return path
        return None

    def check(self, card: str, media: Sequence[Medium]) -> None:
        """Raise `CurateError` where a medium is not at hand, with what is missing and where it is to be had."""
        missing = {one.picture: one for one in media if self.find(one) is None}
        if not missing:
            return
        named = ", ".join(
            f"{name} ({one.url or one.package or one.sha256 or 'see the golden file'})" for name, one in missing.items()
        )
        raise CurateError(
            f"parity of '{card}' needs pictures that are not at hand: {named}; put them in a folder and name it by ",
            Option("images"),
        )

    def _sha256(self, path: Path) -> str:
        if path not in self._digests:
            with path.open("rb") as file:
                self._digests[path] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._digests[path]


def _in_package(medium: Medium) -> list[Path]:
    spec = importlib.util.find_spec(medium.package) if medium.package else None
    if spec is None or not spec.submodule_search_locations:
        return []
    path = Path(spec.submodule_search_locations[0]) / medium.picture
    return [path] if path.is_file() else []


def _pixels_sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(pixels_of(path).tobytes()).hexdigest()
    except CurateError:
        return None  # Another file of the folder, which is no picture.
