"""The test images of Pillow's source distribution, crashers, bombs and broken files among them, rated as members of shards.

Every file is scored or has a reason why not, and the counts add up.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import PIL
import pyarrow as pa
import pytest

from curate.rating.report import RateReport
from curate.testing import write_shard

PER_SHARD = 200


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bytes]]:
    """Name and bytes of every file in Tests/images of the installed Pillow's source."""
    folder = tmp_path_factory.mktemp("pillow")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "pillow", "--dest", str(folder)]
    try:
        done = subprocess.run([*command, f"pillow=={PIL.__version__}"], check=False, capture_output=True, text=True, timeout=100)
    except subprocess.TimeoutExpired:
        pytest.skip("Pillow's source distribution does not come within 100 seconds")
    sources = list(folder.glob("*.tar.gz"))
    if not sources:
        pytest.skip(f"Pillow's source distribution cannot be downloaded: {done.stderr.strip()[-200:]}")
    found = []
    with tarfile.open(sources[0]) as archive:
        for info in archive:
            parts = PurePosixPath(info.name).parts
            if info.isfile() and parts[1:3] == ("Tests", "images"):
                file = archive.extractfile(info)
                assert file is not None
                found.append(("/".join(parts[3:]), file.read()))
    return sorted(found)


@pytest.mark.timeout(300)
def test_every_file_is_scored_or_rejected_with_a_reason(
    corpus: list[tuple[str, bytes]],
    tmp_path: Path,
    rate: Callable[..., RateReport],
    rows: Callable[..., dict[str, pa.Table]],
) -> None:
    assert len(corpus) > 1000
    shards = []
    for start in range(0, len(corpus), PER_SHARD):
        # Every file is offered as an image, whatever its own name says, so that none is passed over.
        part = [
            (f"{start + n:05d}", {"png": data, "name.txt": name.encode()})
            for n, (name, data) in enumerate(corpus[start:][:PER_SHARD])
        ]
        shards.append(str(write_shard(tmp_path / f"{start:05d}.tar", part)))
    report = rate(shards, ["signal"], layout="single", workers=2)
    statuses = report.statuses["signal"]
    assert report.samples == len(corpus)
    assert all(funnel.adds_up for funnel in report.funnels)
    assert sum(statuses.values()) == len(corpus)
    assert statuses["ok"] > 700
    assert statuses["decode_error"] > 50
    assert statuses["too_large"] >= 1
    assert set(statuses) <= {"ok", "decode_error", "too_large", "unsupported_media", "decode_timeout", "decode_crash"}
    failed = rows()["ratings"].filter(pa.compute.not_equal(rows()["ratings"]["status"], "ok"))
    assert all(failed["detail"].to_pylist()), "every failure says why"
    assert failed["value"].null_count == failed.num_rows
