"""Videos beside videos: what is remembered of a source's frame is that frame's, whatever the response."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

pytest.importorskip("torch")
pytest.importorskip("av")

import curate
from curate.cards import load_card
from curate.store import Store
from curate.testing import write_shard
from tests.scorers.tiny.cards import tiny_card
from tests.shards.videos import video

LAYOUT = {"name": "edits", "responses": "edited.<video>", "conditions": {"source": "source.<video>"}, "prompt": "txt"}


def values(tmp_path: Path, name: str, card: str, records: list[tuple[str, dict[str, bytes]]]) -> dict[str, float]:
    write_shard(tmp_path / f"{name}.tar", records)
    curate.rate(
        [str(tmp_path / f"{name}.tar")], raters=[card], store=tmp_path / name, layout=str(tmp_path / "edits.yaml"), workers=0
    )
    store = Store.open(tmp_path / name)
    keys = {row["sample"]: row["key"] for row in store.export_rows("samples").to_pylist()}
    return {keys[row["sample"]]: row["value"] for row in store.export_rows("ratings").to_pylist()}


def test_samples_of_different_lengths_do_not_lend_each_other_frames(tmp_path: Path) -> None:
    file = tiny_card("clip-i", tmp_path)
    fields = yaml.safe_load(Path(file.where).read_text())
    fields["takes"]["conditions"] = ["source"]
    (tmp_path / "edits-card.yaml").write_text(yaml.safe_dump(fields))
    (tmp_path / "edits.yaml").write_text(yaml.safe_dump(LAYOUT))
    card = load_card(str(tmp_path / "edits-card.yaml")).where
    source = video([12 * number for number in range(20)])
    long = ("long", {"source.mp4": source, "edited.mp4": video([6 * number for number in range(40)]), "txt": b"slower"})
    short = ("short", {"source.mp4": source, "edited.mp4": video([25 * number for number in range(10)]), "txt": b"faster"})
    alone = values(tmp_path, "one", card, [long]) | values(tmp_path, "other", card, [short])
    assert alone == pytest.approx(values(tmp_path, "both", card, [long, short]), abs=1e-5)
    assert alone == pytest.approx(values(tmp_path, "turned", card, [short, long]), abs=1e-5)
