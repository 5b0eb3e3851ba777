"""Four scorers in one run, over one decode, against a run for each; and one text pass for all candidates of a prompt.

The towers are random ones of true architecture (ViT, 3 layers of 384, patches of 32), since weights change no time. `forwards` is
the four networks alone on pictures that lie prepared in memory, `decode` reading, decoding and the four resizes alone: what the
run has to do at least is their sum.

    python -m bench --only scoring
"""

from __future__ import annotations

import json
import queue
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from bench.harness import alternate, run_job, table
from bench.photographs import photographs

SIDES = (224, 256, 352, 384)
PICTURES = 480
"""So many that starting the decode workers does not decide the ratio."""
CANDIDATES = 8


def _folder() -> Path:
    return Path(tempfile.gettempdir()) / "curate-bench-scoring-4"


def _make() -> dict[str, float]:
    """The towers' weights, their cards, and shards with a prompt for each picture and with one for eight; once."""
    from safetensors.torch import save_file

    from curate.scorers.libraries import import_open_clip
    from curate.testing import write_shard

    folder = _folder()
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _know_architectures()
        for side in SIDES:
            model = import_open_clip().create_model(f"bench-{side}")
            save_file({name: one.contiguous() for name, one in model.state_dict().items()}, folder / f"{side}.safetensors")
            (folder / f"{side}.yaml").write_text(yaml.safe_dump(_card(side)))
        for candidates in (1, CANDIDATES):
            records = list(_records())[:PICTURES]
            write_shard(
                folder / f"prompts-{candidates}.tar",
                [
                    (f"{number:06d}", {"jpg": one.data["jpg"], "txt": f"a photograph, number {number // candidates}".encode()})
                    for number, one in enumerate(records)
                ],
            )
        (folder / "done").touch()
    return {"seconds": 0.0, "count": 0}


def _records() -> Any:
    from curate.shards.grouping import Record, read_records

    return (found for shard in photographs() for found in read_records(str(shard)) if isinstance(found, Record))


def _card(side: int) -> dict[str, object]:
    return {
        "name": f"bench-{side}",
        "version": 1,
        "about": "random towers",
        "target": "curate.scorers.towers.clip:Similarity",
        "args": {"library": "open_clip", "model": f"bench-{side}", "preprocess": {"size": side, "backend": "fast"}},
        "takes": {"prompt": "required"},
        "dimensions": {"fit": {}},
        "main": "fit",
        "weights": {"model": {"path": f"{side}.safetensors"}},
    }


def _know_architectures() -> None:
    """Tell OpenCLIP of the towers; in each process, before their weights are read."""
    from curate.scorers.libraries import import_open_clip

    for side in SIDES:
        vision = {"image_size": side, "layers": 3, "width": 384, "patch_size": 32, "head_width": 64}
        text = {"context_length": 77, "vocab_size": 49408, "width": 256, "heads": 4, "layers": 2}
        path = _folder() / f"bench-{side}.json"
        path.write_text(json.dumps({"embed_dim": 256, "vision_cfg": vision, "text_cfg": text}))
        import_open_clip().add_model_config(path)


def _raters() -> list[Any]:
    """The four raters, loaded: as long as they are held, runs in this process share their towers."""
    from curate.cards import load_card
    from curate.rater_loading import load_rater

    _know_architectures()
    return [load_rater(load_card(str(_folder() / f"{side}.yaml"))) for side in SIDES]


def _rate(sides: Sequence[int], shard: str) -> int:
    import curate

    with tempfile.TemporaryDirectory(dir=_folder()) as store:
        cards = [str(_folder() / f"{side}.yaml") for side in sides]
        return curate.rate([str(_folder() / shard)], raters=cards, store=Path(store) / "store").computed


def _forget(raters: Sequence[Any]) -> None:
    for rater in raters:
        rater.close()


def job_together() -> dict[str, float]:
    raters = _raters()
    _rate(SIDES[:1], "prompts-1.tar")
    _forget(raters)
    started = time.perf_counter()
    count = _rate(SIDES, "prompts-1.tar")
    return {"seconds": time.perf_counter() - started, "count": count}


def job_separate() -> dict[str, float]:
    raters = _raters()
    _rate(SIDES[:1], "prompts-1.tar")
    _forget(raters)
    started = time.perf_counter()
    count = sum(_rate([side], "prompts-1.tar") for side in SIDES)
    return {"seconds": time.perf_counter() - started, "count": count}


