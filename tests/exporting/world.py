"""A small world to export: photographs in one shard, the samples that lie in it, and selections of them."""

from __future__ import annotations

import gc
import hashlib
import io
import os
import tarfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from curate.errors import ShardError
from curate.exporting import CardInfo, SampleInfo
from curate.records import Media, Member, Rating, Sample, Status, group_id, sample_id

K = 3
"""Responses of each group; their values fall by one from the best."""

CARDS = (
    CardInfo(name="sharpness", fingerprint="a1" * 8, licence="Apache-2.0", commercial=True),
    CardInfo(name="research-only", fingerprint="b2" * 8, licence="CC-BY-NC-4.0 | see paper", commercial=False),
)


@cache
def photographs() -> tuple[np.ndarray, ...]:
    from skimage import data

    return tuple(np.asarray(Image.fromarray(photo()).convert("RGB")) for photo in (data.astronaut, data.coffee, data.chelsea))


@cache
def photo(number: int, *, size: tuple[int, int] = (72, 48), encoding: str = "JPEG") -> bytes:
    """The encoded crop of that number: no two numbers look alike."""
    pixels = photographs()[number % 3]
    width, height = size
    row, column = divmod(number // 3 * 29 % 1000, 11)
    top, left = row * 7 % (pixels.shape[0] - height), column * 19 % (pixels.shape[1] - width)
    image = Image.fromarray(np.ascontiguousarray(pixels[top : top + height, left : left + width]))
    out = io.BytesIO()
    image.save(out, encoding, **({"quality": 90} if encoding == "JPEG" else {}))
    return out.getvalue()


@dataclass
class TarSource:
    """Samples in memory, their bytes in uncompressed tars: a `Source` without a store."""

    infos: dict[str, SampleInfo] = field(default_factory=dict)
    reads: int = 0

    def samples(self, ids: Iterable[str]) -> Iterator[SampleInfo | None]:
        for one in ids:
            yield self.infos.get(one)

    def read(self, shard: str, member: Member) -> bytes:
        self.reads += 1
        try:
            descriptor = os.open(shard, os.O_RDONLY)
        except FileNotFoundError as problem:
            raise ShardError(f"{shard} does not exist") from problem
        try:
            return os.pread(descriptor, member.length, member.offset)
        finally:
            os.close(descriptor)

    def ratings(self, ids: Sequence[str]) -> Mapping[str, Sequence[Rating]]:
        return {one: self._ratings(one) for one in ids}

    def cards(self) -> Sequence[CardInfo]:
        return CARDS

    def change(self, sample: str, **fields: Any) -> None:
        """Alter what is known of one sample."""
        info = self.infos[sample]
        self.infos[sample] = replace(info, sample=replace(info.sample, **fields))

    def _ratings(self, sample: str) -> list[Rating]:
        said = {"sample": sample, "card": CARDS[0].fingerprint, "rater": CARDS[0].name}
        return [
            Rating(**said, dimension="overall", value=int(sample[:4], 16) / 65536, spread=0.5),
            Rating(**said, dimension="detail", value=None, status=Status.NAN, detail="the rater returned nan"),
        ]


@dataclass
class World:
    """The shard, its samples by group, and where selections are written."""

    folder: Path
    source: TarSource
    groups: list[list[Sample]]
    """By group; the first of each is the best."""

    @property
    def shard(self) -> Path:
        return self.folder / "input-000.tar"

    def value(self, group: int, place: int) -> float:
        return 10.0 * group - place

    def split(self, group: int) -> str:
        return "test" if group % 6 == 5 else "train"

    def pair_rows(self) -> list[dict[str, Any]]:
        """Best over worst, and best over second, of each group."""
        rows = []
        for number, group in enumerate(self.groups):
            for place in (2, 1):
                chosen, rejected = self.value(number, 0), self.value(number, place)
                rows.append(
                    {
                        "group": group[0].group,
                        "chosen": group[0].id,
                        "rejected": group[place].id,
                        "margin": chosen - rejected,
                        "chosen_value": chosen,
                        "rejected_value": rejected,
                        "confidence": 0.75 if place == 1 else None,
                        "split": self.split(number),
                    }
                )
        return rows

    def ranking_rows(self) -> list[dict[str, Any]]:
        """Each group; in every fourth the last two tie."""
        rows = []
        for number, group in enumerate(self.groups):
            for place, sample in enumerate(group):
                shown = 1 if number % 4 == 3 and place == 2 else place
                rows.append(
                    {
                        "group": sample.group,
                        "sample": sample.id,
                        "rank": shown + 1,
                        "value": self.value(number, shown),
                        "spread": None if place else 0.25,
                        "k": K,
                        "split": self.split(number),
                    }
                )
        return rows

    def sample_rows(self) -> list[dict[str, Any]]:
        ids = [sample.id for group in self.groups for sample in group]
        return [{"row": number, "sample": one} for number, one in enumerate(ids)]

    def rows(self, kind: str) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = {"pairs": self.pair_rows, "rankings": self.ranking_rows, "samples": self.sample_rows}[kind]()
        return made

    def selection(self, kind: str, rows: Sequence[Mapping[str, Any]] | None = None) -> Path:
        """A selection file with these rows, or with all there are of that kind."""
        made = self.rows(kind) if rows is None else list(rows)
        path = self.folder / f"{kind}.parquet"
        schema = pa.Table.from_pylist(self.rows(kind)).schema
        pq.write_table(pa.Table.from_pylist(made, schema=schema), path)
        return path


def make_world(folder: Path, *, groups: int = 12) -> World:
    """One shard with a record for each sample; every second image is a PNG, and every record has two side files."""
    folder.mkdir(parents=True, exist_ok=True)
    records = {}
    for group in range(groups):
        for place in range(K):
            encoding = "PNG" if (group + place) % 2 else "JPEG"
            extension = {"PNG": "png", "JPEG": "jpg"}[encoding]
            records[f"g{group:03}_{place}"] = {
                extension: photo(group * K + place, encoding=encoding),
                "txt": f"a photograph, number {group}: “ünï”".encode(),
                "json": b'{"seed": 7}',
            }
    places = write_tar(folder / "input-000.tar", records)
    world = World(folder=folder, source=TarSource(), groups=[])
    for group in range(groups):
        made = [_sample(folder, f"g{group:03}_{place}", records, places) for place in range(K)]
        world.groups.append(made)
        for sample in made:
            world.source.infos[sample.id] = SampleInfo(sample=sample, width=72, height=48)
    return world


def write_tar(path: Path, records: Mapping[str, Mapping[str, bytes]]) -> dict[str, tuple[Member, ...]]:
    """A tar of records, and where their members lie."""
    with tarfile.open(path, "w") as archive:
        for key, fields in records.items():
            for name, data in fields.items():
                info = tarfile.TarInfo(f"{key}.{name}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    places: dict[str, tuple[Member, ...]] = {}
    with tarfile.open(path) as archive:
        for info in archive:
            key, _, name = info.name.partition(".")
            member = Member(name=info.name, field=name, offset=info.offset_data, length=info.size)
            places[key] = (*places.get(key, ()), member)
    return places


def read_records(folder: Path) -> list[dict[str, Any]]:
    """The records of a folder of shards, as webdataset reads them."""
    import webdataset as wds

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # webdataset leaves its files to the garbage collector
        found = [record for shard in sorted(folder.glob("*.tar")) for record in wds.WebDataset(str(shard), shardshuffle=False)]
        gc.collect()
    return found


def image_media(member: Member, data: bytes) -> Media:
    return Media(kind="image", digest=hashlib.sha256(data).hexdigest(), member=member)


def _sample(
    folder: Path, key: str, records: Mapping[str, Mapping[str, bytes]], places: Mapping[str, tuple[Member, ...]]
) -> Sample:
    prompt = records[key]["txt"].decode()
    member = next(member for member in places[key] if member.field in ("png", "jpg"))
    response = (image_media(member, records[key][member.field]),)
    return Sample(
        id=sample_id(prompt, {}, response),
        group=group_id(prompt, {}),
        shard=str(folder / "input-000.tar"),
        key=key,
        index=0,
        prompt=prompt,
        response=response,
        generator=f"model-{key[-1]}",
        labels={"clicks": 3.0},
        meta={"seed": 7},
        members=places[key],
    )
