"""What the tests of checks share: findings without what every folder has, and pictures and tables with a defect."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from curate.checking import Finding, check

Row = dict[str, Any]


def findings(folder: Path, name: str | None = None) -> list[Finding]:
    return [found for found in check(folder, format=name) if found.rule not in {"guessed-format", "unequal-extensions"}]


def rules(folder: Path, name: str | None = None) -> set[str]:
    return {found.rule for found in findings(folder, name)}


def edited(folder: Path, edit: Callable[[list[Row]], Any], schema: pa.Schema | None = None, split: str = "train") -> Path:
    """Change the rows of a split in place."""
    (path,) = folder.glob(f"{split}-*.parquet")
    table = pq.read_table(path)
    rows = table.to_pylist()
    edit(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema or table.schema), path)
    return folder


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def re_encoded(data: bytes) -> bytes:
    """The same pixels in other bytes."""
    return png(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def nearly(data: bytes) -> bytes:
    """A picture that differs by a little everywhere, as after another encoder."""
    return png(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) ^ 1)


def turned(data: bytes) -> bytes:
    """The same pixels with an EXIF tag that asks for a rotation."""
    image, out = Image.open(io.BytesIO(data)).convert("RGB"), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(out, "JPEG", exif=exif)
    return out.getvalue()


def half_transparent(data: bytes, *, hidden: int = 0) -> bytes:
    """The picture with its upper half transparent, and other colours `hidden` behind it."""
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    alpha = np.full(pixels.shape[:2], 255, np.uint8)
    alpha[: len(alpha) // 2] = 0
    return png(np.dstack([np.where(alpha[..., None], pixels, pixels ^ hidden), alpha]))


def sixteen_bit(seed: int) -> bytes:
    return png(np.random.default_rng(seed).integers(300, 65535, (48, 72)).astype(np.uint16))


def setting(**fields: Any) -> Callable[[list[Row]], None]:
    return lambda rows: rows[3].update(fields)
