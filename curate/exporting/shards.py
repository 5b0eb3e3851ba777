"""`shards`: kept records as webdataset shards again, with their original bytes, keys and side files.

Reader: webdataset, and every trainer built on it. A record is copied whole and once, also when several of its samples were kept;
`KEY.ratings.json` says which were, and what every rater said of them. One that is not what was rated any more is left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from curate.exporting.folder import Folder
from curate.exporting.formats import Exported, SplitNames
from curate.exporting.lookup import in_batches, with_samples
from curate.exporting.media import MediaProblem
from curate.exporting.options import Options
from curate.exporting.ratings import rating_row
from curate.exporting.records import record_fields
from curate.exporting.selection import Kind, Selection, sorted_rows
from curate.exporting.source import SampleInfo, Source
from curate.records import Funnel, Media, Member, Rating, Sample, canonical_json
from curate.shards.write import ShardWriter

_PLAN = ("shard", "offset", "key", "index", "sample")


class Shards:
    """Kept records as shards."""

    name = "shards"
    version = 1
    takes: Kind = "samples"
    copies_media = True
    splits = SplitNames()
    about = "The kept records as tar shards: original bytes, keys and side files, and what the raters said in `KEY.ratings.json`."
    use = """\
```python
import glob
import webdataset as wds

for record in wds.WebDataset(sorted(glob.glob("*.tar")), shardshuffle=False).decode("pil"):
    record["__key__"], record["ratings.json"]
```

A record may hold several samples (candidates of one prompt). It is copied whole when any of them was kept; `samples` in
`ratings.json` lists those that were, by their position `index` and the members they were made of, `media`; `members` holds the
SHA-256 of every member as it was rated. A record that had a
member of that name already has ours as `ratings-2.json`, `ratings-3.json` …
"""

    def write(self, selection: Selection, source: Source, folder: Folder, options: Options) -> Exported:
        samples = Funnel(step="export", unit="samples")
        records = Funnel(step="copy", unit="records")
        _write_plan(selection, source, folder, samples)
        with ShardWriter(folder.path, max_samples=options.file_rows, max_bytes=options.file_bytes) as writer:
            for record in _kept_records(source, folder):
                records.taken += 1
                try:
                    fields = record_fields(source, record)
                except MediaProblem as problem:
                    records.drop(problem.reason)
                    samples.drop(problem.reason, len(record))
                    continue
                ratings = source.ratings([info.sample.id for info in record])
                fields[_free_field(fields)] = _ratings_json(record, ratings, fields)
                writer.write(record[0].sample.key, fields)
                records.kept += 1
                samples.kept += len(record)
        for name in writer.close():
            folder.adopt(name)
        return Exported(funnels=[samples, records], splits={"train": records.kept} if records.kept else {})


FORMAT = Shards()


def _write_plan(selection: Selection, source: Source, folder: Folder, funnel: Funnel) -> None:
    """Note where every kept sample's record lies, to copy records in the order of their shards rather than at random."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = [pa.string(), pa.int64(), pa.string(), pa.int64(), pa.string()]
    schema = pa.schema(list(zip(_PLAN, kinds, strict=True)))
    with pq.ParquetWriter(folder.scratch / "plan.parquet", schema) as plan:
        for batch in in_batches(source.samples(selection.samples(folder.scratch))):
            funnel.taken += len(batch)
            funnel.drop("sample is not in the store", sum(info is None for info in batch))
            found = [info.sample for info in batch if info is not None]
            rows = [(one.shard, _offset(one.members), one.key, one.index, one.id) for one in found]
            plan.write_table(pa.Table.from_pylist([dict(zip(_PLAN, row, strict=True)) for row in rows], schema=schema))


def _offset(members: Iterable[Member]) -> int:
    return min((member.offset for member in members), default=0)


def _kept_records(source: Source, folder: Folder) -> Iterator[list[SampleInfo]]:
    """The records of the plan, each as its kept samples, shard by shard in the order they lie there."""
    rows = sorted_rows(str(folder.scratch / "plan.parquet"), _PLAN, _PLAN, folder.scratch)
    groups = (list(group) for _, group in groupby(rows, key=lambda row: row[:3]))
    for group, known in with_samples(groups, lambda row: (row[4],), source):
        yield [known[row[4]] for row in group]


def _free_field(fields: Mapping[str, bytes]) -> str:
    """The field for the ratings: one that the record does not have yet."""
    name, number = "ratings.json", 1
    while name in fields:
        number += 1
        name = f"ratings-{number}.json"
    return name


def _ratings_json(samples: Sequence[SampleInfo], ratings: Mapping[str, Sequence[Rating]], fields: Mapping[str, bytes]) -> bytes:
    rows: list[dict[str, Any]] = [
        {
            "sample": info.sample.id,
            "group": info.sample.group,
            "index": info.sample.index,
            "media": [medium.member.field for medium in _media(info.sample) if medium.member is not None],
            "ratings": [_rating(rating) for rating in ratings.get(info.sample.id, ())],
        }
        for info in samples
    ]
    members = {name: hashlib.sha256(data).hexdigest() for name, data in fields.items()}
    return canonical_json({"members": members, "samples": rows}).encode()


def _media(sample: Sample) -> list[Media]:
    return [*sample.response, *sample.conditions.values()]


def _rating(rating: Rating) -> dict[str, Any]:
    said = rating_row(rating) | {"detail": rating.detail, "rationale": rating.rationale}
    return {name: value for name, value in said.items() if value is not None}
