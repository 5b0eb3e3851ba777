"""Read, decode and resize to 224: curate's decode workers against webdataset with a torch DataLoader and Pillow.

Both deliver uint8 pixels (224, 224, 3) of every JPEG to the main process, with two workers. `limit` is what two processes
reach that decode and resize bytes already in their memory and deliver nothing, both at the same time: alone, each would have
the caches, and the clock, of both.

    python -m bench --only decoding
"""

from __future__ import annotations

import io
import multiprocessing
import queue
import statistics
import time
from collections.abc import Iterator
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from typing import TYPE_CHECKING, Any

from bench.harness import alternate, run_job, table
from bench.photographs import photographs

if TYPE_CHECKING:
    from curate.rating.pool import Decoded, Pool

WORKERS = 2

PASSES = 3
"""Over all pictures, counted together: one takes two seconds here, in which a shared machine may do anything."""


def _records() -> Iterator[Any]:
    from curate.shards.grouping import Record, read_records

    for shard in photographs():
        yield from (found for found in read_records(str(shard)) if isinstance(found, Record))


def _fast() -> Any:
    from curate.scorers.pixels import preparation
    from curate.shards.resize import Geometry

    return preparation(Geometry(size=224), backend="fast")


def job_curate() -> dict[str, float]:
    from curate.rater_settings import Settings
    from curate.rating.pool import Pool
    from curate.rating.tasks import Config
    from curate.shards.limits import MediaLimits

    config = Config(raters=(), settings=Settings(), preparations=(_fast(),), limits=MediaLimits(), memory_bytes=None, threads=1)
    answers: queue.Queue[Decoded | BaseException] = queue.Queue()
    pool = Pool(config, workers=WORKERS, seconds_per_sample=30, deliver=answers.put)
    started, count = 0.0, 0
    for number in range(1 + PASSES):  # the first pass starts the workers and is not counted
        if number == 1:
            started, count = time.perf_counter(), 0
        count += _decoded(pool, answers)
    seconds = time.perf_counter() - started
    pool.close()
    return {"seconds": seconds, "count": count}


def _decoded(pool: Pool, answers: queue.Queue[Decoded | BaseException]) -> int:
    """How many pictures of all shards came through the workers, in blocks like those of `curate rate`."""
    from curate.rating.pool import Chunk
    from curate.rating.reader import BLOCK_SAMPLES
    from curate.rating.tasks import Task

    records = _records()
    waiting, count, more = 0, 0, True
    while more or waiting:
        while more and waiting < 4 * WORKERS:
            tasks: list[Task] = []
            media: dict[int, dict[str, bytes]] = {}
            for number, record in zip(range(BLOCK_SAMPLES), records, strict=False):
                tasks.append(Task(number=number, probe=None, media={}, decode=frozenset({"response"}), prepare=(0,)))
                media[number] = {"response": record.data["jpg"]}
            more = bool(tasks)
            if more:
                pool.submit(Chunk(tasks=tasks, media=media))
                waiting += 1
        if waiting:
            answer = answers.get()
            if isinstance(answer, BaseException):
                raise answer
            waiting -= 1
            count += sum(len(outcome.arrays) for outcome in answer.outcomes)
    return count


def _pillow(sample: dict[str, Any]) -> Any:
    """CLIP's geometry with Pillow alone, as the usual scripts have it."""
    import numpy as np
    from PIL import Image

    image = Image.open(io.BytesIO(sample["jpg"])).convert("RGB")
    scale = 224 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    return (np.asarray(image.crop((left, top, left + 224, top + 224))),)


def job_webdataset() -> dict[str, float]:
    import torch
    import webdataset

    torch.set_num_threads(1)
    urls = [str(shard) for shard in photographs()]
    dataset = webdataset.WebDataset(urls, shardshuffle=False).map(_pillow).batched(16)
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=WORKERS, persistent_workers=True)
    seconds, count = 0.0, 0
    for _ in range(2):
        started = time.perf_counter()
        count = sum(len(pixels) for (pixels,) in loader)
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "count": count}


def _decode_all(part: int, together: Barrier, done: SimpleQueue[tuple[float, int]]) -> None:
    from curate.shards.media import decode_image

    jpegs = [record.data["jpg"] for number, record in enumerate(_records()) if number % WORKERS == part]
    make = _fast().make
    make(decode_image(jpegs[0]).pixels)
    together.wait()
    started = time.perf_counter()
    for _ in range(PASSES):
        for jpeg in jpegs:
            make(decode_image(jpeg).pixels)
    done.put((time.perf_counter() - started, PASSES * len(jpegs)))


def job_limit() -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    together, done = context.Barrier(WORKERS), context.SimpleQueue()
    processes = [context.Process(target=_decode_all, args=(part, together, done)) for part in range(WORKERS)]
    for process in processes:
        process.start()
    parts = [done.get() for _ in processes]
    for process in processes:
        process.join()
    return {"seconds": max(seconds for seconds, _ in parts), "count": sum(count for _, count in parts)}


JOBS = {"webdataset": job_webdataset, "curate": job_curate, "limit": job_limit}


def measure(*, rounds: int, rows: int) -> str:
    """The table and the share of the limit; `rows` is for benchmarks of tables."""
    photographs()
    measured = alternate("decoding", list(JOBS), rounds=rounds)
    text = table("Read, decode, resize to 224 (goal: 2.2 x webdataset)", measured, base="webdataset", unit="images")
    # Of each round by itself: its two runs follow each other, so a machine that slows down meets both.
    shares = [limit / curate for curate, limit in zip(measured["curate"].seconds, measured["limit"].seconds, strict=True)]
    said = f"{statistics.median(shares):.2f}, of {min(shares):.2f} to {max(shares):.2f}"
    return f"{text}\nShare of the decode limit of the same cores (goal: 0.9): {said}\n"


if __name__ == "__main__":
    run_job(JOBS)
