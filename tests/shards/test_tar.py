"""The tar parser: equal to the standard library on sound archives, and never wrong in silence on others."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.records import RejectReason
from curate.shards import tar
from curate.shards.compress import GZIP, decompressed
from curate.shards.limits import DEFAULT_LIMITS, ShardLimits
from curate.shards.tar import Entry, Fault, Problem, SoundFile, iter_members
from tests.shards.archives import BLOCK, END, pax_header, raw_member, tar_bytes

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


class Parsed(NamedTuple):
    """A member, whichever way it came."""

    name: str
    kind: str
    offset: int
    size: int
    data: bytes | None
    problem: Problem | None


def parsed(found: SoundFile | Entry) -> Parsed:
    if isinstance(found, Entry):
        return Parsed(found.name, found.kind, found.offset, found.size, None, found.problem)
    name, offset, data = found
    return Parsed(name, "file", offset, len(data), data, None)


def parse(data: bytes, limits: ShardLimits = DEFAULT_LIMITS) -> tuple[list[Parsed], Fault | None]:
    found = list(iter_members(io.BytesIO(data), limits))
    entries = [parsed(one) for one in found if not isinstance(one, Fault)]
    faults = [one for one in found if isinstance(one, Fault)]
    assert faults in ([], found[-1:]), "a fault comes once, and last"
    return entries, faults[0] if faults else None


def only(data: bytes, limits: ShardLimits = DEFAULT_LIMITS) -> Parsed:
    """The one entry of an archive that is sound apart from it."""
    entries, fault = parse(data, limits)
    assert fault is None
    assert len(entries) == 1
    return entries[0]


def test_a_size_of_twelve_digits_is_read_to_its_last() -> None:
    """Some writers fill the whole field and leave no room for an end."""
    contents = bytes(range(104))
    member = raw_member(b"a.txt", contents, size=b"%012o" % len(contents))
    assert only(member + END).data == contents


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60).filter(
    lambda name: not name.endswith("/")  # of a name in a pax header the standard library drops that
)


@settings(max_examples=60, deadline=None)
@given(
    members=st.lists(st.tuples(NAMES, st.binary(max_size=1500)), max_size=6),
    tar_format=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_finds_what_the_standard_library_finds(members: list[tuple[str, bytes]], tar_format: int) -> None:
    data = tar_bytes(members, tar_format)
    entries, fault = parse(data)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        expected = [(info.name, info.offset_data, info.size) for info in archive]
    assert fault is None
    assert [(entry.name, entry.offset, entry.size) for entry in entries] == expected
    assert [entry.data for entry in entries] == [contents for _, contents in members]
    assert all(data[entry.offset : entry.offset + entry.size] == entry.data for entry in entries)


@pytest.mark.parametrize("tar_format", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("length", [99, 100, 101, 150, 240])
def test_long_names(tar_format: int, length: int) -> None:
    name = ("folder/" * 40)[: length - 10] + "/image.jpg"
    assert only(tar_bytes([(name, b"x")], tar_format)).name == name


def test_v7_has_no_magic_and_no_prefix() -> None:
    entry = only(raw_member(b"a.jpg", b"picture", magic=b"", prefix=b"not a prefix") + END)
    assert (entry.name, entry.data) == ("a.jpg", b"picture")


@pytest.mark.parametrize("name", ["a\nb.jpg", "\u202egpj.a.jpg", "🐈/😀.jpg", "../../etc/passwd.txt", "/abs/x.jpg", "a b\t.jpg"])
@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_odd_names_are_kept_as_they_are(name: str, tar_format: int) -> None:
    entry = only(tar_bytes([(name, b"x")], tar_format))
    assert (entry.name, entry.problem) == (name, None)


@pytest.mark.parametrize(
    ("archive", "says"),
    [
        (raw_member(b"caf\xe9.jpg", b"x"), "not UTF-8"),
        (raw_member(b"", b"x"), "empty"),
        (pax_header((b"path", b"a\0b.jpg")) + raw_member(b"a.jpg", b"x"), "NUL"),
        (pax_header((b"path", b"n" * 5000 + b".jpg")) + raw_member(b"a.jpg", b"x"), "5004 bytes"),
        (raw_member(b"long", b"n" * 5000 + b"\0", kind=b"L") + raw_member(b"a.jpg", b"x"), "5000 bytes"),
        (pax_header((b"comment", b"c" * (1 << 20))) + raw_member(b"a.jpg", b"x"), "extended header"),
        (raw_member(b"pax", b"nonsense", kind=b"x") + raw_member(b"a.jpg", b"x"), "not readable"),
        (raw_member(b"pax", b"99 path=a.jpg\n", kind=b"x") + raw_member(b"a.jpg", b"x"), "not readable"),
        (pax_header((b"size", b"-5")) + raw_member(b"a.jpg", b"x"), "states the size"),
    ],
)
def test_a_name_that_cannot_be_trusted_spoils_its_member_alone(archive: bytes, says: str) -> None:
    entries, fault = parse(archive + raw_member(b"next.jpg", b"sound") + END)
    assert fault is None
    bad, sound = entries
    assert bad.data is None
    assert bad.problem is not None
    assert bad.problem.reason is RejectReason.BAD_NAME
    assert says in bad.problem.detail
    assert (sound.name, sound.data) == ("next.jpg", b"sound")


def test_pax_overrides_name_and_size_and_global_headers_hold_for_all() -> None:
    data = pax_header((b"path", "日本.jpg".encode()), (b"size", b"3")) + raw_member(b"short.jpg", b"abc", size=b"00000000000\0")
    entry = only(data + END)
    assert (entry.name, entry.data) == ("日本.jpg", b"abc")
    shared = pax_header((b"comment", b"of a commit"), (b"path", b"same.jpg"), kind=b"g")
    entries, _ = parse(shared + raw_member(b"a.jpg", b"1") + pax_header((b"path", b"own.jpg")) + raw_member(b"b.jpg", b"2") + END)
    assert [entry.name for entry in entries] == ["same.jpg", "own.jpg"]


def special(kind: bytes, name: str = "a.jpg") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_what_is_not_a_file_has_no_contents(kind: bytes) -> None:
    entries, fault = parse(tar_bytes([special(kind), ("b.jpg", b"sound")]))
    assert fault is None
    assert [(entry.name, entry.kind, entry.data) for entry in entries] == [("a.jpg", "other", None), ("b.jpg", "file", b"sound")]
    assert entries[0].problem is not None
    assert entries[0].problem.reason is RejectReason.NOT_A_FILE


def test_folders_are_folders_in_every_spelling() -> None:
    entries, _ = parse(tar_bytes([special(tarfile.DIRTYPE, "folder")]))
    old, _ = parse(raw_member(b"folder/", kind=b"\0", magic=b"") + END)
    assert [entry.kind for entry in entries + old] == ["folder", "folder"]


def test_sparse_files_and_unknown_types_are_passed_over() -> None:
    old_gnu = bytearray(raw_member(b"s.jpg", b"x" * 700, kind=b"S"))
    old_gnu[482] = 1  # two more blocks of its map follow the header
    old_gnu[148:156] = b"%06o\0 " % (sum(old_gnu[:BLOCK]) - sum(old_gnu[148:156]) + 8 * 32)
    more, last = bytearray(BLOCK), bytes(BLOCK)
    more[504] = 1
    pax = pax_header((b"GNU.sparse.major", b"1"), (b"GNU.sparse.name", b"t.jpg")) + raw_member(b"GNUSparseFile.0/t.jpg", b"map")
    data = (
        bytes(old_gnu[:BLOCK]) + bytes(more) + last + bytes(old_gnu[BLOCK:]) + pax + raw_member(b"u.jpg", b"x" * 600, kind=b"?")
    )
    entries, fault = parse(data + raw_member(b"v.jpg", b"sound", kind=b"7") + END)
    assert fault is None
    assert [entry.name for entry in entries] == ["s.jpg", "t.jpg", "u.jpg", "v.jpg"]
    assert [entry.problem and entry.problem.reason for entry in entries] == [RejectReason.NOT_A_FILE] * 3 + [None]


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (b"\xff" * 11 + b"\xf6", "no readable size"),  # -10 in base 256
        (b"-0000000012\0", "no readable size"),
        (b"0000000089\0", "no readable size"),
        (b"many bytes\0", "no readable size"),
        (b"77777777777\0", "cut inside"),  # 8 GiB - 1
        (b"\x80" + (8 << 30).to_bytes(11, "big"), "cut inside"),
        (b"\x80" + (2**80).to_bytes(11, "big"), "cut inside"),
    ],
)
def test_sizes_that_lie(size: bytes, says: str) -> None:
    entries, fault = parse(raw_member(b"a.jpg", b"sound") + raw_member(b"b.jpg", b"x", size=size) + END)
    assert [entry.name for entry in entries] == ["a.jpg"]
    assert fault is not None
    assert says in fault.detail


def test_eight_gigabytes_in_the_header_cost_no_memory() -> None:
    class Endless(io.RawIOBase):
        """A source that answers every request with zeros, and remembers the largest one."""

        largest = 0

        def read(self, size: int = -1) -> bytes:
            self.largest = max(self.largest, size)
            return bytes(size)

    stream: Any = Endless()
    head = io.BytesIO(raw_member(b"a.mp4", size=b"\x80" + (8 << 30).to_bytes(11, "big"))[:BLOCK])
    stream.read = lambda size, read=stream.read: head.read(size) or read(size)
    entry = next(iter_members(stream))
    assert isinstance(entry, Entry)
    assert entry.problem is not None
    assert entry.problem.reason is RejectReason.TOO_LARGE
    assert stream.largest <= 1 << 20


def test_videos_may_be_larger_than_images() -> None:
    limits = ShardLimits(member_bytes=10, video_bytes=20)
    data = tar_bytes([("a.jpg", bytes(15)), ("a.mp4", bytes(15)), ("b.mp4", bytes(21)), ("c.jpg", bytes(10))])
    entries, fault = parse(data, limits)
    assert fault is None
    assert [entry.data is not None for entry in entries] == [False, True, False, True]


@pytest.mark.parametrize("position", [0, 99, 107, 124, 135, 148, 153, 156, 260, 344, 400, 511])
def test_a_changed_header_ends_the_reading(position: int) -> None:
    whole = bytearray(tar_bytes([("a.jpg", b"one"), ("b.jpg", b"two"), ("c.jpg", b"three")]))
    start = 2 * BLOCK
    whole[start + position] ^= 1
    entries, fault = parse(bytes(whole))
    assert [entry.name for entry in entries] == ["a.jpg"]
    assert fault is not None
    assert fault.offset == start
    assert "checksum" in fault.detail


def test_sums_of_signed_bytes_are_accepted() -> None:
    assert only(raw_member("é.jpg".encode(), b"x", signed=True) + END).name == "é.jpg"


def test_the_end() -> None:
    member = raw_member(b"a.jpg", b"x")
    assert parse(member + END) == parse(member + bytes(BLOCK)) == parse(member + bytes(20 * BLOCK))
    for cut in (b"", bytes(BLOCK - 1)):
        _, fault = parse(member + cut)
        assert fault is not None
        assert "no end-of-archive block" in fault.detail
    for hole in (BLOCK, 2 * BLOCK, 1 << 20):
        entries, fault = parse(member + bytes(hole) + member)
        assert len(entries) == 1
        assert fault is not None
        assert "data follows" in fault.detail
    _, fault = parse(member + bytes(17 << 20))
    assert fault is not None
    assert "zeros follow" in fault.detail


def test_cut_inside_extended_headers() -> None:
    data = raw_member(b"a.jpg", b"x") + pax_header((b"path", b"b" * 600 + b".jpg")) + raw_member(b"b.jpg", b"y") + END
    for cut in range(2 * BLOCK, 5 * BLOCK, 100):
        entries, fault = parse(data[:cut])
        assert [entry.name for entry in entries] == ["a.jpg"]
        assert fault is not None
        assert fault.name is None


def test_damaged_compression_is_a_fault_after_what_was_sound() -> None:
    rng = random.Random(0)
    members = [(f"{number}.jpg", rng.randbytes(50_000)) for number in range(20)]
    packed = bytearray(gzip.compress(tar_bytes(members)))
    packed[len(packed) // 2] ^= 0xFF
    for damaged in (bytes(packed), bytes(packed[: len(packed) // 2])):
        stream = decompressed(io.BufferedReader(io.BytesIO(damaged)), where="shard")
        found = list(iter_members(stream))
        assert isinstance(found[-1], Fault)
        assert "damaged" in found[-1].detail
        sound = [parsed(one) for one in found if not isinstance(one, Fault)]
        assert 0 < len(sound) < 20
        assert [(one.name, one.data) for one in sound] == members[: len(sound)]


def quickly(data: bytes, limits: ShardLimits = DEFAULT_LIMITS) -> list[SoundFile | Entry | Fault]:
    if data.startswith(GZIP):
        return list(iter_members(decompressed(io.BufferedReader(io.BytesIO(data)), where="shard"), limits))
    return list(iter_members(io.BytesIO(data), limits))


def carefully(data: bytes, limits: ShardLimits = DEFAULT_LIMITS) -> list[SoundFile | Entry | Fault]:
    """The members of an archive when no header passes for a plain one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tar, "plain_file", lambda header: None)
        return quickly(data, limits)


