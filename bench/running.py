"""What a run costs beside its raters: starting a finished run again, and memory over a long one.

python -m bench --only running
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.harness import job, run_job
from curate.testing import card_yaml, write_shard

NOTE_EVERY = 2_000
"""Samples between two looks at the memory."""


def _shards(folder: Path, shards: int, records: int) -> None:
    """Shards of short texts: nothing to decode, so that only the machinery is measured."""
    folder.mkdir(parents=True)
    for shard in range(shards):
        items = [(f"{number:06d}", {"txt": f"text {shard} {number}".encode()}) for number in range(records)]
        write_shard(folder / f"{shard:05d}.tar", items)


def _layout(folder: Path) -> str:
    path = folder / "texts.yaml"
    path.write_text("name: texts\nabout: one text a record, judged by itself\nresponses: [txt]\nmeta: []\n")
    return str(path)


def _rate(folder: Path, card: Path, layout: str, on_progress: Callable[[object], None] | None = None) -> int:
    from curate import api

    report = api.rate(
        [str(folder / "shards" / "*.tar")],
        raters=[str(card)],
        store=str(folder / "store"),
        layout=layout,
        workers=1,
        on_progress=on_progress,
    )
    return report.samples


def job_resume(folder: Path, shards: int = 1000) -> dict[str, float]:
    _shards(folder / "shards", shards, 5)
    card = card_yaml(folder / "hash.yaml", name="hash", target="curate.testing:HashRater", takes={"response": "any"})
    layout = _layout(folder)
    _rate(folder, card, layout)
    started = time.perf_counter()
    _rate(folder, card, layout)
    return {"seconds": time.perf_counter() - started, "count": shards}


def job_memory(folder: Path, samples: int = 1_000_000) -> dict[str, float]:
    """How resident memory grows over the second half of a long run, when every buffer has its size."""
    _shards(folder / "shards", samples // 10_000, 10_000)
    card = card_yaml(folder / "nothing.yaml", name="nothing", target="curate.testing:HashRater", takes={"response": "any"})
    seen: list[tuple[int, float]] = []

    def watch(progress: object) -> None:
        # Few enough that what is noted here does not grow beside what is measured.
        if seen and progress.samples_done < seen[-1][0] + NOTE_EVERY:  # type: ignore[attr-defined]
            return
        with Path("/proc/self/statm").open() as statm:
            resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        seen.append((progress.samples_done, resident))  # type: ignore[attr-defined]

    started = time.perf_counter()
    count = _rate(folder, card, _layout(folder), watch)
    seconds = time.perf_counter() - started
    half = [(done, resident) for done, resident in seen if done >= count / 2]
    mean_done = sum(done for done, _ in half) / len(half)
    mean_resident = sum(resident for _, resident in half) / len(half)
    slope = sum((d - mean_done) * (r - mean_resident) for d, r in half) / sum((d - mean_done) ** 2 for d, _ in half)
    return {"seconds": seconds, "count": count, "slope": slope * 100_000}


JOBS = {"resume": job_resume, "memory": job_memory}


def measure(*, rounds: int, rows: int) -> str:
    """One run of each; `rounds` and `rows` are for benchmarks that compare variants."""
    resume, memory = job("running", "resume"), job("running", "memory")
    return (
        "### What a run costs beside its raters\n\n"
        f"- starting a finished run over {resume['count']:,} shards again: {resume['seconds']:.2f} s (goal: under 2)\n"
        f"- {memory['count']:,} samples through a rater that does nothing: {memory['count'] / memory['seconds']:,.0f} samples/s, "
        f"peak {memory['peak_mib']:.0f} MiB, slope {memory['slope']:.2f} MiB per 100,000 samples in the second half\n"
    )


def _in_a_folder(measured: Callable[[Path], dict[str, float]]) -> dict[str, float]:
    folder = Path(tempfile.mkdtemp(prefix="curate-bench-"))
    try:
        return measured(folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    run_job({name: partial(_in_a_folder, one) for name, one in JOBS.items()})
