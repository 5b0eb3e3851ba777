"""Pairs obey their laws, and are those that a plain search finds."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CurateError, ExpressionError
from curate.records import RaterColumns
from curate.select import Pairs, pair, pair_batches, rank, slices
from tests.select.oracle import Rules, made_pairs
from tests.select.views import Given, read, write_view
from tests.select.worlds import LAW, score_of, worlds

PICK, HPS, NSFW = (score_of(name) for name in ("pickscore.overall", "hps-v2.overall", "nsfw.safe"))


@pytest.fixture(autouse=True)
def tiny_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that even small worlds are cut into several slices and blocks."""
    monkeypatch.setattr(slices, "QUERY_ROWS", 14)
    monkeypatch.setattr(slices, "SLICE_ROWS", 7)
    monkeypatch.setattr(pair_batches, "BLOCK_PAIRS", 3)


def check_funnels(result: Pairs) -> None:
    assert [funnel.unit for funnel in result.funnels] == ["samples", "groups", "candidate pairs"]
    assert all(funnel.adds_up and funnel.taken >= 0 for funnel in result.funnels)
    assert all(count > 0 for funnel in result.funnels for count in funnel.dropped.values())
    assert result.funnels[2].kept == result.rows == pq.read_metadata(result.path).num_rows


def as_made(path: Path) -> dict[tuple[str, str], tuple[float, float | None]]:
    return {(row["chosen"], row["rejected"]): (row["margin"], row["confidence"]) for row in read(path)}


RULES = st.fixed_dictionaries(
    {
        "strategy": st.sampled_from(["best-worst", "adjacent", "all", "top-vs-rest"]),
        "min_margin": st.sampled_from([0.0, 0.1, 0.15, 1.0]),
        "in_spreads": st.booleans(),
        "tie": st.sampled_from([0.0, 0.0, 0.1, 0.5]),
        "keep_ties": st.booleans(),
        "max_per_group": st.sampled_from([None, None, 1, 3]),
        "max_per_sample": st.sampled_from([None, None, 1, 2]),
        "opinions": st.sampled_from([(), (HPS,), (HPS, NSFW), (HPS, NSFW, PICK)]),
    }
)


@LAW
@given(world=worlds(), drawn=RULES, vetoing=st.booleans(), data=st.data())
def test_pairs_are_those_of_a_plain_search(
    tmp_path: Path, world: list[Given], drawn: dict[str, Any], vetoing: bool, data: st.DataObject
) -> None:
    at_least = data.draw(st.integers(0, len(drawn["opinions"])))
    rules = Rules(
        score=PICK, at_least=at_least, veto=(lambda one: (NSFW(one) or 0) <= 0) if vetoing else (lambda one: False), **drawn
    )
    names = {PICK: "pickscore", HPS: "hps_v2", NSFW: "nsfw"}
    view = write_view(tmp_path / "view.parquet", world)
    result = pair(
        view,
        by="pickscore",
        where="coalesce(nsfw, 0) > 0" if vetoing else None,
        strategy=drawn["strategy"],
        min_margin=f"{rules.min_margin}{'sd' if rules.in_spreads else ''}",
        tie=rules.tie,
        ties="keep" if rules.keep_ties else "drop",
        agree=[names[one] for one in rules.opinions],
        at_least=at_least if rules.opinions else None,
        max_per_group=rules.max_per_group,
        max_per_sample=rules.max_per_sample,
        out=tmp_path / "pairs.parquet",
    )
    expected = made_pairs(world, rules)
    assert as_made(result.path) == expected.pairs
    assert result.funnels[2].dropped == dict(expected.dropped)
    assert result.funnels[2].taken == expected.candidates
    check_funnels(result)


