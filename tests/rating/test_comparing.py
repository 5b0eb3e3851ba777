"""Raters of pairs: every pair of a group is compared once, and what fails is a status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from curate import api
from curate.errors import CardError, CurateError
from curate.rating.report import RateReport
from curate.showing import show
from curate.store import Store
from curate.testing import card_yaml, unit_interval
from tests.rating.conftest import records


def comparisons(folder: Path) -> pa.Table:
    with Store.open(folder / "store") as store:
        return store.export_rows("comparisons")


def test_every_pair_of_a_group_is_compared_once(
    shards: list[str], tmp_path: Path, card: Callable[..., str], rate: Callable[..., RateReport]
) -> None:
    log = tmp_path / "asked"
    judge = card("judge", "HashJudge", judges="pairs", args={"log": str(log)})
    report = rate(shards, ["signal", judge])
    broken = sum(number % 11 == 5 for number in range(99))  # number 99 is alone with its prompt
    # 33 prompts of three pictures make 99 pairs; a broken picture spoils the two it is in.
    assert report.compared["judge"] == {"ok": 99 - 2 * broken, "decode_error": 2 * broken}
    assert report.reasons["judge"].total() == 2 * broken
    assert all(funnel.adds_up for funnel in report.funnels)
    rows = comparisons(tmp_path).to_pylist()
    assert len(rows) == 99
    for row in rows:
        if row["status"] == "ok":
            expected = (
                0.5 + (unit_interval("hash", "overall", row["first"]) - unit_interval("hash", "overall", row["second"])) / 2
            )
            assert row["value"] == pytest.approx(expected)
        else:
            assert row["value"] is None
    again = rate(shards, ["signal", judge])
    assert again.compared["judge"] == {}
    assert max(Counter(log.read_text().split()).values()) == 1
    assert comparisons(tmp_path).to_pylist() == rows


def test_a_rater_of_pairs_cannot_live_in_a_decode_worker(
    shards: list[str], card: Callable[..., str], rate: Callable[..., RateReport]
) -> None:
    with pytest.raises(CardError, match="needs both samples"):
        rate(shards, [card("judge", "FragileRater", judges="pairs")])


@pytest.mark.parametrize(("higher", "value", "bias"), [(True, 0.75, 0.5), (False, 0.25, -0.5)])
def test_a_position_bias_is_kept_and_turned_round_with_the_value(
    shards: list[str], tmp_path: Path, rate: Callable[..., RateReport], *, higher: bool, value: float, bias: float
) -> None:
    rate(shards, ["signal", told(tmp_path, higher_is_better=higher, args={"value": 0.75, "bias": 0.5})])
    rows = comparisons(tmp_path).to_pylist()
    assert {(row["value"], row["orders_agree"], row["position_bias"]) for row in rows} == {(value, False, bias)}
    (table,) = [table for table in show(tmp_path / "store").tables if table.title == "Comparisons"]
    ((dimension, _, pairs, of_all, statuses, ties, disagreeing, mean_bias, orphans),) = table.rows
    assert (dimension, pairs, of_all, statuses, ties) == ("told.overall", 99, 99, "ok 99", 0)
    assert (disagreeing, mean_bias, orphans) == ("100.0%", f"{bias:+.3f}", 0)


@pytest.mark.parametrize(
    ("args", "detail"),
    [
        ({"value": 1.5}, "the rater gave 1.5, which is no probability"),
        ({"value": 0.5, "bias": -1.5}, "the rater gave a position bias of -1.5, which none can have"),
    ],
)
def test_what_cannot_be_is_a_failure(
    shards: list[str], tmp_path: Path, rate: Callable[..., RateReport], args: dict[str, float], detail: str
) -> None:
    report = rate(shards, ["signal", told(tmp_path, args=args)])
    assert report.compared["told"] == {"error": 99}
    rows = comparisons(tmp_path).to_pylist()
    assert {(row["status"], row["value"], row["position_bias"], row["detail"]) for row in rows} == {("error", None, None, detail)}


def test_pairs_of_a_stream_cannot_be_looked_at_again(card: Callable[..., str], rate: Callable[..., RateReport]) -> None:
    stream = ({"__key__": key, "__url__": "pipe:", **fields} for key, fields in records(0, 6))
    with pytest.raises(CurateError, match=r"came from a stream, of which no place is known; rate its shards by their paths"):
        rate(stream, ["signal", card("judge", "HashJudge", judges="pairs")])


def told(folder: Path, **fields: object) -> str:
    """A card of a judge that says what it is told to."""
    target = "tests.rating.judges:ToldJudge"
    return str(card_yaml(folder / "told.yaml", name="told", target=target, judges="pairs", **fields))  # type: ignore[arg-type]


def test_a_selection_says_how_many_pairs_have_yet_to_be_compared(
    shards: list[str], tmp_path: Path, rate: Callable[..., RateReport], card: Callable[..., str]
) -> None:
    judge = card("judge", "HashJudge", judges="pairs")
    rate(shards, ["signal"])
    rate(shards[:1], [judge])
    first = api.rank(tmp_path / "store", by="judge", out=tmp_path / "first.parquet")
    missing = 99 - comparisons(tmp_path).num_rows
    assert missing > 0
    assert [note.split(",")[0] for note in first.warnings] == [f"{missing} pairs or more have yet to be compared by 'judge'"]
    assert api.rank(tmp_path / "store", by="signal", out=tmp_path / "other.parquet").warnings == [], "another rater"
    rate(shards, [judge])
    assert api.rank(tmp_path / "store", by="judge", out=tmp_path / "second.parquet").warnings == []


def test_what_too_many_failures_stop_is_kept(shards: list[str], tmp_path: Path, rate: Callable[..., RateReport]) -> None:
    judge = told(tmp_path, args={"value": 1.5})
    rate(shards, ["signal"])
    for kept in (6, 12):
        with pytest.raises(CurateError, match="6 of 6 ratings failed"):
            rate(shards, [judge], max_failures="5")
        assert comparisons(tmp_path).num_rows == kept


def test_a_share_of_failures_is_looked_at_at_the_end(shards: list[str], tmp_path: Path, rate: Callable[..., RateReport]) -> None:
    rate(shards, ["signal"])
    with pytest.raises(CurateError, match="99 of 99 ratings failed"):
        rate(shards, [told(tmp_path, args={"value": 1.5})], max_failures="50%")
    assert comparisons(tmp_path).num_rows == 99


def test_the_first_pair_of_each_way_to_fail_is_named(shards: list[str], tmp_path: Path, rate: Callable[..., RateReport]) -> None:
    report = rate(shards, ["signal", told(tmp_path, args={"value": 1.5})])
    (said,) = [notice for notice in report.notices if notice.startswith("told error, for example 0")]
    assert said.endswith(": the rater gave 1.5, which is no probability")
