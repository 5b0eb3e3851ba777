"""Shards and cards made of a few lines."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path


def write_shard(path: Path, records: Iterable[tuple[str, Mapping[str, bytes]]]) -> Path:
    """A tar of webdataset records: for each key its members by field, in the order given."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for key, members in records:
            for name, data in members.items():
                info = tarfile.TarInfo(f"{key}.{name}")
                info.size = len(data)
                archive.addfile(info, BytesIO(data))
    return path


def card_yaml(path: Path, *, name: str, target: str, dimensions: Sequence[str] = ("overall",), **fields: object) -> Path:
    """A card file for a rater of `curate.testing`, or for one of your own."""
    card = {
        "name": name,
        "version": 1,
        "about": "A rater for tests.",
        "target": target,
        "dimensions": {dimension: {} for dimension in dimensions},
        "main": dimensions[0],
        "licence": "Apache-2.0",
        **fields,
    }
    path.write_text(json.dumps(card))  # JSON is YAML
    return path