@LAW
@given(
    world=worlds(),
    strategy=st.sampled_from(["best-worst", "adjacent", "all", "top-vs-rest"]),
    margin=st.sampled_from([0.0, 0.1, 0.2]),
)
def test_chosen_beats_rejected_of_the_same_group_by_the_margin(
    tmp_path: Path, world: list[Given], strategy: str, margin: float
) -> None:
    view = write_view(tmp_path / "view.parquet", world)
    result = pair(view, by="pickscore", strategy=strategy, min_margin=margin, tie=0.05, out=tmp_path / "pairs.parquet")
    known = {one.sample: one for one in world}
    stored = read(Path(view.path))
    for row in read(result.path):
        chosen, rejected = known[row["chosen"]], known[row["rejected"]]
        assert chosen.group == rejected.group == row["group"]
        assert (row["chosen_value"], row["rejected_value"]) == (PICK(chosen), PICK(rejected))
        assert row["margin"] == row["chosen_value"] - row["rejected_value"] > 0.05
        assert row["margin"] >= margin - 1e-12
        assert chosen.fields["digest"] != rejected.fields["digest"]
        assert (row["confidence"], row["chosen_spread"], row["rejected_spread"], row["split"]) == (None, None, None, "train")
        assert stored[row["chosen_row"]]["sample"] == row["chosen"]
        assert stored[row["rejected_row"]]["sample"] == row["rejected"]


@LAW
@given(world=worlds())
def test_turning_the_values_round_swaps_the_pairs(tmp_path: Path, world: list[Given]) -> None:
    view = write_view(tmp_path / "view.parquet", world)
    options = {"strategy": "all", "min_margin": 0.1, "agree": ["hps_v2"], "at_least": 0}
    up = pair(view, by="pickscore", out=tmp_path / "up.parquet", **options)
    down = pair(view, by="-pickscore", out=tmp_path / "down.parquet", **options)
    swapped = {(rejected, chosen): margin for (chosen, rejected), (margin, _) in as_made(down.path).items()}
    assert {pair: margin for pair, (margin, _) in as_made(up.path).items()} == swapped


@LAW
@given(world=worlds(), seed=st.integers(0, 3), data=st.data())
def test_splits_are_disjoint_by_prompt_and_do_not_depend_on_what_else_is_there(
    tmp_path: Path, world: list[Given], seed: int, data: st.DataObject
) -> None:
    options = {"by": "pickscore", "strategy": "all", "split": "test=40%,val=20%", "seed": seed}
    whole = pair(write_view(tmp_path / "view.parquet", world), out=tmp_path / "whole.parquet", **options)
    known = {one.sample: one for one in world}
    split_of: dict[object, str] = {}
    for row in read(whole.path):
        for name in ("chosen", "rejected"):
            prompt = known[row[name]].fields["prompt"]
            assert split_of.setdefault(prompt if prompt is not None else ("group", row["group"]), row["split"]) == row["split"]
    check_funnels(whole)

    left_out = data.draw(st.sampled_from(["none", *sorted({one.group for one in world})]))
    fewer = [one for one in world if one.group != left_out]
    part = pair(write_view(tmp_path / "part.parquet", fewer), out=tmp_path / "part_pairs.parquet", **options)
    splits = {(row["chosen"], row["rejected"]): row["split"] for row in read(whole.path)}
    for row in read(part.path):
        assert splits[row["chosen"], row["rejected"]] == row["split"]


@LAW
@given(world=worlds(), seed=st.integers(0, 5))
def test_random_limits_keep_as_many_as_the_limit_and_repeat_themselves(tmp_path: Path, world: list[Given], seed: int) -> None:
    view = write_view(tmp_path / "view.parquet", world)
    options = {"by": "pickscore", "strategy": "all"}
    everything = as_made(pair(view, out=tmp_path / "all.parquet", **options).path)
    some = pair(view, out=tmp_path / "some.parquet", max_per_group=2, prefer="random", seed=seed, **options)
    kept = as_made(some.path)
    again = pair(view, out=tmp_path / "again.parquet", max_per_group=2, prefer="random", seed=seed, **options)
    assert some.path.read_bytes() == again.path.read_bytes()
    assert kept.items() <= everything.items()
    of_group = {one.sample: one.group for one in world}
    for group in {of_group[chosen] for chosen, _ in everything}:
        possible, taken = (sum(of_group[chosen] == group for chosen, _ in pairs) for pairs in (everything, kept))
        assert taken == min(2, possible)
    check_funnels(some)


