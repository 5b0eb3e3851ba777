"""Laws of every format: equal input, equal bytes; nothing is lost without a count; a folder that exists is whole."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from curate.errors import CurateError, OutputError
from curate.exporting import Options, Selection, export, find_format, format_names
from curate.exporting.selection import RankedRow
from curate.records import Funnel
from curate.select.output import write_result
from tests.exporting.world import World, image_media, make_world, read_records, write_tar

FORMATS = format_names()
OF_PAIRS = [name for name in FORMATS if find_format(name).takes == "pairs"]


def tree(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def exported(world: World, name: str, out: Path, **options: Any) -> list[Funnel]:
    selection = world.selection(find_format(name).takes)
    return export(selection, world.source, out, format=name, options=Options(**options))


@pytest.mark.parametrize("name", FORMATS)
def test_equal_selections_give_equal_bytes_whatever_their_order(name: str, world: World, tmp_path: Path) -> None:
    kind = find_format(name).takes
    rows = world.rows(kind)
    export(world.selection(kind, rows), world.source, tmp_path / "one", format=name)
    random.Random(3).shuffle(rows)
    export(world.selection(kind, rows), world.source, tmp_path / "two", format=name, options=Options(cache_bytes=1))
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


@pytest.mark.parametrize("name", FORMATS)
def test_everything_that_is_written_is_listed_and_the_funnels_add_up(name: str, world: World, tmp_path: Path) -> None:
    funnels = exported(world, name, tmp_path / "out")
    assert all(funnel.adds_up and funnel.kept == funnel.taken > 0 for funnel in funnels)
    manifest = json.loads((tmp_path / "out" / "curate.json").read_text())
    assert manifest["format"] == name
    assert [funnel["out"] for funnel in manifest["funnels"]] == [funnel.kept for funnel in funnels]
    found = tree(tmp_path / "out")
    del found["curate.json"]
    listed = {file["name"]: file["sha256"] for file in manifest["files"]}
    if "media.sha256" in listed:
        lines = (tmp_path / "out" / "media.sha256").read_text().splitlines()
        listed |= {line[66:]: line[:64] for line in lines}
        assert manifest["media"]["files"] == len(lines)
    assert listed == found


@pytest.mark.parametrize("name", FORMATS)
def test_the_rows_fit_the_published_schema(name: str, world: World, tmp_path: Path) -> None:
    import jsonschema

    from curate.checking.schema import row_schema

    exported(world, name, tmp_path / "out")
    validator = jsonschema.Draft202012Validator(row_schema(name))
    rows = list(_rows(tmp_path / "out"))
    assert rows
    for row in rows:
        validator.validate(row)
        schema: Any = row_schema(name)
        if "$defs" in schema:
            schema = schema["$defs"]["train" if "file_path" in row else "test"]
        assert set(row) <= set(schema["properties"]), "a field that the schema does not tell of"


def _rows(folder: Path) -> Any:
    """Rows of an export as JSON; bytes as text, which is all that JSON has for them."""
    for path in sorted(folder.rglob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            yield json.loads(json.dumps(row, default=lambda data: data.hex()))
    for path in sorted(folder.rglob("*.json")):
        yield from json.loads(path.read_text()) if path.name != "curate.json" else []
    for path in sorted(folder.rglob("*.jsonl")):
        yield from map(json.loads, path.read_text().splitlines())
    for record in read_records(folder):
        yield json.loads(record["ratings.json"])


def test_the_readme_says_how_it_was_made_and_what_is_forbidden(world: World, tmp_path: Path) -> None:
    before = Funnel(step="pair", unit="groups", taken=20, kept=12, dropped={"too close | or so": 8})
    command = "curate pair store --by 'a ```b' --out out"
    exported(world, "diffusers-dpo", tmp_path / "out", recipe={"min_margin": 0.5}, command=command, funnels=[before])
    text = (tmp_path / "out" / "README.md").read_text()
    assert "| pair | groups | in | 20 |" in text
    assert "too close \\| or so" in text
    assert '"min_margin": 0.5' in text
    assert "**Not for commercial use:** the licence of research-only forbids it" in text
    assert "a1a1a1a1a1a1a1a1" in text
    assert f"````sh\n{command}\n````" in text
    assert '--dataset_name="$PWD" --dataset_split_name=train' in text
    assert str(tmp_path) not in text, "a README with a path of this machine in it is of no use on another"


# What is left out, and why --------------------------------------------------------------------------------------------


def _tie(world: World, rows: list[dict[str, Any]]) -> None:
    rows[0] |= {"margin": 0.0, "rejected_value": rows[0]["chosen_value"]}


def _reversed(world: World, rows: list[dict[str, Any]]) -> None:
    rows[0]["chosen"], rows[0]["rejected"] = rows[0]["rejected"], rows[0]["chosen"]
    rows[0] |= {"margin": -2.0, "chosen_value": 0.0, "rejected_value": 2.0}


def _unknown(world: World, rows: list[dict[str, Any]]) -> None:
    del world.source.infos[rows[0]["rejected"]]


def _no_prompt(world: World, rows: list[dict[str, Any]]) -> None:
    world.source.change(rows[0]["chosen"], prompt=None)
    world.source.change(rows[0]["rejected"], prompt=None)


def _other_prompt(world: World, rows: list[dict[str, Any]]) -> None:
    world.source.change(rows[0]["rejected"], prompt="something else")


def _same_image(world: World, rows: list[dict[str, Any]]) -> None:
    world.source.change(rows[0]["rejected"], response=world.source.infos[rows[0]["chosen"]].sample.response)


def _in_other_bytes(world: World, row: dict[str, Any], change: Callable[[bytes], bytes]) -> None:
    """Make the loser of a pair the picture of the winner, in other bytes."""
    (image,) = world.source.infos[row["chosen"]].sample.response
    assert image.member is not None
    data = change(world.source.read(str(world.shard), image.member))
    path = world.folder / "other.tar"
    (member,) = write_tar(path, {"a": {image.member.field: data}})["a"]
    world.source.change(row["rejected"], shard=str(path), response=(image_media(member, data),))


def _jpeg_with_a_comment(world: World, rows: list[dict[str, Any]]) -> None:
    _in_other_bytes(world, rows[0], lambda data: data[:2] + b"\xff\xfe\x00\x07hello" + data[2:])


def _png_compressed_otherwise(world: World, rows: list[dict[str, Any]]) -> None:
    def again(data: bytes) -> bytes:
        out = io.BytesIO()
        Image.open(io.BytesIO(data)).save(out, "PNG", compress_level=1)
        return out.getvalue()

    _in_other_bytes(world, rows[2], again)


def _unreadable(world: World, rows: list[dict[str, Any]]) -> None:
    world.source.change(rows[0]["rejected"], shard="/nowhere/000.tar")


def _changed(world: World, rows: list[dict[str, Any]]) -> None:
    member = world.source.infos[rows[0]["rejected"]].sample.response[0].member
    assert member is not None
    with world.shard.open("r+b") as file:
        file.seek(member.offset + member.length // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def _several_views(world: World, rows: list[dict[str, Any]]) -> None:
    sample = world.source.infos[rows[0]["rejected"]].sample
    world.source.change(sample.id, response=sample.response * 2)


def _twice(world: World, rows: list[dict[str, Any]]) -> None:
    rows[0] = dict(rows[1])


def _nan(world: World, rows: list[dict[str, Any]]) -> None:
    rows[0] |= {"chosen_value": float("nan"), "margin": float("nan")}


LEFT_OUT: list[tuple[str, Callable[[World, list[dict[str, Any]]], None]]] = [
    ("tie", _tie),
    ("chosen is not the better one", _reversed),
    ("value is not a finite number", _nan),
    ("sample is not in the store", _unknown),
    ("no prompt", _no_prompt),
    ("prompts of one group differ", _other_prompt),
    ("both images are the same", _same_image),
    ("both images have the same pixels", _jpeg_with_a_comment),
    ("both images have the same pixels", _png_compressed_otherwise),
    ("media cannot be read", _unreadable),
    ("media changed since it was read", _changed),
    ("response is several images", _several_views),
    ("pair stands twice", _twice),
]


@pytest.mark.parametrize("name", OF_PAIRS)
@pytest.mark.parametrize(("reason", "spoil"), LEFT_OUT, ids=[spoil.__name__ for _, spoil in LEFT_OUT])
def test_a_pair_that_no_trainer_can_use_is_left_out_whole_and_counted(
    name: str, reason: str, spoil: Callable[[World, list[dict[str, Any]]], None], world: World, tmp_path: Path
) -> None:
    from curate.checking import check

    rows = world.pair_rows()
    spoil(world, rows)
    (funnel,) = export(world.selection("pairs", rows), world.source, tmp_path / "out", format=name)
    # Both pairs of a group share the chosen sample, so what is wrong with it costs two.
    lost = 2 if reason == "no prompt" else 1
    assert sum(funnel.dropped.values()) == lost
    assert reason in funnel.dropped
    assert funnel.adds_up
    manifest = json.loads((tmp_path / "out" / "curate.json").read_text())
    assert sum(manifest["splits"].values()) == funnel.kept
    assert [found for found in check(tmp_path / "out") if found.rule != "unequal-extensions"] == []


def test_pairs_of_a_prompt_are_counted_after_what_was_left_out(world: World, tmp_path: Path) -> None:
    rows = world.pair_rows()
    _unreadable(world, rows)
    export(world.selection("pairs", rows), world.source, tmp_path / "out", format="diffusers-dpo")
    table = pq.read_table(next((tmp_path / "out").glob("train-*.parquet")), columns=["group", "num_example_per_prompt"])
    counts = {row["group"]: row["num_example_per_prompt"] for row in table.to_pylist()}
    assert counts[rows[0]["group"]] == 1
    assert set(counts.values()) == {1, 2}


def test_pixels_that_stand_twice_in_a_list_compete_once(world: World, tmp_path: Path) -> None:
    best, _, worst = world.groups[1]
    _png_compressed_otherwise(world, [{}, {}, {"chosen": best.id, "rejected": worst.id}])
    _, responses = export(world.selection("rankings"), world.source, tmp_path / "out", format="imagereward")
    assert responses.dropped == {"pixels stand twice in one list": 1}


@pytest.mark.parametrize(("name", "responses_lost"), [("rankdpo", 3), ("imagereward", 1)])
def test_a_list_with_a_missing_image_is_dropped_or_shortened(
    name: str, responses_lost: int, world: World, tmp_path: Path
) -> None:
    world.source.change(world.groups[0][1].id, shard="/nowhere/000.tar")
    lists, responses = export(world.selection("rankings"), world.source, tmp_path / "out", format=name)
    assert lists.adds_up
    assert responses.adds_up
    assert responses.taken - responses.kept == responses_lost
    assert lists.kept == len(world.groups) - (name == "rankdpo")
    assert responses.dropped["media cannot be read"] == 1


def test_a_list_in_which_all_tie_is_left_out(world: World, tmp_path: Path) -> None:
    rows = world.ranking_rows()
    for row in rows[:3]:
        row |= {"rank": 1, "value": 1.0}
    lists, _ = export(world.selection("rankings", rows), world.source, tmp_path / "out", format="rankdpo")
    assert lists.dropped == {"all responses tie": 1}


def test_a_list_too_large_for_memory_is_left_out(world: World, tmp_path: Path) -> None:
    sizes = [sum(sample.response[0].member.length for sample in group if sample.response[0].member) for group in world.groups]
    options = Options(list_bytes=max(sizes) - 1)
    lists, responses = export(world.selection("rankings"), world.source, tmp_path / "out", format="rankdpo", options=options)
    assert lists.dropped == {"images of the list are over the limit": 1}
    assert responses.adds_up


def test_phi_is_the_share_of_those_ranked_below_unless_the_ranking_brings_it(world: World, tmp_path: Path) -> None:
    from curate.exporting.rankdpo import gains, load

    assert gains([1, 3, 2, 3]) == [1.0, 0.0, 2 / 3, 0.0]
    rows = [row | {"wins": {1: 0.9, 2: 0.5, 3: 0.1}[row["rank"]]} for row in world.ranking_rows()]
    path = world.folder / "with_wins.parquet"
    import pyarrow as pa

    pq.write_table(pa.Table.from_pylist(rows), path)
    export(path, world.source, tmp_path / "out", format="rankdpo")
    assert next(load(tmp_path / "out")).phi in ([0.9, 0.5, 0.1], [0.9, 0.5, 0.5])


def test_what_the_ranking_calls_a_tie_is_no_win(world: World, tmp_path: Path) -> None:
    """`--tie` lets different values share a rank; φ counted from the values would make a win of them."""
    from curate.exporting.rankdpo import load

    rows = [row | {"rank": 1 if row["rank"] == 2 else row["rank"]} for row in world.ranking_rows()]
    export(world.selection("rankings", rows), world.source, tmp_path / "out", format="rankdpo")
    for ranked in load(tmp_path / "out"):
        assert len(set(ranked.values)) == 3 or ranked.ranks == [1, 1, 1]
        assert ranked.phi == [0.5, 0.5, 0.0]


@pytest.mark.parametrize("told", ["by a row", "by the file"])
def test_a_missing_phi_is_never_counted_from_something_else(told: str, world: World, tmp_path: Path) -> None:
    """`--wins` has no value for a response: its list has no φ, and the φ of `--by` is another one."""
    import pyarrow as pa

    from curate.exporting.rankdpo import load

    rows: list[dict[str, Any]] = [row | {"wins": 1.0 / row["rank"]} for row in world.ranking_rows()]
    (rows[1] if told == "by a row" else rows[0])["wins"] = None
    if told == "by the file":
        for row in rows:
            row["wins"] = None
    schema = pa.Table.from_pylist([row | {"wins": 0.5} for row in rows]).schema
    made = {"curate": json.dumps({"asked": {"by": "signal", "wins": ["pickscore"]}})} if told == "by the file" else {}
    path = world.folder / "with_wins.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema.with_metadata(made)), path)
    if told == "by the file":
        with pytest.raises(OutputError, match="a response is missing: no value of what wins are counted by: 12"):
            export(path, world.source, tmp_path / "out", format="rankdpo")
        return
    lists, responses = export(path, world.source, tmp_path / "out", format="rankdpo")
    assert lists.dropped == {"a response is missing: no value of what wins are counted by": 1}
    assert responses.dropped == {"no value of what wins are counted by": 1, "its list is left out": 2}
    assert all(ranked.phi == [1.0 / rank for rank in ranked.ranks] for ranked in load(tmp_path / "out"))
    assert export(path, world.source, tmp_path / "other", format="imagereward")[0].dropped == {}, "which reads no φ"


@pytest.mark.parametrize(
    ("confidence", "kept"), [(None, True), (1.0, True), (0.6, True), (0.5, False), (1 / 3, False), (0.0, False)]
)
def test_hpdv3_never_says_that_most_raters_preferred_the_loser(
    confidence: float | None, kept: bool, world: World, tmp_path: Path
) -> None:
    from curate.checking import check

    rows = world.pair_rows()
    rows[0]["confidence"] = confidence
    (funnel,) = export(world.selection("pairs", rows), world.source, tmp_path / "out", format="hpdv3")
    assert funnel.dropped == ({} if kept else {"not more than half of the raters agree": 1})
    written = json.loads((tmp_path / "out" / "train.json").read_text())
    assert all(row["choice_dist"][0] > 0.5 for row in written)
    assert list(check(tmp_path / "out")) == []
    assert export(world.selection("pairs", rows), world.source, tmp_path / "dpo", format="diffusers-dpo")[0].dropped == {}


def test_conditions_that_a_format_cannot_hold_are_told(world: World, tmp_path: Path) -> None:
    group = world.groups[0]
    for sample in group:
        world.source.change(sample.id, conditions={"source": world.groups[1][0].response[0]})
    exported(world, "diffusers-dpo", tmp_path / "out")
    assert "2 pairs answer a request with conditions" in (tmp_path / "out" / "README.md").read_text()


# Files of many sizes --------------------------------------------------------------------------------------------------


def test_large_exports_roll_over_to_more_files_and_row_groups(world: World, tmp_path: Path) -> None:
    exported(world, "diffusers-dpo", tmp_path / "one")
    exported(world, "diffusers-dpo", tmp_path / "many", row_group_bytes=20_000, file_bytes=40_000)
    names = sorted(path.name for path in (tmp_path / "many").glob("train-*.parquet"))
    assert len(names) > 2
    assert names == [f"train-{number:05}-of-{len(names):05}.parquet" for number in range(len(names))]
    assert pq.ParquetFile(tmp_path / "many" / names[0]).num_row_groups > 1
    together = [row for name in names for row in pq.read_table(tmp_path / "many" / name).to_pylist()]
    assert together == pq.read_table(tmp_path / "one" / "train-00000-of-00001.parquet").to_pylist()


def test_media_columns_are_stored_plain_and_uncompressed(world: World, tmp_path: Path) -> None:
    exported(world, "rankdpo", tmp_path / "out")
    group = pq.ParquetFile(next((tmp_path / "out").glob("train-*.parquet"))).metadata.row_group(0)
    columns = {group.column(number).path_in_schema: group.column(number) for number in range(group.num_columns)}
    images = columns["images.list.element"]
    assert images.compression == "UNCOMPRESSED"
    assert "RLE_DICTIONARY" not in images.encodings
    assert columns["prompt"].compression == "ZSTD"


# The folder -----------------------------------------------------------------------------------------------------------


def test_a_folder_that_holds_something_is_refused_and_left_alone(world: World, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="not empty"):
        exported(world, "ids", out)
    assert tree(tmp_path / "out").keys() == {"mine.txt"}
    exported(world, "ids", tmp_path / "done")
    with pytest.raises(OutputError, match="already holds a finished export; remove it to make it anew, or name another folder"):
        exported(world, "ids", tmp_path / "done")


def test_a_folder_below_a_file_is_refused(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is not a folder"):
        exported(world, "ids", tmp_path / "file" / "out")


def test_an_empty_folder_is_taken(world: World, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    exported(world, "ids", tmp_path / "out")
    assert (tmp_path / "out" / "curate.json").is_file()


def test_an_export_of_nothing_is_refused_and_says_why(world: World, tmp_path: Path) -> None:
    rows = world.pair_rows()[:1]
    _tie(world, rows)
    with pytest.raises(OutputError, match=r"nothing to export: all 1 pairs were left out \(tie: 1\)"):
        export(world.selection("pairs", rows), world.source, tmp_path / "out", format="hpdv3")
    with pytest.raises(OutputError, match="it has no rows"):
        export(world.selection("samples", []), world.source, tmp_path / "out", format="ids")
    assert not (tmp_path / "out").exists()


def test_a_damaged_selection_gives_no_other_rows(world: World, tmp_path: Path) -> None:
    """DuckDB reads pages as they are, whatever their checksums say."""
    table = pq.read_table(world.selection("rankings"))
    sound, broken = tmp_path / "sound.parquet", tmp_path / "broken.parquet"
    write_result(sound, table.schema, table.to_batches(), dict)

    def rows(path: Path) -> list[list[RankedRow]]:
        return list(Selection(path).rankings(tmp_path))

    data, expected, refused = sound.read_bytes(), rows(sound), 0
    for place in range(4, len(data), 23):
        broken.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        try:
            assert Selection(broken).kind != "rankings" or rows(broken) == expected
        except CurateError as problem:
            refused += "is damaged" in str(problem)
    assert refused > 10


def test_wrong_selections_and_names_are_one_sentence(world: World, tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="Did you mean 'diffusers-dpo'"):
        export(world.selection("pairs"), world.source, tmp_path / "out", format="diffuser-dpo")
    with pytest.raises(CurateError, match=r"takes rankings, and .* holds pairs; make rankings with `curate rank`"):
        export(world.selection("pairs"), world.source, tmp_path / "out", format="rankdpo")
    with pytest.raises(CurateError, match="is not a selection"):
        export(world.shard, world.source, tmp_path / "out", format="rankdpo")
    pq.write_table(pa.table({"sample": pa.array([b"x" * 16], pa.binary(16))}), tmp_path / "table.parquet")
    with pytest.raises(CurateError, match="is a table of a store, not a selection"):
        export(tmp_path / "table.parquet", world.source, tmp_path / "out", format="ids")
    for name in ("x" * 300, os.fsdecode(b"\xff.parquet")):
        with pytest.raises(CurateError, match="is not a selection|no file"):
            export(name, world.source, tmp_path / "out", format="rankdpo")
    exported(world, "rankdpo", tmp_path / "list")
    with pytest.raises(CurateError, match="neither those of pairs"):
        export(next((tmp_path / "list").glob("*.parquet")), world.source, tmp_path / "out", format="ids")


@pytest.mark.parametrize("split", ["../../etc", "Train", "a/b", "", "x" * 40])
def test_a_split_that_cannot_be_a_file_name_is_refused(split: str, world: World, tmp_path: Path) -> None:
    rows = [row | {"split": split} for row in world.pair_rows()]
    with pytest.raises(CurateError, match="cannot be a file name"):
        export(world.selection("pairs", rows), world.source, tmp_path / "out", format="hpdv2")
    assert list(tmp_path.glob("out*")) == []


@pytest.mark.parametrize(
    ("name", "split", "says"),
    [
        ("hpdv3", "curate", "'hpdv3' has for something else"),
        ("hpdv2", "curate", "open these alone: train, test"),
        ("hpdv2", "val", "open these alone: train, test"),
        ("imagereward", "held_out", "open these alone: train, validation, valid, test"),
        ("win-lose-folders", "win", "'win-lose-folders' has for something else"),
        ("win-lose-folders", "lose", "'win-lose-folders' has for something else"),
        ("diffusers-dpo", "all", "'diffusers-dpo' has for something else"),
        ("rankdpo", "all", "'rankdpo' has for something else"),
    ],
)
def test_a_split_that_a_format_has_no_place_for_is_refused(
    name: str, split: str, says: str, world: World, tmp_path: Path
) -> None:
    kind = find_format(name).takes
    rows = [row | {"split": split if row["split"] == "test" else "train"} for row in world.rows(kind)]
    with pytest.raises(CurateError, match=f"has the split '{split}', .*{says}"):
        export(world.selection(kind, rows), world.source, tmp_path / "out", format=name)
    assert list(tmp_path.glob("out*")) == []


@pytest.mark.parametrize("name", [name for name in FORMATS if find_format(name).takes != "samples"])
@pytest.mark.parametrize(
    "split", ["validation", "valid", "test", "images", "dataset", "media", "readme", "pairs", "win", "curate", "all"]
)
def test_no_split_hides_another_file(name: str, split: str, world: World, tmp_path: Path) -> None:
    from curate.checking import check

    kind = find_format(name).takes
    rows = [row | {"split": split if row["split"] == "test" else "train"} for row in world.rows(kind)]
    try:
        export(world.selection(kind, rows), world.source, tmp_path / "out", format=name)
    except CurateError:
        return
    assert [found for found in check(tmp_path / "out") if found.rule != "unequal-extensions"] == []
    manifest = json.loads((tmp_path / "out" / "curate.json").read_text())
    assert {split, "train"} - {"validation"} <= manifest["splits"].keys()
    assert sum(manifest["splits"].values()) == (len(rows) if kind == "pairs" else len(world.groups))


def test_the_manifest_takes_the_place_of_no_file(tmp_path: Path) -> None:
    from curate.exporting.folder import writing_folder

    def write() -> None:
        with writing_folder(tmp_path / "out") as folder:
            with folder.create("curate.json") as file:
                file.write(b"rows")
            folder.finish({})

    with pytest.raises(OutputError, match="exists"):
        write()
    assert list(tmp_path.iterdir()) == []


_STOPPING_EXPORT = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.exporting.world import make_world
from curate.exporting import export, find_format

world = make_world(Path({folder!r}))
read = world.source.read
reads = 0
def stopping(shard, member):
    global reads
    reads += 1
    if reads == {reads}:
        print("stopped", flush=True)
        time.sleep(60)
    return read(shard, member)
world.source.read = stopping
export(world.selection(find_format({name!r}).takes), world.source, {out!r}, format={name!r})
"""


