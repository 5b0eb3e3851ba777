"""Records: the same as webdataset's on sound shards, and one exact outcome for every way in which a shard can be unsound."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import random
import re
import tarfile
import tracemalloc
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import webdataset
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import ShardError
from curate.records import Reject
from curate.shards.grouping import UNKNOWN_OFFSET, is_metadata, read_records, record_from_webdataset, split_name
from curate.shards.limits import ShardLimits
from tests.shards.archives import BLOCK, END, raw_member, read_bytes, read_shard, sort_found, tar_bytes, webdataset_samples


def reasons(rejects: list[Reject]) -> list[tuple[str, str]]:
    return [(reject.key, str(reject.reason)) for reject in rejects]


def three_members(key: str, size: int = 700) -> list[tuple[str, bytes]]:
    return [(f"{key}.jpg", random.Random(key).randbytes(size)), (f"{key}.txt", b"a cat"), (f"{key}.json", b'{"width": 8}')]


def test_records_carry_bytes_and_places(tmp_path: Path) -> None:
    members = three_members("train/0001") + three_members("train/0002")
    whole = tar_bytes(members)
    records, rejects, end = read_bytes(tmp_path, whole)
    assert [record.key for record in records] == ["train/0001", "train/0002"]
    assert [(member.name, record.data[member.field]) for record in records for member in record.members] == members
    for record in records:
        assert record.shard == str(tmp_path / "shard.tar")
        for member in record.members:
            assert whole[member.offset : member.offset + member.length] == record.data[member.field]
    assert not rejects
    assert (end.members, end.complete, end.retracted, end.fault) == (6, True, frozenset(), None)
    assert end.bytes == records[-1].members[-1].offset + records[-1].members[-1].length


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_same_records_as_webdataset(tmp_path: Path, tar_format: int) -> None:
    members = [
        *three_members("plain"),
        *three_members("./dotted/0001"),
        *[("a/b.c/img.Final.JPG", b"1"), ("a/b.c/img.seg.png", b"2"), ("a/b.c/img.", b"3")],
        *[("README", b""), (".hidden.jpg", b""), ("__info__/x.json", b"{}"), ("a/__x__.jpg", b"4")],
        *three_members("日本/" + "long" * 30 if tar_format != tarfile.USTAR_FORMAT else "short"),
        *[("UPPER.Jpg", b"5"), ("upper.jpg", b"6"), ("empty.jpg", b""), ("empty.txt", b"")],
    ]
    records, rejects, end = read_bytes(tmp_path, tar_bytes(members, tar_format))
    assert [{"__key__": record.key, **record.data} for record in records] == webdataset_samples(tmp_path / "shard.tar")
    assert not rejects
    assert end.skipped == {"no_key": 2, "webdataset_metadata": 1}
    assert end.members == len(members)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab./_A\u00e9"), min_size=1, max_size=12))
def test_names_are_split_as_webdataset_splits_them(name: str) -> None:
    key, field = webdataset.tariterators.base_plus_ext(name)
    hidden = name.rpartition("/")[2].startswith(".")
    assert split_name(name) == (None if key is None or hidden else (key, field.lower()))


def twenty_members() -> list[tuple[str, bytes]]:
    """Twenty members of seven records, of one to four members each, with contents of 0 to 3 blocks."""
    rng = random.Random(20)
    sizes = [3, 4, 1, 4, 2, 3, 3]
    fields = ["jpg", "txt", "json", "side.bin"]
    return [
        (f"k{n}.{field}", rng.randbytes(rng.choice([0, 5, 512, 1300]))) for n, size in enumerate(sizes) for field in fields[:size]
    ]


def expected_outcome(places: list[tuple[str, int, int]], cut: int) -> tuple[list[str], str | None]:
    """Keys of whole records, and the key that is lost, for an archive of `places` (key, header, end of contents) cut at `cut`."""
    known = [key for key, header, _ in places if header + BLOCK <= cut]  # headers that can be read
    keys = list(dict.fromkeys(known))
    return keys[:-1], keys[-1] if keys else None


def test_every_cut_of_a_shard_of_twenty_members(tmp_path: Path) -> None:
    """At each block boundary and just beside it: records before the cut stand, the one at the cut is named, the end says so."""
    members = twenty_members()
    assert len(members) == 20
    whole = tar_bytes(members)
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        places = [(info.name.partition(".")[0], info.offset, info.offset_data + info.size) for info in archive]
    last_key, _, last_end = places[-1]
    end_of_members = last_end + -last_end % BLOCK
    for cut in sorted({min(max(at + beside, 0), len(whole)) for at in range(0, len(whole) + 1, BLOCK) for beside in (-1, 0, 1)}):
        path = tmp_path / "cut.tar"
        path.write_bytes(whole[:cut])
        sound, lost = expected_outcome(places, cut)
        if lost is None:
            with pytest.raises(ShardError, match="cut at byte|is empty"):
                list(read_records(str(path)))
            continue
        records, rejects, end = read_shard(path)
        if cut >= end_of_members + BLOCK:
            assert end.complete
            assert [record.key for record in records] == [*sound, last_key]
            assert not rejects
        else:
            assert not end.complete
            assert end.fault is not None
            assert [record.key for record in records] == sound
            assert reasons(rejects) == [(lost, "truncated")]
        assert all(len(record.members) == sum(key == record.key for key, _, _ in places) for record in records), "no half record"


def test_a_key_that_comes_back_takes_the_first_part_back(tmp_path: Path) -> None:
    members = [("a.jpg", b"1"), ("b.jpg", b"2"), ("a.txt", b"3"), ("b.txt", b"4"), ("a.json", b"5"), ("c.jpg", b"6")]
    records, rejects, end = read_bytes(tmp_path, tar_bytes(members))
    assert [record.key for record in records] == ["a", "b", "c"]
    assert reasons(rejects) == [("a", "key_reappears"), ("b", "key_reappears"), ("a", "key_reappears")]
    assert end.retracted == {"a", "b"}
    assert end.complete


def test_a_key_whose_first_part_was_rejected_is_not_taken_back(tmp_path: Path) -> None:
    members = [("a.jpg", b"1"), ("a.jpg", b"1"), ("b.jpg", b"2"), ("a.jpg", b"3")]
    records, rejects, end = read_bytes(tmp_path, tar_bytes(members))
    assert [record.key for record in records] == ["b"]
    assert reasons(rejects) == [("a", "duplicate_member"), ("a", "key_reappears")]
    assert end.retracted == frozenset()


def link(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, "elsewhere"
    return info


def folder(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    return info


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("a.jpg", b"1"), ("a.txt", b"2"), ("a.jpg", b"1")], "duplicate_member"),
        ([("a.jpg", b"1"), ("a.JPG", b"2")], "duplicate_member"),
        ([("a.txt", b"1"), link("a.jpg")], "not_a_file"),
        ([link("a.jpg"), ("a.txt", b"1")], "not_a_file"),
        ([(f"a.{number}.jpg", b"") for number in range(65)], "too_large"),
        ([("a.jpg", bytes(2000)), ("a.txt", b"small")], "too_large"),
        ([("a.0.jpg", bytes(900)), ("a.1.jpg", bytes(900)), ("a.2.jpg", bytes(900))], "too_large"),
    ],
)
def test_one_bad_member_rejects_its_record_and_no_other(tmp_path: Path, members: list[Any], reason: str) -> None:
    limits = ShardLimits(member_bytes=1000, record_bytes=2000)
    whole = tar_bytes([("_before.jpg", b"x"), *members, ("zafter.jpg", b"y")])
    records, rejects, end = read_bytes(tmp_path, whole, limits)
    assert [record.key for record in records] == ["_before", "zafter"]
    assert reasons(rejects) == [("a", reason)]
    assert end.complete


def test_as_many_members_as_the_limit_allows_are_a_record(tmp_path: Path) -> None:
    records, rejects, _ = read_bytes(tmp_path, tar_bytes([(f"a.{number}.jpg", b"") for number in range(64)]))
    assert [len(record.members) for record in records] == [64]
    assert not rejects


def test_names_that_are_not_utf8_reject_their_record_once(tmp_path: Path) -> None:
    whole = (
        raw_member(b"caf\xe9.jpg", b"1")
        + raw_member(b"caf\xe9.txt", b"2")
        + raw_member(b"b.jpg", b"3")
        + raw_member(b"\xff", b"4")
    )
    records, rejects, end = read_bytes(tmp_path, whole + END)
    assert [record.key for record in records] == ["b"]
    assert reasons(rejects) == [("caf\\xe9", "bad_name"), ("\\xff", "bad_name")]
    assert end.complete


def test_folders_and_names_without_extension_may_stand_between_members(tmp_path: Path) -> None:
    members = [folder("d"), ("d/a.jpg", b"1"), folder("d/e"), ("README", b""), ("d/a.txt", b"2"), link("latest")]
    records, rejects, end = read_bytes(tmp_path, tar_bytes(members))
    assert [record.data for record in records] == [{"jpg": b"1", "txt": b"2"}]
    assert reasons(rejects) == [("latest", "not_a_file")]
    assert end.skipped == {"folder": 2, "no_key": 1}


def test_names_that_would_leave_a_folder_are_keys_like_others(tmp_path: Path) -> None:
    records, _, _ = read_bytes(tmp_path, tar_bytes([("../../etc/x.jpg", b"1"), ("/abs/y.jpg", b"2")]))
    assert [record.key for record in records] == ["../../etc/x", "/abs/y"]
    assert [path.name for path in tmp_path.iterdir()] == ["shard.tar"]


def test_code_in_members_stays_bytes(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    evil = pickle.dumps(Evil())
    members = [(f"a.{field}", evil) for field in ("pyd", "pickle", "pth", "npy", "pt")] + [("a.tar", tar_bytes([("b.jpg", b"")]))]
    records, rejects, _ = read_bytes(tmp_path, tar_bytes(members))
    assert [record.key for record in records] == ["a"], "an archive inside an archive is a member like others"
    assert records[0].data["pyd"] == evil
    assert not rejects
    assert not (tmp_path / "ran").exists()


def test_what_follows_a_damaged_header_is_lost_and_said_to_be(tmp_path: Path) -> None:
    whole = bytearray(tar_bytes([(f"k{number}.{field}", b"x") for number in range(5) for field in ("jpg", "txt")]))
    whole[5 * 2 * BLOCK + 1] ^= 1  # the second header of k2
    records, rejects, end = read_bytes(tmp_path, bytes(whole))
    assert [record.key for record in records] == ["k0", "k1"]
    assert reasons(rejects) == [("k2", "truncated")]
    assert not end.complete
    assert end.bytes == 10 * BLOCK
    assert end.fault is not None
    assert "checksum" in end.fault


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "the file is empty"),
        (b"x", "cut at byte 1"),
        (b"hello world " * 100, "checksum"),
        (b"\x89PNG\r\n" + bytes(2000), "checksum"),
        (bytes(1024), "is empty"),
        (bytes(10240), "is empty"),
        (tar_bytes([]), "is empty"),
        (tar_bytes([folder("only/a/folder")]), "is empty"),
        (tar_bytes([("README", b""), ("0001", b"picture")]), "extension"),
        (tar_bytes([("a.jpg", b"x")])[:300], "cut at byte 300"),
        (gzip.compress(gzip.compress(tar_bytes([("a.jpg", b"x")]), mtime=0), mtime=0), "cut at byte|checksum"),
        (gzip.compress(tar_bytes([("a.jpg", b"x")]), mtime=0)[:40], "damaged"),
        (b"BZh91AY", "bzip2"),
        (b"\xfd7zXZ\0 and so on", "xz"),
        (b"PK\x03\x04 and so on", "zip"),
    ],
)
def test_what_is_not_a_shard_is_one_sentence(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "shard.tar"
    path.write_bytes(data)
    with pytest.raises(ShardError, match=says) as problem:
        list(read_records(str(path)))
    assert str(path) in str(problem.value)
    assert "\n" not in str(problem.value)


def skippable(data: bytes) -> bytes:
    return b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"note" + zstandard.compress(data)


def in_frames(data: bytes) -> bytes:
    return b"".join(zstandard.compress(data[start : start + 5000]) for start in range(0, len(data), 5000))


@pytest.mark.parametrize(
    "pack",
    [gzip.compress, zstandard.compress, skippable, in_frames, lambda data: gzip.compress(data[:777]) + gzip.compress(data[777:])],
    ids=["gzip", "zstd", "zstd with a skippable frame", "zstd frames", "gzip members"],
)
def test_compressed_shards_are_told_by_their_bytes(tmp_path: Path, pack: Any) -> None:
    whole = tar_bytes([member for number in range(20) for member in three_members(f"{number:03d}", 3000)])
    plain, _, _ = read_bytes(tmp_path, whole)
    packed, rejects, end = read_bytes(tmp_path, pack(whole))
    assert packed == plain
    assert not rejects
    assert end.complete


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_cut_compressed_shards_never_pass_for_whole(tmp_path: Path, pack: Any) -> None:
    packed = pack(tar_bytes([member for number in range(12) for member in three_members(f"{number:03d}", 30_000)]))
    for cut in range(len(packed) // 2, len(packed), 7919):
        records, rejects, end = read_bytes(tmp_path, packed[:cut])
        assert not end.complete
        assert len(rejects) <= 1
        assert [record.key for record in records] == [f"{number:03d}" for number in range(len(records))]
        assert all(len(record.members) == 3 for record in records)
        assert records


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_bomb_is_rejected_without_being_held(tmp_path: Path, pack: Any) -> None:
    path = tmp_path / "bomb.tar"
    path.write_bytes(pack(tar_bytes([("a.jpg", b"x"), ("bomb.jpg", bytes(96 << 20)), ("c.jpg", b"y")])))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    records, rejects, end = read_shard(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [record.key for record in records] == ["a", "c"]
    assert reasons(rejects) == [("bomb", "too_large")]
    assert end.complete
    assert peak < 8 << 20


def expected_by_key(names: list[str]) -> tuple[list[tuple[str, list[str]]], list[tuple[str, str]], frozenset[str]]:
    """Records with their fields, rejects, and retracted keys, by taking every name apart."""
    parts = [split_name(name) for name in names if not is_metadata(name)]
    records: list[tuple[str, list[str]]] = []
    rejects: list[tuple[str, str]] = []
    retracted: set[str] = set()
    seen: dict[str, bool] = {}
    for key, run in groupby((one for one in parts if one is not None), key=lambda one: one[0]):
        fields = [field for _, field in run]
        if key in seen:
            rejects.append((key, "key_reappears"))
            if seen[key]:
                retracted.add(key)
            seen[key] = False
            continue
        if len(set(fields)) < len(fields):
            rejects.append((key, "duplicate_member"))
        else:
            records.append((key, fields))
        seen[key] = len(set(fields)) == len(fields)
    return records, rejects, frozenset(retracted)


@settings(max_examples=300, deadline=None)
@given(
    names=st.lists(
        st.sampled_from(
            ["a.jpg", "a.txt", "a.JPG", "a.b/c.txt", "a.b/c.d.txt", "a/.b", "__a.jpg", "__a.x__", "__a.y__/z.jpg", "a."]
        )
        | st.text(st.sampled_from("ab./_"), min_size=1, max_size=8),
        min_size=1,
        max_size=10,
    )
)
def test_names_are_taken_apart_alike_wherever_they_stand(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    whole = b"".join(raw_member(name.encode(), b"x") for name in ["first.jpg", *names]) + END
    records, rejects, end = read_bytes(tmp_path_factory.getbasetemp(), whole)
    expected = expected_by_key(["first.jpg", *names])
    found = [(record.key, [member.field for member in record.members]) for record in records]
    assert (found, reasons(rejects), end.retracted) == expected
    assert all(list(record.data) == [member.field for member in record.members] for record in records)


def test_links_reject_what_they_belong_to(tmp_path: Path) -> None:
    """A link spoils its record, whatever its other members are; a link of webdataset's own names is rejected by itself."""
    link = raw_member(b"a.txt", kind=b"2")
    members = [("a.jpg", b"1"), ("a.json", b"2"), ("a.jpg", b"3"), ("b.jpg", b"4")]
    files = [raw_member(name.encode(), data) for name, data in members]
    others = [raw_member(name, kind=kind) for name, kind in [(b"__b.x__", b"2"), (b"\xff.d/", b"5"), (b"a.zip", b"2")]]
    records, rejects, end = read_bytes(tmp_path, b"".join([files[0], link, *files[1:], *others, END]))
    assert [record.key for record in records] == ["b"]
    assert reasons(rejects) == [("a", "not_a_file"), ("__b.x__", "not_a_file"), ("a", "key_reappears")]
    assert end.skipped == {"folder": 1}
    assert end.members == 8


