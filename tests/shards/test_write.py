"""Shards that are written: read back by webdataset as they were given, whole or not there, and the same bytes each time."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import OutputError
from curate.shards.write import ShardWriter, check_names
from tests.shards.archives import read_shard, webdataset_samples

RECORDS: list[tuple[str, dict[str, bytes]]] = [
    ("train/0001", {"jpg": b"picture" * 200, "txt": b"a cat", "json": b"{}"}),
    ("../up", {"0.png": b"", "1.png": b"x" * 512, "Ünïcode".lower(): b"1"}),
    ("日本/" + "long/" * 60 + "key", {"webp": b"x" * 513}),
    ("n" * 99, {"jpg": b"at the edge of ustar"}),
]


def write(folder: Path, records: list[tuple[str, dict[str, bytes]]], **options: Any) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    writer = ShardWriter(folder, **options)
    for key, fields in records:
        writer.write(key, fields)
    return writer.close()


def test_webdataset_and_we_read_back_what_was_given(tmp_path: Path) -> None:
    assert write(tmp_path, RECORDS) == ["000000.tar"]
    path = tmp_path / "000000.tar"
    expected = [{"__key__": key, **fields} for key, fields in RECORDS]
    assert webdataset_samples(path) == expected
    records, rejects, end = read_shard(path)
    assert [{"__key__": record.key, **record.data} for record in records] == expected
    assert not rejects
    assert end.complete
    assert path.stat().st_size % 10240 == 0


FIELDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
KEYS = st.text(st.sampled_from("ab./_\nÄ\0日"), max_size=10)


@settings(max_examples=150, deadline=None)
@given(key=KEYS, fields=st.dictionaries(FIELDS, st.binary(max_size=20), max_size=3))
def test_what_is_accepted_comes_back_and_the_rest_is_refused(
    tmp_path_factory: pytest.TempPathFactory, key: str, fields: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("out")
    try:
        write(folder, [(key, fields)])
    except OutputError:
        assert not list(folder.iterdir())
        return
    assert webdataset_samples(folder / "000000.tar") == [{"__key__": key, **fields}]
    records, _, _ = read_shard(folder / "000000.tar")
    assert [(record.key, record.data) for record in records] == [(key, fields)]


@pytest.mark.parametrize(
    ("key", "field", "says"),
    [
        ("img.final", "jpg", "no dot"),
        ("", "jpg", "no dot"),
        ("folder/", "jpg", "no dot"),
        ("a", "", "no dot"),
        ("a", "JPG", "lower-case"),
        ("a", "b/jpg", "slash"),
        ("a", "__key__", "webdataset keeps"),
        ("__meta__/a", "jpg", "webdataset keeps"),
        ("a\0b", "jpg", "read back"),
        ("\ud800", "jpg", "read back"),
    ],
)
def test_names_that_would_not_come_back(key: str, field: str, says: str) -> None:
    with pytest.raises(OutputError, match=says):
        check_names(key, [field])


def test_a_record_without_members_would_vanish() -> None:
    with pytest.raises(OutputError, match="no member"):
        check_names("a", [])


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write(tmp_path / name, RECORDS)
    first, second = ((tmp_path / name / "000000.tar").read_bytes() for name in ("first", "second"))
    assert first == second
    with tarfile.open(tmp_path / "first" / "000000.tar") as archive:
        assert {(info.mtime, info.uid, info.gid, info.uname, info.mode) for info in archive} == {(0, 0, 0, "", 0o644)}


def test_shards_roll_by_count_by_size_and_for_a_key_that_comes_again(tmp_path: Path) -> None:
    records = [(f"{number:03d}", {"jpg": bytes(700)}) for number in range(10)]
    assert len(write(tmp_path / "count", records, max_samples=4)) == 3
    assert len(write(tmp_path / "size", records, max_bytes=5000)) == 4, "three records of 1536 bytes fit"
    assert len(write(tmp_path / "large", records, max_bytes=10)) == 10, "a record that fits nowhere has a shard of its own"
    assert write(tmp_path / "again", [*records[:2], records[0]], pattern="part-{:02d}.tar") == ["part-00.tar", "part-01.tar"]
    for folder in ("count", "size", "large", "again"):
        shards = sorted((tmp_path / folder).iterdir())
        keys = [sample["__key__"] for shard in shards for sample in webdataset_samples(shard)]
        assert keys == [key for key, _ in (records if folder != "again" else [*records[:2], records[0]])]


def test_nothing_is_there_before_it_is_whole(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, max_samples=1)
    writer.write("a", {"jpg": b"x"})
    assert not (tmp_path / "000000.tar").exists()
    writer.write("b", {"jpg": b"x"})
    assert read_shard(tmp_path / "000000.tar")[2].complete
    assert not (tmp_path / "000001.tar").exists()
    assert writer.close() == writer.close() == ["000000.tar", "000001.tar"]


def test_an_exception_leaves_finished_shards_and_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(KeyError), ShardWriter(tmp_path, max_samples=1) as writer:
        writer.write("a", {"jpg": b"x"})
        writer.write("b", {"jpg": b"x"})
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["000000.tar"]


def test_no_record_no_shard(tmp_path: Path) -> None:
    assert write(tmp_path, []) == []
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_sentence_and_leaves_whole_shards(tmp_path: Path) -> None:
    """In a process whose files may not grow past 64 KiB, which the kernel refuses as it refuses a full disk's writes."""
    program = textwrap.dedent("""
        import errno, resource, signal, sys
        from pathlib import Path
        from curate.errors import OutputError
        from curate import files
        files.OUT_OF_SPACE.add(errno.EFBIG)
        from curate.shards.write import ShardWriter
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
        writer = ShardWriter(Path(sys.argv[1]), max_samples=2)
        try:
            for number, size in enumerate([100, 100, 100, 10**6]):
                writer.write(f"{number}", {"jpg": bytes(size)})
            writer.close()
        except OutputError as problem:
            print(problem, writer.close())
    """)
    result = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "no space left to write" in result.stdout
    assert "['000000.tar']" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["000000.tar"]
    assert read_shard(tmp_path / "000000.tar")[2].complete


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot write"):
        write(tmp_path, RECORDS)
