"""Raters of pairs: every pair of a group is compared once, and what fails is a status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from curate.errors import CardError
from curate.rating.report import RateReport
from curate.store import Store
from curate.testing import unit_interval


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
