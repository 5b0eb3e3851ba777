"""Maps over pictures: the weights that scores of regions come to, and a reason for each sample that has none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.errors import CurateError, OutputError, StoreError
from curate.maps import write_maps
from curate.records import Rating, Status
from curate.store import SampleRow, Store, Unit
from tests.store.world import make_sample

REGIONS, LAYOUT = "1a" * 8, "2b" * 8

LEFT, RIGHT = [0, 0, 32, 48], [32, 0, 64, 48]


def findings(*scores: float) -> str:
    """What the format `srum-regions` keeps."""
    return json.dumps([{"region": number, "object": "a thing", "score": one} for number, one in enumerate(scores, start=1)])


def regions(number: int, rationale: str | None = None, status: Status = Status.OK) -> list[Rating]:
    """The rating of a sample on both dimensions, each with the rationale, as a rubric gives them."""
    value = 0.0 if status is Status.OK else None
    common: dict[str, Any] = {"rater": "srum-regions", "card": REGIONS, "value": value, "status": status, "rationale": rationale}
    return [Rating(sample=make_sample(number).id, dimension=name, **common) for name in ("mean", "least")]


def layout(number: int, value: float | None) -> Rating:
    status = Status.REFUSED if value is None else Status.OK
    sample = make_sample(number).id
    return Rating(sample=sample, rater="srum-layout", card=LAYOUT, dimension="layout", value=value, status=status)


def make_store(
    path: Path, ratings: list[Rating], metas: Mapping[int, Any], *, size: tuple[int | None, int | None] = (64, 48)
) -> Path:
    """A store with a picture for each of `metas`."""
    rows = [SampleRow(sample=make_sample(one, meta=meta), width=size[0], height=size[1]) for one, meta in metas.items()]
    store = Store.create_or_open(path)
    with store.writing():
        store.add_card(REGIONS, "srum-regions", json.dumps({"main": "mean", "dimensions": {"mean": {}, "least": {}}}))
        store.add_card(LAYOUT, "srum-layout", json.dumps({"main": "layout", "dimensions": {"layout": {}}}))
        store.commit(Unit(shard="a.tar", signature="v1", layout="plain", complete=True, samples=rows, ratings=ratings))
    store.close()
    return path


def test_the_golden_map_of_the_paper(tmp_path: Path) -> None:
    """Two regions with the scores 1 and -1, and 0.5 for the whole: .75, 0, and .375 where no region is."""
    boxes = [[0, 0, 16, 48], [16, 0, 32, 48]]
    store = make_store(tmp_path / "s", [*regions(1, findings(1, -1)), layout(1, 0.5)], {1: {"regions": boxes}})
    funnel = write_maps(store, "srum-regions", tmp_path / "maps", layout="srum-layout")
    assert (funnel.taken, funnel.kept, funnel.dropped) == (1, 1, {})
    (file,) = (tmp_path / "maps").iterdir()
    assert file.name == f"{make_sample(1).id}.npy"
    found = np.load(file, allow_pickle=False)
    assert (found.shape, found.dtype) == ((48, 64), np.float16)
    assert [set(np.unique(part)) for part in (found[:, :16], found[:, 16:32], found[:, 32:])] == [{0.75}, {0.0}, {0.375}]
    write_maps(store, "srum-regions", tmp_path / "released", layout="srum-layout", mode="max")
    assert set(np.unique(np.load(next((tmp_path / "released").iterdir()))[:, 16:32])) == {0.375}


def test_a_map_of_cells_is_as_large_as_the_grid_of_latents(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", regions(1, findings(1, 0)), {1: {"regions": [LEFT, RIGHT]}}, size=(60, 48))
    write_maps(store, "srum-regions", tmp_path / "maps", cell=8)
    found = np.load(next((tmp_path / "maps").iterdir()))
    assert found.shape == (6, 8)
    assert (found[:, :4] == 1).all()
    assert (found[:, 4:] == 0.5).all()


def test_every_sample_without_a_map_is_counted_with_its_reason(tmp_path: Path) -> None:
    good = {"regions": [LEFT, RIGHT]}
    metas: dict[int, Any] = dict.fromkeys(range(12), good)
    metas |= {2: {}, 3: {"regions": "all"}, 4: {"regions": [[0, 0, 1]]}, 5: {"regions": [[0, 0, True, 1], LEFT]}}
    ratings = [one for number in (1, 2, 3, 4, 5, 8, 9, 99) for one in regions(number, findings(1, 0.5))]
    ratings += [*regions(0, status=Status.PARSE_ERROR), *regions(6, findings(1)), *regions(7, findings(1, 0.5)[:-9] + "…")]
    ratings += regions(10, json.dumps([{"region": 1, "score": 9}, {"region": 2, "score": 0}]))
    ratings += [layout(number, 1.0) for number in range(8)] + [layout(8, None)]
    funnel = write_maps(make_store(tmp_path / "s", ratings, metas), "srum-regions", tmp_path / "maps", layout="srum-layout")
    assert funnel.dropped == {
        "parse_error": 1,
        "no 'regions' in the record's JSON": 1,
        "'regions' is no list of boxes": 3,
        "not one score for each box": 1,
        "no scores of regions in the rationale": 2,
        "srum-layout: refused": 1,
        "srum-layout: not rated": 1,
        "no longer in a shard": 1,
    }
    assert (funnel.taken, funnel.kept, funnel.adds_up) == (12, 1, True)
    assert [file.stem for file in (tmp_path / "maps").iterdir()] == [make_sample(1).id]


def test_what_a_user_can_get_wrong_is_a_sentence(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", regions(1, findings(1)), {1: {"regions": [LEFT]}}, size=(None, None))
    with pytest.raises(StoreError, match="is rated by 'srum-region'. Did you mean 'srum-regions'"):
        write_maps(store, "srum-region", tmp_path / "maps")
    with pytest.raises(CurateError, match="at least one pixel"):
        write_maps(store, "srum-regions", tmp_path / "maps", cell=0)
    assert write_maps(store, "srum-regions", tmp_path / "maps").dropped == {"no picture": 1}
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(OutputError, match="not empty"):
        write_maps(store, "srum-regions", tmp_path / "full")
