"""`curate check STORE`: every byte of a store against its manifest, said as for datasets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import curate
from curate import CurateError
from curate.checking import check
from curate.cli.app import app
from curate.testing import card_yaml, write_shard
from tests.exporting.world import photo


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_shard(tmp_path / "shard.tar", [(f"k{number}", {"jpg": photo(number), "txt": b"a photograph"}) for number in range(3)])
    card_yaml(tmp_path / "hash.yaml", name="hash", target="curate.testing:HashRater")
    curate.rate(str(tmp_path / "shard.tar"), raters=[str(tmp_path / "hash.yaml")], store=tmp_path / "store", workers=0)
    return tmp_path / "store"


def test_a_sound_store_passes(store: Path) -> None:
    report = curate.check(store)
    assert report.ok
    assert report.findings == []


def test_damage_to_a_store_is_found_and_fails_the_check(store: Path) -> None:
    changed, gone = next((store / "ratings").glob("*.parquet")), next((store / "samples").glob("*.parquet"))
    data = bytearray(changed.read_bytes())
    data[len(data) // 2] ^= 1
    changed.write_bytes(data)
    gone.unlink()
    result = CliRunner().invoke(app, ["check", str(store), "--json"])
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["counts"] == {"error: damaged-store": 2}
    assert {finding["file"] for finding in report["findings"]} == {f"ratings/{changed.name}", f"samples/{gone.name}"}


def test_a_store_is_in_no_format_of_datasets(store: Path) -> None:
    with pytest.raises(CurateError, match="in no format of datasets"):
        check(store, format="ids")
