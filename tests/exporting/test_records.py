"""A shard that holds something else than was judged gives no record, whatever its size and wherever it lies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import fsspec
import pytest

from curate.errors import OutputError
from curate.exporting import SampleInfo, export
from curate.records import Funnel, Media, Sample, group_id, sample_id
from curate.shards.fetch import MemberReader
from tests.exporting.world import TarSource, World, image_media, photo, read_records, write_tar

Fields = Mapping[str, bytes]

PROMPT = "a photograph of a café"


def bmp(number: int) -> bytes:
    """Pictures of one size in bytes."""
    return photo(number, encoding="BMP")


def record(number: int, **other: bytes) -> dict[str, bytes]:
    """An edit of a picture: the response, its source, the prompt in JSON, and an answer that nothing was made of."""
    made = {
        "bmp": bmp(number),
        "source.bmp": bmp(100 + number),
        "json": json.dumps({"prompt": PROMPT, "seed": 7}).encode(),
        "notes.txt": b"kept as it is",
    }
    return made | {name.replace("_", "."): data for name, data in other.items()}


def read_world(folder: Path, records: Mapping[str, Fields], prompt: str = PROMPT) -> World:
    """A world of the samples in these records, as they were read."""
    shard = folder / "input-000.tar"
    places = write_tar(shard, records)
    world = World(folder=folder, source=TarSource(), groups=[])
    for key, fields in records.items():
        members = {member.field: member for member in places[key]}
        media = {field: image_media(members[field], fields[field]) for field in ("bmp", "source.bmp")}
        request = {"source": media["source.bmp"]}
        sample = Sample(
            id=sample_id(prompt, request, (media["bmp"],)),
            group=group_id(prompt, request),
            shard=str(shard),
            key=key,
            index=0,
            prompt=prompt,
            response=(media["bmp"],),
            conditions=request,
            members=places[key],
        )
        world.source.infos[sample.id] = SampleInfo(sample=sample)
        world.groups.append([sample])
    return world


def exported(world: World, out: Path) -> list[Funnel]:
    return export(world.selection("samples", world.sample_rows()), world.source, out, format="shards")


CHANGES: dict[str, Callable[[dict[str, dict[str, bytes]]], object]] = {
    "another response": lambda records: records["b"].update(bmp=bmp(50)),
    "another condition": lambda records: records["b"].update({"source.bmp": bmp(50)}),
    "another prompt": lambda records: records["b"].update(json=records["b"]["json"].replace(b"photograph", b"litograph ")),
    "another name of a side file": lambda records: records["b"].update({"nodes.txt": records["b"].pop("notes.txt")}),
    "another length of a side file": lambda records: records["b"].update({"notes.txt": b"kept"}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_record_that_was_changed_in_place_is_left_out(change: Callable[..., object], tmp_path: Path) -> None:
    records = {key: record(number) for number, key in enumerate("abc")}
    world = read_world(tmp_path, records)
    size = world.shard.stat().st_size
    change(records)
    write_tar(world.shard, records)
    assert world.shard.stat().st_size == size, "nothing but the contents tells the two apart"
    samples, copied = exported(world, tmp_path / "out")
    assert samples.dropped == copied.dropped == {"media changed since it was read": 1}
    assert [one["__key__"] for one in read_records(tmp_path / "out")] == ["a", "c"]


def test_records_that_changed_places_are_left_out(tmp_path: Path) -> None:
    records = {key: record(number) for number, key in enumerate("abc")}
    world = read_world(tmp_path, records)
    write_tar(world.shard, {"a": records["c"], "b": records["b"], "c": records["a"]})
    samples, _ = exported(world, tmp_path / "out")
    assert samples.dropped == {"media changed since it was read": 2}
    (one,) = read_records(tmp_path / "out")
    assert (one["__key__"], one["bmp"]) == ("b", bmp(1))


@pytest.mark.parametrize("key", ["ключ", "folder/" + "x" * 120, "deep/" * 40 + "key", "y" * 200])
def test_names_that_no_plain_header_holds_are_copied(key: str, tmp_path: Path) -> None:
    world = read_world(tmp_path, {key: record(1)})
    samples, _ = exported(world, tmp_path / "out")
    assert samples.kept == 1
    assert read_records(tmp_path / "out")[0]["bmp"] == bmp(1)


@pytest.mark.parametrize(
    ("field", "data"),
    [
        ("txt", f"\ufeff{PROMPT}\r\n".encode()),
        ("caption", PROMPT.encode()),
        ("meta.json", json.dumps({"runs": [{"text": f"{PROMPT}\n"}]}).encode()),
    ],
)
def test_the_prompt_is_found_where_layouts_find_it(field: str, data: bytes, tmp_path: Path) -> None:
    world = read_world(tmp_path, {"a": record(1) | {"json": b"{}", field: data}})
    assert exported(world, tmp_path / "out")[0].kept == 1
    other = read_world(tmp_path, {"a": record(1) | {"json": b"{}", field: data}}, prompt=f"{PROMPT}!")
    with pytest.raises(OutputError, match="media changed since it was read: 1"):
        exported(other, tmp_path / "other")


def test_texts_that_are_media_are_compared_as_layouts_read_them(tmp_path: Path) -> None:
    records = {"a": record(1) | {"answer.txt": b"two cats\n", "meta.json": b'{"instruction": "count them"}'}}
    world = read_world(tmp_path, records)
    ((sample,),) = world.groups
    members = {member.field: member for member in sample.members}

    def text(said: str, field: str | None = None) -> Media:
        digest = hashlib.sha256(said.encode()).hexdigest()
        return Media(kind="text", digest=digest, text=said, member=members[field] if field else None)

    for number, (answer, instruction, kept) in enumerate(
        [("two cats", "count them", 1), ("no cats", "count them", 0), ("two cats", "count cats", 0)]
    ):
        world.source.change(sample.id, response=(text(answer, "answer.txt"),), conditions={"instruction": text(instruction)})
        if kept:
            assert exported(world, tmp_path / str(number))[0].kept == kept
        else:
            with pytest.raises(OutputError, match="media changed since it was read: 1"):
                exported(world, tmp_path / str(number))


def test_remote_shards_are_compared_too(tmp_path: Path) -> None:
    records = {key: record(number) for number, key in enumerate("ab")}
    world = read_world(tmp_path, records)
    remote = fsspec.filesystem("memory")
    remote.pipe("/records/input-000.tar", world.shard.read_bytes())
    with MemberReader() as reader:
        world.source.read = reader.read  # type: ignore[method-assign]
        for (sample,) in world.groups:
            world.source.change(sample.id, shard="memory://records/input-000.tar")
        assert exported(world, tmp_path / "before")[0].kept == 2
        records["b"]["bmp"] = bmp(50)
        write_tar(world.shard, records)
        remote.pipe("/records/input-000.tar", world.shard.read_bytes())
        assert exported(world, tmp_path / "after")[0].dropped == {"media changed since it was read": 1}
