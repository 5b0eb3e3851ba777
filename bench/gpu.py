"""Picture towers on a GPU: how much of its peak the forward pass reaches, how much of that a rater keeps, and whether bfloat16
there ranks pictures as float32 does on the CPU.

    python -m bench --only gpu

Goals: 60 % of the dense bfloat16 peak for the forward pass alone, at batch 256; a rater that is given decoded pictures at 90 % of
the forward pass's rate; rank correlation of at least 0.999. Weights are random ones of true architecture, since weights change no
time; for the ranking, which they do change, `CURATE_BENCH_CARD` names a rater whose weights are at hand.

`CURATE_BENCH_DEVICE=cpu CURATE_BENCH_TOWERS=ViT-B-32 CURATE_BENCH_BATCH=4` tries all of it without a GPU.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from bench.harness import alternate, job, run_job
from bench.photographs import photographs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.cards import CardFile

TOWERS = os.environ.get("CURATE_BENCH_TOWERS", "ViT-L-14,ViT-H-14").split(",")
DEVICE = os.environ.get("CURATE_BENCH_DEVICE", "cuda:0")
BATCH = int(os.environ.get("CURATE_BENCH_BATCH", "256"))
BATCHES = 40
RANKED = 256
"""Photographs whose order is compared."""

PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "RTX 4090": 165e12}
"""Dense bfloat16 operations a second by the makers' data sheets, of the SXM forms, by a part of the device's name."""


def _folder() -> Path:
    return Path(tempfile.gettempdir()) / "curate-bench-gpu-1"


def _card(tower: str, dtype: str) -> CardFile:
    """The card of a tower with random weights, which are made on the first call."""
    import torch
    from safetensors.torch import save_file

    from curate.cards import load_card
    from curate.scorers.libraries import import_open_clip

    weights = _folder() / f"{tower}.safetensors"
    if not weights.exists():
        torch.manual_seed(0)
        weights.parent.mkdir(parents=True, exist_ok=True)
        model = import_open_clip().create_model(tower)
        save_file({name: one.contiguous() for name, one in model.state_dict().items()}, weights)
    path = _folder() / f"{tower}-{dtype}.yaml"
    document = {
        "name": path.stem.lower(),
        "version": 1,
        "about": "random towers",
        "target": "curate.scorers.towers.clip:Similarity",
        "args": {"library": "open_clip", "model": tower, "dtype": dtype, "preprocess": {"size": 224}},
        "takes": {"prompt": "required"},
        "dimensions": {"similarity": {}},
        "main": "similarity",
        "weights": {"model": {"path": weights.name}},
    }
    path.write_text(yaml.safe_dump(document))
    return load_card(str(path))


def _rater(file: CardFile, device: str) -> Any:
    from curate.rater_loading import load_rater
    from curate.rater_settings import Settings

    return load_rater(file, Settings(device=device, batch_size=BATCH))


def _done() -> None:
    """Wait for the device."""
    import torch

    if DEVICE != "cpu":
        torch.cuda.synchronize(DEVICE)


def job_make(tower: str) -> dict[str, float]:
    """The weights, and how many operations a picture takes."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    library = _rater(_card(tower, "float32"), "cpu")._towers._library
    torch.backends.mha.set_fastpath_enabled(False)  # it would hide its products from the counter
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        library.embed_images(torch.zeros(1, 3, 224, 224))
    return {"seconds": 0.0, "count": 1, "operations": float(counter.get_total_flops())}


def job_forward(tower: str) -> dict[str, float]:
    """The picture tower on pixels that lie on the device."""
    import torch

    library = _rater(_card(tower, "bfloat16"), DEVICE)._towers._library
    pixels = torch.rand(BATCH, 3, 224, 224, device=DEVICE)
    with torch.no_grad():
        for number in range(5 + BATCHES):
            if number == 5:
                _done()
                started = time.perf_counter()
            library.embed_images(pixels)
        _done()
    return {"seconds": time.perf_counter() - started, "count": BATCHES * BATCH}


def job_rater(tower: str) -> dict[str, float]:
    """The rater on pictures that decode workers have prepared, each another one, with one prompt: scores come out."""
    import numpy as np

    rater = _rater(_card(tower, "bfloat16"), DEVICE)
    noise = np.random.default_rng(0).integers(0, 256, (BATCH, 224, 224, 3), dtype=np.uint8)
    list(rater.judge(_items(rater, noise, 3)))
    _done()
    started = time.perf_counter()
    count = sum(judgement.values["similarity"].value is not None for judgement in rater.judge(_items(rater, noise, BATCHES)))
    return {"seconds": time.perf_counter() - started, "count": count}


