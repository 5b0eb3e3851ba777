"""Reading shards: curate's records against webdataset's samples, every payload as bytes.

python -m bench --only reading
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from bench.harness import alternate, run_job, table
from bench.photographs import RECORDS, SHARDS, photographs

PASSES = 5
"""Counted runs over all shards in one process."""


def job_curate() -> int:
    from curate.shards.grouping import Record, read_records

    return sum(isinstance(found, Record) for shard in photographs() for found in read_records(str(shard)))


def job_webdataset() -> int:
    import webdataset

    dataset = webdataset.WebDataset([str(shard) for shard in photographs()], shardshuffle=False)
    return sum(1 for _ in dataset)


def job_cat() -> int:
    """The limit: the same bytes, not looked at."""
    for shard in photographs():
        with shard.open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass
    return SHARDS * RECORDS


JOBS = {"curate": job_curate, "webdataset": job_webdataset, "cat": job_cat}


def measure(*, rounds: int, rows: int) -> str:
    """The table; `rows` is for benchmarks of tables."""
    photographs()
    measured = alternate("reading", list(JOBS), rounds=rounds)
    return table("Reading shards (goal: 4 x webdataset)", measured, base="webdataset", unit="samples")


def _warm(job: Callable[[], int]) -> dict[str, float]:
    """Several runs, after one that warms the page cache and the imports: one alone takes less than a disturbance lasts."""
    job()
    started = time.perf_counter()
    count = sum(job() for _ in range(PASSES))
    return {"seconds": time.perf_counter() - started, "count": count}


if __name__ == "__main__":
    run_job({name: partial(_warm, job) for name, job in JOBS.items()})
