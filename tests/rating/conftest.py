"""Small shards, cards and stores for the tests of rating."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from curate.rater_settings import Settings
from curate.rating.options import FailureLimit, RateOptions, parse_statuses
from curate.rating.report import RateReport
from curate.rating.run import rate_into
from curate.store import Store
from curate.testing import card_yaml, write_shard

Record = tuple[str, dict[str, bytes]]


def png(seed: int, size: tuple[int, int] = (24, 16)) -> bytes:
    """A small picture that only this seed gives."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def records(first: int, count: int) -> list[Record]:
    """Records with a picture and a prompt; three share a prompt, and every 11th picture is broken."""
    made = []
    for number in range(first, first + count):
        data = b"broken" if number % 11 == 5 else png(number)
        made.append((f"{number:05d}", {"png": data, "txt": f"prompt {number // 3}".encode()}))
    return made


@pytest.fixture
def shards(tmp_path: Path) -> list[str]:
    """Four shards of 25 records."""
    folder = tmp_path / "shards"
    folder.mkdir()
    return [str(write_shard(folder / f"{n}.tar", records(25 * n, 25))) for n in range(4)]


@pytest.fixture
def card(tmp_path: Path) -> Callable[..., str]:
    """Writes a card for a rater of `curate.testing` and gives its path."""

    def write(name: str, rater: str, **fields: object) -> str:
        return str(card_yaml(tmp_path / f"{name}.yaml", name=name, target=f"curate.testing:{rater}", **fields))  # type: ignore[arg-type]

    return write


@pytest.fixture
def rate(tmp_path: Path) -> Callable[..., RateReport]:
    """Rates into the store of that name below the test's folder."""

    def run(shards: Sequence[str], raters: Sequence[str], store: str = "store", **options: object) -> RateReport:
        with Store.create_or_open(tmp_path / store) as opened:
            limit = FailureLimit.parse(options.pop("max_failures", None))  # type: ignore[arg-type]
            retry = parse_statuses(options.pop("retry", ()))  # type: ignore[arg-type]
            options = {"workers": 0, "settings": Settings(trust=True), **options}
            settings = RateOptions(**options, max_failures=limit, retry=retry)  # type: ignore[arg-type]
            return rate_into(opened, shards, raters, settings)

    return run


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., dict[str, pa.Table]]:
    """The logical contents of the store of that name."""

    def read(store: str = "store") -> dict[str, pa.Table]:
        with Store.open(tmp_path / store) as opened:
            return {kind: opened.export_rows(kind) for kind in ("samples", "ratings", "rejects")}

    return read
