"""Archives for tests, ordinary and hostile, made in memory."""

from __future__ import annotations

import gc
import io
import tarfile
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from curate.records import Reject
from curate.shards.grouping import Record, ShardEnd, read_records
from curate.shards.limits import DEFAULT_LIMITS, ShardLimits

BLOCK = 512
END = bytes(2 * BLOCK)

Found = tuple[list[Record], list[Reject], ShardEnd]


def tar_bytes(members: Iterable[tuple[str, bytes] | tarfile.TarInfo], tar_format: int = tarfile.USTAR_FORMAT) -> bytes:
    """An archive by the standard library; an entry that is no file is given as a TarInfo."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def raw_member(
    name: bytes,
    data: bytes = b"",
    *,
    kind: bytes = b"0",
    size: bytes | None = None,
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    signed: bool = False,
) -> bytes:
    """A header with a checksum that fits, and padded contents; every field may be a lie."""
    size = b"%011o\0" % len(data) if size is None else size
    fields = [
        name.ljust(100, b"\0"),
        b"0000644\0" * 3,
        size.ljust(12, b"\0"),
        b"00000000000\0",
        b" " * 8,
        kind,
        bytes(100),
        magic.ljust(8, b"\0"),
        bytes(80),
        prefix.ljust(155, b"\0"),
        bytes(12),
    ]
    header = b"".join(fields)
    assert len(header) == BLOCK
    total = sum(byte - 256 if signed and byte > 127 else byte for byte in header)
    return header[:148] + b"%06o\0 " % total + header[156:] + data + bytes(-len(data) % BLOCK)


def pax_record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`, where LENGTH counts itself."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return b"%d%s" % (length, rest)


def pax_header(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    return raw_member(b"pax", b"".join(pax_record(key, value) for key, value in records), kind=kind)


def read_shard(path: Path, limits: ShardLimits = DEFAULT_LIMITS) -> Found:
    """Everything that reading a shard gives, by kind."""
    return sort_found(list(read_records(str(path), limits)))


def read_bytes(folder: Path, data: bytes, limits: ShardLimits = DEFAULT_LIMITS) -> Found:
    """The same for an archive in memory."""
    path = folder / "shard.tar"
    path.write_bytes(data)
    return read_shard(path, limits)


def webdataset_samples(path: Path) -> list[dict[str, Any]]:
    """What webdataset itself reads, without the fields that say where it was."""
    import webdataset

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its file to the garbage collector
        samples = list(webdataset.WebDataset(str(path), shardshuffle=False))
        gc.collect()
    return [{name: value for name, value in sample.items() if name not in ("__url__", "__local_path__")} for sample in samples]


def sort_found(found: Sequence[Record | Reject | ShardEnd]) -> Found:
    records = [one for one in found if isinstance(one, Record)]
    rejects = [one for one in found if isinstance(one, Reject)]
    end = found[-1]
    assert isinstance(end, ShardEnd), "the end comes last"
    assert sum(isinstance(one, ShardEnd) for one in found) == 1, "and once"
    assert (end.records, end.rejects) == (len(records), len(rejects))
    return records, rejects, end