def ladder(group: str, values: list[float]) -> list[Given]:
    return [
        Given(sample=f"{group}{place}", group=group, ratings={"pickscore.overall": value}) for place, value in enumerate(values)
    ]


def test_random_limits_depend_on_the_seed(tmp_path: Path) -> None:
    view = write_view(tmp_path / "view.parquet", ladder("a", [float(value) for value in range(12)]))
    options = {"by": "pickscore", "strategy": "all", "max_per_group": 3, "prefer": "random", "out": tmp_path / "pairs.parquet"}
    assert len({frozenset(as_made(pair(view, seed=seed, **options).path)) for seed in range(5)}) == 5


def test_groups_say_why_they_have_no_pair(tmp_path: Path) -> None:
    world = [
        *ladder("kept", [1.0, 2.0]),
        *ladder("alone", [1.0]),
        *ladder("tied", [1.0, 1.0, 1.0]),
        *ladder("close", [1.0, 1.2, 1.2]),
        *(
            Given(sample=f"twin{n}", group="twins", ratings={"pickscore.overall": float(n)}, fields={"digest": "same"})
            for n in (1, 2)
        ),
        Given(sample="failed", group="failed", ratings={"pickscore.overall": "nan"}),
        Given(sample="contradicted1", group="contradicted", ratings={"pickscore.overall": 1.0, "nsfw.safe": 2.0}),
        Given(sample="contradicted2", group="contradicted", ratings={"pickscore.overall": 2.0, "nsfw.safe": 1.0}),
    ]
    agreeing = [
        Given(**{**vars(one), "ratings": {"nsfw.safe": one.ratings.get("pickscore.overall"), **one.ratings}}) for one in world
    ]
    view = write_view(tmp_path / "view.parquet", agreeing)
    result = pair(view, by="pickscore", strategy="all", min_margin=0.5, agree=["nsfw"], out=tmp_path / "pairs.parquet")
    groups = result.funnels[1]
    assert (groups.taken, groups.kept) == (7, 1)
    assert groups.dropped == {
        "one_sample": 1,
        "all_tied": 1,
        "too_close": 1,
        "all_identical": 1,
        "too_few_agree": 1,
        "no_sample": 1,
    }
    check_funnels(result)


def test_samples_say_why_they_take_no_part(tmp_path: Path) -> None:
    ratings = [
        {"pickscore.overall": 1.0, "hps-v2.overall": 1.0},
        {"pickscore.overall": 2.0, "hps-v2.overall": 1.0},
        {"pickscore.overall": "decode_error", "hps-v2.overall": "nan"},
        {"pickscore.overall": "decode_error", "hps-v2.overall": 1.0},
        {"hps-v2.overall": 1.0},
        {"pickscore.overall": 1.0, "hps-v2.overall": "oom"},
        {"pickscore.overall": 1.0, "hps-v2.overall": 0.0},
        {"pickscore.overall": 1.0, "hps-v2.overall": -1.0},
        {"pickscore.overall": 1.0, "hps-v2.detail": 1.0},
    ]
    world = [Given(sample=f"s{place}", group="g", ratings=given) for place, given in enumerate(ratings)]
    world.append(Given(sample="t", group="g", ratings=ratings[0], fields={"width": None}))
    view = write_view(tmp_path / "view.parquet", world)
    result = pair(view, by="pickscore + ln(hps_v2)", where="hps_v2 >= 0 and width > 1", out=tmp_path / "pairs.parquet")
    assert result.funnels[0].dropped == {
        "hps-v2: nan": 1,
        "hps-v2: oom": 1,
        "hps-v2: no value": 1,
        "where is null": 1,
        "vetoed": 1,
        "pickscore: decode_error": 1,
        "pickscore: not rated": 1,
        "value is null or not finite": 1,
    }
    assert result.funnels[0].kept == 2
    check_funnels(result)


