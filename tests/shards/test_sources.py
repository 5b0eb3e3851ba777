"""Which shards are meant: every spelling resolves to names once and in order, and every mistake is one sentence."""

from __future__ import annotations

import gzip
import io
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import ShardError
from curate.shards.braces import expand_braces
from curate.shards.grouping import Record, read_records
from curate.shards.sources import expand, open_stream, signature
from tests.shards.archives import tar_bytes

SHARD = tar_bytes([("a.jpg", b"picture"), ("a.txt", b"a cat")])


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    for number in range(12):
        (tmp_path / f"{number:03d}.tar").write_bytes(SHARD)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.tar").write_bytes(SHARD)
    return tmp_path


@pytest.fixture
def memory() -> MemoryFileSystem:
    filesystem = MemoryFileSystem()
    filesystem.store.clear()
    for number in range(3):
        filesystem.pipe_file(f"/bucket/{number:02d}.tar", SHARD)
    return filesystem


def names(found: list[str]) -> list[str]:
    return [Path(name).name for name in found]


def test_local_patterns(shards: Path) -> None:
    assert names(expand([f"{shards}/{{000..003}}.tar"])) == ["000.tar", "001.tar", "002.tar", "003.tar"]
    assert names(expand([f"{shards}/{{010,002}}.tar"])) == ["010.tar", "002.tar"]
    assert names(expand([f"{shards}/01*.tar"])) == ["010.tar", "011.tar"]
    assert names(expand([f"{shards}/**/x.tar"])) == ["x.tar"]
    assert names(expand([f"{shards}/{{00[23],011}}.tar"])) == ["002.tar", "003.tar", "011.tar"]
    assert expand([f"file://{shards}/000.tar"]) == [f"{shards}/000.tar"]


def test_each_shard_once_in_the_order_of_the_patterns(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shards)
    found = expand(["005.tar", "./005.tar", str(shards / "00[45].tar"), "other/../005.tar", "000.tar"])
    assert found == [str(shards / name) for name in ("005.tar", "004.tar", "000.tar")]


def test_a_file_named_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    for name in ("a{0..3}.tar", "b[1].tar"):
        (tmp_path / name).write_bytes(SHARD)
        assert expand([str(tmp_path / name)]) == [str(tmp_path / name)]


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("{shards}/0000.tar", "there is no shard .*Did you mean '0.*'"),
        ("{shards}/{{000..099}}.tar", "there is no shard .*012.tar"),
        ("{shards}/nothing-like-it", r"there is no shard .*\. Known: ([0-9]+\.tar(, )?)+(, …)?\.$"),
        ("{shards}/nowhere/0.tar", "there is no folder .*nowhere"),
        ("{shards}/z*.tar", "no shard matches"),
        ("{shards}", r"is a folder.*\*\.tar"),
        ("{shards}/o*", "is a folder"),
        ("{shards}/{{0..99999999}}.tar", "more than 1000000 shards"),
        ("pipe:cat {shards}/000.tar", "would run a command"),
        (" PIPE : touch {shards}/ran", "would run a command"),
        ("nosuch://bucket/x*.tar", "cannot open"),
        ("{shards}/" + "{{a,b}}" * 30 + ".tar", "more than 1000000 shards"),
        ("s3://bucket/" + "{{a..z}}" * 500, "more than 1000000 shards"),
        ("{shards}/" + "{{a," * 60 + "}}" * 60, "more than 50 deep"),
        ("{shards}/" + "long" * 100 + ".tar", "there is no shard"),
        ("{shards}/" + "long" * 100 + "/0.tar", "there is no folder"),
    ],
)
def test_mistakes_are_one_sentence(shards: Path, pattern: str, says: str) -> None:
    with pytest.raises(ShardError, match=says) as problem:
        expand([pattern.format(shards=shards)])
    assert "\n" not in str(problem.value)
    assert not (shards / "ran").exists()


def test_only_shards_are_offered_for_one_that_is_missing(tmp_path: Path) -> None:
    for name in ("clone", "demo.log", "mk.py"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ShardError, match=r"there is no shard .*nothere: the folder .* holds no \.tar file$"):
        expand([str(tmp_path / "nothere")])


def test_no_pattern_at_all() -> None:
    with pytest.raises(ShardError, match="no shard is given"):
        expand([])


def test_remote_shards(memory: MemoryFileSystem) -> None:
    globbed = expand(["memory://bucket/*.tar"])
    assert names(globbed) == ["00.tar", "01.tar", "02.tar"]
    for shard in globbed:
        with open_stream(shard) as stream:
            assert stream.read() == SHARD
    assert expand(["memory://bucket/{00..01}.tar"]) == ["memory://bucket/00.tar", "memory://bucket/01.tar"]
    with pytest.raises(ShardError, match="no shard matches"):
        expand(["memory://bucket/z*.tar"])
    records = [one for one in read_records("memory://bucket/00.tar") if isinstance(one, Record)]
    assert [(record.key, record.data) for record in records] == [("a", {"jpg": b"picture", "txt": b"a cat"})]
    with pytest.raises(ShardError, match="there is no shard memory://bucket/99.tar"):
        open_stream("memory://bucket/99.tar")


def test_a_question_mark_in_a_web_address_is_no_pattern() -> None:
    url = "https://host/00.tar?signature=a[b]"
    assert expand([url]) == [url]


