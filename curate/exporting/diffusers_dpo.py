"""`diffusers-dpo`: the Pick-a-Pic columns, as diffusers' DPO scripts and their relatives read them.

Readers: train_diffusion_dpo.py and train_diffusion_dpo_sdxl.py (huggingface/diffusers, research_projects/diffusion_dpo),
train.py (SalesforceAIResearch/DiffusionDPO), MaPO, Diffusion-SDPO, the ORPO scripts, the PickScore trainer.

They call `Image.open(io.BytesIO(row["jpg_0"]))`, so images are raw binary and never an `Image()` feature. The winner is
always `jpg_0` with `label_0 = 1`: some readers take a tie for a win of image 0, one compares labels as text and so always
takes image 0, and a diffusion model cannot see the side. For the same reason ties are never written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.exporting.folder import Folder
from curate.exporting.formats import FOR_DATASETS, Exported
from curate.exporting.options import Options
from curate.exporting.pairs import PairReader, ReadyPair
from curate.exporting.selection import Kind, Selection
from curate.exporting.source import Source
from curate.exporting.tables import SplitTables

if TYPE_CHECKING:
    import pyarrow as pa


class DiffusersDpo:
    """Pairs for diffusion DPO trainers."""

    name = "diffusers-dpo"
    version = 1
    takes: Kind = "pairs"
    copies_media = True
    splits = FOR_DATASETS
    about = "Pairs in the Pick-a-Pic columns: `jpg_0` is the winner, always, as raw bytes; ties are left out."
    use = """\
diffusers, SD 1.5 (`examples/research_projects/diffusion_dpo`):

```sh
accelerate launch train_diffusion_dpo.py --pretrained_model_name_or_path=stable-diffusion-v1-5/stable-diffusion-v1-5 \\
  --dataset_name="$PWD" --dataset_split_name=train --output_dir=../dpo-sd15 --resolution=512 --train_batch_size=16 \\
  --gradient_accumulation_steps=2 --learning_rate=1e-5 --lr_scheduler=constant --lr_warmup_steps=0 --max_train_steps=10000
```

diffusers, SDXL:

```sh
accelerate launch train_diffusion_dpo_sdxl.py --pretrained_model_name_or_path=stabilityai/stable-diffusion-xl-base-1.0 \\
  --pretrained_vae_model_name_or_path=madebyollin/sdxl-vae-fp16-fix --dataset_name="$PWD" --dataset_split_name=train \\
  --output_dir=../dpo-sdxl --train_batch_size=8 --gradient_accumulation_steps=2 --learning_rate=1e-5 --max_train_steps=2000
```

DiffusionDPO (`train.py`): `--dataset_name="$PWD" --split=train`. PickScore: point its dataset name here; its validation splits
are called `validation_unique` and `test_unique` there, so say `train`, `validation` or `test` in its configuration.

Give `--dataset_split_name=train`: the scripts ask for `validation` if nothing is said. `--loss_type ipo` of the SD 1.5 script
crashes whatever the data. Where the two images of a pair differ in size, SDXL and MaPO stretch the loser to the winner's size,
and SD 1.5 crops each from its own middle.
"""

    def write(self, selection: Selection, source: Source, folder: Folder, options: Options) -> Exported:
        reader = PairReader(selection, source, options)
        with SplitTables(folder, schema(), options=options) as tables:
            for number, ready in enumerate(reader.read(folder)):
                media_bytes = len(ready.chosen.data) + len(ready.rejected.data)
                tables.write(ready.pair.split, _row(ready, number), media_bytes)
        return Exported(funnels=[reader.funnel], splits=tables.rows, notes=reader.notes, data_files=tables.patterns)


FORMAT = DiffusersDpo()


def schema() -> pa.Schema:
    """The columns: Pick-a-Pic's by their names and types, then what is known of the pair."""
    import pyarrow as pa

    return pa.schema(
        [
            ("are_different", pa.bool_()),
            ("best_image_uid", pa.string()),
            ("caption", pa.string()),
            ("has_label", pa.bool_()),
            ("image_0_uid", pa.string()),
            ("image_1_uid", pa.string()),
            ("jpg_0", pa.binary()),
            ("jpg_1", pa.binary()),
            ("label_0", pa.float64()),
            ("label_1", pa.float64()),
            ("model_0", pa.string()),
            ("model_1", pa.string()),
            ("num_example_per_prompt", pa.int64()),
            ("__index_level_0__", pa.int64()),
            ("pair_uid", pa.string()),
            ("group", pa.string()),
            ("margin", pa.float64()),
            ("confidence", pa.float64()),
            ("chosen_value", pa.float64()),
            ("rejected_value", pa.float64()),
            ("width_0", pa.int32()),
            ("height_0", pa.int32()),
            ("width_1", pa.int32()),
            ("height_1", pa.int32()),
        ]
    )


def _row(ready: ReadyPair, number: int) -> dict[str, Any]:
    return {
        "are_different": True,
        "best_image_uid": ready.pair.chosen,
        "caption": ready.prompt,
        "has_label": True,
        "image_0_uid": ready.pair.chosen,
        "image_1_uid": ready.pair.rejected,
        "jpg_0": ready.chosen.data,
        "jpg_1": ready.rejected.data,
        "label_0": 1.0,
        "label_1": 0.0,
        "model_0": ready.chosen_generator,
        "model_1": ready.rejected_generator,
        "num_example_per_prompt": ready.pairs_of_prompt,
        "__index_level_0__": number,
        "pair_uid": ready.uid,
        "group": ready.pair.group,
        "margin": ready.pair.margin,
        "confidence": ready.pair.confidence,
        "chosen_value": ready.pair.chosen_value,
        "rejected_value": ready.pair.rejected_value,
        "width_0": ready.chosen.width,
        "height_0": ready.chosen.height,
        "width_1": ready.rejected.width,
        "height_1": ready.rejected.height,
    }
