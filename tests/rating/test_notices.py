"""What a run says of its raters: licences and unpinned weights, once."""

from __future__ import annotations

from pathlib import Path

import pytest

import curate
from curate.cards import load_card
from curate.rating.notices import notices_of
from curate.testing import card_yaml, write_shard
from tests.rating.conftest import png


@pytest.fixture
def cards(tmp_path: Path) -> list[str]:
    loose = {"model": {"hub": "org/net", "revision": "unpinned", "file": "x"}}
    pinned = {"model": {"hub": "org/net", "revision": "0" * 40, "file": "x"}}
    fields: dict[str, dict[str, object]] = {
        "free": {"commercial": True, "weights": pinned},
        "bound": {"commercial": False, "licence": "CC-BY-NC-4.0", "weights": loose},
        "tied": {"commercial": False, "licence": "S-Lab 1.0"},
        "silent": {},
    }
    target = "curate.testing:HashRater"
    return [str(card_yaml(tmp_path / f"{name}.yaml", name=name, target=target, **more)) for name, more in fields.items()]


def test_what_is_forbidden_and_what_may_change(cards: list[str]) -> None:
    licence, weights = notices_of([load_card(card) for card in cards])
    assert licence == "not for commercial use, by the licence of the rater: bound (CC-BY-NC-4.0), tied (S-Lab 1.0)"
    assert weights == "the weights are unpinned, so another day may bring other ratings: bound"
    assert notices_of([load_card(cards[0]), load_card(cards[3])]) == []


def test_a_run_says_it_once_also_when_nothing_is_left_to_do(cards: list[str], tmp_path: Path) -> None:
    shards = [str(write_shard(tmp_path / f"{n}.tar", [(f"{n}", {"png": png(n), "txt": b"a fox"})])) for n in range(3)]
    for computed in (12, 0):
        report = curate.rate(shards, raters=cards, store=tmp_path / "store", workers=0)
        assert report.computed == computed
        assert sum("commercial" in notice for notice in report.notices) == 1
        assert sum("unpinned" in notice for notice in report.notices) == 1
