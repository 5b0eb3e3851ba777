"""`hpdv3`: pairs as JSON, as the trainers of HPSv3 and EditReward read them.

Reader: `PairwiseOriginalDataset` (MizzenAI/HPSv3). A row is `{prompt, path1, path2, model1, model2, confidence, choice_dist}`;
**path1 is always the preferred image**, whatever `choice_dist` says. Paths are opened as they stand, so the trainer runs inside
the folder. `confidence` is never null, because the reader compares it with a threshold, and always above 0.5, because with soft
labels the reader takes the larger of `choice_dist` for path1, whichever it is.
"""

from __future__ import annotations

from typing import Any

from curate.exporting.folder import Folder
from curate.exporting.formats import Exported, SplitNames
from curate.exporting.json_rows import JsonLists
from curate.exporting.options import Options
from curate.exporting.pairs import PairReader, ReadyPair, agreement
from curate.exporting.selection import Kind, Selection
from curate.exporting.source import Source


class HpdV3:
    """Pairs for the reward trainer of HPSv3."""

    name = "hpdv3"
    version = 1
    takes: Kind = "pairs"
    copies_media = True
    splits = SplitNames(taken=("curate",))
    about = "Pairs in `SPLIT.json`; `path1` is always the preferred image; images in `images/`; no ties."
    use = """\
In the training configuration of HPSv3 (`hpsv3/config/*.yaml`), with paths as seen from this folder:

```yaml
train_json_list: [train.json]
test_json_list: [["test", [test.json]]]
```

and, from inside this folder, because images are opened by the paths in the rows:

```sh
deepspeed "$HPSV3/hpsv3/train.py" --config "$HPSV3/hpsv3/config/HPSv3_7B.yaml"
```

`choice_dist` holds shares rather than counts: `[c, 1 - c]` with c the share of the raters that agree (1 for a single rater),
which is all that `soft_label: true` uses; pairs of which not more than half agree are left out. The fields `pair_uid`, `value1`
and `value2` are ours and are not read.
"""

    def write(self, selection: Selection, source: Source, folder: Folder, options: Options) -> Exported:
        reader = PairReader(selection, source, options, by_majority=True)
        with JsonLists(folder) as lists:
            for ready in reader.read(folder):
                for image in (ready.chosen, ready.rejected):
                    folder.media(f"images/{image.name}", image.data, image.digest)
                lists.write(ready.pair.split, _row(ready))
        return Exported(funnels=[reader.funnel], splits=lists.rows, notes=reader.notes)


FORMAT = HpdV3()


def _row(ready: ReadyPair) -> dict[str, Any]:
    share = agreement(ready.pair)
    return {
        "prompt": ready.prompt,
        "path1": f"images/{ready.chosen.name}",
        "path2": f"images/{ready.rejected.name}",
        "model1": ready.chosen_generator,
        "model2": ready.rejected_generator,
        "confidence": share,
        "choice_dist": [share, 1.0 - share],
        "pair_uid": ready.uid,
        "value1": ready.pair.chosen_value,
        "value2": ready.pair.rejected_value,
    }
