"""Asking a server as fast as it answers: 64 slots of 20 ms each, so 3,200 answers a second at best, on the same two cores.

    python -m bench --only client [--rounds 5]

Goal: 90 % of that, with 5 % faults as well, in bounded memory. Each ask is for a label distribution; with pictures, each shows
one of 50 kB that no other ask shows. What aiohttp reaches alone says what the machine allows at that moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

from bench.harness import ROOT, alternate, run_job
from curate.asks import Ask, Label, Picture, Reply, Turn

SLOTS = 64
SECONDS = 0.02
IDEAL = SLOTS / SECONDS

IN_FLIGHT = 80
"""A few more than there are slots: what is on its way keeps none of them waiting."""

ASKS = 20_000
WARM_UP = 2_000

PICTURE_BYTES = 50_000

LABELS = (Label(name="yes", spellings=("Yes", "yes")), Label(name="no", spellings=("No", "no")))


@contextlib.contextmanager
def _server(faults: float) -> Iterator[str]:
    """A server in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "bench.slot_server",
        "--slots",
        str(SLOTS),
        "--seconds",
        str(SECONDS),
        "--faults",
        str(faults),
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


def _asks(count: int, pictures: bool) -> Iterator[Ask]:
    """One after the other, as a run makes them."""
    noise = random.Random(0).randbytes(PICTURE_BYTES)
    for number in range(count):
        text = f"Does the picture show what was asked for: {number} red balloons over a city? Answer yes or no."
        shown: tuple[Picture, ...] = ()
        if pictures:
            shown = (Picture(data=number.to_bytes(8) + noise, mime="image/jpeg", width=512, height=512),)
        yield Ask(turns=(Turn(role="user", parts=(*shown, text)),), labels=LABELS, seed=number)


def job(faults: float = 0.0, pictures: bool = False, in_flight: int = IN_FLIGHT) -> dict[str, float]:
    """Answers from the first after the warm-up until there are no more asks to add; what is left then is answered, not timed."""
    from curate.client.backend import ServerBackend
    from curate.serving import Serving

    with _server(faults) as url:
        backend = ServerBackend(Serving(url=url, concurrency=in_flight, canary=False))
        asks = enumerate(_asks(ASKS, pictures))
        answered = waiting = tries = 0
        began = ended = (0.0, 0)
        while True:
            new = list(islice(asks, backend.slots - waiting))
            if not new and not ended[0]:
                ended = (time.perf_counter(), answered)
            if not new and not waiting:
                break
            backend.put(new)
            answers = backend.get()
            assert all(isinstance(answer, Reply) for _, answer in answers)
            waiting += len(new) - len(answers)
            answered += len(answers)
            tries += sum(answer.usage.requests for _, answer in answers)
            if answered >= WARM_UP and not began[0]:
                began = (time.perf_counter(), answered)
        backend.close()
    return {"seconds": ended[0] - began[0], "count": ended[1] - began[1], "again": tries / ASKS - 1}


def job_bare() -> dict[str, float]:
    """What any client reaches on this machine beside that server: aiohttp and nothing else, one body for all, answers unread."""
    return asyncio.run(_bare())


async def _bare() -> dict[str, float]:
    import aiohttp

    body = json.dumps({"model": "slots", "messages": [{"role": "user", "content": "word " * 40}], "logprobs": True}).encode()
    headers = {"Content-Type": "application/json", "X-Request-Id": "bare"}
    numbers = iter(range(ASKS))
    began = (0.0, 0)

    async def ask(session: aiohttp.ClientSession, url: str) -> None:
        nonlocal began
        for number in numbers:
            async with session.post(f"{url}/chat/completions", data=body, headers=headers) as response:
                await response.read()
            if number == WARM_UP:
                began = (time.perf_counter(), number)

    with _server(0.0) as url:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(ask(session, url) for _ in range(IN_FLIGHT)))
        ended = time.perf_counter()
    return {"seconds": ended - began[0], "count": ASKS - began[1]}


BARE = "aiohttp alone"

JOBS: dict[str, Callable[[], dict[str, float]]] = {
    BARE: job_bare,
    "texts": job,
    "texts, 5 % faults": partial(job, faults=0.05),
    "pictures": partial(job, pictures=True),
    "pictures, 5 % faults": partial(job, faults=0.05, pictures=True),
    "texts, 64 in flight": partial(job, in_flight=SLOTS),
}


def measure(*, rounds: int, rows: int) -> str:
    """A table; `rows` is for benchmarks that select."""
    measured = alternate("client", list(JOBS), rounds=rounds)
    lines = [
        f"### Asking a server of {SLOTS} slots and {SECONDS * 1000:.0f} ms, ideally {IDEAL:,.0f} answers a second",
        "",
        "| variant | s min / median / max | answers/s | of the ideal | of aiohttp alone | peak MiB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in measured.values():
        spread = f"{min(one.seconds):.2f} / {one.median:.2f} / {max(one.seconds):.2f}"
        shares = f"{one.rate / IDEAL:.1%} | {one.rate / measured[BARE].rate:.1%}"
        lines.append(f"| {one.name} | {spread} | {one.rate:,.0f} | {shares} | {one.peak_mib:,.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_job(JOBS)