def test_what_a_file_system_raises_while_reading_names_the_shard(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dropped(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise RuntimeError("connection reset")

    monkeypatch.setattr(MemoryFileSystem, "open", lambda *_, **__: Dropped())
    with pytest.raises(ShardError, match="memory://bucket/00.tar failed: connection reset"):
        list(read_records("memory://bucket/00.tar"))


def test_a_package_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> Any:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(ShardError, match="needs a package that is not installed: Install s3fs"):
        open_stream("s3://bucket/0.tar")


def test_signature_changes_with_the_file_and_only_then(shards: Path, memory: MemoryFileSystem) -> None:
    path = shards / "000.tar"
    first = signature(str(path))
    assert signature(str(path)) == first
    path.write_bytes(SHARD + bytes(512))
    assert signature(str(path)) != first
    os.utime(path, ns=(1, 1))
    assert signature(str(path)).endswith("-1")
    remote = signature("memory://bucket/00.tar")
    assert remote.startswith(str(len(SHARD)))
    memory.pipe_file("/bucket/00.tar", SHARD + bytes(512))
    assert signature("memory://bucket/00.tar") != remote
    for gone in (str(shards / "gone.tar"), "memory://bucket/gone.tar"):
        with pytest.raises(ShardError, match="there is no shard"):
            signature(gone)


def test_closing_a_stream_closes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(gzip.compress(SHARD))
    open_before = open_files()
    with open_stream(str(path)) as stream:
        assert stream.read() == SHARD
    assert open_files() == open_before


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


PIECES = st.sampled_from(["a", "b", ",", "{", "}", "{0..3}", "{08..11}", "{3..1}", "{0..9..4}", "{a..c}", "{x,y}", "{,z}"])


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=5).map("".join))
def test_braces_expand_as_in_a_shell(pattern: str) -> None:
    """Against bash itself, for patterns whose braces close."""
    if pattern.count("{") != pattern.count("}") or not pattern:
        return
    depth = 0
    for character in pattern:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return
    shell = subprocess.run(["bash", "-c", f"printf '%s\\n' {pattern}"], capture_output=True, text=True, check=True)
    words = [word for word in shell.stdout.split("\n") if word]
    assert [word for word in expand_braces(pattern, most=10**6) if word] == words


@pytest.mark.parametrize(
    "pattern",
    ["{1..100000}{a,b,c}{d,e,f}", "{a,b}" * 19, "{" * 100_000, "{x}" * 50_000, "{5..5}" * 5_000],
    ids=["range", "doubled", "not closed", "no patterns", "of one"],
)
def test_names_are_counted_before_they_are_made(pattern: str) -> None:
    """Exactly as many as are allowed are given, one more is refused, and neither takes longer than writing them down."""
    names = expand_braces(pattern, most=10**6)
    assert len(names) == len(set(names))
    with pytest.raises(ShardError, match=f"more than {len(names) - 1} shards"):
        expand_braces(pattern, most=len(names) - 1)


def test_a_long_list_in_braces_is_no_name_of_a_file(shards: Path) -> None:
    listed = ",".join(["000", *(f"0{number % 10}[{number % 10}]" for number in range(2)), *["003"] * 100])
    assert names(expand([f"{shards}/{{{listed}}}.tar"])) == ["000.tar", "011.tar", "003.tar"]


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tar")
    (tmp_path / "link.tar").symlink_to(tmp_path / "pipe.tar")
    for pattern in (tmp_path / "pipe.tar", tmp_path / "link.tar", tmp_path / "p*.tar", "/dev/null"):
        with pytest.raises(ShardError, match="is a pipe, a socket or a device"):
            expand([str(pattern)])
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.tar"))
        with pytest.raises(ShardError, match="is a pipe, a socket or a device"):
            expand([str(tmp_path / "socket.tar")])
    with pytest.raises(ShardError, match="is a pipe, a socket or a device"):
        open_stream(str(tmp_path / "pipe.tar"))


def test_a_file_with_several_names_is_one_shard(shards: Path, tmp_path: Path) -> None:
    (shards / "latest.tar").symlink_to("000.tar")
    (shards / "again").symlink_to(shards / "other")
    told: list[str] = []
    found = expand([f"{shards}/{{latest,000,001}}.tar", f"{shards}/again/x.tar", f"{shards}/other/x.tar"], tell=told.append)
    assert names(found) == ["latest.tar", "001.tar", "x.tar"]
    assert found[-1] == str(shards / "again" / "x.tar")
    assert told == [
        f"a shard that is given under several names is read once: {shards}/000.tar is {shards}/latest.tar, and 1 more"
    ]
    assert expand([f"{shards}/000.tar", f"{shards}/000.tar", f"{shards}/./000.tar"], tell=told.append) == [f"{shards}/000.tar"]
    os.link(shards / "000.tar", shards / "copy.tar")
    assert len(expand([f"{shards}/000.tar", f"{shards}/copy.tar"], tell=told.append)) == 2, "a hard link is a file like any other"
    assert len(told) == 1


def test_a_link_to_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "dead.tar").symlink_to("gone.tar")
    with pytest.raises(ShardError, match=r"dead\.tar is a link to gone\.tar, which is not there"):
        expand([str(tmp_path / "dead.tar")])
