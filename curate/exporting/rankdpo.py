"""`rankdpo`: ranked lists of responses with their gains, for RankDPO (arXiv 2410.18013) and other listwise losses.

No layout for images has been published, so this one is ours. A row is a list, best first:

    prompt     what was asked
    images     the k encoded images, raw binary
    phi        RankDPO's φ of each: the share of the other responses it beats, averaged over the raters, in [0, 1]
    ranks      1 is best; equal ranks are ties
    values, spreads   what the ranking was made by, larger is better; a spread is null where no rater knows it

φ is the ranking's own where it was made with `--wins`; otherwise it is counted from the ranks, so that what `--tie` made a tie is
no win. The loss weighs a pair of the list by |2^φ_i − 2^φ_j| · |1/log(1+rank_i) − 1/log(1+rank_j)|, so a tie weighs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError
from curate.exporting.folder import Folder
from curate.exporting.formats import FOR_DATASETS, Exported
from curate.exporting.lists import ListReader, ReadyList
from curate.exporting.options import Options
from curate.exporting.selection import Kind, Selection
from curate.exporting.source import Source
from curate.exporting.tables import SplitTables

if TYPE_CHECKING:
    import pyarrow as pa


class RankDpo:
    """Ranked lists for listwise diffusion DPO."""

    name = "rankdpo"
    version = 1
    takes: Kind = "rankings"
    copies_media = True
    splits = FOR_DATASETS
    about = "Ranked lists, best first: the images as raw bytes, their RankDPO gains φ, values, spreads and ranks; ties stay ties."
    use = """\
```python
from curate.exporting.rankdpo import load

for ranked in load(".", split="train"):
    ranked.prompt, ranked.images, ranked.phi, ranked.ranks
```

`datasets.load_dataset` and anything else that reads Parquet read it as well. Lists may differ in length; a trainer that wants k
of each takes those where `len(images) == k`. A pair of equal φ or equal rank weighs nothing in the loss.
"""

    def write(self, selection: Selection, source: Source, folder: Folder, options: Options) -> Exported:
        reader = ListReader(selection, source, options, whole=True, with_wins=True)
        with SplitTables(folder, schema(), options=options) as tables:
            for ready in reader.read(folder):
                tables.write(ready.split, _row(ready), ready.media_bytes)
        funnels = [reader.lists, reader.responses]
        return Exported(funnels=funnels, splits=tables.rows, notes=reader.notes, data_files=tables.patterns)


FORMAT = RankDpo()


def schema() -> pa.Schema:
    """The columns of a list; all lists of a row have the same length k."""
    import pyarrow as pa

    return pa.schema(
        [
            ("prompt", pa.string()),
            ("images", pa.list_(pa.binary())),
            ("phi", pa.list_(pa.float64())),
            ("values", pa.list_(pa.float64())),
            ("spreads", pa.list_(pa.float64())),
            ("ranks", pa.list_(pa.int32())),
            ("samples", pa.list_(pa.string())),
            ("generators", pa.list_(pa.string())),
            ("widths", pa.list_(pa.int32())),
            ("heights", pa.list_(pa.int32())),
            ("group", pa.string()),
        ]
    )


def gains(ranks: Sequence[int]) -> list[float]:
    """φ of each response by one ranking: the share of the others that have a worse rank; equal ranks are no win."""
    return [sum(other > rank for other in ranks) / (len(ranks) - 1) for rank in ranks]


def _row(ready: ReadyList) -> dict[str, Any]:
    rows = [response.row for response in ready.responses]
    wins = [row.wins for row in rows if row.wins is not None]
    return {
        "prompt": ready.prompt,
        "images": [response.image.data for response in ready.responses],
        "phi": wins if len(wins) == len(rows) else gains([row.rank for row in rows]),
        "values": [row.value for row in rows],
        "spreads": [row.spread for row in rows],
        "ranks": [row.rank for row in rows],
        "samples": [row.sample for row in rows],
        "generators": [response.generator for response in ready.responses],
        "widths": [response.image.width for response in ready.responses],
        "heights": [response.image.height for response in ready.responses],
        "group": ready.group,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedList:
    """One list of an export, as a trainer takes it; all sequences have the same length and order, best first."""

    prompt: str
    images: Sequence[bytes]
    """Encoded images: JPEG, PNG …"""
    phi: Sequence[float]
    values: Sequence[float]
    spreads: Sequence[float | None]
    ranks: Sequence[int]
    samples: Sequence[str]
    group: str


def load(folder: str | Path, *, split: str = "train") -> Iterator[RankedList]:
    """The lists of one split, in the order they were written, holding one list at a time.

    Raises `CurateError` where the folder has no files of that split.
    """
    files = sorted(Path(folder).glob(f"{split}-*-of-*.parquet"))
    if not files:
        raise CurateError(f"{folder} has no split '{split}' of a rankdpo export; expected files named {split}-00000-of-….parquet")
    return _load(files)


def _load(files: Sequence[Path]) -> Iterator[RankedList]:
    import pyarrow.parquet as pq

    columns = ["prompt", "images", "phi", "values", "spreads", "ranks", "samples", "group"]
    for path in files:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(batch_size=1, columns=columns):
                yield RankedList(**batch.to_pylist()[0])
