"""`kill -9` at random moments of a rate-then-pair run: every rerun ends with the tables of an undisturbed one.

20 kills in the ordinary tests, 200 more with `make soak`.
"""

from __future__ import annotations

import io
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from curate.store import Store
from curate.testing import card_yaml, write_shard

SHARDS = 20
TABLES = ("samples", "ratings", "rejects", "comparisons")

RUN = """
import sys
from pathlib import Path
from curate import api

folder, card = Path(sys.argv[1]), sys.argv[2]
shards = [str(folder.parent / "shards" / "*.tar")]
judge = str(Path(card).with_name("judge.yaml"))
api.rate(shards, raters=["signal", card, judge], store=str(folder / "store"), workers=1)
api.pair(str(folder / "store"), by="z(signal) + hash", strategy="all", format="diffusers-dpo", out=str(folder / "dpo"))
print("finished")
"""


def _png(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((48, 40), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 shards of 12 images, three for each prompt; some images broken, one prompt shared between shards."""
    place = tmp_path_factory.mktemp("kill")
    (place / "shards").mkdir()
    for shard in range(SHARDS):
        records = []
        for number in range(12):
            seed = shard * 12 + number
            data = b"not an image" if seed % 50 == 7 else _png(seed)
            prompt = "shared by all" if number >= 9 else f"prompt {shard}-{number // 3}"
            records.append((f"{number:04d}", {"png": data, "txt": prompt.encode()}))
        write_shard(place / "shards" / f"{shard:03d}.tar", records)
    card_yaml(place / "judge.yaml", name="judge", target="curate.testing:HashJudge", judges="pairs")
    card_yaml(place / "hash.yaml", name="hash", target="curate.testing:HashRater", args={"fail": 0.05, "seconds": 0.002})
    return place


def _start(workplace: Path, name: str) -> subprocess.Popen[str]:
    (workplace / name).mkdir(exist_ok=True)
    command = [sys.executable, "-c", RUN, str(workplace / name), str(workplace / "hash.yaml")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _finish(workplace: Path, name: str) -> None:
    process = _start(workplace, name)
    said, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, complaint
    assert said.strip().endswith("finished")


def _tables(workplace: Path, name: str) -> dict[str, pa.Table]:
    store = Store.open(workplace / name / "store")
    tables = {kind: store.export_rows(kind) for kind in TABLES}
    assert store.verify() == []
    return tables


def _export(workplace: Path, name: str) -> dict[str, bytes]:
    folder = workplace / name / "dpo"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.soak)])
def test_a_run_killed_at_any_moment_ends_with_the_rows_of_an_undisturbed_one(workplace: Path, kills: int) -> None:
    started = time.monotonic()
    _finish(workplace, f"undisturbed-{kills}")
    length = time.monotonic() - started
    expected, pairs = _tables(workplace, f"undisturbed-{kills}"), _export(workplace, f"undisturbed-{kills}")
    assert expected["samples"].num_rows == SHARDS * 12
    assert pairs

    random_ = random.Random(kills)
    remaining, interrupted, attempt = kills, 0, 0
    while remaining > 0:
        attempt += 1
        name = f"killed-{kills}-{attempt}"
        # Several kills in a row before the run that is let through, as on a machine that is taken away again and again.
        for _ in range(min(random_.choice([1, 2, 3]), remaining)):
            remaining -= 1
            process = _start(workplace, name)
            time.sleep(random_.uniform(0.1, length))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            interrupted += process.returncode == -signal.SIGKILL
        if not (workplace / name / "dpo").exists():  # a finished export is refused a second time, and compared all the same
            _finish(workplace, name)
        for kind, table in _tables(workplace, name).items():
            assert table.equals(expected[kind]), f"{kind} differ after {name}"
        assert _export(workplace, name) == pairs
    assert interrupted >= kills // 2, "most kills have to fall into a run, or this shows nothing"