def _items(rater: Any, pixels: NDArray[np.uint8], times: int) -> Iterator[Any]:
    """The same pixels again and again, each time of another name, so that nothing is remembered of them."""
    from curate.raters import Item
    from curate.records import Media, Sample

    preparation = rater.preparations[0]
    for number in range(times * len(pixels)):
        response = (Media(kind="image", digest=f"{time.perf_counter_ns():032x}{number:032x}"),)
        sample = Sample(
            id=f"{number:032x}", group="0" * 32, shard="s", key=str(number), index=0, prompt="a lighthouse", response=response
        )
        prepared = {(preparation.role, preparation.name): pixels[number % len(pixels)]}
        yield Item(number=number, samples=(sample,), prepared=(prepared,))


def job_ranks(tower: str) -> dict[str, float]:
    """Spearman's rank correlation of the device's scores in bfloat16 with the CPU's in float32, on photographs."""
    import numpy as np

    from curate.cards import load_card

    named = os.environ.get("CURATE_BENCH_CARD")
    started = time.perf_counter()
    ranks = []
    for device, dtype in (("cpu", "float32"), (DEVICE, "bfloat16")):
        rater = _rater(_typed(load_card(named), dtype) if named else _card(tower, dtype), device)
        pictures = _pictures()
        scores = rater.score(pictures, ["a photograph of a city by the sea"] * len(pictures))[:, 0].numpy()
        ranks.append(np.argsort(np.argsort(scores)).tolist())
    correlation = float(np.corrcoef(ranks[0], ranks[1])[0, 1])
    return {"seconds": time.perf_counter() - started, "count": RANKED, "correlation": correlation}


def _typed(file: CardFile, dtype: str) -> CardFile:
    """A card that computes in another precision."""
    return file.model_copy(update={"card": file.card.model_copy(update={"args": {**file.card.args, "dtype": dtype}})})


def _pictures() -> Sequence[bytes]:
    from curate.shards.grouping import Record, read_records

    found = (record for shard in photographs() for record in read_records(str(shard)) if isinstance(record, Record))
    return [record.data["jpg"] for record, _ in zip(found, range(RANKED), strict=False)]


def _jobs(tower: str) -> dict[str, Any]:
    kinds = {"make": job_make, "forward": job_forward, "rater": job_rater, "ranks": job_ranks}
    return {f"{tower} {kind}": partial(work, tower) for kind, work in kinds.items()}


JOBS = {name: work for tower in TOWERS for name, work in _jobs(tower).items()}


def measure(*, rounds: int, rows: int) -> str:
    """A table for the towers; `rows` is for benchmarks of tables. Exits where there is no GPU."""
    device = _device_name()
    peak = next((peak for part, peak in PEAKS.items() if part in device), None)
    photographs()
    lines = [
        f"### Picture towers on {device}, batch {BATCH}, bfloat16 (goals: 60 % of the peak, 90 % of the forward pass, 0.999)",
        "",
        "| tower | forward, pictures/s | TFLOP/s | of the peak | rater, pictures/s | of the forward pass | rank correlation |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for tower in TOWERS:
        operations = job("gpu", f"{tower} make")["operations"]
        measured = alternate("gpu", [f"{tower} forward", f"{tower} rater"], rounds=rounds)
        forward, rater = (one.rate for one in measured.values())
        share = f"{forward * operations / peak:.0%}" if peak else "unknown"
        correlation = job("gpu", f"{tower} ranks")["correlation"]
        lines.append(
            f"| {tower} | {forward:,.0f} | {forward * operations / 1e12:,.1f} | {share} | {rater:,.0f} | {rater / forward:.0%} "
            f"| {correlation:.4f} |"
        )
    return "\n".join(lines) + "\n"


def _device_name() -> str:
    import torch

    if DEVICE == "cpu":
        return "the CPU"
    if not torch.cuda.is_available():
        raise SystemExit("the benchmark gpu needs a CUDA device, and there is none here")
    return torch.cuda.get_device_name(DEVICE)


if __name__ == "__main__":
    run_job(JOBS)
