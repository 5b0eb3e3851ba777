"""Checks of tar shards, by the rules of webdataset: members of one key are adjacent, and a key stands once in a shard.

Read with the standard library's tar reader, as webdataset does, and by its rule for keys (what stands before the first dot of the
base name). That reader takes a damaged header for the end, so another one looks whether the end is where it stops.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from curate.checking.files import files_below, relative
from curate.checking.findings import Finding, Place
from curate.checking.images import Looker, image_findings
from curate.checking.ledger import no_rows
from curate.checking.outline import Likeness, Outline
from curate.checking.record import Across, Record, field_of
from curate.shards.kinds import extension
from curate.shards.tar import Fault, iter_members

_IMAGES = {"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "ppm", "jp2"}
_MOST_BYTES = 64 << 20
_BLOCK = 512


def looks_like(outline: Outline) -> Likeness | None:
    """Any folder with archives."""
    found = next(files_below(outline.folder, ".tar"), None)
    return Likeness(names=1, reason="it has .tar files") if found else None


def reads(folder: Path, name: str) -> bool:
    """Any archive."""
    return name.endswith(".tar")


def check(folder: Path) -> Iterator[Finding]:
    """Findings of every shard."""
    looker, across, keys, records = Looker(compared=False), Across(), dict[str, str](), 0
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
        shard = _Shard(place, looker, across)
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
    yield from across.findings()
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


def _key_of(name: str) -> str | None:
    """The key of a member; None for one that webdataset skips."""
    path = PurePosixPath(name)
    base, dot, _ = path.name.partition(".")
    return str(path.with_name(base)) if dot and base else None


def _name_findings(name: str, place: Place) -> Iterator[Finding]:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        # Readers of shards take names for keys; only a tool that unpacks them would follow one out of its folder.
        yield place.warning("path-escape", f"{name!r:.120} leads out of the folder it is unpacked in", "Do not unpack it.")
    if _key_of(name) is None:
        yield place.warning("no-key", f"{name!r:.120} has no key and field, and webdataset skips it", "Name it KEY.FIELD.")


class _Shard:
    """One shard, read once from front to back."""

    def __init__(self, place: Place, looker: Looker, across: Across) -> None:
        self._place = place
        self._looker = looker
        self._across = across
        self.keys: set[str] = set()
        self._key: str | None = None
        self._record = Record(place=place)

    def findings(self, path: Path) -> Iterator[Finding]:
        with tarfile.open(path, "r|") as archive:
            for number, member in enumerate(archive):
                place = Place(file=self._place.file, row=number, name=f"{member.name!r:.120}")
                if member.isdir():
                    continue
                if not member.isreg():
                    yield place.error("not-a-file", f"{member.name!r:.120} is a link or a device", "Leave it out.")
                    continue
                yield from _name_findings(member.name, place)
                key = _key_of(member.name)
                if key is None:
                    continue
                yield from self._grouping(key, member.name, place)
                stream = archive.extractfile(member)
                data = stream.read(_MOST_BYTES + 1) if stream else b""
                self._contents(member.name, data, place)

    def _grouping(self, key: str, name: str, place: Place) -> Iterator[Finding]:
        if key != self._key:
            yield from self.end_record()
            if key in self.keys:
                yield place.error(
                    "key-reappears", f"the key {key!r:.120} was ended before: readers make two records of it", "Sort the shard."
                )
            self.keys.add(key)
            self._key, self._record = key, Record(place=place)
        if field_of(name) in self._record.digests:
            yield place.error(
                "duplicate-member", f"{name!r:.120} stands twice in its record: webdataset raises", "Keep one of them."
            )

    def _contents(self, name: str, data: bytes, place: Place) -> None:
        self._record.add(name, data, whole=len(data) <= _MOST_BYTES)
        kind = extension(name)
        if kind in _IMAGES:
            found = image_findings(self._looker.look(data), f"{name!r:.120}", place)
            self._record.held += [(field_of(name), one) for one in found]
        elif kind == "json":
            try:
                value = json.loads(data)
            except (ValueError, RecursionError) as problem:
                wrong = place.error("not-json", f"{name!r:.120} is not JSON ({problem})", "Write it again, or leave it out.")
                self._record.held.append((field_of(name), wrong))
                return
            self._record.add_json(name, value, place)

    def end_record(self) -> Iterator[Finding]:
        """What shows of a record when the next one begins, or none follows."""
        if self._key is not None:
            yield from self._record.findings()
            yield from self._across.note(self._record)
        self._key = None