ODD_NAMES = st.sampled_from(
    [b"", b"a", b"a.txt", b"a/", b"n" * 100, b"\xff.jpg", "\u00fc.mp4".encode(), b"a\0b.jpg", b"/", b" .jpg"]
)
ODD_SIZES = st.sampled_from(
    [None, None, None, b"00000000003\0", b"00000000003 ", b"00000000003x", b"000000000003", b"3\0", b"         3 "]
)
MORE_SIZES = st.sampled_from(
    [b"00000000009\0", b"0000_000003\0", b"+0000000003\0", b"\x80" + bytes(10) + b"\3", bytes(12), b"77777777777\0"]
)
ODD_MEMBERS = st.builds(
    raw_member,
    ODD_NAMES | st.binary(max_size=100),
    st.binary(max_size=1100),
    kind=st.sampled_from([b"0", b"0", b"0", b"\0", b"7", b"5", b"2", b"S", b"?", b"L"]),
    size=ODD_SIZES | MORE_SIZES,
    magic=st.sampled_from([b"ustar\x0000", b"ustar  \0", b"", b"other"]),
    prefix=st.sampled_from([b"", b"", b"", b"folder", b"\0hidden"]),
    signed=st.booleans(),
)
PLAIN_MEMBERS = st.builds(raw_member, st.sampled_from([b"a.jpg", b"b.mp4", b"n" * 100, b"a/c.json"]), st.binary(max_size=1100))
PAX = st.builds(
    pax_header,
    st.sampled_from([(b"path", b"own.jpg"), (b"size", b"2"), (b"comment", b"c"), (b"GNU.sparse.name", b"s.jpg")]),
    kind=st.sampled_from([b"x", b"x", b"g"]),
)
TIGHT = ShardLimits(member_bytes=600, video_bytes=900, name_bytes=8, header_bytes=512)