def test_group_functions_look_at_the_samples_that_are_still_there(tmp_path: Path) -> None:
    world = [*ladder("a", [1.0, 2.0, 3.0, 100.0]), Given(sample="failed", group="a", ratings={"pickscore.overall": "nan"})]
    view = write_view(tmp_path / "view.parquet", world)
    result = pair(view, by="z(pickscore)", where="rank_in_group(pickscore) > 1 and width > 1", out=tmp_path / "pairs.parquet")
    (row,) = read(result.path)
    deviation = math.sqrt(2 / 3)
    assert (row["chosen"], row["rejected"]) == ("a2", "a0")
    assert row["margin"] == pytest.approx(2 / deviation)
    assert result.funnels[0].dropped == {"pickscore: nan": 1, "vetoed": 1}


def test_a_prompt_on_two_sides_makes_no_pair(tmp_path: Path) -> None:
    prompts = [f"prompt {number}" for number in range(20)]
    world = [
        Given(sample=f"s{place:02}", group="named", ratings={"pickscore.overall": float(place)}, fields={"prompt": prompt})
        for place, prompt in enumerate(prompts)
    ]
    view = write_view(tmp_path / "view.parquet", world)
    result = pair(view, by="pickscore", strategy="all", split={"test": 0.5}, out=tmp_path / "pairs.parquet")
    side = {name: row["split"] for row in read(result.path) for name in (row["chosen"], row["rejected"])}
    assert set(side.values()) == {"train", "test"}
    in_test = sum(split == "test" for split in side.values())
    assert result.rows == math.comb(in_test, 2) + math.comb(20 - in_test, 2)
    assert result.funnels[2].dropped == {"prompts_in_two_splits": in_test * (20 - in_test)}


def test_the_shares_of_splits_are_about_what_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_ROWS", 1000)
    world = [one for number in range(2000) for one in ladder(f"g{number:04}", [0.0, 1.0])]
    view = write_view(tmp_path / "view.parquet", world, rows_per_piece=1000)
    result = pair(view, by="pickscore", split="test=5%,val=20%", out=tmp_path / "pairs.parquet")
    splits = [row["split"] for row in read(result.path)]
    assert splits.count("test") == pytest.approx(100, abs=30)
    assert splits.count("val") == pytest.approx(400, abs=60)
    everything = pair(view, by="pickscore", split="test=1", out=tmp_path / "pairs.parquet")
    assert {row["split"] for row in read(everything.path)} == {"test"}


TENTHS = [place / 10 for place in range(1, 10)]
"""Of which 0.4 - 0.3 and 0.8 - 0.7 are more than 0.1 to the last bit, and most other steps less."""


@pytest.mark.parametrize("options", [{"tie": 0.1}, {"min_margin": 0.1}, {"min_margin": "0.1"}])
def test_a_margin_that_is_exactly_met_counts_alike_for_all(options: dict[str, Any], tmp_path: Path) -> None:
    world = [
        Given(sample=f"{group}{place}", group=f"g{group}", ratings={"pickscore.overall": value})
        for group, step in enumerate(pairwise(TENTHS))
        for place, value in enumerate(step)
    ]
    view = write_view(tmp_path / "view.parquet", world)
    result = pair(view, by="pickscore", out=tmp_path / "pairs.parquet", **options)
    assert result.rows == (0 if "tie" in options else 8)


def test_the_same_numbers_added_in_another_order_are_equal(tmp_path: Path) -> None:
    """0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in the last bit."""
    cards = {name: RaterColumns(card=name * 16, main="x", dimensions=("x",)) for name in "abc"}
    world = [
        Given(sample=f"s{place}", group="g", ratings={f"{name}.x": value for name, value in zip("abc", values, strict=True)})
        for place, values in enumerate([(0.1, 0.2, 0.3), (0.3, 0.2, 0.1)])
    ]
    view = write_view(tmp_path / "view.parquet", world, cards)
    assert pair(view, by="a + b + c", out=tmp_path / "pairs.parquet").funnels[2].dropped == {"tie": 1}
    voted = pair(view, by="a", agree=["c", "-(a + b + c)"], at_least=0, out=tmp_path / "voted.parquet")
    assert [row["confidence"] for row in read(voted.path)] == [0.0]
    for by, values in {
        "rank_in_group(a + b + c)": [1, 1],
        "percentile_in_group(a + b + c)": [1, 1],
        "wins(a + b + c)": [0, 0],
        "z(a + b + c)": [0, 0],
    }.items():
        ranking = read(rank(view, by=by, wins=["a + b + c"], out=tmp_path / "ranking.parquet").path)
        assert [(row["value"], row["rank"], row["wins"]) for row in ranking] == [(value, 1, 0) for value in values], by
    summed = read(rank(view, by="a + b + c", out=tmp_path / "ranking.parquet").path)
    assert len({row["value"] for row in summed}) == 2, "or the test shows nothing"
    assert [row["rank"] for row in summed] == [1, 1]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e200, 1e-200, 8e307])
