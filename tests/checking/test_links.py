"""Links, pipes and odd names: nothing outside the folder is opened, nobody waits, and nothing is passed over in silence."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from curate.checking import Severity, check
from curate.errors import CurateError
from tests.checking.looking import findings, rules

DATA = {
    "diffusers-dpo": "train-*.parquet", "rankdpo": "train-*.parquet", "parquet": "train-*.parquet", "ids": "train-*.parquet",
    "shards": "*.tar", "hpdv2": "train.json", "hpdv3": "train.json", "imagereward": "dataset/train.json",
    "win-lose-folders": "win/*.[pj]*g",
}  # fmt: skip
"""Files that readers of each format open."""


@pytest.mark.parametrize("name", DATA)
def test_data_that_are_a_link_out_are_told(name: str, dataset: Callable[[str], Path], tmp_path: Path) -> None:
    folder = dataset(name)
    path = min(folder.glob(DATA[name]))
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    escapes = {(one.severity, one.file) for one in findings(folder, name) if one.rule == "path-escape"}
    assert (Severity.ERROR, path.relative_to(folder).as_posix()) in escapes
    path.unlink()
    (tmp_path / "outside").rename(folder / "elsewhere")
    path.symlink_to(os.path.relpath(folder / "elsewhere", path.parent))
    assert "path-escape" not in rules(folder, name), "a link to another place in the folder is as good as the file"


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir])
@pytest.mark.parametrize("name", ["hpdv2", "imagereward"])
def test_a_pipe_or_a_folder_in_the_place_of_rows_is_no_file(
    name: str, put: Callable[[Path], None], dataset: Callable[[str], Path]
) -> None:
    folder = dataset(name)
    path = folder / DATA[name]
    path.unlink()
    put(path)
    assert "missing-file" in rules(folder, name)


def test_a_folder_of_tables_that_is_a_link_out_is_told(dataset: Callable[[str], Path], tmp_path: Path) -> None:
    folder = dataset("diffusers-dpo")
    (tmp_path / "elsewhere").mkdir()
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    (found,) = findings(folder, "diffusers-dpo")
    assert (found.rule, found.severity, found.file) == ("path-escape", Severity.ERROR, "more")


@pytest.mark.parametrize("name", DATA)
def test_the_cache_of_the_hub_is_read_through_its_links(name: str, exports: Path, tmp_path: Path) -> None:
    """Every file of a version is a link to one beside all versions."""
    version, blobs = tmp_path / "snapshots" / "abc", tmp_path / "blobs"
    blobs.mkdir()
    for number, source in enumerate(path for path in sorted((exports / name).rglob("*")) if path.is_file()):
        shutil.copy(source, blobs / str(number))
        link = version / source.relative_to(exports / name)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blobs / str(number), link.parent))
    assert findings(version) == []
    shutil.copytree(tmp_path / "snapshots", tmp_path / "other", symlinks=True)
    with pytest.raises(CurateError, match="a link that leads out of the folder"):
        check(tmp_path / "other" / "abc")


def test_manifests_that_name_no_files_are_checked_without_a_traceback(exports: Path, tmp_path: Path) -> None:
    shutil.copytree(exports / "hpdv2", tmp_path / "export")
    said = {"format": "hpdv2", "files": [1, None, {"name": None}, {"name": ["a"], "sha256": 1}]}
    (tmp_path / "export" / "curate.json").write_text(json.dumps(said))
    assert "missing-file" in rules(tmp_path / "export")


def test_a_table_whose_name_is_not_utf_8_is_read(dataset: Callable[[str], Path]) -> None:
    folder = dataset("diffusers-dpo")
    path = next(folder.glob("train-*.parquet"))
    path.rename(folder / os.fsdecode(b"train-\xff.parquet"))
    assert rules(folder) == set()


def test_a_name_that_no_folder_can_have_is_one_sentence() -> None:
    with pytest.raises(CurateError, match="there is no folder"):
        check("x" * 300)


@pytest.mark.parametrize("name", ["diffusers-dpo", "rankdpo", "parquet", "ids"])
def test_a_lost_manifest_is_told_by_the_readme_where_files_changed(name: str, exports: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shutil.copytree(exports / name, folder)
    (folder / "curate.json").unlink()
    assert rules(folder) == set()
    (folder / "more.txt").write_text("more")
    (found,) = findings(folder)
    assert (found.rule, found.severity, found.file) == ("changed-file", Severity.WARNING, "README.md")
