"""Exports read by their readers: by the real library where it is installed, else by the trainer's own rules, written out."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from curate.exporting import export
from tests.exporting.world import K, World, image_media, photo, read_records, write_tar

os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for `datasets` that dies with the test."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "cache"


def load(folder: Path, cache: Path, split: str) -> Any:
    import datasets

    datasets.disable_progress_bars()
    return datasets.load_dataset(str(folder), cache_dir=str(cache), split=split)


def by_digest(world: World) -> dict[str, tuple[int, int]]:
    """Group and place of each response, by the digest of its bytes."""
    return {
        sample.response[0].digest: (number, place)
        for number, group in enumerate(world.groups)
        for place, sample in enumerate(group)
    }


def place_of(world: World, data: bytes) -> tuple[int, int]:
    import hashlib

    return by_digest(world)[hashlib.sha256(data).hexdigest()]


@pytest.mark.parametrize(
    ("name", "kind"), [("diffusers-dpo", "pairs"), ("rankdpo", "rankings"), ("parquet", "samples"), ("ids", "samples")]
)
def test_a_folder_of_the_same_name_is_another_dataset(name: str, kind: str, world: World, tmp_path: Path, cache: Path) -> None:
    """`datasets` knows what it has loaded by the folder's name and its README."""
    pytest.importorskip("datasets")
    rows = world.rows(kind)
    keys = "sample" if kind == "samples" else "group"
    first = rows[0][keys]
    counts = []
    for place, chosen in (("one", rows), ("other", [row for row in rows if row[keys] == first])):
        export(world.selection(kind, chosen), world.source, tmp_path / place / "dataset", format=name)
        written = json.loads((tmp_path / place / "dataset" / "curate.json").read_text())["splits"]
        loaded = load(tmp_path / place / "dataset", cache, "train")
        assert len(loaded) == written["train"]
        counts.append(len(loaded))
    assert counts[0] > counts[1]


# diffusers-dpo --------------------------------------------------------------------------------------------------------