def test_a_margin_in_deviations_holds_at_every_scale(scale: float, tmp_path: Path) -> None:
    """Squares of such numbers overflow, or vanish."""
    world = [Given(sample=f"s{place}", group="g", ratings={"pickscore.overall": place * scale}) for place in (-1, 0, 1)]
    view = write_view(tmp_path / "view.parquet", world)
    out = tmp_path / "pairs.parquet"
    assert [pair(view, by="pickscore", min_margin=f"{least}sd", out=out).rows for least in (2.4, 2.5)] == [1, 0]


def test_kept_ties_have_no_margin_and_no_winner(tmp_path: Path) -> None:
    view = write_view(tmp_path / "view.parquet", ladder("a", [1.0, 1.25, 9.0]))
    result = pair(
        view,
        by="pickscore",
        strategy="all",
        tie=0.25,
        ties="keep",
        min_margin=1,
        agree=["-pickscore"],
        out=tmp_path / "p.parquet",
    )
    (row,) = read(result.path)
    assert (row["chosen"], row["rejected"], row["margin"], row["confidence"]) == ("a1", "a0", 0.0, None)
    assert (row["chosen_value"], row["rejected_value"]) == (1.25, 1.0)


def test_spreads_come_along_where_the_rater_knows_them(tmp_path: Path) -> None:
    world = [
        Given(sample="a", group="g", ratings={"hps-v2.overall": 1.0}, spreads={"hps-v2.overall": 0.25}),
        Given(sample="b", group="g", ratings={"hps-v2.overall": 2.0}),
    ]
    view = write_view(tmp_path / "view.parquet", world)
    (row,) = read(pair(view, by="hps_v2", out=tmp_path / "pairs.parquet").path)
    assert (row["chosen_spread"], row["rejected_spread"]) == (None, 0.25)


def test_an_unknown_digest_is_no_twin(tmp_path: Path) -> None:
    world = [
        Given(sample=name, group="g", ratings={"nsfw.safe": float(place)}, fields={"digest": None})
        for place, name in enumerate("ab")
    ]
    assert pair(write_view(tmp_path / "view.parquet", world), by="nsfw", out=tmp_path / "pairs.parquet").rows == 1


def test_a_result_says_how_it_was_made(tmp_path: Path) -> None:
    view = write_view(tmp_path / "view.parquet", ladder("a", [1.0, 2.0]))
    result = pair(view, by="pickscore", agree=["coalesce(nsfw, pickscore)"], split="test=5%", out=tmp_path / "pairs.parquet")
    made = json.loads(pq.read_metadata(result.path).metadata[b"curate"])
    assert made["asked"]["by"] == "pickscore"
    assert made["asked"]["split"] == "test=5%"
    assert made["cards"] == {"pickscore": "a" * 16, "nsfw": "c" * 16}
    assert made["funnels"] == [funnel.as_dict() for funnel in result.funnels]


def test_a_group_too_large_to_choose_among_is_refused_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_batches, "MOST_TO_CHOOSE_AMONG", 9)
    view = write_view(tmp_path / "view.parquet", [*ladder("a", [1.0, 2.0]), *ladder("big", [1.0, 2.0, 3.0, 4.0, 5.0])])
    with pytest.raises(CurateError, match="the group big has 5 samples and 10 candidate pairs"):
        pair(view, by="pickscore", strategy="all", max_per_group=2, out=tmp_path / "out" / "pairs.parquet")
    assert list((tmp_path / "out").iterdir()) == []
    assert pair(view, by="pickscore", strategy="all", out=tmp_path / "out" / "pairs.parquet").rows == 11


