"""Which shards are meant, and opening them: local paths and anything fsspec opens, as decompressed streams.

A local shard is named by its absolute path from here on, so that a store means the same shard from every folder.
"""

from __future__ import annotations

import errno
import glob
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

from curate.errors import ShardError, nearest
from curate.shards.braces import expand_braces
from curate.shards.compress import BUFFER, decompressed

MOST_SHARDS = 1_000_000
"""Names that one pattern may stand for."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(?:://|::)")
_COMMANDS = re.compile(r"\s*(?:pipe|exec|cmd|shell|popen)\s*:", re.IGNORECASE)
_GLOB = re.compile(r"[*?[]")
_REMOTE_FAILURES = (OSError, ValueError, ImportError, KeyError)


def expand(patterns: Sequence[str], *, tell: Callable[[str], None] | None = None) -> list[str]:
    """The shards that paths, globs, brace patterns and URLs stand for: sorted within a glob, each once, patterns in order.

    Of several names for one local file, by symbolic links, the first counts; `tell` is handed a sentence about the others.

    Raises `ShardError` for a local path that is not there, a pattern that matches nothing, a folder, and anything that
    would run a command. Whether a remote shard exists shows when it is opened.
    """
    shards: dict[str, None] = {}
    for pattern in patterns:
        if _COMMANDS.match(pattern):
            raise ShardError(f"{pattern!r} would run a command; shards are files and URLs: save its output to a .tar first")
        found = _resolve_local(pattern) if is_local(pattern) else _resolve_remote(pattern)
        shards.update(dict.fromkeys(found))
    if not shards:
        raise ShardError("no shard is given: name .tar files, a pattern such as 'data/{000..099}.tar', or URLs")
    once, again = _each_file_once(shards)
    if again and tell is not None:
        more = f", and {len(again) - 1:,} more" if len(again) > 1 else ""
        tell(f"a shard that is given under several names is read once: {again[0][0]} is {again[0][1]}{more}")
    return once


def is_local(shard: str) -> bool:
    """Whether `shard` is a path of this machine (a `file://` URL is one too)."""
    scheme = _SCHEME.match(shard)
    return scheme is None or (scheme[1].lower() == "file" and "::" not in shard)


def local_path(shard: str) -> Path:
    """The path of a local shard, with `file://` and `~` taken away."""
    return Path(re.sub(r"^file://", "", shard, flags=re.IGNORECASE)).expanduser()


def signature(shard: str) -> str:
    """A cheap identity of a shard's contents: unchanged while the file is; raises `ShardError` where there is none."""
    if is_local(shard):
        try:
            status = local_path(shard).stat()
        except OSError as problem:
            raise _cannot_open(shard, problem) from problem
        return f"{status.st_size}-{status.st_mtime_ns}"
    info = remote_info(shard)
    tags = [info[name] for name in ("ETag", "etag", "md5", "checksum", "crc32c") if info.get(name)]
    times = [info[name] for name in ("LastModified", "last_modified", "mtime", "updated", "created") if info.get(name)]
    parts = [info.get("size"), *tags[:1], *times[:1]]
    return "-".join(_plain(part) for part in parts)


def open_stream(shard: str) -> io.BufferedReader:
    """The shard's archive from its first byte, decompressed on the way where it is compressed (told by its first bytes)."""
    source = open_raw(shard)
    try:
        return decompressed(source, where=shard)
    except BaseException:
        source.close()
        raise


def open_raw(shard: str) -> io.BufferedReader:
    """The shard as it is stored."""
    try:
        if is_local(shard):
            _refuse_special(local_path(shard))
            return io.BufferedReader(io.FileIO(local_path(shard)), BUFFER)
        filesystem, path = filesystem_of(shard)
        return io.BufferedReader(_Remote(shard, filesystem.open(path, "rb")), BUFFER)
    except _REMOTE_FAILURES as problem:
        raise _cannot_open(shard, problem) from problem


class _Remote(io.RawIOBase):
    """A remote file; whatever its file system raises while reading is raised as a `ShardError` that names the shard."""

    def __init__(self, shard: str, file: IO[bytes]) -> None:
        self._shard = shard
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._file.read(len(buffer))
        except Exception as problem:
            raise ShardError(f"reading {self._shard} failed: {str(problem) or type(problem).__name__}") from problem
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def filesystem_of(shard: str) -> tuple[Any, str]:
    """The fsspec file system of a remote shard, and the shard's path in it."""
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(shard)
    return filesystem, path


def remote_info(shard: str) -> Mapping[str, Any]:
    """What the file system that holds a remote shard says of it."""
    try:
        filesystem, path = filesystem_of(shard)
        info: Mapping[str, Any] = filesystem.info(path)
    except _REMOTE_FAILURES as problem:
        raise _cannot_open(shard, problem) from problem
    return info


