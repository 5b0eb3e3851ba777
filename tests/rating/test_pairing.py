"""Tournaments: fewer pairs than all, chosen by what was answered, and the same ones whatever interrupts them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from math import ceil, log2
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.cards import load_card
from curate.rating import pairing
from curate.rating.pairing import Member, Pair, Tournament
from curate.rating.report import RateReport
from curate.standings import bradley_terry, win_rates
from curate.store import Store
from curate.store import commit as commits
from curate.testing import card_yaml, write_shard
from tests.rating.conftest import png

Rate = Callable[..., RateReport]


def members(count: int) -> list[Member]:
    return [Member(sample=f"{number:032x}", digest=f"{number:064x}") for number in range(count)]


def played(tournament: Tournament, answer: Callable[[Pair], float | None]) -> list[list[Pair]]:
    """The rounds of a tournament, all answered."""
    rounds = []
    while round_ := tournament.next_round():
        rounds.append(round_)
        tournament.learn({pair: answer(pair) for pair in round_})
    return rounds


def larger(pair: Pair) -> float:
    return float(pair.first > pair.second)


@given(count=st.integers(2, 40), seed=st.integers(0, 99))
def test_nobody_meets_twice_and_rounds_are_few(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rounds = played(Tournament("g", members(count)), lambda pair: None if rng.random() < 0.1 else rng.random())
    pairs = [pair for round_ in rounds for pair in round_]
    assert len(rounds) <= ceil(log2(count)) + 1
    assert len(pairs) == len(set(pairs)) <= min(count * (count - 1) // 2, (ceil(log2(count)) + 1) * count // 2)
    for round_ in rounds:
        assert max(Counter(one for pair in round_ for one in (pair.first, pair.second)).values()) == 1
    assert all(pair.first < pair.second for pair in pairs)
    assert {one for pair in pairs for one in (pair.first, pair.second)} == {member.sample for member in members(count)}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_small_groups_play_everybody(count: int) -> None:
    rounds = played(Tournament("g", members(count)), larger)
    assert sum(map(len, rounds)) == count * (count - 1) // 2


def test_later_rounds_are_between_neighbours() -> None:
    first, second, *_ = played(Tournament("g", members(8)), larger)
    ids = [member.sample for member in members(8)]
    assert [(ids.index(pair.first), ids.index(pair.second)) for pair in first] == [(0, 1), (2, 3), (4, 5), (6, 7)]
    # The odd ones won, so they meet each other.
    assert [(ids.index(pair.first), ids.index(pair.second)) for pair in second] == [(1, 3), (5, 7), (0, 2), (4, 6)]


def test_byte_identical_responses_do_not_meet() -> None:
    twins = [Member(sample=f"{number:032x}", digest=f"{number // 2:064x}") for number in range(6)]
    pairs = {(int(pair.first, 16), int(pair.second, 16)) for round_ in played(Tournament("g", twins), larger) for pair in round_}
    assert pairs
    assert not pairs & {(0, 1), (2, 3), (4, 5)}
    assert played(Tournament("g", [twins[0], twins[1]]), larger) == []


def test_a_round_waits_for_the_one_before() -> None:
    tournament = Tournament("g", members(4))
    first, _ = tournament.next_round()
    tournament.learn({first: 1.0})
    with pytest.raises(ValueError, match="a round begins when the one before it is answered"):
        tournament.next_round()


@pytest.mark.parametrize("seed", range(5))
def test_strengths_put_right_what_win_rates_of_a_tournament_cannot_tell(seed: int) -> None:
    group = members(64)
    places = {member.sample: place for place, member in enumerate(group)}
    quality = np.random.default_rng(seed).permutation(64)

    def better(pair: Pair) -> float:
        return float(quality[places[pair.first]] > quality[places[pair.second]])

    pairs = [pair for round_ in played(Tournament("g", group), better) for pair in round_]
    assert len(pairs) <= 7 * 32 < 64 * 63 // 2
    first, second = (np.array([places[one] for one in side]) for side in zip(*((p.first, p.second) for p in pairs), strict=True))
    chance = np.array([better(pair) for pair in pairs])
    strengths, rates = bradley_terry(first, second, chance, 64), win_rates(first, second, chance, 64)
    assert quality[strengths.argmax()] == 63
    assert quality[strengths.argmin()] == 0
    right, by_rates = (np.corrcoef(one.argsort(kind="stable").argsort(), quality)[0, 1] for one in (strengths, rates))
    assert right > max(0.94, by_rates)


# Through the engine


@pytest.fixture
def shards(tmp_path: Path) -> list[str]:
    """Two shards in which groups of 9, 5, 2 and 1 lie mixed."""
    folder = tmp_path / "shards"
    folder.mkdir()
    prompts = [f"prompt {number}" for number, size in enumerate((9, 5, 2, 1)) for _ in range(size)]
    records = [(f"{number:05d}", {"png": png(number), "txt": prompt.encode()}) for number, prompt in enumerate(prompts)]
    return [str(write_shard(folder / f"{place}.tar", records[place::2])) for place in range(2)]


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., str]:
    """Writes a card for the judge by ids and gives its path."""

    def write(name: str = "judge", **args: object) -> str:
        target = "tests.rating.judges:OrderJudge"
        path = tmp_path / f"{name}.yaml"
        return str(card_yaml(path, name="judge", target=target, judges="pairs", pairing="tournament", args=args))

    return write


def compared(folder: Path, store: str = "store") -> pa.Table:
    with Store.open(folder / store) as opened:
        return opened.export_rows("comparisons")


def pairs_of(table: pa.Table) -> list[tuple[str, str]]:
    return list(zip(table["first"].to_pylist(), table["second"].to_pylist(), strict=True))


def test_a_tournament_asks_fewer_pairs_and_ranks_the_same(
    shards: list[str], tmp_path: Path, judge: Callable[..., str], rate: Rate
) -> None:
    report = rate(shards, ["signal", judge()])
    # 5 rounds of 4 pairs, 4 rounds of 2, and one pair: of 36, 10 and 1.
    assert report.compared["judge"] == {"ok": 20 + 8 + 1}
    assert rate(shards, ["signal", judge()]).compared["judge"] == {}
    with Store.open(tmp_path / "store") as store:
        table = pq.read_table(store.view().path, columns=["sample", "group_no", "judge.overall_strength"]).to_pylist()
    groups = [[row["judge.overall_strength"] for row in table if row["group_no"] == number] for number in range(4)]
    assert sorted(map(len, groups)) == [1, 2, 5, 9]
    for strengths in groups:
        # A view is ordered by id, and the larger id is better.
        assert strengths == [None] or (strengths[0], strengths[-1]) == (min(strengths), max(strengths))


@pytest.mark.parametrize("block", [1, 3])
def test_the_size_of_blocks_does_not_show(
    shards: list[str], tmp_path: Path, judge: Callable[..., str], rate: Rate, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    rate(shards, ["signal", judge()], store="expected")
    monkeypatch.setattr(pairing, "BLOCK_PAIRS", block)
    rate(shards, ["signal", judge()])
    assert compared(tmp_path).equals(compared(tmp_path, "expected"))


class Killed(BaseException):
    """Stands for a kill: nothing handles it."""


def test_a_tournament_that_was_killed_ends_as_an_undisturbed_one(
    shards: list[str], tmp_path: Path, judge: Callable[..., str], rate: Rate, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate(shards, ["signal", judge()], store="expected")
    rate(shards, ["signal"])
    monkeypatch.setattr(pairing, "BLOCK_PAIRS", 5)
    sizes = []

    def at(name: str) -> None:
        if name == kill_at:
            raise Killed

    monkeypatch.setattr(commits, "sync_point", at)
    for number in range(100):
        kill_at = ("before the transaction ends", "committed")[number % 2]
        try:
            rate(shards, ["signal", judge()])
        except Killed:
            sizes.append(compared(tmp_path).num_rows)
            continue
        break
    assert sizes[0] == 0
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 4, "it went on from where it was, and not to the end at once"
    assert compared(tmp_path).equals(compared(tmp_path, "expected"))


def test_failed_comparisons_are_played_and_can_be_retried(
    shards: list[str], tmp_path: Path, judge: Callable[..., str], rate: Rate
) -> None:
    card = judge(refused="0123456789")
    report = rate(shards, ["signal", card])
    assert report.compared["judge"]["refused"] > 0
    rows = compared(tmp_path)
    assert rate(shards, ["signal", card]).compared["judge"] == {}
    again = rate(shards, ["signal", card], retry=["refused"])
    assert again.compared["judge"] == {"refused": report.compared["judge"]["refused"]}
    assert compared(tmp_path).equals(rows)


def test_a_tournament_waits_for_answers_that_come_later(
    shards: list[str], tmp_path: Path, judge: Callable[..., str], rate: Rate
) -> None:
    rate(shards, ["signal", judge()], store="expected")
    expected = pairs_of(compared(tmp_path, "expected"))
    file = tmp_path / "answers.json"
    card = judge("people", answers=str(file))
    file.write_text("[]")
    assert rate(shards, ["signal", card]).compared["judge"] == {"pending": 4 + 2 + 1}, "a round of each group, and no later one"
    for number in range(3):
        file.write_text(json.dumps(expected[number % 2 :: 2]))  # half of the answers are there at a time
        report = rate(shards, ["signal", card])
        assert report.compared["judge"].keys() == {"ok", "pending"}
        found = pairs_of(compared(tmp_path))
        assert found == [pair for pair in expected if pair in found]
    file.write_text(json.dumps(expected))
    rate(shards, ["signal", card])
    assert compared(tmp_path).drop_columns(["card"]).equals(compared(tmp_path, "expected").drop_columns(["card"]))


@pytest.mark.parametrize("way", ["tournament", "all"])
def test_samples_of_a_shard_that_is_away_are_asked_about_when_it_is_back(
    shards: list[str], tmp_path: Path, judge: Callable[..., str], rate: Rate, way: str
) -> None:
    card = Path(judge())
    card.write_text(card.read_text().replace('"tournament"', f'"{way}"'))
    rate(shards, ["signal"])
    with Store.open(tmp_path / "store") as store:
        place_of = {row.sample.id: row.sample.shard for row in store.samples()}
    gone, left = map(Path, shards)
    gone.rename(tmp_path / "away.tar")
    assert set(rate([str(left)], ["signal", str(card)]).compared["judge"]) == {"ok"}
    first = pairs_of(compared(tmp_path))
    assert {place_of[one] for pair in first for one in pair} == {str(left)}
    with Store.open(tmp_path / "store") as store:
        assert store.presence() == {str(gone): False, str(left): True}, "a commit brings no shard back"
    (tmp_path / "away.tar").rename(gone)
    assert set(rate(shards, ["signal", str(card)]).compared["judge"]) == {"ok"}
    both = pairs_of(compared(tmp_path))
    assert set(first) < set(both)
    assert {place_of[one] for pair in both for one in pair} == set(shards)
    assert way == "tournament" or len(both) == 36 + 10 + 1


@pytest.mark.parametrize("way", ["tournament", "all"])
def test_only_groups_of_the_shards_that_are_named_are_asked_about(
    tmp_path: Path, judge: Callable[..., str], rate: Rate, way: str
) -> None:
    card = Path(judge())
    card.write_text(card.read_text().replace('"tournament"', f'"{way}"'))
    names = ["here", "here", "both", "both", "there", "there", "there"]
    records = [(f"{number}", {"png": png(number), "txt": name.encode()}) for number, name in enumerate(names)]
    first, second = (str(write_shard(tmp_path / f"{part}.tar", some)) for part, some in (("a", records[:3]), ("b", records[3:])))
    rate([first, second], ["signal"])
    assert rate([first], ["signal", str(card)]).compared["judge"] == {"ok": 2}, "here, and both"
    assert rate([second], ["signal", str(card)]).compared["judge"] == {"ok": 3}, "there; both is known"
    assert rate([first, second], ["signal", str(card)]).compared["judge"] == {}


def test_what_was_compared_before_is_not_asked_again(
    shards: list[str], tmp_path: Path, judge: Callable[..., str], rate: Rate
) -> None:
    card = Path(judge())
    everybody = tmp_path / "everybody.yaml"
    everybody.write_text(card.read_text().replace('"tournament"', '"all"'))
    assert load_card(str(card)).card.fingerprint == load_card(str(everybody)).card.fingerprint
    assert rate(shards, ["signal", str(card)]).compared["judge"] == {"ok": 29}
    assert rate(shards, ["signal", str(everybody)]).compared["judge"] == {"ok": 36 + 10 + 1 - 29}
    assert rate(shards, ["signal", str(card)]).compared["judge"] == {}
