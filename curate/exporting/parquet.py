"""`parquet`: kept samples with their images, as `datasets.load_dataset` and the viewer of the Hub read them.

Reader: huggingface/datasets. The schema carries its `huggingface` metadata, so that `image` and the conditions come out as
pictures; the bytes inside are the original ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.exporting.folder import Folder
from curate.exporting.formats import FOR_DATASETS, Exported
from curate.exporting.lookup import in_batches
from curate.exporting.media import Image, ImageReader, MediaProblem
from curate.exporting.options import Options
from curate.exporting.ratings import rating_row
from curate.exporting.selection import Kind, Selection
from curate.exporting.source import SampleInfo, Source
from curate.exporting.tables import SplitTables
from curate.records import Funnel, Rating, canonical_json

if TYPE_CHECKING:
    import pyarrow as pa

_TEXTS = ("sample", "group", "key", "prompt", "generator")
_RATING = {
    "rater": "string",
    "card": "string",
    "dimension": "string",
    "value": "float64",
    "spread": "float64",
    "status": "string",
}


class ParquetImages:
    """Kept samples as a table with pictures."""

    name = "parquet"
    version = 1
    takes: Kind = "samples"
    copies_media = True
    splits = FOR_DATASETS
    about = "One row for each kept sample: prompt, image, conditions and ratings; `datasets` shows the images as pictures."
    use = """\
```python
from datasets import load_dataset

rows = load_dataset(".", split="train")
rows[0]["image"], rows[0]["prompt"], rows[0]["ratings"]
```

Images are the original bytes: `load_dataset(…).cast_column("image", Image(decode=False))` gives them undecoded. `labels` and
`meta` are JSON texts.
"""

    def write(self, selection: Selection, source: Source, folder: Folder, options: Options) -> Exported:
        roles = _condition_roles(selection, source, folder.scratch)
        images = ImageReader(source, cache_bytes=0)
        funnel = Funnel(step="export", unit="samples")
        with SplitTables(folder, schema(roles), options=options) as tables:
            for batch in in_batches(source.samples(selection.samples(folder.scratch))):
                ratings = source.ratings([info.sample.id for info in batch if info is not None])
                for info in batch:
                    funnel.taken += 1
                    try:
                        row, media_bytes = _row(info, roles, images, ratings)
                    except MediaProblem as problem:
                        funnel.drop(problem.reason)
                        continue
                    tables.write("train", row, media_bytes)
                    funnel.kept += 1
        return Exported(funnels=[funnel], splits=tables.rows, data_files=tables.patterns)


FORMAT = ParquetImages()


def schema(roles: Sequence[str] = ()) -> pa.Schema:
    """The columns for samples with conditions of these roles; a role becomes the column `condition_ROLE`."""
    import pyarrow as pa

    media = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rating = pa.struct([(name, getattr(pa, kind)()) for name, kind in _RATING.items()])
    pictures = ["image", *(f"condition_{role}" for role in roles)]
    fields = [
        *((name, pa.string()) for name in _TEXTS),
        *((name, media) for name in pictures),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("ratings", pa.list_(rating)),
        ("labels", pa.string()),
        ("meta", pa.string()),
    ]
    features: dict[str, Any] = {
        **{name: _value("string") for name in _TEXTS},
        **{name: {"_type": "Image"} for name in pictures},
        "width": _value("int32"),
        "height": _value("int32"),
        "ratings": [{name: _value(kind) for name, kind in _RATING.items()}],
        "labels": _value("string"),
        "meta": _value("string"),
    }
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _value(kind: str) -> dict[str, str]:
    return {"dtype": kind, "_type": "Value"}


def _condition_roles(selection: Selection, source: Source, scratch: Path) -> list[str]:
    """The roles that any kept sample has an image for; asked first, because a table has its columns before its rows."""
    roles = {
        role
        for info in source.samples(selection.samples(scratch))
        if info is not None
        for role, medium in info.sample.conditions.items()
        if medium.kind == "image"
    }
    return sorted(roles)


def _row(
    info: SampleInfo | None, roles: Sequence[str], images: ImageReader, ratings: Mapping[str, Sequence[Rating]]
) -> tuple[dict[str, Any], int]:
    """The row of a sample, and the bytes of its media. Raises `MediaProblem` where it cannot be one."""
    if info is None:
        raise MediaProblem("sample is not in the store")
    sample = info.sample
    image = images.read(info)
    row = {
        "sample": sample.id,
        "group": sample.group,
        "key": sample.key,
        "prompt": sample.prompt,
        "generator": sample.generator,
        "image": _media(image),
        "width": image.width,
        "height": image.height,
        "ratings": [rating_row(rating) for rating in ratings.get(sample.id, ())],
        "labels": canonical_json(dict(sample.labels)),
        "meta": canonical_json(dict(sample.meta)),
    }
    media_bytes = len(image.data)
    for role in roles:
        if role in sample.conditions and sample.conditions[role].kind == "image":
            condition = images.read_medium(sample.shard, sample.conditions[role])
            row[f"condition_{role}"] = _media(condition)
            media_bytes += len(condition.data)
    return row, media_bytes


def _media(image: Image) -> dict[str, Any]:
    return {"bytes": image.data, "path": f"{image.digest}.{image.extension}"}
