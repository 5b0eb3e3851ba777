"""Read, decode and resize to 224: curate's decode workers against webdataset with a torch DataLoader and Pillow.

Both deliver uint8 pixels (224, 224, 3) of every JPEG to the main process, with two workers. `limit` is what two processes
reach that decode and resize bytes already in their memory and deliver nothing.

    python -m bench --only decoding
"""

from __future__ import annotations

import io
import queue
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from bench.harness import alternate, run_job, table
from bench.photographs import photographs

WORKERS = 2


def _records() -> Iterator[Any]:
    from curate.shards.grouping import Record, read_records

    for shard in photographs():
        yield from (found for found in read_records(str(shard)) if isinstance(found, Record))


def _fast() -> Any:
    from curate.scorers.pixels import preparation
    from curate.shards.resize import Geometry

    return preparation(Geometry(size=224), backend="fast")


def job_curate() -> dict[str, float]:
    from curate.raters import Settings
    from curate.rating.pool import Chunk, Decoded, Pool
    from curate.rating.tasks import Config, Task
    from curate.shards.media import Limits

    config = Config(raters=(), settings=Settings(), preparations=(_fast(),), limits=Limits(), memory_bytes=None)
    answers: queue.Queue[Decoded | BaseException] = queue.Queue()
    pool = Pool(config, workers=WORKERS, seconds_per_sample=30, deliver=answers.put)
    count = 0
    for pass_number in range(2):  # the first pass starts the workers and is not counted
        started, waiting, count = time.perf_counter(), 0, 0
        tasks: list[Task] = []
        media: dict[int, dict[str, bytes]] = {}
        records = _records()
        more = True
        while more or waiting:
            while more and waiting < 4 * WORKERS:
                tasks, media = [], {}
                for number, record in zip(range(16), records, strict=False):
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
        seconds = time.perf_counter() - started
        del pass_number
    pool.close()
    return {"seconds": seconds, "count": count}


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


def _decode_all(part: int) -> tuple[float, int]:
    from curate.shards.media import decode_image

    jpegs = [record.data["jpg"] for number, record in enumerate(_records()) if number % WORKERS == part]
    make = _fast().make
    make(decode_image(jpegs[0]).pixels)
    started = time.perf_counter()
    for jpeg in jpegs:
        make(decode_image(jpeg).pixels)
    return time.perf_counter() - started, len(jpegs)


def job_limit() -> dict[str, float]:
    with ProcessPoolExecutor(WORKERS) as pool:
        done = list(pool.map(_decode_all, range(WORKERS)))
    return {"seconds": max(seconds for seconds, _ in done), "count": sum(count for _, count in done)}


JOBS = {"curate": job_curate, "webdataset": job_webdataset, "limit": job_limit}


def measure(*, rounds: int, rows: int) -> str:
    """The table and the share of the limit; `rows` is for benchmarks of tables."""
    photographs()
    measured = alternate("decoding", list(JOBS), rounds=rounds)
    text = table("Read, decode, resize to 224 (goal: 2.2 x webdataset)", measured, base="webdataset", unit="images")
    share = measured["curate"].rate / measured["limit"].rate
    return f"{text}\nShare of the decode limit of the same cores (goal: 0.9): {share:.2f}\n"


if __name__ == "__main__":
    run_job(JOBS)
