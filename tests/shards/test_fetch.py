"""Any member again: the same bytes from every kind of storage, in any order, and never other bytes than were rated."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import zstandard
from fsspec.implementations.memory import MemoryFileSystem

from curate.errors import ShardError
from curate.records import Member
from curate.shards import fetch
from curate.shards.fetch import MemberReader, read_member
from curate.shards.grouping import UNKNOWN_OFFSET, Record, read_records
from tests.shards.archives import tar_bytes

CONTENTS = [
    (f"{number:02d}.{field}", random.Random(number).randbytes(size))
    for number in range(15)
    for field, size in (("jpg", 3000), ("txt", 0))
]
SHARD = tar_bytes(CONTENTS)

PACKERS: dict[str, Any] = {"plain": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}


@pytest.fixture(params=[(where, pack) for where in ("local", "memory") for pack in PACKERS], ids=" ".join)
def shard(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    where, pack = request.param
    data = PACKERS[pack](SHARD)
    if where == "local":
        path = tmp_path / "shard.tar"
        path.write_bytes(data)
        return str(path)
    MemoryFileSystem().pipe_file("/fetch/shard.tar", data)
    return "memory://fetch/shard.tar"


def members(shard: str) -> list[tuple[Member, bytes]]:
    records = [one for one in read_records(shard) if isinstance(one, Record)]
    return [(member, record.data[member.field]) for record in records for member in record.members]


def test_every_member_in_any_order(shard: str) -> None:
    wanted = members(shard)
    assert len(wanted) == len(CONTENTS)
    for order in (wanted, wanted[::-1], random.Random(1).sample(wanted, len(wanted)) * 2):
        with MemberReader() as reader:
            for member, data in order:
                assert reader.read(shard, member, sha256=hashlib.sha256(data).hexdigest()) == data
    member, data = wanted[-2]
    assert read_member(shard, member) == data


def test_threads_may_share_a_reader(shard: str) -> None:
    wanted = random.Random(2).sample(members(shard), 20)
    with MemberReader() as reader, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda one: reader.read(shard, one[0]), wanted)) == [data for _, data in wanted]


def test_a_member_past_the_end_or_of_other_bytes_is_refused(shard: str) -> None:
    member, _ = members(shard)[0]
    past = Member(name="x.jpg", field="jpg", offset=len(SHARD) - 10, length=20)
    beyond = Member(name="x.jpg", field="jpg", offset=len(SHARD) + 10_000, length=20)
    with MemberReader() as reader:
        for one in (past, beyond):
            with pytest.raises(ShardError, match="changed or cut|failed"):
                reader.read(shard, one)
        with pytest.raises(ShardError, match="not what was rated"):
            reader.read(shard, member, sha256="0" * 64)


def test_a_compressed_shard_is_unpacked_at_most_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "shard.tar"
    path.write_bytes(gzip.compress(SHARD))
    wanted = members(str(path))
    opened = []
    real = fetch.open_stream
    monkeypatch.setattr(fetch, "open_stream", lambda shard: opened.append(shard) or real(shard))
    with MemberReader() as reader:
        for member, data in [*wanted, *wanted[::-1], *wanted]:
            assert reader.read(str(path), member) == data
    assert len(opened) == 2


@pytest.mark.parametrize("step", ["reopening", "copying"])
def test_a_failure_while_unpacking_is_not_taken_for_a_cut_shard(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shard.tar"
    path.write_bytes(gzip.compress(SHARD))
    wanted = [one for one in members(str(path)) if one[1]]

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with MemberReader() as reader:
        assert reader.read(str(path), wanted[-1][0]) == wanted[-1][1]
        with monkeypatch.context() as broken:
            broken.setattr(*((fetch, "open_stream", fail) if step == "reopening" else (fetch.shutil, "copyfileobj", fail)))
            for member, _ in wanted[:2]:
                with pytest.raises(ShardError, match="No space left"):
                    reader.read(str(path), member)
                    reader.read(str(path), wanted[-1][0])
                    reader.read(str(path), member)
        for member, data in wanted[::-1]:
            assert reader.read(str(path), member) == data


def test_few_shards_stay_open(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.tar" for number in range(fetch.OPEN_SHARDS + 4)]
    for path in paths:
        path.write_bytes(SHARD)
    member, data = members(str(paths[0]))[0]
    with MemberReader() as reader:
        for path in paths * 2:
            assert reader.read(str(path), member) == data
        assert len(reader._places) == fetch.OPEN_SHARDS


def test_what_cannot_be_read_again_says_why(tmp_path: Path) -> None:
    member = Member(name="a.jpg", field="jpg", offset=512, length=3)
    with pytest.raises(ShardError, match=r"gone\.tar"):
        read_member(str(tmp_path / "gone.tar"), member)
    with pytest.raises(ShardError, match="there is no shard|No such file|failed"):
        read_member("memory://fetch/gone.tar", member)
    with pytest.raises(ShardError, match="came from a stream"):
        read_member("stream", Member(name="a.jpg", field="jpg", offset=UNKNOWN_OFFSET, length=3))


def test_a_damaged_compressed_shard(tmp_path: Path) -> None:
    path = tmp_path / "shard.tar"
    packed = gzip.compress(SHARD)
    path.write_bytes(packed)
    member, _ = members(str(path))[-2]
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ShardError, match="failed"):
        read_member(str(path), member)