@pytest.mark.parametrize(("name", "reads"), [("diffusers-dpo", 1), ("win-lose-folders", 4), ("shards", 3)])
def test_killed_at_any_moment_a_rerun_gives_the_undisturbed_bytes(name: str, reads: int, tmp_path: Path) -> None:
    world = make_world(tmp_path / "world")
    exported(world, name, tmp_path / "undisturbed")
    out = tmp_path / "out"
    code = _STOPPING_EXPORT.format(root=str(Path.cwd()), folder=str(tmp_path / "world"), name=name, reads=reads, out=str(out))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"stopped\n"
        assert len(list(tmp_path.glob("out.tmp.*"))) == 1, "the export has begun and has not ended"
        process.kill()
    assert not out.exists()
    exported(world, name, out)
    assert tree(out) == tree(tmp_path / "undisturbed")
    assert list(tmp_path.glob("out.tmp.*")) == [], "what the killed run left is gone"


_DYING_EXPORT = """
import os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from curate import files
from curate.exporting import export
from tests.exporting.world import make_world

def die(*_):
    if Path({out!r}).exists() is {renamed}:
        os._exit(9)
{at} = die
world = make_world(Path({folder!r}))
export(world.selection("pairs"), world.source, {out!r}, format="hpdv3")
"""


@pytest.mark.parametrize(("at", "renamed"), [("files._sync_tree", False), ("Path.replace", False), ("files.fsync_folder", True)])
def test_killed_after_the_last_byte_a_rerun_works_and_cleans_up(at: str, renamed: bool, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = _DYING_EXPORT.format(root=str(Path.cwd()), folder=str(tmp_path / "world"), out=str(out), at=at, renamed=renamed)
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert len(list(tmp_path.glob("out.tmp.*"))) == 1
    world = make_world(tmp_path / "world")
    if renamed:
        assert (out / "curate.json").is_file(), "it was whole, and has its name"
        out.rename(tmp_path / "whole")
    exported(world, "hpdv3", out)
    assert list(tmp_path.glob("out.tmp.*")) == []
    assert not list(out.rglob(".*")), "no lock lies in what is whole"


def test_places_that_no_folder_can_take_are_refused_before_any_work(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    world.source.reads = 0
    for out in (".", here, "../here"):
        with pytest.raises(OutputError, match="is the folder that you are in, .*; name a folder in it, such as .*here/out"):
            exported(world, "hpdv3", Path(out))
    if Path("/proc/self").exists():
        with pytest.raises(OutputError, match="no folder can be made in /proc"):
            exported(world, "hpdv3", Path("/proc/x"))
    assert world.source.reads == 0
    assert list(here.iterdir()) == []


def test_a_mount_point_is_refused_before_any_work(world: World, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no right to mount here")
    try:
        with pytest.raises(OutputError, match="something is mounted, .*; name a folder in it"):
            exported(world, "hpdv3", disk)
        assert world.source.reads == 0
        exported(world, "hpdv3", disk / "out")
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("there", [True, False])
def test_a_link_to_an_empty_folder_or_to_none_is_followed(there: bool, world: World, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "target"
    if there:
        target.mkdir()
    (tmp_path / "link").symlink_to(target)
    exported(world, "ids", tmp_path / "link")
    assert (target / "curate.json").is_file()
    assert (tmp_path / "link").is_symlink()
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_the_folder_of_an_export_that_still_runs_is_not_touched(world: World, tmp_path: Path) -> None:
    from curate.exporting.folder import writing_folder

    def slow_export() -> None:
        with writing_folder(tmp_path / "out") as folder:
            exported(world, "ids", tmp_path / "out")
            assert folder.path.is_dir(), "the other export did not take this one for a dead one"
            folder.finish({})

    with pytest.raises(OutputError, match="written to it meanwhile"):
        slow_export()
    assert json.loads((tmp_path / "out" / "curate.json").read_text())["format"] == "ids"


@pytest.mark.parametrize("name", ["diffusers-dpo", "imagereward", "shards"])
def test_a_full_disk_is_one_sentence_and_a_rerun_works(name: str, world: World, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no right to mount a small disk here")
    try:
        with pytest.raises(OutputError, match=rf"^no space left to write {disk}/out; free some and run the same command again$"):
            exported(world, name, disk / "out")
        assert list(disk.iterdir()) == [], "what was half written is given back"
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        exported(world, name, disk / "out")
        exported(world, name, tmp_path / "undisturbed")
        assert tree(disk / "out") == tree(tmp_path / "undisturbed")
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("name", ["../x", "a/../b", "/abs", "a//b", ".hidden", "x" * 201, "a\nb", ""])
def test_only_plain_names_get_into_an_export(name: str, tmp_path: Path) -> None:
    from curate.exporting.folder import writing_folder

    with pytest.raises(ValueError, match="not a name"), writing_folder(tmp_path / "out") as folder:
        folder.media(name, b"x", "0" * 64)
    assert list(tmp_path.iterdir()) == []
