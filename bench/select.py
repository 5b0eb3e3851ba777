"""Selecting over millions of ratings, against the best query that we could write by hand.

    python -m bench --only select [--rows 10000000] [--rounds 5]

Goals: at most 1.25 x the time of the best hand-written query, 3 x faster than pandas, peak memory below 2 GiB.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.harness import Measured, alternate, job, run_job, table
from bench.select_baselines import BASELINES, MIN_MARGIN, WHERE
from bench.synthetic_view import synthetic_view
from curate.records import View

OURS = "curate"
ALLOWED = 1.25
ROWS = "CURATE_BENCH_ROWS"
"""The environment variable that tells a job's process how many rows to select from."""


def _filter(view: View, out: Path) -> int:
    from curate.select import filter  # noqa: A004

    return filter(view, where=WHERE, out=out).rows


def _rank(view: View, out: Path) -> int:
    from curate.select import rank

    return rank(view, by="pickscore", out=out).rows


def _best_worst(view: View, out: Path) -> int:
    from curate.select import pair

    return pair(view, by="pickscore", min_margin=MIN_MARGIN, out=out).rows


def _all_pairs(view: View, out: Path) -> int:
    from curate.select import pair

    return pair(view, by="pickscore", strategy="all", min_margin=MIN_MARGIN, out=out).rows


CURATE: dict[str, Callable[[View, Path], int]] = {
    "filter": _filter,
    "rank": _rank,
    "best-worst": _best_worst,
    "all-pairs": _all_pairs,
}


def _timed(name: str, variant: str) -> dict[str, float]:
    """One variant of one job; packages are imported, and everything is done once on a little, before the clock starts."""
    view = _view(int(os.environ[ROWS]))
    with tempfile.TemporaryDirectory(dir=Path(view.path).parent) as folder:
        out = Path(folder) / "out.parquet"
        _do(name, variant, _view(8000), out)
        started = time.perf_counter()
        count = _do(name, variant, view, out)
        return {"seconds": time.perf_counter() - started, "count": count}


def _make_view() -> dict[str, float]:
    """In a process of its own, because the peak memory of a process counts as that of those it starts."""
    started = time.perf_counter()
    count = _view(int(os.environ[ROWS])).rows
    return {"seconds": time.perf_counter() - started, "count": count}


def _view(rows: int) -> View:
    return synthetic_view(Path(tempfile.gettempdir()) / "curate-bench" / f"view-{rows}.parquet", rows)


def _do(name: str, variant: str, view: View, out: Path) -> int:
    if variant == OURS:
        return CURATE[name](view, out)
    return BASELINES[name][variant](view.path, out)


VARIANTS = {name: [OURS, *BASELINES[name]] for name in CURATE}
JOBS: dict[str, Callable[[], dict[str, float]]] = {
    "view": _make_view,
    **{f"{name}/{variant}": partial(_timed, name, variant) for name, variants in VARIANTS.items() for variant in variants},
}


def summary(name: str, measured: dict[str, Measured]) -> dict[str, object]:
    """The ratios that the goals are about. Every variant must have given the same number of rows."""
    counts = {one.name: one.count for one in measured.values()}
    if len(set(counts.values())) != 1:
        raise SystemExit(f"{name}: the variants do not do the same job: {counts}")
    ours, pandas = measured[f"{name}/{OURS}"], measured[f"{name}/pandas"]
    best = min((one for one in measured.values() if one not in (ours, pandas)), key=lambda one: one.median)
    reached = ours.median <= ALLOWED * best.median and pandas.median >= 3 * ours.median and ours.peak_mib < 2048
    return {
        "job": name,
        "rows_out": ours.count,
        "seconds": round(ours.median, 3),
        "best": best.name.split("/")[1],
        "of_best": round(ours.median / best.median, 3),
        "faster_than_pandas": round(pandas.median / ours.median, 2),
        "peak_mib": round(ours.peak_mib),
        "goals": "reached" if reached else "missed",
    }


def measure(*, rounds: int, rows: int) -> str:
    """The ratios, the tables that they come from, and the ratios once more as JSON."""
    os.environ[ROWS] = str(rows)
    job("select", "view")
    parts, found = [], []
    for name, variants in VARIANTS.items():
        measured = alternate("select", [f"{name}/{variant}" for variant in variants], rounds=rounds)
        found.append(summary(name, measured))
        parts.append(table(f"{name}, {rows:,} samples", measured, base=f"{name}/{OURS}", unit="rows"))
    goals = [
        f"### Selecting from {rows:,} samples (goals: {ALLOWED} x the best query by hand, 3 x pandas, 2 GiB)",
        "",
        "| job | rows out | s | best by hand | of its time | x pandas | peak MiB | goals |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(f"| {' | '.join(str(value) for value in one.values())} |" for one in found),
        "",
    ]
    return "\n".join([*goals, *parts, "```json", json.dumps(found, indent=1), "```", ""])


if __name__ == "__main__":
    run_job(JOBS)
