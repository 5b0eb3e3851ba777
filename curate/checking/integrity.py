"""Whether an export is still what was written: every file that its manifest lists, with the same bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from curate.checking.files import inside, is_file
from curate.checking.findings import Finding, Place
from curate.exporting.folder import MANIFEST, MEDIA_LIST

_LINE = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<name>.+)")


def changed_files(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Finding]:
    """Files of the manifest, and media of its list, that are gone or not the same."""
    for entry in manifest["files"]:
        if isinstance(entry, dict):
            yield from _file(folder, str(entry.get("name")), str(entry.get("sha256")), MANIFEST)
    if (folder / MEDIA_LIST).is_file():
        with (folder / MEDIA_LIST).open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines):
                match = _LINE.fullmatch(line.rstrip("\n"))
                if match is None:
                    yield Place(file=MEDIA_LIST, row=number).error(
                        "changed-file", "the line lists no file", "Write the export again."
                    )
                else:
                    yield from _file(folder, match["name"], match["digest"], MEDIA_LIST)


def _file(folder: Path, name: str, digest: str, listed_in: str) -> Iterator[Finding]:
    place, path = Place(file=name), inside(folder, name)
    if path is None:
        yield Place(file=listed_in).error("path-escape", f"{name!r:.200} leads out of the folder", "Write the export again.")
    elif not is_file(path):
        yield place.error(
            "missing-file", f"{listed_in} lists it, and it does not exist", "Put it back, or write the export again."
        )
    else:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            yield place.error(
                "changed-file", "its bytes are not those that were written", "Put it back, or write the export again."
            )
