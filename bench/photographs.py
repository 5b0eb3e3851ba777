"""Shards of photographs to measure on: distinct JPEGs of about half a megapixel, cut from the photographs in scikit-image
and scikit-learn. Made once in a cache folder; the same seed gives the same bytes."""

from __future__ import annotations

import io
import json
import random
import tempfile
from pathlib import Path

from curate.testing import write_shard

SHARDS = 4
RECORDS = 500
DISTINCT = 250


def photographs() -> list[Path]:
    """The shards, made on the first call: a JPEG, a caption and a JSON side file in each record."""
    folder = Path(tempfile.gettempdir()) / "curate-bench-photographs-1"
    shards = [folder / f"{number:03d}.tar" for number in range(SHARDS)]
    if all(shard.exists() for shard in shards):
        return shards
    folder.mkdir(parents=True, exist_ok=True)
    images = _jpegs(random.Random(0))
    for number, shard in enumerate(shards):
        aside = shard.with_suffix(".aside")
        write_shard(aside, [_record(number * RECORDS + i, images) for i in range(RECORDS)])
        aside.rename(shard)
    return shards


def _record(number: int, images: list[bytes]) -> tuple[str, dict[str, bytes]]:
    # Bytes behind the end of a JPEG change its identity and not its picture, so that every sample is a different one.
    image = images[number % len(images)] + number.to_bytes(4, "big")
    side = json.dumps({"number": number, "width": 832, "height": 640}).encode()
    return f"{number:08d}", {"jpg": image, "txt": f"photograph number {number}".encode(), "json": side}


def _jpegs(random_: random.Random) -> list[bytes]:
    from PIL import Image
    from skimage import data
    from sklearn.datasets import load_sample_images

    sources = [
        data.astronaut(),
        data.chelsea(),
        data.coffee(),
        data.rocket(),
        data.stereo_motorcycle()[0],
        *load_sample_images().images,
    ]
    images = []
    for number in range(DISTINCT):
        source = Image.fromarray(sources[number % len(sources)]).convert("RGB")
        share = random_.uniform(0.55, 1.0)
        width, height = int(source.width * share), int(source.height * share)
        left, top = random_.randint(0, source.width - width), random_.randint(0, source.height - height)
        cut = source.crop((left, top, left + width, top + height)).resize((832, 640), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        cut.save(out, "JPEG", quality=random_.randint(78, 92), subsampling=2 if random_.random() < 0.8 else 0)
        images.append(out.getvalue())
    return images
