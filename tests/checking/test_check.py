"""Every planted defect is found by its rule, in its row; clean exports have no findings; nothing outside the folder is opened."""

from __future__ import annotations

import importlib
import json
import math
import pkgutil
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import curate.checking
import curate.exporting
from curate.checking import Finding, Severity, check
from curate.checking.ranks import better_and_worse
from curate.errors import CurateError
from curate.exporting import find_format, format_names
from tests.checking.looking import (
    Row,
    edited,
    findings,
    half_transparent,
    nearly,
    re_encoded,
    rules,
    setting,
    sixteen_bit,
    turned,
)
from tests.exporting.world import World, photo

DOCUMENTATION = Path(curate.checking.__file__).parent.parent.parent / "docs" / "formats.md"


def test_every_module_of_a_format_is_one_by_its_name() -> None:
    """A format is a writer, a check, a contract and a section of the documentation; none is there without the others."""
    names = set(format_names())
    assert {find_format(name).name for name in names} == names
    lines = DOCUMENTATION.read_text(encoding="utf-8").splitlines()
    assert {name for line in lines if line.startswith("## ") for name in line[3:].split(", ")} & names == names
    assert {line.split("`")[1] for line in lines if line.startswith("| `") and line.count("|") == 5} == names
    for package, needs in (
        (curate.exporting, "FORMAT"),
        (curate.checking, "check"),
        (curate.checking, "looks_like"),
        (curate.checking, "reads"),
    ):
        modules = [importlib.import_module(f"{package.__name__}.{one.name}") for one in pkgutil.iter_modules(package.__path__)]
        about = {module.__name__.rpartition(".")[2].replace("_", "-") for module in modules if hasattr(module, needs)}
        assert about == names


@pytest.mark.parametrize("name", format_names())
def test_clean_exports_have_no_findings(name: str, exports: Path) -> None:
    assert findings(exports / name) == []


@pytest.mark.parametrize("name", format_names())
def test_formats_are_guessed_aloud(name: str, dataset: Callable[[str], Path]) -> None:
    first, *others = check(dataset(name))
    assert (first.severity, first.rule) == (Severity.NOTE, "guessed-format")
    assert f"'{name}'" in first.message
    assert [found for found in others if found.rule != "unequal-extensions"] == []


# Defects of Parquet ---------------------------------------------------------------------------------------------------


DPO_DEFECTS: list[tuple[str, Severity, Callable[[list[Row]], None]]] = [
    ("tie", Severity.ERROR, setting(label_0=0.5, label_1=0.5)),
    ("tie", Severity.ERROR, lambda rows: rows[3].update(margin=0.0, rejected_value=rows[3]["chosen_value"])),
    ("tie", Severity.ERROR, setting(label_0=0.8, label_1=0.2)),
    (
        "winner-side",
        Severity.WARNING,
        lambda rows: rows[3].update(label_0=0.0, label_1=1.0, best_image_uid=rows[3]["image_1_uid"]),
    ),
    ("label-flip", Severity.ERROR, setting(label_1=1.0)),
    ("label-flip", Severity.ERROR, setting(margin=-1.0)),
    ("label-flip", Severity.ERROR, lambda rows: rows[3].update(rejected_value=rows[3]["chosen_value"] + 1)),
    ("label-type", Severity.ERROR, setting(label_0=None)),
    ("identical-images", Severity.ERROR, lambda rows: rows[3].update(jpg_1=rows[3]["jpg_0"])),
    ("identical-images", Severity.ERROR, lambda rows: rows[3].update(jpg_1=re_encoded(rows[3]["jpg_0"]))),
    ("near-identical-images", Severity.WARNING, lambda rows: rows[3].update(jpg_1=nearly(rows[3]["jpg_0"]))),
    ("unequal-sizes", Severity.WARNING, setting(jpg_1=photo(500, size=(64, 64)))),
    ("undecodable", Severity.ERROR, setting(jpg_1=b"not a picture")),
    ("undecodable", Severity.ERROR, setting(jpg_0=photo(1)[:-300])),
    ("undecodable", Severity.ERROR, setting(jpg_0=None)),
    ("empty-file", Severity.ERROR, setting(jpg_1=b"")),
    ("exif-rotation", Severity.WARNING, lambda rows: rows[3].update(jpg_0=turned(rows[3]["jpg_0"]))),
    ("missing-caption", Severity.ERROR, setting(caption=None)),
    ("missing-caption", Severity.WARNING, setting(caption=" ")),
    ("num-example-per-prompt", Severity.ERROR, setting(num_example_per_prompt=0)),
    ("num-example-per-prompt", Severity.ERROR, setting(num_example_per_prompt=None)),
    ("not-finite", Severity.ERROR, setting(chosen_value=math.nan)),
    ("not-finite", Severity.ERROR, setting(margin=math.nan)),
    ("not-finite", Severity.ERROR, setting(rejected_value=-math.inf)),
    ("unknown-uid", Severity.ERROR, setting(best_image_uid="another")),
    ("not-finite", Severity.ERROR, setting(confidence=math.nan)),
    ("out-of-range", Severity.ERROR, setting(confidence=7.0)),
    ("margin-disagrees", Severity.WARNING, setting(margin=123.0)),
    ("num-example-per-prompt", Severity.WARNING, setting(num_example_per_prompt=99)),
    ("transparent", Severity.WARNING, lambda rows: rows[3].update(jpg_0=half_transparent(rows[3]["jpg_0"]))),
    ("sixteen-bit", Severity.WARNING, setting(jpg_0=sixteen_bit(1))),
    ("no-label", Severity.WARNING, setting(has_label=False)),
    ("no-label", Severity.WARNING, setting(are_different=False)),
]


