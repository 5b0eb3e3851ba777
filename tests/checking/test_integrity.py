"""Exports that are not what was written any more, and what is only put beside them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from curate.checking import Severity, check
from curate.errors import CurateError
from curate.exporting import format_names
from tests.checking.looking import findings
from tests.exporting.world import photo


def test_files_that_changed_or_went_are_found(exports: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shutil.copytree(exports / "hpdv3", folder)
    image = next(path for path in sorted((folder / "images").rglob("*.jpg")))
    image.write_bytes(photo(900))
    (folder / "README.md").unlink()
    found = {(one.rule, one.file) for one in findings(folder)}
    assert found == {("changed-file", image.relative_to(folder).as_posix()), ("missing-file", "README.md")}


def with_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_an_edited_card_is_a_note(exports: Path, tmp_path: Path) -> None:
    for name in format_names():
        shutil.copytree(exports / name, tmp_path / name)
        card = tmp_path / name / "README.md"
        card.write_text(card.read_text(encoding="utf-8") + "\nMine.\n", encoding="utf-8")
        (found,) = findings(tmp_path / name)
        assert (found.rule, found.severity, found.file) == ("changed-file", Severity.NOTE, "README.md")


BESIDE = {
    ".DS_Store": b"x", ".cache/more.parquet": b"x", "LICENSE": b"x", "notes.txt": b"x", "preview.png": photo(1),
    "dataset_infos.json": b"{}", "wandb/summary.json": b"[]", "__cache/x.parquet": b"x",
}  # fmt: skip


@pytest.mark.parametrize("name", format_names())
def test_files_that_no_reader_opens_are_notes(name: str, exports: Path, tmp_path: Path) -> None:
    shutil.copytree(exports / name, tmp_path / name)
    found = findings(with_files(tmp_path / name, BESIDE))
    assert {(one.rule, one.severity) for one in found} == {("unlisted-file", Severity.NOTE)}
    assert {one.file for one in found} == {file for file in BESIDE if not file.startswith(".")}


@pytest.mark.parametrize(
    ("name", "source", "more"),
    [
        *[(name, "train-00000-of-00001.parquet", "data/more.parquet") for name in ("diffusers-dpo", "rankdpo", "parquet", "ids")],
        ("shards", "000000.tar", "more/000000.tar"),
        ("hpdv3", "train.json", "more.json"),
    ],
)
def test_files_that_readers_take_for_data_are_errors(name: str, source: str, more: str, exports: Path, tmp_path: Path) -> None:
    shutil.copytree(exports / name, tmp_path / name)
    found = findings(with_files(tmp_path / name, {more: (exports / name / source).read_bytes()}))
    assert ("unlisted-file", Severity.ERROR, more) in {(one.rule, one.severity, one.file) for one in found}


def test_splits_that_came_later_are_errors_where_readers_open_them(exports: Path, tmp_path: Path) -> None:
    for name, split in (("hpdv2", "test.json"), ("imagereward", "dataset/test.json")):
        folder = tmp_path / name
        shutil.copytree(exports / name, folder)
        said = json.loads((folder / "curate.json").read_text())
        said["files"] = [entry for entry in said["files"] if entry["name"] != split]
        (folder / "curate.json").write_text(json.dumps(said))
        (found,) = findings(folder)
        assert (found.rule, found.severity, found.file) == ("unlisted-file", Severity.ERROR, split)


def test_pairs_of_images_that_came_later_are_errors(exports: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shutil.copytree(exports / "win-lose-folders", folder)
    files = {"win/zz.webp": photo(1), "win/zz.txt": b"x", "lose/zz.webp": photo(2), "win/sizes.json": b"{}"}
    found = {(one.file, one.severity) for one in findings(with_files(folder, files)) if one.rule == "unlisted-file"}
    assert found == {
        ("win/zz.webp", Severity.ERROR), ("lose/zz.webp", Severity.ERROR),
        ("win/zz.txt", Severity.NOTE), ("win/sizes.json", Severity.NOTE),
    }  # fmt: skip


def test_files_are_not_called_unlisted_where_the_list_is_gone(exports: Path, tmp_path: Path) -> None:
    shutil.copytree(exports / "hpdv3", tmp_path / "export")
    (tmp_path / "export" / "media.sha256").unlink()
    assert {(one.rule, one.file) for one in findings(tmp_path / "export")} == {("missing-file", "media.sha256")}


def test_links_out_of_the_folder_are_not_listed_either(exports: Path, tmp_path: Path) -> None:
    shutil.copytree(exports / "diffusers-dpo", tmp_path / "export")
    (tmp_path / "elsewhere.parquet").write_bytes(b"PAR1")
    (tmp_path / "export" / "more.parquet").symlink_to(tmp_path / "elsewhere.parquet")
    assert {(one.rule, one.file) for one in findings(tmp_path / "export")} == {("unlisted-file", "more.parquet")}


def test_a_manifest_that_names_files_outside_is_not_followed(exports: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shutil.copytree(exports / "ids", folder)
    manifest = json.loads((folder / "curate.json").read_text())
    manifest["files"].append({"name": "../../etc/passwd", "sha256": "0" * 64})
    (folder / "curate.json").write_text(json.dumps(manifest))
    (found,) = findings(folder)
    assert (found.rule, found.file) == ("path-escape", "curate.json")
    (folder / "curate.json").write_text("[]")
    with pytest.raises(CurateError, match="not a manifest"):
        check(folder)
