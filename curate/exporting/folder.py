"""The folder of an export: written aside, and renamed when it is whole, so that a folder that exists is complete."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from curate.errors import OutputError
from curate.files import atomic_folder, os_sentence, output_errors, refuse_taken, remove_leftovers
from curate.names import MANIFEST

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MEDIA_LIST = "media.sha256"
_SCRATCH = ".scratch"
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
MAX_NAME = 200
"""Characters of a path inside an export; file systems and archive formats take at least this many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file of an export."""

    name: str
    """Relative to the folder, with forward slashes."""
    bytes: int
    sha256: str

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "bytes": self.bytes, "sha256": self.sha256}


def digest_of(files: Mapping[str, str]) -> str:
    """Of the SHA-256 of files by name: 16 hex characters."""
    listed = hashlib.sha256()
    for name, sha256 in sorted(files.items()):
        listed.update(f"{name} {sha256}\n".encode(errors="surrogateescape"))
    return listed.hexdigest()[:16]


class HashingFile(io.RawIOBase):
    """A new file that hashes what is written to it, so that it need not be read again. Writes only go forward."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        self._file.write(data)
        self._hash.update(data)
        size = memoryview(data).nbytes
        self._bytes += size
        return size

    def tell(self) -> int:
        return self._bytes

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._file.close()

    def written(self, name: str) -> Written:
        return Written(name=name, bytes=self._bytes, sha256=self._hash.hexdigest())


class Folder:
    """An export while it is written; only names made by formats get in, never names from data."""

    def __init__(self, path: Path) -> None:
        self.path = path
        """Where the files lie for now."""
        self.files: list[Written] = []
        """All but the media, in the order they were finished."""
        self.media_files = 0
        self.media_bytes = 0
        self._media_list: HashingFile | None = None
        self.scratch = path / _SCRATCH
        """For sorting on disk; not part of the export."""
        self.scratch.mkdir()

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[HashingFile]:
        """A new file; listed when the block is left without an exception."""
        with contextlib.closing(self.open(name)) as file:
            yield file
        self.files.append(file.written(name))

    def open(self, name: str) -> HashingFile:
        """A new file that the caller closes and passes to `add`, under this name or the one it was renamed to."""
        return HashingFile(self._place(name).open("xb"))

    def add(self, file: HashingFile, name: str, *, renamed_from: str | None = None) -> None:
        """List a closed file that `open` gave."""
        if renamed_from is not None:
            (self.path / renamed_from).rename(self._place(name))
        self.files.append(file.written(name))

    def adopt(self, name: str) -> None:
        """List a file that something else wrote below the folder."""
        with (self.path / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.files.append(Written(name=name, bytes=(self.path / name).stat().st_size, sha256=digest))

    def media(self, name: str, data: bytes, sha256: str) -> None:
        """Write one medium, unless that name is there already; listed in `media.sha256`, as `sha256sum -c` reads it."""
        place = self._place(name)
        if place.exists():
            return
        place.write_bytes(data)
        if self._media_list is None:
            self._media_list = self.open(MEDIA_LIST)
        self._media_list.write(f"{sha256}  {name}\n".encode())
        self.media_files += 1
        self.media_bytes += len(data)

    @property
    def digest(self) -> str:
        """Of the names and bytes of the files so far, but for single media: 16 hex characters."""
        return digest_of({file.name: file.sha256 for file in self.files})

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest, the last file of an export: a folder that has it is whole."""
        shutil.rmtree(self.scratch)
        if self._media_list is not None:
            self._media_list.close()
            self.add(self._media_list, MEDIA_LIST)
        whole = {
            **manifest,
            "files": [file.as_dict() for file in sorted(self.files, key=lambda file: file.name)],
            "media": {"files": self.media_files, "bytes": self.media_bytes},
        }
        text = json.dumps(whole, indent=2, allow_nan=False) + "\n"
        with (self.path / MANIFEST).open("x", encoding="ascii") as file:  # never in the place of something else
            file.write(text)

    def close(self) -> None:
        """Close what an export that was interrupted left open."""
        if self._media_list is not None:
            self._media_list.close()

    def _place(self, name: str) -> Path:
        if len(name) > MAX_NAME or not _NAME.fullmatch(name):
            raise ValueError(f"not a name for a file of an export: {name!r}")
        place = self.path / name
        if "/" in name:
            place.parent.mkdir(parents=True, exist_ok=True)
        return place


def refuse_place(out: str | Path) -> None:
    """Raise `OutputError` where no export can go, so that nobody works only to hear it."""
    place = Path(out).resolve()
    with output_errors(place):
        finished, below_file = (place / MANIFEST).is_file(), place.parent.exists() and not place.parent.is_dir()
    if finished:
        raise OutputError(f"{out} already holds a finished export; remove it to make it anew, or name another folder")
    if below_file:
        raise OutputError(f"{out} cannot be made: {place.parent} is not a folder; choose another folder")
    refuse_taken(place)


@contextlib.contextmanager
def _named_as(place: Path, aside: Path) -> Iterator[None]:
    """What the system refuses while a file in the folder `aside` is written is said of the place that the user named."""
    try:
        yield
    except OutputError as problem:
        cause = problem.__cause__
        if not isinstance(cause, OSError) or str(aside) not in str(problem):
            raise
        sentence = os_sentence(OSError(cause.errno, cause.strerror), writing=place)
        raise OutputError(sentence or str(problem)) from cause


@contextlib.contextmanager
def writing_folder(out: str | Path) -> Iterator[Folder]:
    """A `Folder` that becomes `out` when the block is left, and leaves nothing behind when the block raises.

    `out` may be missing or an empty folder; else `OutputError`, see `refuse_place`. Leftovers of exports that were killed are
    removed first. The block has to end with `Folder.finish`.
    """
    refuse_place(out)
    place = Path(out).resolve()
    remove_leftovers(place)
    try:
        with atomic_folder(place) as aside, contextlib.closing(Folder(aside)) as folder, _named_as(place, aside):
            yield folder
    except OSError as problem:
        if problem.errno == errno.ENOTEMPTY:
            raise OutputError(
                f"{out} cannot be made: something else was written to it meanwhile; choose another folder"
            ) from problem
        raise
