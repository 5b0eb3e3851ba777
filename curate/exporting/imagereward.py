"""`imagereward`: ranked lists as JSON, as the reward trainer of ImageReward reads them.

Reader: train/src/rank_pair_dataset.py (zai-org/ImageReward). It opens `dataset/{train,valid,test}.json`, all three, each a list
of `{id, prompt, generations, ranking}`; 1 is best; two responses of equal rank make no pair. Images lie below `images/`.
"""

from __future__ import annotations

from typing import Any

from curate.exporting.folder import Folder
from curate.exporting.formats import Exported, SplitNames
from curate.exporting.json_rows import JsonLists
from curate.exporting.lists import ListReader, ReadyList
from curate.exporting.options import Options
from curate.exporting.selection import Kind, Selection
from curate.exporting.source import Source

_OPENED = ("train", "valid", "test")


class ImageReward:
    """Ranked lists for the reward trainer of ImageReward."""

    name = "imagereward"
    version = 1
    takes: Kind = "rankings"
    copies_media = True
    splits = SplitNames(only=("train", "validation", "valid", "test"))
    about = "Ranked lists in `dataset/{train,valid,test}.json`, 1 is best and equal numbers are ties; images in `images/`."
    use = """\
In a checkout of ImageReward, with `EXPORT` the absolute path of this folder:

```sh
cd train && ln -s "$EXPORT/dataset" dataset && ln -s "$EXPORT/images" images
python src/make_dataset.py && bash scripts/train_one_node.sh
```

`data_base` and `image_base` in `src/config/config.yaml` are `dataset` and `images` already. `make_dataset.py` opens all three
files and keeps every image in memory, about 0.6 MB each. Its text encoder reads 35 tokens of a prompt. The field `values` is ours
and is not read by it.
"""

    def write(self, selection: Selection, source: Source, folder: Folder, options: Options) -> Exported:
        reader = ListReader(selection, source, options, whole=False)
        with JsonLists(folder, "dataset/{}.json", always=_OPENED) as lists:
            for ready in reader.read(folder):
                for response in ready.responses:
                    folder.media(f"images/{response.image.name}", response.image.data, response.image.digest)
                lists.write("valid" if ready.split == "validation" else ready.split, _row(ready))
        splits = lists.rows
        notes = [f"`dataset/{name}.json` has no rows: the selection has no such split." for name in _OPENED if not splits[name]]
        return Exported(funnels=[reader.lists, reader.responses], splits=splits, notes=[*reader.notes, *notes])


FORMAT = ImageReward()


def _row(ready: ReadyList) -> dict[str, Any]:
    return {
        "id": ready.group,
        "prompt": ready.prompt,
        "generations": [response.image.name for response in ready.responses],
        "ranking": [response.row.rank for response in ready.responses],
        "values": [response.row.value for response in ready.responses],
    }
