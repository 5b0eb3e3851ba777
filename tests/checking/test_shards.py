"""Every defect of a shard is found by its rule; an export of an export is sound."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import math
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.checking import Severity
from curate.exporting import export
from tests.checking.looking import Row, findings, rules
from tests.exporting.world import World, image_media, photo, write_tar

Members = list[tuple[tarfile.TarInfo, bytes]]


def retarred(folder: Path, change: Callable[[Members], Any]) -> Path:
    """Write the shard of an export again with other members."""
    (path,) = folder.glob("*.tar")
    with tarfile.open(path) as archive:
        members = []
        for info in archive:
            stream = archive.extractfile(info)
            assert stream is not None
            members.append((info, stream.read()))
    change(members)
    with tarfile.open(path, "w") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return folder


def _renamed(members: Members, name: str) -> None:
    members[0][0].name = name


def _linked(members: Members) -> None:
    members[0][0].type, members[0][0].linkname = tarfile.SYMTYPE, "/etc/hostname"
    members[0] = (members[0][0], b"")


def _rated(members: Members, plant: Callable[[Row], Any]) -> None:
    """Change what the first record's ratings say."""
    number = next(number for number, (info, _) in enumerate(members) if info.name.endswith("ratings.json"))
    value = json.loads(members[number][1])
    plant(value["samples"][0])
    members[number] = (members[number][0], json.dumps(value).encode())


def _failure_as_number(members: Members) -> None:
    _rated(members, lambda sample: sample["ratings"][1].update(value=0.0))


def _infinite(members: Members) -> None:
    _rated(members, lambda sample: sample["ratings"][0].update(value=math.inf))


def _foreign_medium(members: Members) -> None:
    _rated(members, lambda sample: sample.update(media=["nope.png"]))


def _without(suffix: str, most: int | None = None) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        for member in [member for member in members if member[0].name.endswith(suffix)][:most]:
            members.remove(member)

    return change


def _emptied(members: Members) -> None:
    members[:] = [(info, b"" if info.name.endswith(".txt") else data) for info, data in members]


def _repeated_record(members: Members) -> None:
    record = [(copy.copy(info), data) for info, data in members[:4]]
    for info, _ in record:
        info.name = f"zz{info.name}"
    members.extend(record)


@pytest.mark.parametrize(
    ("rule", "change", "besides"),
    [
        ("key-reappears", lambda members: members.append(members.pop(0)), {"missing-file", "missing-ratings", "missing-caption"}),
        ("duplicate-member", lambda members: members.insert(0, members[0]), set()),
        ("undecodable", lambda members: members.__setitem__(0, (members[0][0], b"no picture")), {"changed-file"}),
        ("empty-file", lambda members: members.__setitem__(0, (members[0][0], b"")), {"changed-file"}),
        ("not-json", lambda members: members.__setitem__(2, (members[2][0], b"{")), {"changed-file"}),
        ("path-escape", lambda members: _renamed(members, "../../x.jpg"), {"missing-file", "missing-ratings", "missing-caption"}),
        ("no-key", lambda members: _renamed(members, "README"), {"missing-file"}),
        ("not-a-file", _linked, {"missing-file"}),
        ("failure-as-number", _failure_as_number, set()),
        ("not-finite", _infinite, set()),
        ("missing-file", _foreign_medium, set()),
        ("missing-file", _without("jpg", 1), set()),
        ("missing-file", lambda members: (_without("jpg")(members), _without("png")(members)), set()),
        ("missing-file", _without(".txt"), set()),
        ("missing-caption", _emptied, {"changed-file"}),
        ("missing-caption", _without(".txt", 1), {"missing-file"}),
        ("missing-ratings", _without("ratings.json", 1), set()),
        ("changed-file", lambda members: members.__setitem__(0, (members[0][0], photo(900))), set()),
        ("duplicate-sample", _repeated_record, set()),
    ],
)
def test_defects_of_shards(rule: str, change: Any, besides: set[str], dataset: Callable[[str], Path]) -> None:
    assert rules(retarred(dataset("shards"), change)) == {rule, *besides}


