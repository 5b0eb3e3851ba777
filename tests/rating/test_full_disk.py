"""A disk that is full in the middle of a run: one sentence, and the same command finishes once there is room."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from curate.rating.report import RateReport
from curate.store import Store
from curate.testing import write_shard
from tests.rating.conftest import records

KINDS = ("samples", "ratings", "rejects")


def test_a_full_disk_is_one_sentence_and_the_rerun_finishes(
    small_disk: Path, tmp_path: Path, card: Callable[..., str], rate: Callable[..., RateReport]
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    shards = [str(write_shard(folder / f"{n:02d}.tar", records(40 * n, 40))) for n in range(25)]
    raters = [card("hash", "HashRater", dimensions=[f"d{n}" for n in range(12)]), "signal"]
    rate(shards, raters, "roomy")

    subprocess.run(["mount", "-o", "remount,size=600k", str(small_disk)], check=True)
    command = [sys.executable, "-m", "curate", "rate", *shards, "--store", str(small_disk / "store"), "--workers", "1"]
    command += [word for rater in raters for word in ("--rater", rater)]
    full = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    assert full.returncode == 2, full.stderr
    assert "Traceback" not in full.stderr
    complaint = [line for line in full.stderr.splitlines() if line.startswith("error: ")]
    assert len(complaint) == 1
    assert "full" in complaint[0]

    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    again = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    assert again.returncode == 0, again.stderr
    with Store.open(tmp_path / "roomy") as roomy, Store.open(small_disk / "store") as small:
        for kind in KINDS:
            assert small.export_rows(kind).equals(roomy.export_rows(kind)), kind
        assert not small.verify()
