"""Videos, rated frame by frame by raters of pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

pytest.importorskip("av")

import curate
from curate.records import Status
from curate.shards.video import Video
from curate.store import Store
from curate.testing import write_shard
from tests.shards.videos import video

GREYS = [0, 40, 80, 120, 160, 200, 240]


def card(folder: Path, name: str, **fields: object) -> str:
    text = {
        "name": name,
        "version": 1,
        "about": "how bright it is",
        "target": "curate.testing:BrightnessRater",
        "dimensions": {"brightness": {}},
        "main": "brightness",
        **fields,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(text))
    return str(path)


@pytest.fixture
def shard(tmp_path: Path) -> str:
    records = [
        ("a", {"mp4": video(GREYS)}),
        ("b", {"mp4": video(GREYS[:1])}),
        ("c", {"mp4": video(GREYS)[:400]}),
    ]
    write_shard(tmp_path / "videos.tar", records)
    return str(tmp_path / "videos.tar")


def as_png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def ratings(store: Path, rater: str, dimension: str = "brightness") -> dict[str, tuple[float | None, str, str | None]]:
    opened = Store.open(store)
    keys = {row["sample"]: row["key"] for row in opened.export_rows("samples").to_pylist()}
    rows = opened.export_rows("ratings").to_pylist()
    return {
        keys[row["sample"]]: (row["value"], row["status"], row["detail"])
        for row in rows
        if row["rater"] == rater and row["dimension"] == dimension
    }


@pytest.mark.parametrize("workers", [0, 2])
def test_any_rater_of_pictures_rates_a_video(shard: str, tmp_path: Path, workers: int) -> None:
    raters = [
        card(tmp_path, "mean", frames={"count": 3}),
        card(tmp_path, "least", frames={"count": 3, "reduce": "min"}),
        card(tmp_path, "middle", frames={"count": 1, "policy": "segment_centre"}),
        card(tmp_path, "none", frames=None),
    ]
    curate.rate([shard], raters=raters, store=tmp_path / "store", workers=workers)
    mean = ratings(tmp_path / "store", "mean")
    assert mean["a"][0] == pytest.approx(120 / 255, abs=0.02)
    assert mean["a"][2] == "frames 0, 3, 6 of 7"
    assert mean["b"][0] == pytest.approx(0, abs=0.02)
    assert mean["b"][2] == "frames 0 of 1"
    assert mean["c"][:2] == (None, Status.DECODE_ERROR)
    assert ratings(tmp_path / "store", "least")["a"][0] == pytest.approx(0, abs=0.02)
    assert ratings(tmp_path / "store", "middle")["a"][0] == pytest.approx(120 / 255, abs=0.02)
    assert {status for _, status, _ in ratings(tmp_path / "store", "none").values()} == {Status.UNSUPPORTED_MEDIA}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_rater_in_the_decode_workers_rates_a_video_like_its_frames(tmp_path: Path, workers: int) -> None:
    moving = video(GREYS)
    frames = Video(moving).frames(range(len(GREYS)))
    records = [("moving", {"mp4": moving}), *((str(position), {"png": as_png(pixels)}) for position, pixels in frames)]
    write_shard(tmp_path / "both.tar", records)
    curate.rate([str(tmp_path / "both.tar")], raters=["signal"], store=tmp_path / "store", workers=workers)
    found = ratings(tmp_path / "store", "signal", "exposure")
    values = [found[str(position)][0] for position in range(len(GREYS))]
    assert None not in values
    assert found["moving"][0] == pytest.approx(sum(value for value in values if value is not None) / len(values))


def test_size_and_format_of_a_video_are_kept(shard: str, tmp_path: Path) -> None:
    curate.rate([shard], raters=[card(tmp_path, "mean")], store=tmp_path / "store", workers=0)
    rows = {row["key"]: row for row in Store.open(tmp_path / "store").export_rows("samples").to_pylist()}
    assert [rows["a"][name] for name in ("width", "height", "format", "kind")] == [64, 48, "mp4", "video"]


def test_pictures_and_videos_in_one_shard(tmp_path: Path) -> None:
    write_shard(
        tmp_path / "both.tar", [("a", {"mp4": video([200] * 5)}), ("b", {"png": as_png(np.full((9, 9, 3), 51, np.uint8))})]
    )
    curate.rate([str(tmp_path / "both.tar")], raters=[card(tmp_path, "mean")], store=tmp_path / "store", workers=0)
    found = ratings(tmp_path / "store", "mean")
    assert found["a"][0] == pytest.approx(200 / 255, abs=0.02)
    assert found["b"] == (0.2, Status.OK, None)


def test_the_least_of_a_rater_that_likes_little_is_its_worst_frame(shard: str, tmp_path: Path) -> None:
    dark = card(tmp_path, "dark", higher_is_better=False, frames={"policy": "all", "reduce": "min"})
    curate.rate([shard], raters=[dark], store=tmp_path / "store", workers=0)
    value, _, said = ratings(tmp_path / "store", "dark")["a"]
    assert value == pytest.approx(-240 / 255, abs=0.02)
    assert said == "frames 0, 1, 2, 3, 4, 5, 6 of 7"


def test_what_is_said_beside_the_frames_of_videos_is_counted_once_a_video(tmp_path: Path) -> None:
    """Whatever else the videos' words differ in: which frames were seen of each."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.scorers.tiny.cards import tiny_card

    long = "a very long story about " * 30
    prompts = {"a": long, "b": long, "c": "a cat", "d": "a cat<|endoftext|>", "e": long}
    records = [(key, {"mp4": video(GREYS[: 3 + number]), "txt": prompts[key].encode()}) for number, key in enumerate("abcd")]
    write_shard(tmp_path / "videos.tar", [*records, ("e", {"png": as_png(np.zeros((9, 9, 3), np.uint8)), "txt": long.encode()})])
    rater = tiny_card("pickscore", tmp_path).where
    report = curate.rate([str(tmp_path / "videos.tar")], raters=[rater], store=tmp_path / "store", workers=0)
    assert "pickscore, of 3 samples: the prompt was cut to 77 tokens" in report.notices
    assert "pickscore, of 1 samples: the prompt holds control tokens (<|endoftext|>), read as such" in report.notices
    assert not [notice for notice in report.notices if "frames " in notice]
    beside = ratings(tmp_path / "store", "pickscore", "preference")
    assert beside["a"][2] == "frames 0, 1, 2 of 3; the prompt was cut to 77 tokens"