Change = Callable[[dict[str, bytes]], Any]


def exported_again(folder: Path, change: Change, between: Change = lambda fields: None) -> Path:
    """An export as it was changed by somebody, rated and exported again: what curate said before is a side file by then.

    `change` is made before it is rated, `between` after it was exported again; both of each record's fields.
    """

    def again(members: Members) -> None:
        records: dict[str, dict[str, bytes]] = {}
        for info, data in members:
            key, _, name = info.name.partition(".")
            records.setdefault(key, {})[name] = data
        for fields in records.values():
            said = json.loads(fields["ratings.json"])
            change(fields)
            said["members"] = {name: hashlib.sha256(data).hexdigest() for name, data in fields.items()}
            for sample in said["samples"]:
                sample["media"] = [name for name in sample["media"] if name in fields]
            free = "ratings.json" if "ratings.json" not in fields else "ratings-2.json"
            fields[free] = json.dumps(said).encode()
            between(fields)
        members[:] = [
            (tarfile.TarInfo(f"{key}.{name}"), data) for key, fields in records.items() for name, data in fields.items()
        ]

    return retarred(folder, again)


def _recaptioned(fields: dict[str, bytes]) -> None:
    fields["txt"] += b", nicer"


def _with_old_ratings_of_its_own(fields: dict[str, bytes]) -> None:
    fields["old.ratings.json"] = b'{"samples": [{"user": "bob"}]}'


def _with_ratings_of_its_own(fields: dict[str, bytes]) -> None:
    fields["ratings.json"] = b'{"samples": 7}'


def _with_later_ratings_of_its_own(fields: dict[str, bytes]) -> None:
    fields["ratings-7.json"] = b'{"samples": [{"user": "bob"}], "members": 7}'


def _without_an_image(fields: dict[str, bytes]) -> None:
    del fields[next(name for name in fields if name.endswith(("jpg", "png", "webp")))]


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: None,
        _recaptioned,
        _without_an_image,
        _with_old_ratings_of_its_own,
        _with_ratings_of_its_own,
        _with_later_ratings_of_its_own,
    ],
)
def test_an_export_of_a_changed_export_is_sound(change: Change, dataset: Callable[[str], Path]) -> None:
    """Its records have two members of ratings, and only the last export speaks of the record as it is."""
    folder = exported_again(dataset("shards"), change)
    assert rules(folder) - {"unequal-sizes"} == set()


def test_the_last_export_is_held_against_its_record(dataset: Callable[[str], Path]) -> None:
    assert rules(exported_again(dataset("shards"), _recaptioned, _recaptioned)) == {"changed-file"}


def test_the_last_export_has_to_be_of_its_contract(dataset: Callable[[str], Path]) -> None:
    def damaged(fields: dict[str, bytes]) -> None:
        fields["ratings-2.json"] = json.dumps(json.loads(fields["ratings-2.json"]) | {"samples": 7}).encode()

    assert rules(exported_again(dataset("shards"), _recaptioned, damaged)) == {"wrong-type"}


def test_exports_of_older_versions_are_told_apart_by_their_numbers(dataset: Callable[[str], Path]) -> None:
    def of_older_version(fields: dict[str, bytes]) -> None:
        said = json.loads(fields["ratings-2.json"])
        del said["members"]
        fields["ratings-2.json"] = json.dumps(said).encode()
        fields["ratings.json"] = json.dumps({"samples": [{"stale": True}]}).encode()

    assert rules(exported_again(dataset("shards"), lambda fields: None, of_older_version)) == set()


def test_cut_shards_are_found_also_between_members(dataset: Callable[[str], Path]) -> None:
    folder = dataset("shards")
    (path,) = folder.glob("*.tar")
    with tarfile.open(path) as archive:
        boundary = archive.getmembers()[5].offset
    whole = path.read_bytes()
    path.write_bytes(whole[:boundary])
    assert rules(folder) == {"truncated-shard", "missing-ratings", "missing-caption"}
    path.write_bytes(whole[: boundary + 700])
    assert rules(folder) >= {"truncated-shard"}
    path.write_bytes(b"no archive at all" * 100)
    assert rules(folder) >= {"truncated-shard", "unreadable-shard", "no-rows"}