@pytest.mark.parametrize(("rule", "severity", "plant"), DPO_DEFECTS, ids=range(len(DPO_DEFECTS)))
def test_defects_of_dpo_pairs(rule: str, severity: Severity, plant: Any, dataset: Callable[[str], Path]) -> None:
    found = findings(edited(dataset("diffusers-dpo"), plant))
    assert {(one.rule, one.severity, one.file, one.row) for one in found} == {(rule, severity, "train-00000-of-00001.parquet", 3)}
    assert all(one.message and one.fix and rule in str(one) for one in found)


def test_columns_that_only_some_readers_need(dataset: Callable[[str], Path]) -> None:
    folder = dataset("diffusers-dpo")
    (path,) = folder.glob("train-*")
    needed = ["label_1", "num_example_per_prompt", "has_label", "are_different"]
    pq.write_table(pq.read_table(path).drop_columns(needed), path)
    found = findings(folder)
    assert {(one.rule, one.severity, one.row) for one in found} == {("missing-column", Severity.WARNING, None)}
    assert len(found) == len(needed)
    assert {("MaPO" if "'label_1'" in one.message else "PickScore") in one.message for one in found} == {True}


def test_a_label_turned_around(dataset: Callable[[str], Path]) -> None:
    found = findings(edited(dataset("diffusers-dpo"), setting(label_0=0.0, label_1=1.0)))
    assert {(one.rule, one.row) for one in found} == {("label-flip", 3), ("winner-side", 3)}


def test_repeated_and_contradicting_pairs(dataset: Callable[[str], Path]) -> None:
    folder = edited(dataset("diffusers-dpo"), lambda rows: rows.append(rows[0]))
    (found,) = findings(folder)
    assert (found.rule, found.row) == ("duplicate-pair", 20)
    assert "row 0 of train-00000-of-00001.parquet" in found.message

    def turn_around(rows: list[Row]) -> None:
        rows[-1] = rows[0] | {"jpg_0": rows[0]["jpg_1"], "jpg_1": rows[0]["jpg_0"]}

    (found,) = findings(edited(folder, turn_around))
    assert (found.rule, found.severity, found.row) == ("contradicting-pair", Severity.ERROR, 20)


def test_a_prompt_on_both_sides_of_a_split(dataset: Callable[[str], Path]) -> None:
    folder = dataset("diffusers-dpo")
    prompt = pq.read_table(next(folder.glob("train-*"))).column("caption")[0].as_py()
    (found,) = findings(edited(folder, lambda rows: [row.update(caption=prompt) for row in rows], split="test"))
    assert (found.rule, found.severity) == ("split-leak", Severity.ERROR)
    assert {"'train'", "'test'"} <= set(found.message.replace(",", "").split())
    looks_the_same = unicodedata.normalize("NFD", f" {prompt}".replace(" ", "  ")) + "\u00a0"
    assert looks_the_same != prompt
    edited(folder, lambda rows: [row.update(caption=looks_the_same) for row in rows], split="test")
    assert rules(folder) == {"split-leak"}


@pytest.mark.parametrize("name", ["diffusers-dpo", "rankdpo"])
def test_a_split_that_datasets_cannot_load(name: str, dataset: Callable[[str], Path]) -> None:
    (path,) = dataset(name).glob("test-*.parquet")
    path.rename(path.with_name(path.name.replace("test", "all")))
    assert {(one.rule, one.severity) for one in findings(path.parent)} == {("unread-split", Severity.ERROR)}


def test_labels_stored_as_text(dataset: Callable[[str], Path]) -> None:
    folder = dataset("diffusers-dpo")
    schema = pq.read_schema(next(folder.glob("train-*")))
    schema = schema.set(schema.get_field_index("label_0"), pa.field("label_0", pa.string()))
    found = findings(edited(folder, lambda rows: [row.update(label_0="0") for row in rows], schema))
    assert {one.rule for one in found} == {"label-type"}
    assert [one.row for one in found] == [None, *range(20)]


@pytest.mark.parametrize("how", ["type", "metadata", "readme"])
def test_image_features_are_found_however_they_are_declared(how: str, dataset: Callable[[str], Path]) -> None:
    folder = dataset("diffusers-dpo")
    (path,) = folder.glob("train-*")
    table = pq.read_table(path)
    if how == "type":
        media = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        cells = pa.array([{"bytes": data, "path": "x.jpg"} for data in table["jpg_0"].to_pylist()], media)
        pq.write_table(table.set_column(table.column_names.index("jpg_0"), "jpg_0", cells), path)
    elif how == "metadata":
        features = {"info": {"features": {"jpg_0": {"_type": "Image"}}}}
        pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), path)
    else:
        text = "---\ndataset_info:\n  features:\n  - name: jpg_0\n    dtype: image\n---\n"
        (folder / "README.md").write_text(text)
    assert rules(folder) == {"image-feature"}


