"""Rankings are in order, their ties are ties, and RankDPO's φ is RankDPO's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curate.errors import CurateError, ExpressionError
from curate.records import RaterColumns
from curate.select import rank, slices
from curate.select.ranking import BLOCK_ROWS, ranks
from tests.select import oracle
from tests.select.views import Given, read, write_view
from tests.select.worlds import LAW, score_of, worlds

PICK, HPS = score_of("pickscore.overall"), score_of("hps-v2.overall")


@pytest.fixture(autouse=True)
def tiny_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "QUERY_ROWS", 14)
    monkeypatch.setattr(slices, "SLICE_ROWS", 7)


@LAW
@given(world=worlds(), tie=st.sampled_from([0.0, 0.1, 0.5, 2.0]))
def test_rankings_are_those_of_a_plain_sort(tmp_path: Path, world: list[Given], tie: float) -> None:
    view = write_view(tmp_path / "view.parquet", world)
    result = rank(view, by="pickscore", tie=tie, wins=["pickscore", "hps_v2"], out=tmp_path / "ranking.parquet")
    expected = []
    for group in oracle.groups_of(world):
        rated = [one for one in group if HPS(one) is not None]
        order = oracle.in_order(rated, oracle.Rules(score=PICK))
        values = [oracle.value(PICK, one) for one in order]
        phi = oracle.phi({one.sample: (oracle.value(PICK, one), oracle.value(HPS, one)) for one in order}) if order else {}
        for one, value, place in zip(order, values, oracle.ranks(values, tie), strict=True):
            expected.append((one.group, one.sample, place, value, len(order), phi[one.sample]))
    found = [tuple(row[name] for name in ("group", "sample", "rank", "value", "k", "wins")) for row in read(result.path)]
    assert found == expected
    assert (result.rows, result.groups) == (len(expected), len({row[0] for row in expected}))
    assert all(funnel.adds_up for funnel in result.funnels)
    assert [funnel.kept for funnel in result.funnels] == [result.rows, result.groups]


@given(
    tenths=st.lists(st.tuples(st.integers(-100, 100), st.integers(-3, 3)), max_size=30),
    tie=st.sampled_from([0.0, 0.1, 1.0, 2.7]),
)
@example(tenths=[(4, 0), (3, 0), (2, 0)], tie=0.1)
@example(tenths=[(6, 1), (6, 0)], tie=0.0)
def test_ranks_of_one_group(tenths: list[tuple[int, int]], tie: float) -> None:
    """Of tenths, some of them a few bits away from what they are meant to be."""
    values = [tenth / 10 + bits * np.spacing(tenth / 10) for tenth, bits in tenths]
    falling = sorted(values, reverse=True)
    starts, sizes = (np.array([0]), np.array([len(falling)])) if falling else (np.array([], int), np.array([], int))
    assert ranks(np.array(falling), starts, sizes, tie).tolist() == oracle.ranks(falling, tie)


def test_a_row_of_small_steps_is_not_one_tie() -> None:
    values = np.array([1.0, 0.75, 0.5, 0.25, 0.0])
    assert ranks(values, np.array([0]), np.array([5]), 0.25).tolist() == [1, 1, 3, 3, 5]


def test_phi_is_that_of_rankdpo(tmp_path: Path) -> None:
    """Five rewards of four samples, worked by hand from arXiv 2410.18013."""
    scores = [
        (0.28, 0.25, 0.30, 0.27),
        (12, 11, 13, 10),
        (21.5, 21.0, 22.0, 21.2),
        (0.8, 0.6, 0.7, 0.9),
        (0.5, -0.2, 1.1, 0.9),
    ]
    cards = {f"r{n}": RaterColumns(card=str(n) * 16, main="overall", dimensions=("overall",)) for n in range(5)}
    world = [
        Given(sample=f"s{place}", group="g", ratings={f"r{n}.overall": float(scores[n][place]) for n in range(5)})
        for place in range(4)
    ]
    view = write_view(tmp_path / "view.parquet", world, cards)
    by_phi = rank(view, by="wins(r0, r1, r2, r3, r4)", wins=list(cards), out=tmp_path / "ranking.parquet")
    rows = read(by_phi.path)
    assert [row["sample"] for row in rows] == ["s2", "s0", "s3", "s1"]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    assert [row["wins"] for row in rows] == [row["value"] for row in rows]
    assert [row["wins"] for row in rows] == pytest.approx([0.866667, 0.6, 0.466667, 0.066667], abs=1e-6)
    assert [row["wins"] for row in rows] == [13 / 15, 9 / 15, 7 / 15, 1 / 15]


def test_group_functions(tmp_path: Path) -> None:
    world = [
        *(Given(sample=f"a{n}", group="a", ratings={"pickscore.overall": value}) for n, value in enumerate([1.0, 3.0, 3.0, 5.0])),
        Given(sample="b0", group="b", ratings={"pickscore.overall": 2.0}),
        *(Given(sample=f"c{n}", group="c", ratings={"pickscore.overall": 0.1}) for n in range(3)),
    ]
    view = write_view(tmp_path / "view.parquet", world)

    def values(expression: str) -> list[float]:
        rows = read(rank(view, by=expression, out=tmp_path / "ranking.parquet").path)
        return [row["value"] for row in sorted(rows, key=lambda row: row["sample"])]

    root = 2**0.5
    assert values("z(pickscore)") == pytest.approx([-root, 0, 0, root, 0, 0, 0, 0])
    assert values("rank_in_group(pickscore)") == [4, 2, 2, 1, 1, 1, 1, 1]
    assert values("percentile_in_group(pickscore)") == [0.25, 0.75, 0.75, 1, 1, 1, 1, 1]
    assert values("wins(pickscore)") == [0, 1 / 3, 1 / 3, 1, 0, 0, 0, 0]
    assert values("wins(pickscore, -pickscore)") == [0.5, 1 / 3, 1 / 3, 0.5, 0, 0, 0, 0]
    assert values("mean_in_group(pickscore)") == pytest.approx([3, 3, 3, 3, 2, 0.1, 0.1, 0.1])
    assert values("std_in_group(pickscore)") == pytest.approx([root, root, root, root, 0, 0, 0, 0])
    assert values("min_in_group(pickscore)") == [1, 1, 1, 1, 2, 0.1, 0.1, 0.1]
    assert values("max_in_group(pickscore)") == [5, 5, 5, 5, 2, 0.1, 0.1, 0.1]
    assert values("count_in_group()") == [4, 4, 4, 4, 1, 3, 3, 3]
    assert values("count_in_group(pickscore >= 3)") == [3, 3, 3, 3, 0, 0, 0, 0]
    assert values("count_in_group(ln(pickscore - 1))") == [3, 3, 3, 3, 1, 0, 0, 0]
    assert values("pickscore - mean_in_group(pickscore) + 2 * rank_in_group(pickscore)") == pytest.approx(
        [6, 4, 4, 4, 2, 2, 2, 2]
    )


@pytest.mark.parametrize("scale", ["1e200", "1e300", "1e-200"])
def test_a_deviation_that_is_no_number_makes_no_ties(scale: str, tmp_path: Path) -> None:
    """Squares overflow and underflow: what differs is not made equal, and what is equal stays so."""
    world = [
        *(Given(sample=f"a{n}", group="a", ratings={"pickscore.overall": float(n)}) for n in (1, 2, 4)),
        *(Given(sample=f"b{n}", group="b", ratings={"pickscore.overall": 3.0}) for n in range(2)),
    ]
    view = write_view(tmp_path / "view.parquet", world)
    ranked = rank(view, by=f"z(pickscore * {scale})", out=tmp_path / "ranking.parquet")
    assert [row["value"] for row in read(ranked.path)] in ([0, 0], []), "of what is equal at most"
    assert sum(sum(funnel.dropped.values()) for funnel in ranked.funnels) >= 3


def test_group_functions_leave_out_what_has_no_value(tmp_path: Path) -> None:
    """coalesce lets samples in that a judge has nothing to say of; they neither win nor lose."""
    world = [
        Given(sample="a", group="g", ratings={"pickscore.overall": 1.0, "nsfw.safe": 1.0}),
        Given(sample="b", group="g", ratings={"pickscore.overall": 2.0, "nsfw.safe": 2.0}),
        Given(sample="c", group="g", ratings={"pickscore.overall": "oom", "nsfw.safe": 3.0}),
    ]
    view = write_view(tmp_path / "view.parquet", world)
    for expression, expected in {
        "coalesce(rank_in_group(pickscore), 99)": {"a": 2, "b": 1, "c": 99},
        "coalesce(wins(pickscore, nsfw), -1)": {"a": 0, "b": 1, "c": -1},
        "coalesce(percentile_in_group(pickscore), -1)": {"a": 0.5, "b": 1, "c": -1},
        "coalesce(z(pickscore), 9)": {"a": -1, "b": 1, "c": 9},
    }.items():
        rows = read(rank(view, by=expression, out=tmp_path / "ranking.parquet").path)
        assert {row["sample"]: row["value"] for row in rows} == expected


def test_spreads_come_along(tmp_path: Path) -> None:
    given = Given(sample="a", group="g", ratings={"hps-v2.overall": 1.0}, spreads={"hps-v2.overall": 0.25})
    view = write_view(tmp_path / "view.parquet", [given])
    (row,) = read(rank(view, by="hps_v2", out=tmp_path / "ranking.parquet").path)
    assert (row["spread"], row["wins"], row["k"], row["row"]) == (0.25, None, 1, 0)


def test_a_group_that_does_not_fit_a_block_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.select.ranking.BLOCK_ROWS", 4)
    assert BLOCK_ROWS > 4
    world = [Given(sample=f"s{n:02}", group=f"g{n // 11}", ratings={"nsfw.safe": float(n)}) for n in range(22)]
    rows = read(rank(write_view(tmp_path / "view.parquet", world), by="nsfw", out=tmp_path / "ranking.parquet").path)
    assert [(row["group"], row["rank"], row["k"]) for row in rows] == [
        (f"g{g}", place, 11) for g in (0, 1) for place in range(1, 12)
    ]


def test_mistakes_are_refused(tmp_path: Path) -> None:
    view = write_view(tmp_path / "view.parquet", [])
    with pytest.raises(CurateError, match="tie is -1"):
        rank(view, by="pickscore", tie=-1, out=tmp_path / "ranking.parquet")
    with pytest.raises(ExpressionError, match="^wins, position 1: there is no rater"):
        rank(view, by="pickscore", wins=["pickscroe"], out=tmp_path / "ranking.parquet")