@pytest.mark.parametrize("field", ["name", "size", "checksum"])
def test_a_damaged_header_in_the_middle_is_found(field: str, dataset: Callable[[str], Path]) -> None:
    """`tarfile`, and so webdataset, takes it for the end of the archive."""
    folder = dataset("shards")
    (path,) = folder.glob("*.tar")
    with tarfile.open(path) as archive:
        members = archive.getmembers()
    place = members[len(members) // 2].offset + {"name": 0, "size": 124, "checksum": 148}[field]
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"77777")
    with tarfile.open(path, "r|") as archive:
        assert len(list(archive)) < len(members)
    (found,) = findings(folder)
    assert (found.rule, found.severity, found.file) == ("unreadable-shard", Severity.ERROR, path.name)
    assert "damaged" in found.message


def test_what_follows_the_end_of_a_shard_is_found(dataset: Callable[[str], Path]) -> None:
    folder = dataset("shards")
    (path,) = folder.glob("*.tar")
    path.write_bytes(path.read_bytes() * 2)
    assert rules(folder) == {"unreadable-shard"}


def test_an_image_that_no_kept_sample_was_made_of_is_a_warning(world: World, tmp_path: Path) -> None:
    one = world.groups[0][0]
    assert one.prompt is not None
    data = photo(0)
    fields = {"0.jpg": data, "1.jpg": b"", "source.png": b"no picture", "txt": one.prompt.encode()}
    places = write_tar(tmp_path / "record.tar", {"a": fields})["a"]
    world.source.change(
        one.id, shard=str(tmp_path / "record.tar"), key="a", members=places, response=(image_media(places[0], data),)
    )
    export(world.selection("samples", [{"row": 0, "sample": one.id}]), world.source, tmp_path / "out", format="shards")
    found = findings(tmp_path / "out")
    assert {(one.rule, one.severity) for one in found} == {("empty-file", Severity.WARNING), ("undecodable", Severity.WARNING)}
    assert all("no kept sample uses it" in one.message for one in found)

    (tmp_path / "out" / "curate.json").unlink()

    def forget(members: Members) -> None:
        value = json.loads(members[-1][1])
        del value["samples"][0]["media"]
        members[-1] = (members[-1][0], json.dumps(value).encode())

    assert {one.severity for one in findings(retarred(tmp_path / "out", forget))} == {Severity.ERROR}


def test_json_that_is_none_is_a_warning_where_the_record_was_rated_with_it(world: World, tmp_path: Path) -> None:
    one = world.groups[0][0]
    assert one.prompt is not None
    data = photo(0)
    fields = {"jpg": data, "txt": one.prompt.encode(), "notes.json": b'{"a": 1}\n{"b": 2}\n'}
    places = write_tar(tmp_path / "record.tar", {"a": fields})["a"]
    world.source.change(
        one.id, shard=str(tmp_path / "record.tar"), key="a", members=places, response=(image_media(places[0], data),)
    )
    export(world.selection("samples", [{"row": 0, "sample": one.id}]), world.source, tmp_path / "out", format="shards")
    assert [(one.rule, one.severity) for one in findings(tmp_path / "out")] == [("not-json", Severity.WARNING)]

    (tmp_path / "out" / "curate.json").unlink()

    def cut(members: Members) -> None:
        number = next(number for number, (info, _) in enumerate(members) if info.name.endswith("notes.json"))
        members[number] = (members[number][0], b"{")

    found = findings(retarred(tmp_path / "out", cut))
    assert {(one.rule, one.severity) for one in found} == {("not-json", Severity.ERROR), ("changed-file", Severity.ERROR)}


def test_a_key_in_two_shards_is_noted(dataset: Callable[[str], Path]) -> None:
    folder = dataset("shards")
    (path,) = folder.glob("*.tar")
    shutil.copy(path, folder / "other.tar")
    found = findings(folder)
    assert {(one.rule, one.severity) for one in found} == {
        ("repeated-key", Severity.NOTE),
        ("duplicate-sample", Severity.WARNING),
    }
