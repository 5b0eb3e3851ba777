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


def test_what_becomes_no_sample_is_named_and_shards_of_another_layout_are_pointed_out(cards: list[str], tmp_path: Path) -> None:
    single = write_shard(tmp_path / "a-single.tar", [(f"s{n}", {"png": png(n), "txt": b"a fox"}) for n in range(6)])
    several = [(f"m{n}", {"0.png": png(10 + n), "1.png": png(20 + n), "txt": b"a hare"}) for n in range(8)]
    multi = write_shard(tmp_path / "b-multi.tar", several)
    report = curate.rate([str(single), str(multi)], raters=cards[0], store=tmp_path / "store", workers=0)
    assert (report.samples, report.rejects) == (6, {"missing_response": 8})
    (example,) = [notice for notice in report.notices if notice.startswith("missing_response")]
    assert example.startswith(f"missing_response, for example m0 in {multi}")
    (hint,) = [notice for notice in report.notices if "--layout" in notice]
    assert str(multi) in hint
    assert str(single) not in hint
    assert "'single'" in hint


def test_pending_answers_are_no_ratings(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", [(f"{n}", {"png": png(n), "txt": b"a fox"}) for n in range(5)])
    people = card_yaml(tmp_path / "people.yaml", name="people", target="curate.testing:PeopleRater")
    report = curate.rate(str(shard), raters=[str(people)], store=tmp_path / "store", workers=0)
    assert report.statuses == {"people": {"pending": 5}}
    assert (report.computed, report.pending, report.comparisons) == (0, 5, 0)
    assert report.as_dict()["computed"] == 0


@pytest.fixture
def picky(tmp_path: Path) -> str:
    """A card whose rater judges what has a prompt of one word, on two dimensions, of which one is never asked about."""
    target = "tests.rating.judges:OneWordRater"
    return str(card_yaml(tmp_path / "picky.yaml", name="picky", target=target, dimensions=("overall", "other")))


def test_why_a_rater_does_not_apply_is_said(picky: str, tmp_path: Path) -> None:
    prompts = [b"fox", b"a fox", b"a hare"]
    shard = write_shard(tmp_path / "a.tar", [(f"k{n}", {"png": png(n), "txt": prompt}) for n, prompt in enumerate(prompts)])
    report = curate.rate(str(shard), raters=picky, store=tmp_path / "store", workers=0, trust=True)
    assert report.statuses == {"picky": {"ok": 1, "not_applicable": 2}}
    said = [notice for notice in report.notices if notice.startswith("picky")]
    assert said == [f"picky not_applicable, for example k1 in {shard}: the prompt has several words"]


def test_a_record_that_was_dropped_later_is_no_example(picky: str, tmp_path: Path) -> None:
    keys = ["again", "whole", "again"]
    shard = write_shard(tmp_path / "a.tar", [(key, {"png": png(n), "txt": b"a fox"}) for n, key in enumerate(keys)])
    report = curate.rate(str(shard), raters=picky, store=tmp_path / "store", workers=0, trust=True)
    assert report.rejects == {"key_reappears": 2}
    (said,) = [notice for notice in report.notices if notice.startswith("picky")]
    assert said.startswith(f"picky not_applicable, for example whole in {shard}")
