"""What `curate rate` ends with and begins with, where judges are asked: their health, and a server that is tested unless told."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from curate.cli.judging import rate
from curate.cli.serving import serving_of
from curate.serving import Serving
from curate.testing.server import Fault, ScriptedServer, spread
from tests.cli.conftest import Curate
from tests.judges.numbered import pairs_card, write_groups

OF_ALL = "of all that the store holds"


@pytest.fixture
def shards(tmp_path: Path) -> str:
    return write_groups(tmp_path / "shards", 2)


def asking(server: ScriptedServer) -> list[str]:
    return ["--server", server.url, "--no-canary", "--workers", "0", "--store", "store"]


def rows(printed: str, after: str) -> set[tuple[str, ...]]:
    """The lines about dimensions that stand after a title."""
    words = [tuple(line.split()) for line in printed.partition(after)[2].splitlines()]
    return {one for one in words if one and one[0].startswith(("vqa-yes.", "which.", "signal."))}


def test_a_run_ends_with_the_health_of_its_judges_as_it_is_shown(curate: Curate, shards: str, tmp_path: Path) -> None:
    raters = ["--rater", "vqa-yes", "--rater", "signal", "--rater", pairs_card(tmp_path)]
    with ScriptedServer(faults=spread(0.5, [Fault.REFUSAL], permanent=1.0)) as server:
        first = curate("rate", shards, *raters, *asking(server)).stdout
        again = curate("rate", shards, *raters, *asking(server)).stdout
    shown = curate("show", "store").stdout
    ended = rows(first, f"Comparisons, {OF_ALL}")
    assert ended == {row for row in rows(shown, "Comparisons") if not row[0].startswith("signal")}
    assert {row[0] for row in ended} == {"vqa-yes.match", "vqa-yes.yes_full", "vqa-yes.p_mass", "which.overall"}
    assert all(word in first for word in (f"Health, {OF_ALL}", "position bias", "refused: refusal"))
    assert OF_ALL not in again, "nobody was asked"


def test_the_health_of_judges_as_json_is_that_of_show(curate: Curate, shards: str, tmp_path: Path) -> None:
    with ScriptedServer() as server:
        curate("rate", shards, "--rater", "signal", "--workers", "0", "--store", "store")
        run = curate("rate", shards, "--rater", "vqa-yes", "--rater", pairs_card(tmp_path), *asking(server), "--json")
        again = curate("rate", shards, "--rater", "vqa-yes", *asking(server), "--json")
    health = json.loads(run.stdout)["health"]
    shown = json.loads(curate("show", "store", "--json").stdout)
    assert health["raters"] == [one for one in shown["raters"] if one["name"] == "vqa-yes"] != []
    assert health["comparisons"] == shown["comparisons"] != []
    assert health["costs"] == shown["costs"] != []
    assert json.loads(again.stdout)["health"] == {}


def test_an_estimate_names_the_store_it_was_given(curate: Curate, shards: str) -> None:
    with ScriptedServer() as server:
        estimate = ["rate", shards, "--rater", "vqa-yes", *asking(server), "--dry-run", "--json"]
        assert json.loads(curate(*estimate).stdout)["store"] == "store"
        assert not Path("store").exists()
        curate("rate", shards, "--rater", "signal", "--workers", "0", "--store", "store")
        assert json.loads(curate(*estimate).stdout)["store"] == "store"


def test_a_server_is_tested_unless_that_is_left_out_on_the_command_line_as_in_python() -> None:
    said = inspect.signature(rate).parameters["canary"].default
    assert Serving(url="http://127.0.0.1:1/v1").canary is said is True
    assert serving_of("http://127.0.0.1:1/v1") == Serving(url="http://127.0.0.1:1/v1")
