"""Shards that webdataset reads back: the same records give the same bytes, and a shard that exists is whole."""

from __future__ import annotations

import sys
import tarfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from curate.errors import OutputError
from curate.files import AsideFile, output_errors
from curate.shards.grouping import is_metadata, split_name
from curate.shards.tar import BLOCK

_RECORD = 20 * BLOCK
"""Archives are padded to a multiple of this, as tar does."""


class ShardWriter:
    """Writes records into numbered tar shards of a folder; use it in a `with` block, or call `close`.

    A new shard begins when the next record would take the current one over `max_samples` records or `max_bytes` bytes, and
    when its key stands in it already, since readers would take the two for one. A record larger than `max_bytes` gets a shard
    of its own. Each shard is written aside and appears under its name once it is whole, in place of one of that name.
    """

    def __init__(
        self, folder: Path, pattern: str = "{:06d}.tar", *, max_samples: int | None = None, max_bytes: int | None = None
    ) -> None:
        self._folder = Path(folder)
        self._pattern = pattern
        self._max_records = sys.maxsize if max_samples is None else max_samples
        self._max_bytes = sys.maxsize if max_bytes is None else max_bytes
        self._finished: list[str] = []
        self._shard: _OpenShard | None = None

    def write(self, key: str, fields: Mapping[str, bytes]) -> None:
        """Add a record, its members in the order of `fields`.

        Raises `OutputError` for a key or field that webdataset could not read back (see `check_names`), and when the disk
        is full; the shard at hand is given up then, those before it stand.
        """
        check_names(key, fields)
        blocks = [part for field, data in fields.items() for part in (_header(f"{key}.{field}", len(data)), data, _padding(data))]
        size = sum(map(len, blocks))
        shard = self._shard
        if shard and (key in shard.keys or len(shard.keys) >= self._max_records or shard.size + size > self._max_bytes):
            self._finish()
        if self._shard is None:
            self._shard = _OpenShard(self._folder / self._pattern.format(len(self._finished)))
        try:
            self._shard.add(key, blocks)
        except BaseException:
            self._abandon()
            raise

    def close(self) -> list[str]:
        """Finish the last shard; the names of all, in order. A second call returns them again."""
        self._finish()
        return list(self._finished)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._finish()
        else:
            self._abandon()

    def _finish(self) -> None:
        shard, self._shard = self._shard, None
        if shard is not None:
            shard.finish()
            self._finished.append(shard.path.name)

    def _abandon(self) -> None:
        shard, self._shard = self._shard, None
        if shard is not None:
            shard.abandon()


class _OpenShard:
    """A shard that is being written aside."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys: set[str] = set()
        self.size = 0
        self._aside = AsideFile(path)
        with output_errors(path):
            self._file = self._aside.path.open("xb")

    def add(self, key: str, blocks: list[bytes]) -> None:
        with output_errors(self.path):
            self._file.writelines(blocks)
        self.keys.add(key)
        self.size += sum(map(len, blocks))

    def finish(self) -> None:
        try:
            with output_errors(self.path):
                self._file.write(bytes(2 * BLOCK + -(self.size + 2 * BLOCK) % _RECORD))
                self._file.close()
                self._aside.commit()
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        with suppress(OSError):  # what is still buffered has no place to go, and needs none
            self._file.close()
        self._aside.discard()


def check_names(key: str, fields: Iterable[str]) -> None:
    """Raise `OutputError` unless webdataset reads a record back under the same key and fields.

    So the last part of a key holds no dot ('img.final' would come back as 'img'), fields are lower-case and hold no slash,
    and neither looks like webdataset's own names, `__key__` and `__url__`. Folders in keys are fine, as they are.
    """
    names = [(field, f"{key}.{field}") for field in fields]
    if not names:
        raise OutputError(f"the record {key!r} has no member, so no reader would find it")
    for field, name in names:
        if split_name(name) != (key, field) or not field:
            raise OutputError(
                f"the member {name!r} would not be read back as the field {field!r} of the key {key!r}: the last part of a key "
                "holds no dot, and fields are lower-case without slash"
            )
        if is_metadata(name) or field.startswith("__"):
            raise OutputError(f"the member {name!r} has a name that webdataset keeps for itself")
        if "\0" in name or ("\n" in key and "." in key) or not _is_unicode(name):
            raise OutputError(f"the member {name!r} has a name that readers do not read back")


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _header(name: str, size: int) -> bytes:
    """A header that says nothing of when, where and by whom it was written; pax where ustar cannot hold the name or the size."""
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def _padding(data: bytes) -> bytes:
    return bytes(-len(data) % BLOCK)
