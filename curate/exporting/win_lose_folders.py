"""`win-lose-folders`: two folders of images with equal stems, as the trainers of hobbyists read them.

Readers: SimpleTuner (`--distillation_method=flow_dpo`; backends `preferred` and `rejected`), and after renaming the folders to
`w` and `l` the preference branch of kohya's sd-scripts. `win/NAME.ext` beat `lose/NAME.ext`; `win/NAME.txt` is the prompt.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from curate.exporting.folder import Folder, HashingFile
from curate.exporting.formats import Exported, SplitNames
from curate.exporting.options import Options
from curate.exporting.pairs import PairReader, ReadyPair
from curate.exporting.selection import Kind, Selection
from curate.exporting.source import Source


class WinLoseFolders:
    """Pairs as two folders of images."""

    name = "win-lose-folders"
    version = 1
    takes: Kind = "pairs"
    copies_media = True
    splits = SplitNames(taken=("win", "lose"))
    about = "Pairs as `win/NAME.ext` with the prompt in `win/NAME.txt`, and `lose/NAME.ext`; no ties."
    use = """\
SimpleTuner, in `multidatabackend.json`, with `EXPORT` the absolute path of this folder:

```json
[
  {"id": "preferred", "type": "local", "dataset_type": "image", "instance_data_dir": "EXPORT/win",
   "caption_strategy": "textfile", "conditioning_data": ["rejected"]},
  {"id": "rejected", "type": "local", "dataset_type": "conditioning", "conditioning_type": "reference_strict",
   "source_dataset_id": "preferred", "instance_data_dir": "EXPORT/lose"}
]
```

```sh
simpletuner train --distillation_method=flow_dpo --data_backend_config=multidatabackend.json
```

It wants latents of equal shape, so the two images of a pair should have one size. kohya's preference branch reads the same
files from folders called `w` and `l`. Splits other than `train` lie in folders of their own, `SPLIT/win` and `SPLIT/lose`.
`pairs.jsonl` lists each pair with its samples, values and digests; no trainer reads it.
"""

    def write(self, selection: Selection, source: Source, folder: Folder, options: Options) -> Exported:
        reader = PairReader(selection, source, options)
        splits: dict[str, int] = {}
        with folder.create("pairs.jsonl") as listing:
            for ready in reader.read(folder):
                _write_pair(ready, folder, listing)
                splits[ready.pair.split] = splits.get(ready.pair.split, 0) + 1
        return Exported(funnels=[reader.funnel], splits=splits, notes=reader.notes)


FORMAT = WinLoseFolders()


def _write_pair(ready: ReadyPair, folder: Folder, listing: HashingFile) -> None:
    root = "" if ready.pair.split == "train" else f"{ready.pair.split}/"
    win, lose = (
        f"{root}{side}/{ready.uid}.{image.extension}" for side, image in (("win", ready.chosen), ("lose", ready.rejected))
    )
    caption = ready.prompt.encode()
    folder.media(win, ready.chosen.data, ready.chosen.digest)
    folder.media(lose, ready.rejected.data, ready.rejected.digest)
    folder.media(f"{root}win/{ready.uid}.txt", caption, hashlib.sha256(caption).hexdigest())
    row: dict[str, Any] = {
        "split": ready.pair.split,
        "win": win,
        "lose": lose,
        "chosen": ready.pair.chosen,
        "rejected": ready.pair.rejected,
        "chosen_sha256": ready.chosen.digest,
        "rejected_sha256": ready.rejected.digest,
        "margin": ready.pair.margin,
        "chosen_value": ready.pair.chosen_value,
        "rejected_value": ready.pair.rejected_value,
    }
    listing.write(json.dumps(row, allow_nan=False).encode("ascii") + b"\n")