def job_forwards() -> dict[str, float]:
    from curate.scorers.pictures import items_of
    from curate.shards.media import decode_image

    raters = _raters()
    pictures = [decode_image(one.data["jpg"]).pixels for one in list(_records())[:PICTURES]]
    for number, pixels in enumerate(pictures):
        pixels[0, 0] = (*divmod(number, 256), 0)  # the photographs come again, and a tower remembers what it has seen
    prompts = [f"a photograph, number {number}" for number in range(PICTURES)]
    seconds, count = 0.0, 0
    for rater in raters:
        items = list(items_of(rater.card, rater.preparations, pictures, prompts, {}))
        started = time.perf_counter()
        count += sum(1 for _ in rater.judge(items))
        seconds += time.perf_counter() - started
    return {"seconds": seconds, "count": count}


def job_decode() -> dict[str, float]:
    """Reading, decoding and the four resizes by two decode workers; the time to start them is not counted."""
    from curate.rater_settings import Settings
    from curate.rating.pool import Chunk, Decoded, Pool
    from curate.rating.tasks import Config, Task
    from curate.shards.limits import MediaLimits

    preparations = tuple(one for rater in _raters() for one in rater.preparations)
    config = Config(raters=(), settings=Settings(), preparations=preparations, limits=MediaLimits(), memory_bytes=None, threads=1)
    answers: queue.Queue[Decoded | BaseException] = queue.Queue()
    pool = Pool(config, workers=2, seconds_per_sample=30, deliver=answers.put)
    seconds = 0.0
    for pictures in (16, PICTURES):
        started = time.perf_counter()
        records = list(_records())[:pictures]
        for first in range(0, pictures, 16):
            numbers = range(first, min(first + 16, pictures))
            wanted = tuple(range(len(preparations)))
            tasks = [Task(number=n, probe=None, media={}, decode=frozenset({"response"}), prepare=wanted) for n in numbers]
            pool.submit(Chunk(tasks=tasks, media={n: {"response": records[n].data["jpg"]} for n in numbers}))
        for _ in range(0, pictures, 16):
            answer = answers.get()
            if isinstance(answer, BaseException):
                raise answer
        seconds = time.perf_counter() - started
    pool.close()
    return {"seconds": seconds, "count": PICTURES * len(SIDES)}


def job_prompts(candidates: int) -> dict[str, float]:
    """One scorer; counts the texts that go through its text tower."""
    raters = _raters()[:1]
    _rate(SIDES[:1], "prompts-1.tar")
    _forget(raters)
    library = raters[0]._towers._library
    texts = 0
    embed = library.embed_texts

    def counting(some: Sequence[str]) -> Any:
        nonlocal texts
        texts += len(some)
        return embed(some)

    library.embed_texts = counting
    started = time.perf_counter()
    _rate(SIDES[:1], f"prompts-{candidates}.tar")
    return {"seconds": time.perf_counter() - started, "count": texts}


JOBS: dict[str, Callable[[], Mapping[str, float]]] = {
    "make": _make,
    "together": job_together,
    "separate": job_separate,
    "forwards": job_forwards,
    "decode": job_decode,
    "a prompt each": partial(job_prompts, 1),
    "a prompt for eight": partial(job_prompts, CANDIDATES),
}


def measure(*, rounds: int, rows: int) -> str:
    """The tables and the two ratios; `rows` is for benchmarks of tables."""
    from bench.harness import job

    photographs()
    job("scoring", "make")
    four = alternate("scoring", ["separate", "together", "forwards", "decode"], rounds=rounds)
    texts = alternate("scoring", ["a prompt each", "a prompt for eight"], rounds=rounds)
    # Of each round by itself: its runs follow each other, so a machine that slows down meets all of them.
    rounds_of = zip(four["together"].seconds, four["forwards"].seconds, four["decode"].seconds, strict=True)
    ratios = [together / (forwards + decode) for together, forwards, decode in rounds_of]
    said = f"{statistics.median(ratios):.2f}, of {min(ratios):.2f} to {max(ratios):.2f}"
    each, shared = texts["a prompt each"].median, texts["a prompt for eight"].median
    return "\n".join(
        [
            table(f"Four scorers on {PICTURES} photographs", four, base="separate", unit="ratings"),
            f"A run with four scorers over the four forwards and one decode (goal: at most 1.15): {said}.",
            "",
            table("Texts through the text tower, one scorer", texts, base="a prompt each", unit="texts"),
            f"Where {CANDIDATES} pictures share a prompt, {PICTURES} pictures are {each / shared:.2f} x faster.",
            "",
        ]
    )


if __name__ == "__main__":
    run_job(JOBS)