def as_array(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def sd15_batch(examples: dict[str, list[Any]]) -> list[np.ndarray]:
    """What train_diffusion_dpo.py makes of a batch: winner first, stacked, turned around exactly where label_0 == 0."""
    columns = [[as_array(data) for data in examples[name]] for name in ("jpg_0", "jpg_1")]
    stacked = []
    for two, label_0 in zip(zip(*columns, strict=True), examples["label_0"], strict=True):
        stacked.append(np.concatenate(two[::-1] if label_0 == 0 else two, axis=-1))
    assert all(isinstance(caption, str) for caption in examples["caption"])
    return stacked


def sdxl_batch(examples: dict[str, list[Any]]) -> list[np.ndarray]:
    """What train_diffusion_dpo_sdxl.py makes of a batch: the same, after jpg_1 was resized to the size of jpg_0."""
    sizes = [Image.open(io.BytesIO(data)).size for data in examples["jpg_0"]]
    stacked = []
    for number, label_0 in enumerate(examples["label_0"]):
        first = as_array(examples["jpg_0"][number])
        second = np.asarray(Image.open(io.BytesIO(examples["jpg_1"][number])).convert("RGB").resize(sizes[number]))
        stacked.append(np.concatenate([second, first] if label_0 == 0 else [first, second], axis=-1))
    return stacked


@pytest.mark.parametrize("batch", [sd15_batch, sdxl_batch])
def test_both_diffusers_scripts_learn_the_winner(batch: Any, world: World, tmp_path: Path, cache: Path) -> None:
    export(world.selection("pairs"), world.source, tmp_path / "out", format="diffusers-dpo")
    rows = load(tmp_path / "out", cache, "train")
    stacked = batch(rows[:])
    assert len(stacked) == 20
    for row, pixels in zip(rows, stacked, strict=True):
        (group, chosen), (other_group, rejected) = place_of(world, row["jpg_0"]), place_of(world, row["jpg_1"])
        assert group == other_group
        assert chosen == 0 < rejected
        assert row["caption"] == world.groups[group][0].prompt
        np.testing.assert_array_equal(pixels[..., :3], as_array(row["jpg_0"]))
        np.testing.assert_array_equal(pixels[..., 3:], as_array(row["jpg_1"]))
    assert len(load(tmp_path / "out", cache, "test")) == 4


def test_readers_that_get_labels_wrong_still_learn_the_winner(world: World, tmp_path: Path, cache: Path) -> None:
    export(world.selection("pairs"), world.source, tmp_path / "out", format="diffusers-dpo")
    rows = load(tmp_path / "out", cache, "train")[:]
    as_text = {**rows, "label_0": [str(label) for label in rows["label_0"]]}
    for one, other in zip(sd15_batch(rows), sd15_batch(as_text), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_columns_that_pickscore_reads_are_there(world: World, tmp_path: Path, cache: Path) -> None:
    export(world.selection("pairs"), world.source, tmp_path / "out", format="diffusers-dpo")
    rows = load(tmp_path / "out", cache, "train")
    for row in rows.remove_columns("__index_level_0__"):
        assert row["has_label"] is True
        assert row["are_different"] is True
        assert 1 / row["num_example_per_prompt"] == 0.5
        assert (row["label_0"], row["label_1"]) == (1.0, 0.0)
        assert row["best_image_uid"] == row["image_0_uid"] != row["image_1_uid"]
        assert row["model_0"] == "model-0"
    from datasets import Value

    assert rows.features["jpg_0"] == Value("binary")


# Samples --------------------------------------------------------------------------------------------------------------


def test_datasets_shows_the_images_of_parquet_as_pictures(world: World, tmp_path: Path, cache: Path) -> None:
    source_image = world.groups[1][0].response[0]
    world.source.change(world.groups[0][0].id, conditions={"source": source_image})
    export(world.selection("samples"), world.source, tmp_path / "out", format="parquet")
    rows = load(tmp_path / "out", cache, "train")
    first, *others = rows
    assert isinstance(first["image"], Image.Image)
    assert first["image"].size == (first["width"], first["height"]) == (72, 48)
    assert isinstance(first["condition_source"], Image.Image)
    assert all(row["condition_source"] is None for row in others)
    assert [row["sample"] for row in rows] == [row["sample"] for row in world.sample_rows()]
    assert first["prompt"] == world.groups[0][0].prompt
    assert json.loads(first["meta"]) == {"seed": 7}
    assert [rating["status"] for rating in first["ratings"]] == ["ok", "nan"]
    assert first["ratings"][1]["value"] is None
    from datasets import Image as ImageFeature

    undecoded = rows.cast_column("image", ImageFeature(decode=False))[0]["image"]
    assert place_of(world, undecoded["bytes"]) == (0, 0)
    assert "/" not in undecoded["path"]


def test_webdataset_reads_shards_with_their_bytes_keys_and_side_files(world: World, tmp_path: Path) -> None:
    kept = [{"row": 0, "sample": world.groups[2][1].id}, {"row": 1, "sample": world.groups[0][0].id}]
    samples, copied = export(world.selection("samples", kept), world.source, tmp_path / "out", format="shards")
    assert (samples.kept, copied.kept) == (2, 2)
    first, second = read_records(tmp_path / "out")
    assert (first["__key__"], second["__key__"]) == ("g000_0", "g002_1"), "in the order of the shard they come from"
    assert set(first) - {"__key__", "__url__", "__local_path__"} == {"jpg", "txt", "json", "ratings.json"}
    assert first["jpg"] == photo(0)
    assert first["txt"].decode() == world.groups[0][0].prompt
    said = json.loads(first["ratings.json"])["samples"]
    assert [one["sample"] for one in said] == [world.groups[0][0].id]
    assert said[0]["ratings"][1] == {
        "rater": "sharpness", "card": "a1" * 8, "dimension": "detail", "status": "nan", "detail": "the rater returned nan",
    }  # fmt: skip


def test_a_record_of_several_kept_samples_is_copied_once(world: World, tmp_path: Path) -> None:
    one, other, _ = world.groups[0]
    assert one.prompt is not None
    pictures = {"0.jpg": photo(0), "1.png": photo(1, encoding="PNG")}
    places = write_tar(tmp_path / "both.tar", {"both": {**pictures, "txt": one.prompt.encode()}})["both"]
    for index, sample in enumerate((one, other)):
        response = (image_media(places[index], pictures[places[index].field]),)
        world.source.change(
            sample.id, shard=str(tmp_path / "both.tar"), key="both", index=index, members=places, response=response
        )
    rows = [{"row": 0, "sample": other.id}, {"row": 1, "sample": one.id}]
    samples, copied = export(world.selection("samples", rows), world.source, tmp_path / "out", format="shards")
    assert (samples.kept, copied.taken, copied.kept) == (2, 1, 1)
    (record,) = read_records(tmp_path / "out")
    assert [said["index"] for said in json.loads(record["ratings.json"])["samples"]] == [0, 1]


def test_a_side_file_called_ratings_survives(world: World, tmp_path: Path) -> None:
    sample = world.groups[0][0]
    members = tuple(member._replace(field="ratings.json") if member.field == "json" else member for member in sample.members)
    world.source.change(sample.id, members=members)
    export(world.selection("samples", [{"row": 0, "sample": sample.id}]), world.source, tmp_path / "out", format="shards")
    (record,) = read_records(tmp_path / "out")
    assert json.loads(record["ratings.json"]) == {"seed": 7}
    assert "samples" in json.loads(record["ratings-2.json"])


def test_a_record_that_cannot_be_read_is_left_out_whole(world: World, tmp_path: Path) -> None:
    world.source.change(world.groups[0][0].id, shard="/nowhere/000.tar")
    samples, copied = export(world.selection("samples"), world.source, tmp_path / "out", format="shards")
    assert samples.dropped == copied.dropped == {"media cannot be read": 1}
    assert len(read_records(tmp_path / "out")) == len(world.groups) * K - 1


# Lists ----------------------------------------------------------------------------------------------------------------


def test_rankdpo_lists_load_best_first_with_gains_and_ties(world: World, tmp_path: Path, cache: Path) -> None:
    from curate.errors import CurateError
    from curate.exporting import rankdpo

    export(world.selection("rankings"), world.source, tmp_path / "out", format="rankdpo")
    lists = [*rankdpo.load(tmp_path / "out"), *rankdpo.load(tmp_path / "out", split="test")]
    assert len(lists) == len(world.groups)
    for ranked in lists:
        places = [place_of(world, data) for data in ranked.images]
        group = places[0][0]
        tied = group % 4 == 3
        assert places[0] == (group, 0)
        assert places == [(group, place) for place in range(K)] or (
            tied and set(places) == {(group, place) for place in range(K)}
        )
        assert ranked.prompt == world.groups[group][0].prompt
        assert ranked.ranks == ([1, 2, 2] if tied else [1, 2, 3])
        assert ranked.phi == ([1.0, 0.0, 0.0] if tied else [1.0, 0.5, 0.0])
        assert ranked.spreads == [0.25, None, None]
        assert (_weight(ranked, 1, 2) == 0) is tied
    assert load(tmp_path / "out", cache, "train")[0]["images"] == list(lists[0].images)
    with pytest.raises(CurateError, match="no split 'validation'"):
        rankdpo.load(tmp_path / "out", split="validation")


def _weight(ranked: Any, one: int, other: int) -> float:
    """RankDPO's weight of two responses of a list."""
    gain = abs(2 ** ranked.phi[one] - 2 ** ranked.phi[other])
    discount = abs(1 / math.log(1 + ranked.ranks[one]) - 1 / math.log(1 + ranked.ranks[other]))
    return gain * discount


def imagereward_pairs(folder: Path, split: str) -> Iterator[tuple[str, bytes, bytes]]:
    """What rank_pair_dataset.py makes of a file: (prompt, better, worse) of every two responses that do not tie."""
    for item in json.loads((folder / "dataset" / f"{split}.json").read_text()):
        images = [(folder / "images" / name).read_bytes() for name in item["generations"]]
        for data in images:
            Image.open(io.BytesIO(data)).load()
        labels = item["ranking"]
        for left, right in combinations(range(len(labels)), 2):
            if labels[left] < labels[right]:
                yield item["prompt"], images[left], images[right]
            elif labels[left] > labels[right]:
                yield item["prompt"], images[right], images[left]


def test_imagereward_makes_the_right_pairs_and_none_of_ties(world: World, tmp_path: Path) -> None:
    export(world.selection("rankings"), world.source, tmp_path / "out", format="imagereward")
    pairs = [pair for split in ("train", "valid", "test") for pair in imagereward_pairs(tmp_path / "out", split)]
    assert len(pairs) == sum(2 if group % 4 == 3 else 3 for group in range(len(world.groups)))
    for prompt, better, worse in pairs:
        (group, place), (other, lower) = place_of(world, better), place_of(world, worse)
        assert group == other
        assert place < lower
        assert prompt == world.groups[group][0].prompt
    assert list(imagereward_pairs(tmp_path / "out", "valid")) == []


def test_validation_is_called_valid_for_imagereward(world: World, tmp_path: Path) -> None:
    rows = [row | {"split": "validation" if row["split"] == "test" else "train"} for row in world.ranking_rows()]
    export(world.selection("rankings", rows), world.source, tmp_path / "out", format="imagereward")
    assert len(list(imagereward_pairs(tmp_path / "out", "valid"))) > 0
    assert "`dataset/test.json` has no rows" in (tmp_path / "out" / "README.md").read_text()


# Pairs in JSON --------------------------------------------------------------------------------------------------------


def test_hpsv2_reads_train_and_test(world: World, tmp_path: Path) -> None:
    export(world.selection("pairs"), world.source, tmp_path / "out", format="hpdv2")
    table = pa.Table.from_pylist(json.loads((tmp_path / "out" / "train.json").read_text()))
    sides = set()
    for row in table.select(["human_preference", "prompt", "file_path"]).to_pylist():
        places = [place_of(world, (tmp_path / "out" / "train" / name).read_bytes()) for name in row["file_path"]]
        assert sorted(row["human_preference"]) == [0, 1]
        winner = row["human_preference"].index(1)
        assert places[winner][1] == 0 < places[1 - winner][1]
        assert row["prompt"] == world.groups[places[0][0]][0].prompt
        sides.add(winner)
    assert sides == {0, 1}, "the side says nothing"
    table = pa.Table.from_pylist(json.loads((tmp_path / "out" / "test.json").read_text()))
    for images, ranks in zip(table["image_path"].to_pylist(), table["rank"].to_pylist(), strict=True):
        places = [place_of(world, (tmp_path / "out" / "test" / name).read_bytes()) for name in images]
        assert places[ranks.index(min(ranks))][1] == 0


def hpsv3_item(sample: dict[str, Any], soft_label: bool) -> tuple[str, str, float]:
    """What `PairwiseOriginalDataset` makes of a row: the first image, the second, and how sure the first is the better."""
    for name in ("path1", "path2"):
        assert Path(sample[name]).exists()
    votes = sorted(sample["choice_dist"], reverse=True)
    assert sum(votes) > 0
    return sample["path1"], sample["path2"], votes[0] / sum(votes) if soft_label else 1.0


def test_hpsv3_takes_path1_for_the_winner(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(world.selection("pairs"), world.source, tmp_path / "out", format="hpdv3")
    monkeypatch.chdir(tmp_path / "out")
    rows = json.loads(Path("train.json").read_text())
    assert len([row for row in rows if row.get("confidence", math.inf) >= 0.8]) == 10
    for row in rows:
        first, second, sure = hpsv3_item(row, soft_label=True)
        (group, chosen), (other, rejected) = place_of(world, Path(first).read_bytes()), place_of(world, Path(second).read_bytes())
        assert group == other
        assert chosen == 0
        assert sure == row["confidence"] == (0.75 if rejected == 1 else 1.0)


def test_paired_folders_have_equal_stems_and_captions(world: World, tmp_path: Path) -> None:
    export(world.selection("pairs"), world.source, tmp_path / "out", format="win-lose-folders")
    lose = {path.stem: path for path in (tmp_path / "out" / "lose").iterdir()}
    wins = [path for path in (tmp_path / "out" / "win").iterdir() if path.suffix != ".txt"]
    assert {path.stem for path in wins} == lose.keys()
    assert len(wins) == 20
    for win in wins:
        group, chosen = place_of(world, win.read_bytes())
        assert chosen == 0 < place_of(world, lose[win.stem].read_bytes())[1]
        assert win.with_suffix(".txt").read_text(encoding="utf-8") == world.groups[group][0].prompt
    assert len(list((tmp_path / "out" / "test" / "win").glob("*.txt"))) == 4


def test_ids_are_text_and_table(world: World, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    export(world.selection("samples"), world.source, tmp_path / "out", format="ids")
    ids = [row["sample"] for row in world.sample_rows()]
    assert (tmp_path / "out" / "ids.txt").read_text().splitlines() == ids
    rows = pq.read_table(next((tmp_path / "out").glob("*.parquet"))).to_pylist()
    assert [row["sample"] for row in rows] == ids
    assert rows[4]["key"] == "g001_1"