def test_what_follows_a_spoiled_member_is_not_held(tmp_path: Path) -> None:
    members = [("a.jpg", b""), ("a.jpg", b""), *((f"a.{number}", bytes(1 << 20)) for number in range(40))]
    (tmp_path / "shard.tar").write_bytes(tar_bytes(members))
    tracemalloc.start()
    _, rejects, _ = read_shard(tmp_path / "shard.tar")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reasons(rejects) == [("a", "duplicate_member")]
    assert peak < 8 << 20


FIELDS = st.sampled_from(["jpg", "txt", "json"])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), FIELDS), min_size=1, max_size=12))
def test_every_member_is_accounted_for(tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, str]]) -> None:
    """Whatever the order: runs of members with one key are as many as records and rejects, and no half record is sound."""
    records, rejects, end = read_bytes(tmp_path_factory.getbasetemp(), tar_bytes([(f"{k}.{f}", b"") for k, f in names]))
    runs = [[names[0]]]
    for name in names[1:]:
        if name[0] == runs[-1][0][0]:
            runs[-1].append(name)
        else:
            runs.append([name])
    assert len(records) + len(rejects) == len(runs)
    times = Counter(run[0][0] for run in runs)
    sound = {record.key for record in records} - end.retracted
    assert sound == {run[0][0] for run in runs if times[run[0][0]] == 1 and len(set(run)) == len(run)}
    assert end.records - len(end.retracted) == len(sound)
    assert end.members == len(names)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_changed_bytes_give_records_rejects_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray(tar_bytes(three_members("a", 600) + three_members("b", 10), tarfile.PAX_FORMAT))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed.tar"
    path.write_bytes(whole)
    refused, found = "", []
    try:
        found = list(read_records(str(path)))
    except ShardError as problem:
        refused = str(problem)
    if refused:
        assert str(path) in refused
        assert "\n" not in refused
        return
    records, rejects, end = sort_found(found)
    assert end.records == len(records)
    assert end.complete == (end.fault is None)
    assert all(reject.shard == str(path) and reject.detail for reject in rejects)
    for record in records:
        # Nothing is made up: what a record holds lies in the file where it says.
        held = {member.field: bytes(whole[member.offset : member.offset + member.length]) for member in record.members}
        assert held == record.data


