"""`ids`: which samples were kept, and nothing else, for tools that have the images already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.exporting.folder import Folder
from curate.exporting.formats import Exported, SplitNames
from curate.exporting.options import Options
from curate.exporting.selection import Kind, Selection
from curate.exporting.source import Source
from curate.exporting.tables import SplitTables
from curate.records import Funnel

if TYPE_CHECKING:
    import pyarrow as pa


class Ids:
    """The ids and keys of kept samples."""

    name = "ids"
    version = 1
    takes: Kind = "samples"
    copies_media = False
    splits = SplitNames()
    about = "The kept samples by id, record key and position, as Parquet; the ids alone as text, one a line."
    use = """\
```sh
head ids.txt
duckdb -c "SELECT key, index FROM 'train-*.parquet' LIMIT 10"
```
"""

    def write(self, selection: Selection, source: Source, folder: Folder, options: Options) -> Exported:
        funnel = Funnel(step="export", unit="samples")
        with folder.create("ids.txt") as listing, SplitTables(folder, schema(), options=options) as tables:
            for info in source.samples(selection.samples(folder.scratch)):
                funnel.taken += 1
                if info is None:
                    funnel.drop("sample is not in the store")
                    continue
                sample = info.sample
                row = {"sample": sample.id, "group": sample.group, "key": sample.key, "index": sample.index}
                tables.write("train", row, 0)
                listing.write(f"{sample.id}\n".encode("ascii"))
                funnel.kept += 1
        return Exported(funnels=[funnel], splits=tables.rows, data_files=tables.patterns)


FORMAT = Ids()


def schema() -> pa.Schema:
    """One row for each sample."""
    import pyarrow as pa

    return pa.schema([("sample", pa.string()), ("group", pa.string()), ("key", pa.string()), ("index", pa.int64())])
