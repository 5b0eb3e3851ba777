"""Checks of tar shards, by the rules of webdataset: members of one key are adjacent, and a key stands once in a shard.

Read with the standard library's tar reader, as webdataset does, and by its rule for keys (what stands before the first dot of the
base name). That reader takes a damaged header for the end, so another one looks whether the end is where it stops.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from curate.checking.files import files_below, relative
from curate.checking.findings import Finding, Place, Severity
from curate.checking.images import Looker, image_findings
from curate.checking.ledger import no_rows
from curate.checking.schema import row_findings, row_schema
from curate.shards.tar import Fault, iter_members

_IMAGES = {"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "ppm", "jp2"}
_MOST_BYTES = 64 << 20
_BLOCK = 512
_RATINGS = re.compile(r"\.ratings(?:-\d+)?\.json$")


def check(folder: Path) -> Iterator[Finding]:
    """Findings of every shard."""
    looker, keys, records = Looker(), dict[str, str](), 0
    for path in files_below(folder, ".tar"):
        place, fault = Place(file=relative(folder, path)), None
        if not _has_end(path):
            yield place.error(
                "truncated-shard",
                "the archive has no end: it is cut, and readers lose its last record silently",
                "Write it again.",
            )
        elif (fault := _fault(path)) is not None:
            yield place.error(
                "unreadable-shard", f"readers stop before its end, most of them silently: {fault.detail}", "Write it again."
            )
        shard = _Shard(place, looker)
        try:
            yield from shard.findings(path)
        except (tarfile.TarError, OSError, EOFError) as problem:
            if fault is None:
                yield place.error("unreadable-shard", f"it cannot be read to its end ({problem})", "Write it again.")
        yield from shard.end_record()
        records += len(shard.keys)
        for key in shard.keys:
            other = keys.setdefault(key, place.file or "")
            if other != place.file:
                yield place.note(
                    "repeated-key", f"the key {key!r:.120} stands in {other} too", "Nothing, unless keys are joined on."
                )
    if not records:
        yield no_rows("record in a .tar file")


def _has_end(path: Path) -> bool:
    """Whether the file ends in the two zero blocks that end an archive."""
    size = path.stat().st_size
    if size < 2 * _BLOCK or size % _BLOCK:
        return False
    with path.open("rb") as file:
        file.seek(-2 * _BLOCK, 2)
        return not any(file.read(2 * _BLOCK))


def _fault(path: Path) -> Fault | None:
    """Where an archive cannot be read on, although its end is there: `tarfile` takes a damaged header for the end."""
    with path.open("rb") as stream:
        return next((found for found in iter_members(stream) if isinstance(found, Fault)), None)


class _Shard:
    """One shard, read once from front to back."""

    def __init__(self, place: Place, looker: Looker) -> None:
        self._place = place
        self._looker = looker
        self.keys: set[str] = set()
        self._key: str | None = None
        self._fields: set[str] = set()
        self._held: list[tuple[str, Finding]] = []  # of images of the record at hand, by field
        self._used: set[str] | None = None  # fields that the kept samples of that record were made of

    def findings(self, path: Path) -> Iterator[Finding]:
        with tarfile.open(path, "r|") as archive:
            for number, member in enumerate(archive):
                place = Place(file=self._place.file, row=number)
                if member.isdir():
                    continue
                if not member.isreg():
                    yield place.error("not-a-file", f"{member.name!r:.120} is a link or a device", "Leave it out.")
                    continue
                yield from self._grouping(member.name, place)
                stream = archive.extractfile(member)
                data = stream.read(_MOST_BYTES + 1) if stream else b""
                yield from self._contents(member.name, data, place)

    def _grouping(self, name: str, place: Place) -> Iterator[Finding]:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            # Readers of shards take names for keys; only a tool that unpacks them would follow one out of its folder.
            yield place.warning("path-escape", f"{name!r:.120} leads out of the folder it is unpacked in", "Do not unpack it.")
        base, dot, field = path.name.partition(".")
        if not dot or not base:
            yield place.warning("no-key", f"{name!r:.120} has no key and field, and webdataset skips it", "Name it KEY.FIELD.")
            return
        key, field = str(path.with_name(base)), field.lower()
        if key != self._key:
            yield from self.end_record()
            if key in self.keys:
                yield place.error(
                    "key-reappears", f"the key {key!r:.120} was ended before: readers make two records of it", "Sort the shard."
                )
            self.keys.add(key)
            self._key, self._fields = key, set()
        if field in self._fields:
            yield place.error(
                "duplicate-member", f"{name!r:.120} stands twice in its record: webdataset raises", "Keep one of them."
            )
        self._fields.add(field)

    def _contents(self, name: str, data: bytes, place: Place) -> Iterator[Finding]:
        extension = name.rpartition(".")[2].lower()
        if extension in _IMAGES:
            found = image_findings(self._looker.look(data), f"{name!r:.120}", place)
            self._held += [(PurePosixPath(name).name.partition(".")[2].lower(), one) for one in found]
        elif extension == "json":
            try:
                value = json.loads(data)
            except (ValueError, RecursionError) as problem:
                yield place.error("not-json", f"{name!r:.120} is not JSON ({problem})", "Write it again, or leave it out.")
                return
            if _RATINGS.search(name) and isinstance(value, dict) and "samples" in value:
                wrong = list(_ratings(value, place))
                yield from wrong
                self._used = None if wrong else _used(value)

    def end_record(self) -> Iterator[Finding]:
        """What is wrong with its images: less where no kept sample was made of them."""
        held, used = self._held, self._used
        self._held, self._used = [], None
        for field, found in held:
            if used is None or field in used or found.severity is not Severity.ERROR:
                yield found
            else:
                message = f"{found.message}; no kept sample uses it, but readers that decode every member stop at it"
                yield replace(found, severity=Severity.WARNING, message=message)


def _used(value: dict[str, Any]) -> set[str] | None:
    """The fields that the kept samples of a record were made of; None where that is not said."""
    if not all("media" in sample for sample in value["samples"]):
        return None
    return {field for sample in value["samples"] for field in sample["media"]}


def _ratings(value: dict[str, Any], place: Place) -> Iterator[Finding]:
    """What is wrong with the ratings that curate added to a record."""
    wrong = list(row_findings(value, row_schema("shards"), place))
    yield from wrong
    for rating in [] if wrong else [rating for sample in value["samples"] for rating in sample["ratings"]]:
        if (rating.get("value") is not None) != (rating["status"] == "ok"):
            yield place.error(
                "failure-as-number",
                f"the rating by {rating['rater']} has the value {rating.get('value')} and the status {rating['status']}",
                "A value stands beside the status ok, and only there.",
            )
