"""Whether an export is still what was written: every file that its manifest lists, with the same bytes, and no others."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from curate.checking.files import escape, file_inside, files_below, inside, is_file, relative
from curate.checking.findings import Finding, Place
from curate.checking.tables import front_matter
from curate.exporting.folder import MEDIA_LIST, digest_of
from curate.exporting.readme import FILES
from curate.names import MANIFEST

_LINE = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<name>.+)")
_README = "README.md"


Reads = Callable[[Path, str], bool]
"""Whether the readers of a format take a file, by the folder and its name in there, for data; said by the checks of each."""


def changed_files(folder: Path, manifest: Mapping[str, Any], reads: Reads) -> Iterator[Finding]:
    """Files of the manifest, and media of its list, that are gone or not the same; and files that neither lists."""
    listed = {MANIFEST, _README}
    for entry in manifest["files"]:
        if isinstance(entry, dict):
            listed.add(str(entry.get("name")))
            yield from _file(folder, str(entry.get("name")), str(entry.get("sha256")), MANIFEST)
    media_list = file_inside(folder, MEDIA_LIST)
    if media_list is not None:
        with media_list.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines):
                match = _LINE.fullmatch(line.rstrip("\n"))
                if match is None:
                    yield Place(file=MEDIA_LIST, row=number).error(
                        "changed-file", "the line lists no file", "Write the export again."
                    )
                else:
                    listed.add(match["name"])
                    yield from _file(folder, match["name"], match["digest"], MEDIA_LIST)
    yield from _unlisted(folder, listed, reads)


def changed_since(folder: Path) -> Iterator[Finding]:
    """Whether a folder without a manifest holds the files that its README speaks of, if it does."""
    configs = front_matter(folder).get("configs")
    said = [one.get("description") for one in configs if isinstance(one, dict)] if isinstance(configs, list) else []
    told = [one.removeprefix(FILES) for one in said if isinstance(one, str) and re.fullmatch(f"{FILES}[0-9a-f]{{16}}", one)]
    if not told:
        return
    paths = {relative(folder, path): path for path in files_below(folder, "")}
    if told != [digest_of({name: _sha256(path) for name, path in paths.items() if name != _README})]:
        message = f"it is of an export whose {MANIFEST} is gone, and speaks of other files, or of other bytes in them"
        yield Place(file=_README).warning("changed-file", message, "Write the export again, or remove the front matter.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unlisted(folder: Path, listed: set[str], reads: Reads) -> Iterator[Finding]:
    """Files that were put into the folder later: an error where its readers take them for data.

    None where the list of media is gone, without which nothing is known of them.
    """
    if MEDIA_LIST in listed and not (folder / MEDIA_LIST).is_file():
        return
    for path in files_below(folder, "", with_links=True):
        name = relative(folder, path)
        if name in listed:
            continue
        place, message = Place(file=name), f"neither {MANIFEST} nor {MEDIA_LIST} lists it"
        if reads(folder, name):
            yield place.error("unlisted-file", f"{message}, and readers take it for data", "Remove it.")
        else:
            yield place.note("unlisted-file", message, "Nothing, where it is meant to be there.")


def _file(folder: Path, name: str, digest: str, listed_in: str) -> Iterator[Finding]:
    place, path = Place(file=name), inside(folder, name)
    if path is None:
        yield escape(folder, name, Place(file=listed_in))
    elif not is_file(path):
        yield place.error(
            "missing-file", f"{listed_in} lists it, and it does not exist", "Put it back, or write the export again."
        )
    else:
        found = _sha256(path)
        if found != digest and name == _README:
            yield place.note("changed-file", "its text is not the one that was written", "Nothing, where it was meant.")
        elif found != digest:
            yield place.error(
                "changed-file", "its bytes are not those that were written", "Put it back, or write the export again."
            )
