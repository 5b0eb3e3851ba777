"""`hpdv2`: pairs as JSON, as the trainer of HPSv2 reads them.

Reader: hpsv2/src/training/data.py (tgxs002/HPSv2), with `--dataset-type HPD ranking`. `train.json` is a list of
`{human_preference, prompt, file_path}` with images below `train/`; `test.json` a list of
`{prompt, image_path, rank, raw_annotations}` with images below `test/`; the smaller rank is better. The reader makes one Arrow
table of a file, so every row has the same fields and types. The winner stands first or second by a bit of the pair's name,
so that the side says nothing.
"""

from __future__ import annotations

from typing import Any

from curate.exporting.folder import Folder
from curate.exporting.formats import Exported, SplitNames
from curate.exporting.json_rows import JsonLists
from curate.exporting.options import Options
from curate.exporting.pairs import PairReader, ReadyPair
from curate.exporting.selection import Kind, Selection
from curate.exporting.source import Source


class HpdV2:
    """Pairs for the preference trainer of HPSv2."""

    name = "hpdv2"
    version = 1
    takes: Kind = "pairs"
    copies_media = True
    splits = SplitNames(only=("train", "test"))
    about = "Pairs in `train.json` (`human_preference`, 1 for the better) and `test.json` (`rank`, 1 for the better); no ties."
    use = """\
In a checkout of HPSv2, set `local_ranking_path` in `hpsv2/configs/controller.sh` to this folder, and

```sh
bash configs/HPSv2.sh train 8 local
```

which passes `--train-data $local_ranking_path/train.json --train-folder $local_ranking_path/train --val-data
$local_ranking_path/test.json --val-folder $local_ranking_path/test --dataset-type HPD ranking --batch-size 16`. The last batch
that is not full is dropped, so fewer than 16 pairs for each process train nothing. A row that fails is replaced by the next
one without a word. The fields `pair_uid` and `values` are ours and are not read.
"""

    def write(self, selection: Selection, source: Source, folder: Folder, options: Options) -> Exported:
        reader = PairReader(selection, source, options)
        with JsonLists(folder, always=("train", "test")) as lists:
            for ready in reader.read(folder):
                split = ready.pair.split
                for image in (ready.chosen, ready.rejected):
                    folder.media(f"{split}/{image.name}", image.data, image.digest)
                lists.write(split, _training_row(ready) if split == "train" else _ranking_row(ready))
        return Exported(funnels=[reader.funnel], splits=lists.rows, notes=reader.notes)


FORMAT = HpdV2()


def _in_order(ready: ReadyPair, chosen: Any, rejected: Any) -> list[Any]:
    """Two things of a pair in the order in which its images stand in the row."""
    return [chosen, rejected] if int(ready.uid, 16) % 2 == 0 else [rejected, chosen]


def _training_row(ready: ReadyPair) -> dict[str, Any]:
    return {
        "human_preference": _in_order(ready, 1, 0),
        "prompt": ready.prompt,
        "file_path": _in_order(ready, ready.chosen.name, ready.rejected.name),
        "pair_uid": ready.uid,
        "values": _in_order(ready, ready.pair.chosen_value, ready.pair.rejected_value),
    }


def _ranking_row(ready: ReadyPair) -> dict[str, Any]:
    return {
        "prompt": ready.prompt,
        "image_path": _in_order(ready, ready.chosen.name, ready.rejected.name),
        "rank": _in_order(ready, 1, 2),
        "raw_annotations": [],
        "pair_uid": ready.uid,
        "values": _in_order(ready, ready.pair.chosen_value, ready.pair.rejected_value),
    }
