"""One rater on several devices: the same judgements, whichever replica gives them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import curate
from curate.ahead import ahead
from curate.batch_raters import BatchRater, Replicas
from curate.errors import CurateError
from curate.rater_loading import load_rater
from curate.rater_settings import Settings
from curate.raters import Item, Judgement, measured
from curate.records import Rating, Status
from curate.store import Store
from curate.testing import card_yaml, write_shard
from tests.rating.conftest import png


class Doubles(BatchRater):
    """Judges an item by twice its number; `fails` is what ends it when it sees the item 13."""

    dimensions = ("twice",)
    batch_size = 4

    def __init__(self, *, fails: BaseException | None = None, closes: bool = True) -> None:
        self.threads: set[int] = set()
        self.batches = 0
        self.closed = False
        self._fails, self._closes = fails, closes

    def judge_batch(self, batch: Sequence[Item]) -> list[Judgement]:
        self.threads.add(threading.get_ident())
        self.batches += 1
        time.sleep(0.01)
        if self._fails and any(item.number == 13 for item in batch):
            raise self._fails
        return [Judgement(item=item.number, values={"twice": measured(2 * item.number)}) for item in batch]

    def close(self) -> None:
        self.closed = True
        if not self._closes:
            raise RuntimeError("stuck")


def items(count: int) -> Iterator[Item]:
    return (Item(number=number, samples=()) for number in range(count))


def test_every_item_gets_its_own_judgement_and_all_replicas_work() -> None:
    replicas = [Doubles(), Doubles(), Doubles()]
    judged = list(Replicas(replicas).judge(items(101)))
    assert sorted((one.item, one.values["twice"].value) for one in judged) == [(n, 2.0 * n) for n in range(101)]
    assert all(one.threads for one in replicas)


def test_items_are_taken_when_a_replica_is_free() -> None:
    taken = []

    def watched() -> Iterator[Item]:
        for item in items(1000):
            taken.append(item.number)
            yield item

    with contextlib.closing(Replicas([Doubles(), Doubles()]).judge(watched())) as judgements:
        assert taken == []
        next(judgements)
        time.sleep(0.2)
        assert len(taken) <= 5 * 4, "a batch that was asked for, one each that waits to be, and one each in work"


def test_a_failed_item_is_a_status_and_what_ends_a_replica_ends_all() -> None:
    failed = {
        one.item: one.values["twice"].status
        for one in Replicas([Doubles(fails=ValueError()), Doubles(fails=ValueError())]).judge(items(20))
    }
    assert [number for number, status in failed.items() if status != Status.OK] == [13]
    replicas = Replicas([Doubles(fails=SystemExit("gone")), Doubles(fails=SystemExit("gone"))])
    with pytest.raises(SystemExit, match="gone"):
        list(replicas.judge(items(50)))


class Ahead(Doubles):
    """Draws batches ahead of the one that it judges, as networks do."""

    def judge_batches(self, batches: Iterable[list[Item]]) -> Generator[list[Judgement]]:
        with contextlib.closing(ahead(batches)) as coming:
            for batch in coming:
                yield self.judge_batch(batch)


def test_what_was_drawn_ahead_is_given_up_when_nobody_listens() -> None:
    replicas = [Ahead(), Ahead()]
    with contextlib.closing(Replicas(replicas).judge(items(10_000))) as judgements:
        next(judgements)
        time.sleep(0.2)  # until they wait to be heard
        begun = sum(one.batches for one in replicas)
    assert sum(one.batches for one in replicas) == begun


def test_closing_closes_all() -> None:
    replicas = [Doubles(), Doubles(closes=False), Doubles()]
    with pytest.raises(RuntimeError, match="stuck"):
        Replicas(replicas).close()
    assert [one.closed for one in replicas] == [True, True, True]


def rated(shards: list[str], raters: list[str], store: Path, **settings: Any) -> list[Rating]:
    curate.rate(shards, raters=raters, store=store, workers=0, trust=True, **settings)
    with Store.open(store) as opened:
        return sorted(opened.ratings(), key=lambda rating: (rating.sample, rating.card, rating.dimension))


@pytest.fixture
def shards(tmp_path: Path) -> list[str]:
    records = [(f"{n:03d}", {"png": png(n), "txt": f"prompt {n // 4}".encode()}) for n in range(40)]
    return [str(write_shard(tmp_path / f"{part}.tar", records[part::2])) for part in range(2)]


def test_the_ratings_are_those_of_one_device(shards: list[str], tmp_path: Path) -> None:
    """A rater of batches, one in the decode workers, one that asks a server: the last two have no use for a second device."""
    raters = [
        str(card_yaml(tmp_path / f"{name}.yaml", name=name, target=f"curate.testing:{target}", args=args))
        for name, target, args in (
            ("hash", "HashRater", {"fail": 0.2}),
            ("near", "HashRater", {"place": "worker"}),
            ("far", "ServerRater", {}),
        )
    ]
    one = rated(shards, raters, tmp_path / "one", device="cpu")
    two = rated(shards, raters, tmp_path / "two", device="cpu,cpu", batch_size=3)
    assert len(one) == 3 * 40
    assert two == one


def test_a_network_on_two_devices(shards: list[str], tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tests.scorers.tiny.cards import tiny_card

    card = tiny_card("pickscore", tmp_path).where
    one = rated(shards, [card], tmp_path / "one", device="cpu")
    two = rated(shards, [card], tmp_path / "two", device="cpu,cpu", batch_size=4)
    assert [(a.sample, a.status) for a in one] == [(b.sample, b.status) for b in two]
    assert [a.value for a in one] == pytest.approx([b.value for b in two], abs=1e-4)


def test_only_raters_of_batches_are_replicated(tmp_path: Path) -> None:
    cards = {
        target: curate.cards.load_card(str(card_yaml(tmp_path / f"{n}.yaml", name="mine", target=f"curate.testing:{target}")))
        for n, target in enumerate(("HashRater", "ServerRater"))
    }
    settings = Settings(device="cpu,cpu", batch_size=5)
    many = load_rater(cards["HashRater"], settings)
    assert isinstance(many, Replicas)
    assert many.batch_size == 10
    assert not isinstance(load_rater(cards["ServerRater"], settings), Replicas)


def test_a_device_that_is_not_there_is_said(shards: list[str], tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tests.scorers.tiny.cards import tiny_card

    card = tiny_card("pickscore", tmp_path).where
    with pytest.raises(CurateError, match="there is no device 'cuda:77' here"):
        rated(shards, [card], tmp_path / "store", device="cpu,cuda:77")