def test_samples_of_a_webdataset_pipeline_become_records(tmp_path: Path) -> None:
    ours, _, _ = read_bytes(tmp_path, tar_bytes(three_members("a") + three_members("b")))
    url = str(tmp_path / "shard.tar")
    theirs = [record_from_webdataset({"__url__": url, **sample}) for sample in webdataset_samples(tmp_path / "shard.tar")]
    assert [(one.shard, one.key, one.data) for one in theirs] == [(one.shard, one.key, one.data) for one in ours]
    assert {member.offset for one in theirs for member in one.members} == {UNKNOWN_OFFSET}
    assert [[member.field for member in one.members] for one in theirs] == [["jpg", "txt", "json"]] * 2


def test_decoded_or_foreign_samples_are_refused() -> None:
    with pytest.raises(ShardError, match=re.escape(".decode()")):
        record_from_webdataset({"__key__": "a", "__url__": "x.tar", "json": json.loads("{}")})
    with pytest.raises(ShardError, match="__key__"):
        record_from_webdataset({"jpg": b""})


def test_reading_failures_name_the_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "shard.tar"
    path.write_bytes(tar_bytes(three_members("a")))

    class Broken(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("curate.shards.grouping.open_stream", lambda url: Broken(io.FileIO(url)))
    with pytest.raises(ShardError, match="Input/output error") as problem:
        list(read_records(str(path)))
    assert str(path) in str(problem.value)