@settings(max_examples=400, deadline=None)
@given(
    parts=st.lists(PLAIN_MEMBERS | ODD_MEMBERS | PAX, max_size=6),
    changes=st.lists(st.tuples(st.integers(0, 1 << 13), st.integers(0, 255)), max_size=2),
    cut=st.none() | st.integers(0, 1 << 13),
    limits=st.sampled_from([DEFAULT_LIMITS, TIGHT, ShardLimits(member_bytes=600)]),
)
def test_the_quick_way_gives_what_the_careful_one_gives(
    parts: list[bytes], changes: list[tuple[int, int]], cut: int | None, limits: ShardLimits
) -> None:
    """Members of every sort in any order, with bytes changed and the end cut away."""
    data = bytearray(b"".join(parts) + END)
    for place, value in changes:
        data[place % len(data)] = value
    whole = bytes(data[:cut])
    assert quickly(whole, limits) == carefully(whole, limits)


def test_the_quick_way_ends_where_the_careful_one_ends_at_every_cut() -> None:
    members = [("a.jpg", b"x" * 700), ("b/" + "n" * 98, b""), ("c.txt", b"y" * 512), ("d.json", b"{}")]
    whole = tar_bytes(members)
    for data in (whole, gzip.compress(whole, compresslevel=0)):  # level 0 keeps the bytes, so that cuts lie all over the archive
        for cut in range(40, len(data)):
            assert quickly(data[:cut]) == carefully(data[:cut])


def test_the_quick_way_notices_every_changed_bit_of_a_header() -> None:
    """Each bit is turned, and then the checksum mended: the first is damage, the second a header that says something else."""
    header = raw_member(b"a.jpg", b"x")[:BLOCK]
    for place in range(8 * BLOCK):
        changed = bytearray(header)
        changed[place // 8] ^= 1 << place % 8
        mended = changed.copy()
        mended[148:156] = b"%06o\0 " % (sum(mended) - sum(mended[148:156]) + 8 * ord(" "))
        for one in (changed, mended):
            whole = bytes(one) + b"x" + bytes(BLOCK - 1) + END
            assert quickly(whole) == carefully(whole)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_change_of_bytes_makes_it_raise_or_hang(data: st.DataObject) -> None:
    members = [("a.jpg", b"x" * 700), ("n" * 120 + ".txt", b"y"), ("ü.json", b"{}")]
    whole = bytearray(tar_bytes(members, data.draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    entries, _ = parse(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    assert all(entry.data is None or len(entry.data) == entry.size for entry in entries)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=3000))
def test_garbage_is_a_fault(garbage: bytes) -> None:
    entries, fault = parse(garbage)
    assert fault is not None or (not entries and not any(garbage))
