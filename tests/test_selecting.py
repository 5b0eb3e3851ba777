"""From a store to a dataset: what is refused before any work, what a killed run leaves, and the options that reach the file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import curate
from curate import selecting
from curate.checking import check
from curate.errors import CurateError, OutputError
from curate.store import Store
from tests.exporting.world import photo, write_tar


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty prompts with four photographs each, judged by `signal`."""
    folder = tmp_path_factory.mktemp("judged")
    records = {
        f"{prompt:02}_{place}": {"jpg": photo(4 * prompt + place), "txt": f"photograph {prompt}".encode()}
        for prompt in range(20)
        for place in range(4)
    }
    write_tar(folder / "shard.tar", records)
    curate.rate(str(folder / "shard.tar"), raters=["signal"], store=folder / "store")
    return folder / "store"


@pytest.mark.parametrize(
    ("format_name", "split", "says"),
    [("hpdv2", "val=10%", "open these alone"), ("hpdv3", "curate=10%", "something else"), ("hpdv3", "Test=1", "file name")],
)
def test_a_split_is_refused_before_anything_is_selected(
    format_name: str, split: str, says: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selecting.Selecting, "select", lambda *_, **__: pytest.fail("nothing is selected"))
    with pytest.raises(CurateError, match=says) as problem:
        curate.pair(store, by="signal", split=split, format=format_name, out=tmp_path / "out")
    assert problem.value.as_typed().startswith("--split")


def test_a_place_that_cannot_be_replaced_is_refused_before_the_store_is_read(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "view", lambda *_, **__: pytest.fail("the store is not read"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="the folder that you are in"):
        curate.pair(store, by="signal", out=".")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(OutputError, match="not empty"):
        curate.pair(store, by="signal", out="full")


def test_a_ranking_that_cannot_be_written_is_one_sentence(store: Path) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("needs a folder in which nothing can be made")
    with pytest.raises(OutputError, match="cannot write /proc/x: nothing can be made in /proc"):
        curate.rank(store, by="signal", out="/proc/x")
    with pytest.raises(OutputError, match="cannot write /proc/x/y"):
        curate.rank(store, by="signal", out="/proc/x/y")


@pytest.mark.parametrize("at", ["files.sync_file", "Path.replace"])
def test_what_a_killed_ranking_left_is_removed_by_the_next(at: str, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "ranking.parquet"
    curate.rank(store, by="signal", out=out)  # makes the view, whose files are written the same way
    out.unlink()
    code = f"""
import os
from pathlib import Path
import curate
from curate import files
{at} = lambda *_: os._exit(9)
curate.rank({str(store)!r}, by="signal", out={str(out)!r})
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert len(list(tmp_path.iterdir())) == 1
    curate.rank(store, by="signal", out=out)
    assert list(tmp_path.iterdir()) == [out]


def test_rankings_are_split_by_prompt_as_pairs_are(store: Path, tmp_path: Path) -> None:
    curate.rank(store, by="signal", split="test=40%", seed=3, out=tmp_path / "ranking.parquet")
    rows = pq.read_table(tmp_path / "ranking.parquet", columns=["group", "split"]).to_pylist()
    curate.pair(store, by="signal", split="test=40%", seed=3, out=tmp_path / "pairs")
    pairs = [row for path in (tmp_path / "pairs").glob("*.parquet") for row in _splits(path)]
    of_group = {row["group"]: row["split"] for row in rows}
    assert set(of_group.values()) == {"train", "test"}
    assert len({(row["group"], row["split"]) for row in rows}) == 20
    assert all(of_group[group] == split for group, split in pairs)
    curate.rank(store, by="signal", split="test=30%,valid=30%", format="imagereward", out=tmp_path / "lists")
    sizes = [
        len(json.loads((tmp_path / "lists" / "dataset" / f"{name}.json").read_text())) for name in ("train", "valid", "test")
    ]
    assert sum(sizes) == 20
    assert all(sizes)
    assert [found for found in check(tmp_path / "lists") if found.severity == "error"] == []


def _splits(path: Path) -> list[tuple[str, str]]:
    return [(group, path.name.partition("-")[0]) for group in pq.read_table(path).column("group").to_pylist()]


def test_pairs_are_kept_by_margin_or_at_random(store: Path, tmp_path: Path) -> None:
    def chosen(name: str, **options: object) -> list[str]:
        curate.pair(store, by="signal", strategy="all", max_per_group=1, out=tmp_path / name, **options)  # type: ignore[arg-type]
        return pq.read_table(next((tmp_path / name).glob("train-*"))).column("pair_uid").to_pylist()

    assert chosen("a") == chosen("b", prefer="margin", seed=1)
    assert chosen("c", prefer="random", seed=1) == chosen("d", prefer="random", seed=1)
    assert len({tuple(chosen(f"e{seed}", prefer="random", seed=seed)) for seed in range(3)} | {tuple(chosen("f"))}) == 4
    command = json.loads((tmp_path / "c" / "curate.json").read_text())["command"]
    assert "--prefer random --seed 1" in command


def test_a_pattern_that_is_none_is_told_by_the_option_as_it_is_typed(store: Path, tmp_path: Path) -> None:
    with pytest.raises(CurateError) as problem:
        curate.filter(store, where="regexp_matches(prompt, '(')", out=tmp_path / "out")
    assert problem.value.as_typed().startswith("--where, position 24: this is not a regular expression: ")
    assert str(problem.value).startswith("where, position 24: ")