def test_nothing_at_all_is_an_empty_result(tmp_path: Path) -> None:
    cards = {"pickscore": RaterColumns(card="a" * 16, main="overall", dimensions=("overall",))}
    result = pair(write_view(tmp_path / "view.parquet", [], cards), by="pickscore", out=tmp_path / "pairs.parquet")
    assert read(result.path) == []
    check_funnels(result)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strategy": "best_worst"}, "strategy is 'best_worst'. Did you mean 'best-worst'?"),
        ({"min_margin": "-1"}, "min_margin is '-1'"),
        ({"min_margin": "1 sigma"}, "min_margin is '1 sigma'"),
        ({"min_margin": math.nan}, "min_margin is 'nan'"),
        ({"min_margin": math.inf}, "min_margin is 'inf'"),
        ({"tie": -0.1}, "tie is -0.1"),
        ({"tie": math.nan}, "tie is nan"),
        ({"ties": "maybe"}, "ties is 'maybe'"),
        ({"prefer": "luck"}, "prefer is 'luck'"),
        ({"agree": "pickscore"}, "agree takes a list of expressions"),
        ({"at_least": 1}, "give these too"),
        ({"agree": ["nsfw"], "at_least": 2}, "at_least is 2, and agree has 1 expressions"),
        ({"max_per_group": 0}, "max_per_group is 0"),
        ({"max_per_sample": 1.5}, "max_per_sample is 1.5"),
        ({"seed": -1}, "seed is -1"),
        ({"split": "test"}, "split: 'test' has no '=' between its name and its share; write it like test=5%"),
        ({"split": "test 5%"}, "split: 'test 5%' has no '=' between"),
        ({"split": "test=5%,"}, "split: '' has no '=' between"),
        ({"split": ""}, "split: '' has no '=' between"),
        ({"split": "test=5%,test=5%"}, "split: 'test' stands twice"),
        ({"split": "../x=5%"}, "split: the name '../x' cannot be a file name"),
        ({"split": "Test=5%"}, "split: the name 'Test' cannot be a file name"),
        ({"split": "=5%"}, "split: the share 5% has no name"),
        ({"split": "test=0%"}, "split: the share of 'test' is '0%'"),
        ({"split": "test=5"}, "split: the share of 'test' is '5'; it lies above 0 and goes up to 100%: write it like test=5%"),
        ({"split": "test=101%"}, "split: the share of 'test' is '101%'"),
        ({"split": "test=-5%"}, "split: the share of 'test' is '-5%'"),
        ({"split": "test="}, "split: the share of 'test' is ''"),
        ({"split": "test=five"}, "split: the share of 'test' is 'five'"),
        ({"split": {"test": -0.1}}, "split: the share of 'test' is '-0.1'"),
        ({"split": "test=60%,val=0.5"}, "are 110% together"),
        ({"split": "train=60%,val=0.3"}, "'train' takes what the other splits leave"),
        ({"memory": "2 elephants"}, "memory is '2 elephants'"),
        ({"memory": "1MB"}, "at least 256MiB is needed"),
        ({"threads": 0}, "threads is 0"),
        ({"timeout": 0}, "timeout is 0"),
    ],
)
def test_options_are_checked_before_any_work(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    view = write_view(tmp_path / "view.parquet", ladder("a", [1.0, 2.0]))
    with pytest.raises(CurateError) as problem:
        pair(view, by="pickscore", out=tmp_path / "out" / "pairs.parquet", **options)
    assert said in str(problem.value)
    assert not (tmp_path / "out").exists()


def test_each_expression_is_named_in_its_complaint(tmp_path: Path) -> None:
    view = write_view(tmp_path / "view.parquet", ladder("a", [1.0, 2.0]))
    with pytest.raises(ExpressionError, match=r"^agree\[1\], position 1: there is no rater"):
        pair(view, by="pickscore", agree=["nsfw", "nfsw"], out=tmp_path / "pairs.parquet")
    with pytest.raises(ExpressionError, match="^where is a number"):
        pair(view, by="pickscore", where="width", out=tmp_path / "pairs.parquet")
