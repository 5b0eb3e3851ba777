"""What a store remembers, replaces and refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from curate.errors import StoreError
from curate.records import Status
from curate.store import Store, Unit
from tests.store.world import (
    CARDS,
    SHARP,
    TASTE,
    add_cards,
    compare,
    make_row,
    make_sample,
    make_store,
    make_unit,
    rate,
    sample_ids,
)


def ratings_only(shard: str, **fields: object) -> Unit:
    return make_unit(shard, [0], **{"samples": None, "rejects": (), "ratings": (), "asked": (), **fields})


# Making and opening


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no store at .*none; 'curate rate' makes one"):
        Store.open(tmp_path / "none")


def test_a_folder_that_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(StoreError, match="is not a store: it has no store.json"):
        Store.open(tmp_path)
    with pytest.raises(StoreError, match=r"holds other things \(photo.jpg\) and no store"):
        Store.create_or_open(tmp_path)
    with pytest.raises(StoreError, match="is a file"):
        Store.create_or_open(tmp_path / "photo.jpg")


def test_a_store_of_a_newer_version(tmp_path: Path) -> None:
    make_store(tmp_path / "s", [])
    (tmp_path / "s/store.json").write_text('{"format": 2}')
    with pytest.raises(StoreError, match=r"newer version of curate \(format 2, known is 1\); update curate"):
        Store.open(tmp_path / "s")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "x"}', '{"version": 1}'])
def test_a_damaged_mark(tmp_path: Path, text: str) -> None:
    make_store(tmp_path / "s", [])
    (tmp_path / "s/store.json").write_text(text)
    with pytest.raises(StoreError, match="store.json is damaged"):
        Store.open(tmp_path / "s")


def test_a_missing_manifest_is_not_made_anew(tmp_path: Path) -> None:
    make_store(tmp_path / "s", []).close()
    (tmp_path / "s/manifest.sqlite").unlink()
    with pytest.raises(StoreError, match="manifest.sqlite is missing"):
        Store.create_or_open(tmp_path / "s")


def test_making_a_store_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    make_store(tmp_path / "s", []).close()
    (tmp_path / "s/store.json").rename(tmp_path / "s/store.json.tmp.0123456789abcdef")
    with Store.create_or_open(tmp_path / "s") as store, store.writing():
        store.commit(make_unit("a.tar", range(3), cards=[]))
    assert sorted(row.sample.id for row in Store.open(tmp_path / "s").samples()) == sorted(sample_ids(range(3)))
    assert Store.open(tmp_path / "s").verify() == []


# Units


def test_a_unit_is_found_again(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(4), complete=False, counts={"n": {"deep": [1, None]}})])
    assert store.unit_state("b.tar") is None
    for opened in (store, Store.open(tmp_path / "s")):
        state = opened.unit_state("a.tar")
        assert state is not None
        assert (state.signature, state.layout, state.complete, state.present) == ("v1", "plain", False, True)
        assert state.asked == {SHARP, TASTE}
        assert state.counts == {"n": {"deep": [1, None]}}


def test_records_come_back_as_they_went_in(tmp_path: Path) -> None:
    unit = make_unit("a.tar", [3, 1, 2], comparisons=compare([(1, 2), (2, 3)]))
    store = make_store(tmp_path / "s", [unit])
    assert list(store.samples()) == sorted(unit.samples or (), key=lambda row: row.sample.key)
    assert sorted(store.ratings(), key=repr) == sorted(unit.ratings, key=repr)
    assert sorted(store.comparisons(), key=repr) == sorted(unit.comparisons, key=repr)
    assert {rating.card for rating in store.ratings([TASTE])} == {TASTE}
    assert store.export_rows("rejects", places=True).to_pylist() == [
        {"shard": "a.tar", "key": "bad-3", "reason": "bad_metadata", "detail": "no JSON"}
    ]


def test_later_ratings_keep_samples_and_earlier_ratings(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(5), cards=[SHARP])])
    with store.writing():
        store.commit(ratings_only("a.tar", ratings=rate(range(5), TASTE), asked={TASTE}))
    whole = make_store(tmp_path / "t", [make_unit("a.tar", range(5))])
    for kind in ("samples", "rejects", "ratings"):
        assert store.export_rows(kind).equals(whole.export_rows(kind))
    state = store.unit_state("a.tar")
    assert state is not None
    assert state.asked == {SHARP, TASTE}


def test_changed_contents_replace_samples_and_keep_ratings(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(5))])
    with store.writing():
        store.commit(make_unit("a.tar", range(3, 8), signature="v2", ratings=(), asked={SHARP}))
    assert [row.sample.id for row in store.samples()] == sample_ids(range(3, 8))
    assert {rating.sample for rating in store.ratings()} == set(sample_ids(range(5)))
    state = store.unit_state("a.tar")
    assert state is not None
    assert state.asked == {SHARP}, "what was asked of the old samples says nothing of the new ones"
    assert [rater.orphans for rater in store.summary().raters] == [3, 3]


@pytest.mark.parametrize("fields", [{"shard": "new.tar"}, {"signature": "v2"}, {"layout": "other"}])
def test_ratings_alone_need_the_stored_samples(tmp_path: Path, fields: dict[str, str]) -> None:
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(2))])
    with store.writing(), pytest.raises(ValueError, match="a commit has to bring them"):
        store.commit(ratings_only(**{"shard": "a.tar", **fields}))


def test_rejects_come_with_their_samples(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(2))])
    with store.writing(), pytest.raises(ValueError, match="come with its samples"):
        store.commit(make_unit("a.tar", range(2), samples=None))


def test_a_card_is_added_before_it_rates(tmp_path: Path) -> None:
    store = Store.create_or_open(tmp_path / "s")
    with store.writing(), pytest.raises(ValueError, match=f"the card {SHARP} judged, and was not added"):
        store.commit(make_unit("a.tar", [0]))


def test_an_empty_signature_is_never_unchanged(tmp_path: Path) -> None:
    units = [make_unit("a.tar", range(2), signature="", asked={card}) for card in (SHARP, TASTE)]
    store = make_store(tmp_path / "s", units)
    state = store.unit_state("a.tar")
    assert state is not None
    assert state.asked == {TASTE}


def test_replaced_files_go_with_the_next_writing(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(3)), make_unit("a.tar", range(3), signature="v2")])
    with store.writing():
        assert len(list((tmp_path / "s/samples").iterdir())) == 1
    assert store.verify() == []


def test_changing_needs_writing(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [])
    for change in (lambda: store.commit(make_unit("a.tar", [0])), lambda: add_cards(store), lambda: store.set_present({})):
        with pytest.raises(StoreError, match="is open for reading"):
            change()


@pytest.mark.parametrize("text", ["{}", "[]", '{"main": "x", "dimensions": {"y": {}}}', '{"main": "x", "dimensions": ["x"]}'])
def test_a_card_says_its_dimensions(tmp_path: Path, text: str) -> None:
    store = Store.create_or_open(tmp_path / "s")
    with store.writing(), pytest.raises(ValueError, match="does not say its dimensions"):
        store.add_card("ab" * 8, "mine", text)


def test_finding_a_unit_does_not_read_the_thousand_others(tmp_path: Path) -> None:
    store = Store.create_or_open(tmp_path / "s")
    with store.writing(), store._manifest.transaction():
        from curate.store import UnitState

        for number in range(1000):
            store._manifest.put_unit(
                UnitState(
                    shard=f"s3://bucket/{number:06d}.tar",
                    signature="v1",
                    layout="plain",
                    complete=True,
                    present=True,
                    asked=frozenset(CARDS),
                    counts={"samples": 1},
                )
            )
    opened = Store.open(tmp_path / "s")
    steps: list[int] = []  # of SQLite's machine, a thousand an entry
    opened._manifest._db.set_progress_handler(lambda: steps.append(1000) or 0, 1000)
    states = [opened.unit_state(f"s3://bucket/{number:06d}.tar") for number in range(1000)]
    assert all(state is not None and state.asked == set(CARDS) for state in states)
    assert sum(steps) < 1000 * 300, "a look at a thousand units takes thousands of steps"
    for _ in range(3):
        opened.presence()
    assert sum(steps) >= 3000, "steps are counted"


# Judgements


def test_a_judgement_is_stored_once(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(4)), make_unit("b.tar", range(2, 6))])
    assert len(list(store.ratings([SHARP]))) == 6
    assert len(list(store.samples())) == 6
    assert store.export_rows("samples").num_rows == 8


def test_of_two_answers_in_one_commit_the_first_stays(tmp_path: Path) -> None:
    first, second = rate([0]), rate([0], statuses={0: Status.NAN})
    store = make_store(tmp_path / "s", [make_unit("a.tar", [0], ratings=[*first, *second])])
    assert list(store.ratings()) == first


def test_known_says_what_came_of_it_and_grows(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(4), ratings=rate(range(4), statuses={1: Status.OOM}))])
    with store.writing():
        known, other = store.known(SHARP), store.known(TASTE)
        assert known.has(sample_ids([0, 1, 9])).tolist() == [True, True, False]
        assert known.statuses(sample_ids([0, 1, 9])) == [Status.OK, Status.OOM, None]
        store.commit(make_unit("b.tar", range(8, 10)))
        assert known.has(sample_ids([9, 10])).tolist() == [True, False]
        assert other.has(sample_ids([9, 0])).tolist() == [True, False]


def test_a_known_status_is_the_worst_over_the_dimensions(tmp_path: Path) -> None:
    good, bad = rate([0], TASTE)[0], rate([0], TASTE, statuses={0: Status.REFUSED})[1]
    store = make_store(tmp_path / "s", [make_unit("a.tar", [0], ratings=[good, bad])])
    assert store.known(TASTE).statuses(sample_ids([0])) == [Status.REFUSED]
    assert store.known(TASTE, retry={Status.REFUSED}).statuses(sample_ids([0])) == [None]
    assert store.known(TASTE, retry={Status.OOM}).statuses(sample_ids([0])) == [Status.REFUSED]


def test_a_retried_rating_takes_the_place_of_the_failed_one(tmp_path: Path) -> None:
    failed = {1: Status.API_ERROR, 2: Status.REFUSED}
    units = [make_unit(shard, range(4), cards=[], ratings=rate(range(4), TASTE, statuses=failed)) for shard in ("a.tar", "b.tar")]
    store = make_store(tmp_path / "s", units)
    with store.writing():
        known = store.known(TASTE, retry={Status.API_ERROR})
        assert known.has(sample_ids(range(4))).tolist() == [True, False, True, True]
        # The failed rows are part of a.tar; the new ones come with b.tar.
        replaces = {(make_sample(1).id, TASTE)}
        store.commit(ratings_only("b.tar", ratings=rate([1], TASTE), replaces=replaces))
        assert known.statuses(sample_ids([1])) == [Status.OK]
        assert store.known(TASTE).statuses(sample_ids([1, 2])) == [Status.OK, Status.REFUSED]
        # A second try that fails differently, and one that the store was not told to replace.
        store.commit(
            ratings_only("a.tar", ratings=rate([2], TASTE, statuses={2: Status.OOM}), replaces={(make_sample(2).id, TASTE)})
        )
        store.commit(ratings_only("a.tar", ratings=rate([2], TASTE)))
    expected = rate(range(4), TASTE, statuses={2: Status.OOM})
    for opened in (store, Store.open(tmp_path / "s")):
        assert sorted(opened.ratings(), key=repr) == sorted(expected, key=repr)
        assert opened.known(TASTE).statuses(sample_ids(range(4))) == [Status.OK, Status.OK, Status.OOM, Status.OK]
        assert opened.export_rows("ratings").num_rows == len(expected)


def test_what_is_replaced_without_being_stored_is_just_stored(tmp_path: Path) -> None:
    replaces = {(one, SHARP) for one in sample_ids(range(3))}
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(3), replaces=replaces), make_unit("b.tar", range(3, 5))])
    assert len(list(store.ratings([SHARP]))) == 5
    assert sum(part.replaced for part in store._manifest.parts("ratings")) == 0


def test_comparisons_are_stored_once_and_replaced(tmp_path: Path) -> None:
    failed = compare([(0, 1)], value=None, status=Status.PARSE_ERROR)
    store = make_store(tmp_path / "s", [make_unit("a.tar", range(4), comparisons=[*failed, *compare([(1, 2)])])])
    first, second = sorted(sample_ids([0, 1]))
    with store.writing():
        store.commit(make_unit("b.tar", range(4), comparisons=compare([(0, 1), (1, 2), (2, 3)], value=0.5)))
        assert store.known_pairs(SHARP).has_pairs([first, second], [second, first]).tolist() == [True, False]
        assert store.known_pairs(SHARP, retry={Status.PARSE_ERROR}).has_pairs([first], [second]).tolist() == [False]
        store.commit(ratings_only("a.tar", comparisons=compare([(0, 1)]), replaces={(first, second, SHARP)}))
    expected = [*compare([(0, 1), (1, 2)]), *compare([(2, 3)], value=0.5)]
    assert sorted(store.comparisons(), key=repr) == sorted(expected, key=repr)


def test_a_pending_judgement_is_never_stored(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [])
    with store.writing(), pytest.raises(ValueError, match="pending"):
        store.commit(make_unit("a.tar", [0], ratings=rate([0], statuses={0: Status.PENDING})))
    assert store.unit_state("a.tar") is None


@pytest.mark.parametrize("wrong", ["", "ab", "A" * 32, "g" * 32, "ab" * 15 + " a", "ab" * 17])
def test_an_id_is_32_hex_characters(tmp_path: Path, wrong: str) -> None:
    store = make_store(tmp_path / "s", [])
    with store.writing(), pytest.raises(ValueError, match="an id is 32 lower-case hex characters"):
        store.commit(make_unit("a.tar", [0], samples=[make_row(0, id=wrong)]))


# One writer


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [])
    other = Store.open(tmp_path / "s")
    with store.writing():
        with pytest.raises(StoreError, match=rf"is in use by process {os.getpid()} on \S+; wait for it to end"), other.writing():
            pass
        assert other.unit_state("a.tar") is None, "reading goes on"
    with other.writing():
        other.commit(make_unit("a.tar", [0]))
    assert store.unit_state("a.tar") is not None


def test_a_killed_writer_holds_nothing(tmp_path: Path) -> None:
    make_store(tmp_path / "s", [])
    # The writer forks a child that lives on, as a decode worker would.
    script = """
import os, sys, time
from curate.store import Store
with Store.open(sys.argv[1]).writing():
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    time.sleep(60)
"""
    writer = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "s")], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    child = int(writer.stdout.readline())
    store = Store.open(tmp_path / "s")
    try:
        with pytest.raises(StoreError, match=f"process {writer.pid} on"), store.writing():
            pass
        writer.kill()
        writer.wait()
        with store.writing():
            add_cards(store)
    finally:
        os.kill(child, 9)
        writer.stdout.close()


def test_json_of_cards_is_kept(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s", [])
    assert [(card.fingerprint, card.name, json.loads(card.text)) for card in store.cards()] == [
        (fingerprint, name, declared) for fingerprint, (name, declared) in CARDS.items()
    ]