def test_missing_columns_rows_and_files(dataset: Callable[[str], Path]) -> None:
    folder = dataset("diffusers-dpo")
    (path,) = folder.glob("train-*")
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["label_0"]).slice(0, 3), path)
    assert rules(folder) == {"missing-column", "too-few-rows", "num-example-per-prompt"}
    path.rename(folder / "train-00000-of-00003.parquet")
    names = {found.file for found in findings(folder) if found.rule == "missing-file"}
    assert names == {"train-00001-of-00003.parquet", "train-00002-of-00003.parquet"}
    (folder / "train-00000-of-00003.parquet").rename(folder / "train-00001-of-00003.parquet")
    names = {found.file for found in findings(folder) if found.rule == "missing-file"}
    assert names == {"train-00000-of-00003.parquet", "train-00002-of-00003.parquet"}
    (folder / "train-00001-of-00003.parquet").write_bytes(b"PAR1 and no more")
    assert "unreadable-table" in rules(folder)
    for path in folder.glob("train-*"):
        path.unlink()
    assert rules(folder) == {"no-train-split", "too-few-rows"}
    for path in folder.glob("*.parquet"):
        path.unlink()
    assert rules(folder, "diffusers-dpo") == {"no-rows"}


@pytest.mark.parametrize(
    ("name", "column"), [("diffusers-dpo", "label_0"), ("rankdpo", "phi"), ("parquet", "image"), ("ids", "sample")]
)
def test_a_column_that_is_there_twice(name: str, column: str, dataset: Callable[[str], Path]) -> None:
    folder = dataset(name)
    (path,) = folder.glob("train-*")
    table = pq.read_table(path)
    pq.write_table(table.append_column(column, table[column]), path)
    assert "duplicate-column" in rules(folder, name)


RANKDPO_DEFECTS: list[tuple[str, Callable[[Row], None]]] = [
    ("wrong-length", lambda row: row.update(phi=row["phi"][:2])),
    ("wrong-length", lambda row: row.update({name: row[name][:1] for name in ("images", "phi", "values", "ranks")})),
    ("out-of-range", lambda row: row.update(phi=[1.5, 0.5, 0.0])),
    ("out-of-range", lambda row: row.update(spreads=[-1.0] * 3)),
    ("not-finite", lambda row: row.update(spreads=[math.nan] * 3)),
    ("not-finite", lambda row: row.update(phi=[math.nan, 0.5, 0.0])),
    ("phi-disagrees", lambda row: row.update(phi=[0.5, 0.5, 0.0])),
    ("duplicate-sample", lambda row: row.update(samples=row["samples"][:1] * 3)),
    ("wrong-type", lambda row: row.update(values=[None, 1.0, 0.0])),
    ("wrong-order", lambda row: row.update(ranks=[2, 3, 4])),
    ("label-flip", lambda row: row.update(values=row["values"][::-1])),
    ("phi-disagrees", lambda row: row.update(phi=[0.0, 0.5, 1.0])),
    ("wrong-order", lambda row: row.update(ranks=[1, 5, 6])),
    ("wrong-order", lambda row: row.update(ranks=[1, 1, 4], values=[1.0, 1.0, 0.0])),
    ("tie", lambda row: row.update(values=[row["values"][0]] * 2 + row["values"][2:])),
    ("shared-rank", lambda row: row.update(ranks=[1, 1, 3])),
    ("shared-rank", lambda row: row.update(ranks=[1, 1, 2])),
    ("not-finite", lambda row: row.update(values=[math.nan] * 3)),
    ("wrong-length", lambda row: row.update(spreads=[0.5])),
    ("wrong-length", lambda row: row.update(samples=row["samples"][:2])),
    ("wrong-length", lambda row: row.update(generators=[])),
    ("tie", lambda row: row.update(ranks=[1, 1, 1], phi=[0.0, 0.0, 0.0])),
    ("identical-images", lambda row: row.update(images=[row["images"][0], row["images"][1], row["images"][0]])),
    ("near-identical-images", lambda row: row.update(images=[row["images"][0], row["images"][1], nearly(row["images"][0])])),
    ("unequal-sizes", lambda row: row.update(images=[*row["images"][:2], photo(500, size=(64, 64))])),
    ("undecodable", lambda row: row.update(images=[*row["images"][:2], b"no picture"])),
    ("empty-file", lambda row: row.update(images=[*row["images"][:2], b""])),
    ("missing-caption", lambda row: row.update(prompt=None)),
]


@pytest.mark.parametrize(("rule", "plant"), RANKDPO_DEFECTS, ids=range(len(RANKDPO_DEFECTS)))
def test_defects_of_ranked_lists(rule: str, plant: Any, dataset: Callable[[str], Path]) -> None:
    found = findings(edited(dataset("rankdpo"), lambda rows: plant(rows[2])))
    assert {(one.rule, one.row) for one in found} == {(rule, 2)}