def _each_file_once(shards: Iterable[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The shards without those that a link makes the same file as an earlier one, and those, each with that earlier one.

    By real paths and not by inodes, which some file systems give to several files.
    """
    folders: dict[str, str] = {}
    first_names: dict[str, str] = {}
    again = []
    for shard in shards:
        first = first_names.setdefault(_real_path(shard, folders) if is_local(shard) else shard, shard)
        if first != shard:
            again.append((shard, first))
    return list(first_names.values()), again


def _real_path(shard: str, folders: dict[str, str]) -> str:
    """The path of a local shard without links; `folders` remembers those of folders, so that a shard costs one question."""
    if os.path.islink(shard):  # noqa: PTH114 - as text, since there may be a million
        return os.path.realpath(shard)
    folder, name = os.path.split(shard)
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    return os.path.join(folders[folder], name)  # noqa: PTH118


def _resolve_local(pattern: str) -> Iterator[str]:
    whole = str(local_path(pattern))
    if _exists(whole):
        return iter([_shard_file(whole)])
    return (shard for name in expand_braces(whole, most=MOST_SHARDS) for shard in _resolve_local_name(name))


def _exists(name: str | Path) -> bool:
    """Whether something is there; under a name that is too long for a file, as brace patterns may be, there is nothing."""
    try:
        return Path(name).exists()
    except OSError as problem:
        if problem.errno == errno.ENAMETOOLONG:
            return False
        raise


def _resolve_local_name(name: str) -> list[str]:
    if _exists(name) or not _GLOB.search(name):
        return [_shard_file(name)]
    matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - the pattern may be absolute
    if not matches:
        raise ShardError(f"no shard matches {name!r}{_neighbours(Path(name))}")
    return [_shard_file(match) for match in matches]


def _shard_file(name: str) -> str:
    path = Path(name)
    if not _exists(name):
        if os.path.islink(name):  # noqa: PTH114 - a name may be too long to be asked about
            raise ShardError(f"the shard {name} is a link to {path.readlink()}, which is not there")
        raise ShardError(f"there is no shard {name}{_neighbours(path)}")
    if path.is_dir():
        raise ShardError(f"{name} is a folder; to read the shards in it, give '{path / '*.tar'}'")
    _refuse_special(path)
    return os.path.abspath(name)  # noqa: PTH100 - links are kept: the name is the user's


def _refuse_special(path: Path) -> None:
    """Raise `ShardError` for what is there and holds no bytes of its own: opening a pipe waits for ever."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ShardError(f"{path} is a pipe, a socket or a device, and a shard is a file; save what it gives as a .tar first")


def _neighbours(path: Path) -> str:
    """What the folder of a missing file does hold, as the end of a sentence."""
    folder = path.parent
    if _GLOB.search(str(folder)):
        return ""
    if not _exists(folder) or not folder.is_dir():
        return f": there is no folder {folder}"
    names = [entry.name for entry in islice(folder.iterdir(), 10_000)]
    hint = nearest(path.name, [name for name in names if ".tar" in name])
    return f". {hint}" if hint else f": the folder {folder} {'holds no .tar file' if names else 'is empty'}"


def _resolve_remote(pattern: str) -> Iterator[str]:
    return (shard for name in expand_braces(pattern, most=MOST_SHARDS) for shard in _resolve_remote_name(name))


def _resolve_remote_name(name: str) -> list[str]:
    # In a web address '?' starts a query and '[' may stand in a signature; only '*' is meant as a pattern there.
    magic = "*" in name if name.lower().startswith("http") else _GLOB.search(name)
    if not magic:
        return [name]
    try:
        filesystem, path = filesystem_of(name)
        matches = sorted(filesystem.glob(path))
    except _REMOTE_FAILURES as problem:
        raise _cannot_open(name, problem) from problem
    if not matches:
        raise ShardError(f"no shard matches {name!r}")
    return [filesystem.unstrip_protocol(match) for match in matches]


def _cannot_open(shard: str, problem: Exception) -> ShardError:
    if isinstance(problem, FileNotFoundError):
        hint = _neighbours(local_path(shard)) if is_local(shard) else ""
        return ShardError(f"there is no shard {shard}{hint}")
    if isinstance(problem, IsADirectoryError):
        return ShardError(f"{shard} is a folder; to read the shards in it, give '{shard.rstrip('/')}/*.tar'")
    if isinstance(problem, ImportError):
        return ShardError(f"{shard} needs a package that is not installed: {problem}")
    return ShardError(f"cannot open {shard}: {str(problem) or type(problem).__name__}")


def _plain(part: object) -> str:
    return part.isoformat() if isinstance(part, datetime) else str(part).strip('"')
