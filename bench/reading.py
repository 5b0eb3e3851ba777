"""Reading shards: curate's records against webdataset's samples, every payload as bytes.

python -m bench.reading [--rounds 5]
"""

from __future__ import annotations

import argparse
import time

from bench.harness import alternate, report_job, table
from bench.photographs import photographs


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
    return job_count()


def job_count() -> int:
    from bench.photographs import RECORDS, SHARDS

    return SHARDS * RECORDS


JOBS = {"curate": job_curate, "webdataset": job_webdataset, "cat": job_cat}


def main() -> str:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--job", choices=JOBS)
    options = parser.parse_args()
    photographs()
    if options.job:
        JOBS[options.job]()  # once to warm the page cache and the imports
        started = time.perf_counter()
        count = JOBS[options.job]()
        report_job(time.perf_counter() - started, count)
        return ""
    measured = alternate("reading", list(JOBS), rounds=options.rounds)
    return table("Reading shards (goal: 4 x webdataset)", measured, base="webdataset", unit="samples")


if __name__ == "__main__":
    print(main())