def with_images(row: Row, order: list[int], **fields: Any) -> Row:
    """The same list with its images in another order."""
    return row | {"images": [row["images"][place] for place in order]} | fields


def test_lists_that_contradict_each_other_anywhere(dataset: Callable[[str], Path]) -> None:
    folder = edited(dataset("rankdpo"), lambda rows: rows.append(with_images(rows[0], [0, 2, 1])))
    found = {(one.rule, one.severity, one.row) for one in findings(folder)}
    assert found == {("contradicting-pair", Severity.ERROR, 10), ("duplicate-pair", Severity.WARNING, 10)}


def test_lists_in_which_all_tie_contradict_nothing(dataset: Callable[[str], Path]) -> None:
    tie = {"ranks": [1, 1, 1], "phi": [0.0, 0.0, 0.0], "values": [1.0, 1.0, 1.0]}

    def plant(rows: list[Row]) -> None:
        rows[0].update(tie)
        rows.append(with_images(rows[0], [2, 1, 0]))

    assert rules(edited(dataset("rankdpo"), plant)) == {"tie"}


def test_phi_of_a_ranking_without_wins_is_counted_from_the_ranks(exports: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shutil.copytree(exports / "rankdpo", folder)
    manifest = json.loads((folder / "curate.json").read_text())
    edited(folder, lambda rows: rows[2].update(phi=[1.0, 0.9, 0.0]))

    def said(**recipe: Any) -> set[tuple[str, int | None]]:
        (folder / "curate.json").write_text(json.dumps(manifest | {"recipe": recipe, "files": []}))
        return {(one.rule, one.row) for one in findings(folder) if one.rule != "unlisted-file"}

    assert said(verb="rank") == {("phi-disagrees", 2)}
    assert said(verb="rank", wins=["another"]) == set()
    assert said(verb="export") == set()


def test_preferences_of_long_lists_are_bounded() -> None:
    pairs = list(better_and_worse([*range(1, 501)]))
    assert len(pairs) == 1000
    assert pairs[0] == (0, 1)
    assert len(list(better_and_worse([*range(1, 46)]))) == 990
    assert list(better_and_worse([2, 1, 2])) == [(1, 0), (1, 2)]


@pytest.mark.parametrize(
    ("rule", "plant"),
    [
        ("not-finite", lambda rows: rows[3]["ratings"][0].update(value=math.nan)),
        ("not-finite", lambda rows: rows[3]["ratings"][0].update(value=math.inf)),
        ("not-json", setting(meta="{")),
        ("not-json", setting(labels='{"clicks": NaN}')),
        ("wrong-type", setting(sample=None)),
        ("missing-caption", setting(prompt=None)),
        ("undecodable", setting(image={"bytes": b"no picture", "path": "x.jpg"})),
        ("undecodable", setting(image={"bytes": None, "path": "/home/me/x.jpg"})),
        ("empty-file", setting(image={"bytes": b"", "path": "x.jpg"})),
        ("missing-caption", setting(prompt="")),
        ("duplicate-sample", lambda rows: rows[3].update(sample=rows[0]["sample"])),
        ("failure-as-number", lambda rows: rows[3]["ratings"][1].update(value=0.0)),
        ("failure-as-number", lambda rows: rows[3]["ratings"][0].update(value=None)),
    ],
)
def test_defects_of_tables_of_samples(rule: str, plant: Any, dataset: Callable[[str], Path]) -> None:
    assert {(one.rule, one.row) for one in findings(edited(dataset("parquet"), plant))} == {(rule, 3)}


def test_samples_without_any_prompt_are_sound(dataset: Callable[[str], Path]) -> None:
    assert rules(edited(dataset("parquet"), lambda rows: [row.update(prompt=None) for row in rows])) == set()


def test_a_table_without_picture_columns(dataset: Callable[[str], Path]) -> None:
    folder = dataset("parquet")
    (path,) = folder.glob("*.parquet")
    pq.write_table(pq.read_table(path).drop_columns(["image"]), path)
    assert rules(folder, "parquet") == {"image-feature"}


def test_defects_of_ids(dataset: Callable[[str], Path]) -> None:
    folder = edited(dataset("ids"), lambda rows: rows[1].update(sample=rows[0]["sample"]))
    assert rules(folder) == {"duplicate-sample", "changed-file"}
    (folder / "ids.txt").unlink()
    assert rules(folder) == {"duplicate-sample", "missing-file"}


# Defects of JSON ------------------------------------------------------------------------------------------------------


def rewritten(folder: Path, name: str, plant: Callable[[list[Row], Path], Any]) -> Path:
    """Change the rows of a JSON file in place; `plant` may change images below the folder as well."""
    rows = json.loads((folder / name).read_text())
    plant(rows, folder)
    (folder / name).write_text(json.dumps(rows))
    return folder


def _image(folder: Path, base: str, name: str, data: bytes) -> None:
    (folder / base / name).write_bytes(data)


def _path_defects(base: str, change: Callable[[Row, str], None], first: Callable[[Row], str]) -> list[tuple[str, Any]]:
    """What can be wrong with the images of any format that names files; `change` renames the first image of a row."""
    return [
        ("missing-file", lambda rows, _: change(rows[1], "00/nothing.jpg")),
        ("path-escape", lambda rows, _: change(rows[1], "../../world/input-000.tar")),
        ("path-escape", lambda rows, _: change(rows[1], "/etc/hostname")),
        ("path-escape", lambda rows, _: change(rows[1], "a\0b.jpg")),
        ("undecodable", lambda rows, folder: _image(folder, base, first(rows[1]), photo(1)[:-200])),
        ("empty-file", lambda rows, folder: _image(folder, base, first(rows[1]), b"")),
        ("missing-caption", lambda rows, _: rows[1].update(prompt="")),
        ("wrong-type", lambda rows, _: rows[1].update(prompt=7)),
        ("missing-column", lambda rows, _: rows[1].pop("prompt")),
    ]


def check_planted(folder: Path, rule: str) -> None:
    """The rule is found, and nothing else; in row 1, or wherever else a broken image is used."""
    found = findings(folder)
    assert {one.rule for one in found} == {rule}
    assert 1 in {one.row for one in found}


IMAGEREWARD_DEFECTS: list[tuple[str, Any]] = [
    *_path_defects("images", lambda row, name: row["generations"].__setitem__(0, name), lambda row: row["generations"][0]),
    ("label-flip", lambda rows, _: rows[1].update(ranking=[3, 2, 1])),
    ("wrong-length", lambda rows, _: rows[1].update(ranking=[1, 2])),
    ("wrong-type", lambda rows, _: rows[1].update(ranking=["1", "2", "3"])),
    ("tie", lambda rows, _: rows[1].update(ranking=[1, 1, 1], values=[1.0, 1.0, 1.0])),
    ("tie", lambda rows, _: rows[1].update(values=[1.0, 1.0, 1.0])),
    ("shared-rank", lambda rows, _: rows[1].update(ranking=[1, 1, 3])),
    ("wrong-length", lambda rows, _: rows[1].update(values=[1.0, 0.0])),
    ("not-finite", lambda rows, _: rows[1].update(values=[math.inf, 1.0, 0.0])),
    (
        "identical-images",
        lambda rows, _: rows[1].update(generations=[rows[1]["generations"][0]] * 2 + rows[1]["generations"][2:]),
    ),
]


@pytest.mark.parametrize(("rule", "plant"), IMAGEREWARD_DEFECTS, ids=range(len(IMAGEREWARD_DEFECTS)))
def test_defects_of_imagereward_lists(rule: str, plant: Any, dataset: Callable[[str], Path]) -> None:
    folder = rewritten(dataset("imagereward"), "dataset/train.json", plant)
    if rule == "identical-images":  # the trainer makes pairs of it, and two of those contradict each other
        assert rules(folder) >= {rule}
    else:
        check_planted(folder, rule)


def test_imagereward_opens_all_three_files(dataset: Callable[[str], Path]) -> None:
    folder = dataset("imagereward")
    (folder / "dataset" / "valid.json").unlink()
    (folder / "dataset" / "test.json").write_text("[{")
    assert {(found.rule, found.file) for found in findings(folder)} == {
        ("missing-file", "dataset/valid.json"),
        ("not-json", "dataset/test.json"),
    }


HPDV2_DEFECTS: list[tuple[str, Any]] = [
    *_path_defects("train", lambda row, name: row["file_path"].__setitem__(0, name), lambda row: row["file_path"][0]),
    ("label-flip", lambda rows, _: rows[1]["human_preference"].reverse()),
    ("tie", lambda rows, _: rows[1].update(human_preference=[0.5, 0.5])),
    ("tie", lambda rows, _: rows[1].update(human_preference=[1, 1])),
    ("tie", lambda rows, _: rows[1].update(values=[0.5, 0.5])),
    ("mixed-schema", lambda rows, _: rows[1].update(extra=1)),
    ("mixed-schema", lambda rows, _: rows[0].pop("values")),
    ("soft-label", lambda rows, _: rows[1].update(human_preference=[abs(one - 0.2) for one in rows[1]["human_preference"]])),
    ("wrong-type", lambda rows, _: rows[1].update(file_path=rows[1]["file_path"] * 2)),
    ("identical-images", lambda rows, _: rows[1].update(file_path=rows[1]["file_path"][:1] * 2)),
]


@pytest.mark.parametrize(("rule", "plant"), HPDV2_DEFECTS, ids=range(len(HPDV2_DEFECTS)))
def test_defects_of_hpdv2_pairs(rule: str, plant: Any, dataset: Callable[[str], Path]) -> None:
    folder = rewritten(dataset("hpdv2"), "train.json", plant)
    found = {one.rule for one in findings(folder)}
    assert rule in found
    # A row of another shape also breaks the Arrow table that the trainer makes of all rows.
    assert found <= {rule, "mixed-schema"}


def test_preferences_as_text_and_rows_of_two_shapes(dataset: Callable[[str], Path]) -> None:
    folder = rewritten(dataset("hpdv2"), "train.json", lambda rows, _: rows[1].update(human_preference=["1", "0"]))
    assert rules(folder) == {"wrong-type", "mixed-schema"}


def test_defects_of_hpdv2_test_rows(dataset: Callable[[str], Path]) -> None:
    folder = rewritten(dataset("hpdv2"), "test.json", lambda rows, _: rows[1]["rank"].reverse())
    assert {(found.rule, found.file, found.row) for found in findings(folder)} == {("label-flip", "test.json", 1)}
    rewritten(folder, "test.json", lambda rows, _: rows[1].update(rank=[1, 1]))
    assert rules(folder) == {"tie"}
    rewritten(folder, "test.json", lambda rows, _: rows[1].update(rank=[1, 2], values=[0.5, 0.5]))
    assert {(found.rule, found.severity) for found in findings(folder)} == {("tie", Severity.ERROR)}
    rewritten(folder, "test.json", lambda rows, _: rows[1].pop("raw_annotations"))
    assert rules(folder) == {"missing-column", "mixed-schema"}
    (folder / "test.json").unlink()
    assert rules(folder) == {"missing-file"}


def test_hpdv2_lists_that_contradict_each_other_in_the_middle(dataset: Callable[[str], Path]) -> None:
    def plant(rows: list[Row], _: Path) -> None:
        four = [path for row in rows[:4] for path in row["image_path"]]
        four = list(dict.fromkeys(four))[:4]
        long = rows[0] | {"image_path": four, "rank": [1, 2, 3, 4], "values": [4.0, 3.0, 2.0, 1.0]}
        rows[:] = [long, long | {"image_path": [four[place] for place in (0, 2, 1, 3)]}]

    found = findings(rewritten(dataset("hpdv2"), "test.json", plant))
    assert {(one.rule, one.row) for one in found} == {("contradicting-pair", 1), ("duplicate-pair", 1)}


def test_splits_that_hpdv2_does_not_open_are_told_and_read(dataset: Callable[[str], Path]) -> None:
    folder = dataset("hpdv2")
    (folder / "test.json").rename(folder / "val.json")
    (folder / "test").rename(folder / "val")
    (folder / "test.json").write_text("[]")
    assert {(found.rule, found.severity) for found in findings(folder)} == {("unread-split", Severity.WARNING)}
    rewritten(folder, "val.json", lambda rows, _: rows[1]["rank"].reverse())
    assert {(found.rule, found.row) for found in findings(folder)} == {("unread-split", None), ("label-flip", 1)}


HPDV3_DEFECTS: list[tuple[str, Any]] = [
    *_path_defects(".", lambda row, name: row.update(path1=name), lambda row: row["path1"]),
    ("label-flip", lambda rows, _: rows[1].update(value1=rows[1]["value2"], value2=rows[1]["value1"])),
    ("label-flip", lambda rows, _: rows[1].update(choice_dist=[3, 9])),
    ("tie", lambda rows, _: rows[1].update(choice_dist=[5, 5])),
    ("tie", lambda rows, _: rows[1].update(choice_dist=[0, 0])),
    ("tie", lambda rows, _: rows[1].update(value2=rows[1]["value1"])),
    ("not-finite", lambda rows, _: rows[1].update(value1=math.inf)),
    ("not-finite", lambda rows, _: rows[1].update(choice_dist=[math.inf, 0])),
    ("low-confidence", lambda rows, _: rows[1].update(confidence=0.1)),
    ("out-of-range", lambda rows, _: rows[1].update(confidence=5)),
    ("null-confidence", lambda rows, _: rows[1].update(confidence=None)),
    ("null-votes", lambda rows, _: rows[1].update(choice_dist=None)),
    ("identical-images", lambda rows, _: rows[1].update(path2=rows[1]["path1"])),
    ("duplicate-pair", lambda rows, _: rows.__setitem__(1, rows[0])),
    ("contradicting-pair", lambda rows, _: rows.__setitem__(1, rows[0] | {"path1": rows[0]["path2"], "path2": rows[0]["path1"]})),
]


@pytest.mark.parametrize(("rule", "plant"), HPDV3_DEFECTS, ids=range(len(HPDV3_DEFECTS)))
def test_defects_of_hpdv3_pairs(rule: str, plant: Any, dataset: Callable[[str], Path]) -> None:
    check_planted(rewritten(dataset("hpdv3"), "train.json", plant), rule)


def test_links_out_of_the_folder_are_not_followed(dataset: Callable[[str], Path], tmp_path: Path) -> None:
    folder = dataset("hpdv3")
    (tmp_path / "outside.jpg").write_bytes(photo(1))
    (folder / "images" / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    rewritten(folder, "train.json", lambda rows, _: rows[1].update(path1="images/link.jpg"))
    check_planted(folder, "path-escape")


def test_a_link_that_leads_back_to_itself_is_no_file(dataset: Callable[[str], Path]) -> None:
    folder = dataset("hpdv3")
    (folder / "images" / "link.jpg").symlink_to("link.jpg")
    rewritten(folder, "train.json", lambda rows, _: rows[1].update(path1="images/link.jpg"))
    check_planted(folder, "missing-file")


@pytest.mark.parametrize(
    ("name", "linked"),
    [
        ("hpdv3", "images"),
        ("hpdv2", "train"),
        ("imagereward", "images"),
        ("win-lose-folders", "win"),
        ("win-lose-folders", "test/lose"),
        ("diffusers-dpo", "."),
    ],
)
@pytest.mark.parametrize("with_manifest", [True, False])
def test_a_folder_that_is_a_link_out_is_told_once(
    name: str, linked: str, with_manifest: bool, exports: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "export"
    if linked == ".":
        folder.symlink_to(exports / name)  # the dataset itself may be reached by one
        assert findings(folder) == []
        return
    shutil.copytree(exports / name, folder)
    if not with_manifest:
        (folder / "curate.json").unlink()
    (folder / linked).rename(tmp_path / "elsewhere")
    (folder / linked).symlink_to(tmp_path / "elsewhere")
    (found,) = findings(folder, name)
    assert (found.rule, found.severity, found.file, found.row) == ("path-escape", Severity.ERROR, linked, None)


# Defects of folders and shards ----------------------------------------------------------------------------------------


def _one(folder: Path, side: str) -> Path:
    return next(path for path in sorted((folder / side).iterdir()) if path.suffix != ".txt")


Planted = Callable[[Callable[[Path], Any]], set[str]]


@pytest.fixture
def planted(exports: Path, tmp_path: Path) -> Planted:
    """The rules that a damage to paired folders breaks, each time on a new copy; the manifest would tell of all of it."""

    def check_damaged(plant: Callable[[Path], Any]) -> set[str]:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        shutil.copytree(exports / "win-lose-folders", folder)
        (folder / "curate.json").unlink()
        plant(folder)
        return rules(folder)

    return check_damaged


def test_defects_of_paired_folders(planted: Planted) -> None:
    def exchange(folder: Path) -> None:
        win = _one(folder, "win")
        (lose,) = (folder / "lose").glob(f"{win.stem}.*")
        win_data, lose_data = win.read_bytes(), lose.read_bytes()
        win.write_bytes(lose_data)
        lose.write_bytes(win_data)

    def tie(folder: Path) -> None:
        rows = [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]
        rows[0]["rejected_value"] = rows[0]["chosen_value"]
        (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def repeat(folder: Path) -> None:
        win = _one(folder, "win").with_suffix(".txt")
        (folder / "lose" / win.name).write_text(f"{win.read_text(encoding='utf-8')}\n", encoding="utf-8")

    def lists_of_sizes(folder: Path) -> None:
        for side in ("win", "lose", "test/win", "test/lose"):
            (folder / side / "aspect_ratio_bucket_indices_mine.json").write_text("{}")

    assert planted(lambda folder: None) == set()
    assert planted(exchange) == {"label-flip"}
    assert planted(lambda folder: _one(folder, "lose").unlink()) == {"missing-file"}
    assert planted(lambda folder: _one(folder, "win").unlink()) == {"missing-file"}
    assert planted(lambda folder: _one(folder, "win").with_suffix(".txt").unlink()) == {"missing-caption"}
    assert planted(lambda folder: _one(folder, "win").with_suffix(".txt").write_text(" ")) == {"missing-caption"}
    assert planted(lambda folder: _one(folder, "win").write_bytes(b"")) == {"empty-file", "changed-file"}
    assert planted(lambda folder: _one(folder, "win").write_bytes(photo(900))) == {"changed-file"}
    assert planted(tie) == {"tie"}
    assert planted(lambda folder: (folder / "pairs.jsonl").write_text('{"win": 3')) == {"not-json"}
    assert planted(lambda folder: _one(folder, "win").with_suffix(".webp").write_bytes(photo(900))) == {"duplicate-stem"}
    assert planted(lambda folder: _one(folder, "win").with_suffix(".txt").write_bytes(b"caf\xe9")) == {"not-text"}
    assert planted(lambda folder: _one(folder, "lose").with_suffix(".txt").write_text("else")) == {"contradicting-caption"}
    assert planted(repeat) == set(), "the same caption beside both"
    assert planted(lambda folder: shutil.rmtree(folder / "test" / "lose")) == {"missing-file"}
    assert planted(lists_of_sizes) == set(), "trainers keep lists beside the images"


def test_pairs_of_files_against_their_listing(planted: Planted) -> None:
    def value(number: str) -> Callable[[Path], Any]:
        def plant(folder: Path) -> None:
            text = (folder / "pairs.jsonl").read_text()
            (folder / "pairs.jsonl").write_text(text.replace('"chosen_value": ', f'"chosen_value": {number}, "was": ', 1))

        return plant

    def turned_around(folder: Path) -> None:
        win = _one(folder, "win")
        (lose,) = (folder / "lose").glob(f"{win.stem}.*")
        shutil.copy(lose, folder / "win" / f"zz{lose.suffix}")
        shutil.copy(win, folder / "lose" / f"zz{win.suffix}")
        shutil.copy(win.with_suffix(".txt"), folder / "win" / "zz.txt")

    def without_winners(folder: Path) -> None:
        (folder / "val" / "lose").mkdir(parents=True)
        shutil.copy(_one(folder, "lose"), folder / "val" / "lose")

    assert planted(value("NaN")) == {"not-finite"}
    assert planted(value("Infinity")) == {"not-finite"}
    assert planted(lambda folder: (folder / "win").rename(folder / "w")) == {"missing-file"}
    assert planted(lambda folder: (folder / "test" / "win").rename(folder / "test" / "w")) == {"missing-file"}
    assert planted(without_winners) == {"missing-file"}
    assert planted(turned_around) == {"unlisted-file", "contradicting-pair"}


# Manifests and folders ------------------------------------------------------------------------------------------------


def test_mistakes_are_one_sentence_before_the_first_finding(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="there is no folder"):
        check(tmp_path / "nothing")
    with pytest.raises(CurateError, match="Did you mean 'hpdv2'"):
        check(tmp_path, format="hpdv22")
    with pytest.raises(CurateError, match="cannot tell which format"):
        check(tmp_path)


def test_a_folder_of_another_format_or_of_none_is_an_error(exports: Path, tmp_path: Path) -> None:
    for wanted in format_names():
        found = list(check(tmp_path, format=wanted))
        assert [one.rule for one in found if one.rule != "missing-file"] == ["no-rows"], wanted
        assert found[0].severity is Severity.ERROR
        for other in set(format_names()) - {wanted}:
            errors = [one for one in check(exports / other, format=wanted) if one.severity is Severity.ERROR]
            assert errors, f"{other} passes for {wanted}"


def test_an_export_without_its_rows_and_its_manifest_is_an_error(dataset: Callable[[str], Path]) -> None:
    folder = dataset("hpdv3")
    for path in folder.glob("*.json"):
        path.unlink()
    assert rules(folder, "hpdv3") == {"no-rows"}


def test_pick_a_pic_as_others_publish_it(world: World, tmp_path: Path) -> None:
    """A folder with the columns that everybody has and nothing of ours: labels on both sides, ties, no uids of winners."""
    chosen, rejected = photo(1), photo(2)
    rows = [
        {"jpg_0": chosen, "jpg_1": rejected, "label_0": 1, "caption": f"prompt {number}", "num_example_per_prompt": 1}
        for number in range(16)
    ]
    rows[4] |= {"label_0": 0}
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data.parquet")
    found = findings(tmp_path)
    assert {(one.rule, one.row) for one in found if one.severity is Severity.ERROR} == set()
    assert {(one.rule, one.row) for one in found} == {("winner-side", 4), ("missing-column", None)}


MAKERS = {"error", "warning", "note", "Uneven"}
"""What the first argument of is the name of a rule."""


def test_every_rule_is_told_in_the_documentation() -> None:
    import ast

    documentation = DOCUMENTATION.read_text(encoding="utf-8")
    said = set()
    for path in Path(curate.checking.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            first: Any = None
            if (
                isinstance(node, ast.Call)
                and {getattr(node.func, "attr", ""), getattr(node.func, "id", "")} & MAKERS
                and node.args
            ):
                first = node.args[0]
            elif isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple):
                first = node.value.elts[0]
            if isinstance(first, ast.Constant):
                said.add(first.value)
    assert len(said) > 40
    assert {"out-of-range", "missing-ratings"} <= said
    assert {rule for rule in said if rule not in documentation} == set()


# Whatever a folder holds, a check ends with findings and not with a traceback -----------------------------------------

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("name", "file"),
    [("imagereward", "dataset/train.json"), ("hpdv2", "train.json"), ("hpdv2", "test.json"), ("hpdv3", "train.json")],
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_json_is_checked_without_a_traceback(
    name: str, file: str, exports: Path, tmp_path: Path, data: st.DataObject
) -> None:
    rows = json.loads((exports / name / file).read_text())[:2]
    field = data.draw(st.sampled_from(sorted(rows[0])))
    rows[0][field] = data.draw(JSON_VALUES)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(json.dumps(rows))
    assert all(isinstance(found, Finding) for found in check(tmp_path, format=name))


@pytest.mark.parametrize("name", ["diffusers-dpo", "rankdpo", "parquet", "ids"])
def test_columns_of_any_type_are_checked_without_a_traceback(name: str, dataset: Callable[[str], Path]) -> None:
    folder = dataset(name)
    (path,) = folder.glob("train-*")
    table = pq.read_table(path).slice(0, 3)
    nothing = pa.array([None, None, None])
    others = [
        nothing,
        pa.array(["a", "", None]),
        pa.array([1, 2, None]),
        pa.array([[], ["a"], None]),
        pa.array([{"bytes": 1}, None, {}]),
    ]
    for number, column in enumerate(table.column_names):
        for other in others:
            pq.write_table(table.set_column(number, column, other), path)
            assert all(isinstance(found, Finding) for found in check(folder, format=name))
