"""The jobs of `curate.select`, written by hand for DuckDB, Polars and pandas: same input, rows, columns, order, compression.

Each is written as its engine likes it best, in several forms where it was not plain which is faster; `bench.select` compares
with the best one. They leave out what a one-off query leaves out: the counts of what was dropped, limits on memory, and
writing aside. Forms that were twice as slow as another of the same engine (carrying texts through a DuckDB self-join or
aggregation, joining them after ranking) are gone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

WHERE = "pickscore >= 0.5 and hps >= 0.2"
MIN_MARGIN = 0.05

_SQL_WHERE = '"pickscore.overall" >= 0.5 AND "hps.overall" >= 0.2'
_VALUE = '"pickscore.overall"'
_ZSTD = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"

Job = Callable[[str, Path], int]
"""From the path of a view to an output; gives the number of rows written."""


def _copy(query: str, out: Path, options: str = "") -> int:
    import duckdb

    with duckdb.connect(config={"temp_directory": str(out.parent)}) as connection:
        connection.execute(f"COPY ({query}) TO '{out}' ({_ZSTD}{options})")
        found = connection.execute("SELECT sum(num_rows) FROM parquet_file_metadata(?)", [str(out)]).fetchone()
    return int(found[0]) if found else 0


def filter_duckdb(view: str, out: Path) -> int:
    return _copy(f"SELECT row, sample FROM '{view}' WHERE {_SQL_WHERE}", out)


def filter_duckdb_v2(view: str, out: Path) -> int:
    return _copy(f"SELECT row, sample FROM '{view}' WHERE {_SQL_WHERE}", out, ", PARQUET_VERSION v2")


_RANKED = """
    SELECT "group", sample, rank() OVER (PARTITION BY group_no ORDER BY value DESC) AS rank, value, NULL::DOUBLE AS spread,
        count(*) OVER (PARTITION BY group_no) AS k, NULL::DOUBLE AS wins, row, group_no
"""


def rank_duckdb(view: str, out: Path) -> int:
    ranked = f"{_RANKED} FROM (SELECT *, {_VALUE} AS value FROM '{view}') WHERE value IS NOT NULL"
    return _copy(f"SELECT * EXCLUDE (group_no) FROM ({ranked}) ORDER BY group_no, rank, row", out)


_PAIR_COLUMNS = """
    chosen.value - rejected.value AS margin, chosen.value AS chosen_value, rejected.value AS rejected_value,
    NULL::DOUBLE AS confidence, 'train' AS split, NULL::DOUBLE AS chosen_spread, NULL::DOUBLE AS rejected_spread,
    chosen.row AS chosen_row, rejected.row AS rejected_row
"""
_FAR = f"chosen.value - rejected.value > 0 AND chosen.value - rejected.value >= {MIN_MARGIN}"


def best_worst_duckdb(view: str, out: Path) -> int:
    """Aggregate integers, then join the texts of the two that are left."""
    ends = f"""
        SELECT group_no, arg_max(row, {_VALUE}) AS best, arg_min(row, {_VALUE}) AS worst
        FROM '{view}' WHERE {_VALUE} IS NOT NULL GROUP BY group_no
    """
    side = f"""(SELECT row, sample, "group", digest, {_VALUE} AS value FROM '{view}')"""
    return _copy(
        f"""SELECT chosen."group", chosen.sample AS chosen, rejected.sample AS rejected, {_PAIR_COLUMNS}
        FROM ({ends}) AS ends JOIN {side} AS chosen ON chosen.row = best JOIN {side} AS rejected ON rejected.row = worst
        WHERE {_FAR} AND chosen.digest != rejected.digest ORDER BY ends.group_no""",
        out,
    )


def all_pairs_duckdb(view: str, out: Path) -> int:
    """Join and order integers, and join the texts at the end; a hash join keeps the order of its larger side in memory."""
    side = f"(SELECT group_no, row, hash(digest) AS digest, {_VALUE} AS value FROM '{view}' WHERE {_VALUE} IS NOT NULL)"
    pairs = f"""
        SELECT group_no, {_PAIR_COLUMNS} FROM {side} AS chosen JOIN {side} AS rejected USING (group_no)
        WHERE {_FAR} AND chosen.digest != rejected.digest
        ORDER BY group_no, chosen_value DESC, chosen_row, rejected_value DESC, rejected_row
    """
    ids = f"""(SELECT row, sample, "group" FROM '{view}')"""
    return _copy(
        f"""SELECT better."group", better.sample AS chosen, worse.sample AS rejected, pairs.* EXCLUDE (group_no)
        FROM ({pairs}) AS pairs
        JOIN {ids} AS better ON better.row = chosen_row JOIN {ids} AS worse ON worse.row = rejected_row""",
        out,
        ", DICTIONARY_SIZE_LIMIT 1",
    )


def filter_polars(view: str, out: Path) -> int:
    import polars as pl

    kept = pl.scan_parquet(view).filter((pl.col("pickscore.overall") >= 0.5) & (pl.col("hps.overall") >= 0.2))
    kept.select("row", "sample").sink_parquet(out, compression="zstd", compression_level=1)
    return int(pl.scan_parquet(out).select(pl.len()).collect().item())


def rank_polars(view: str, out: Path) -> int:
    import polars as pl

    ordered = (
        pl.scan_parquet(view)
        .select("group", "sample", value="pickscore.overall", row="row", group_no="group_no")
        .filter(pl.col("value").is_not_null())
        .sort("group_no", "value", "row", descending=[False, True, False])
    )
    ranked = ordered.with_columns(
        rank=pl.col("value").rank("min", descending=True).over("group_no").cast(pl.Int64),
        k=pl.len().over("group_no").cast(pl.Int64),
    )
    return _write_polars(_as_rankings(ranked), out)


def rank_polars_runs(view: str, out: Path) -> int:
    """Without `over`: after sorting, a rank is the place of the latest change of value within its run of the group."""
    import polars as pl

    frame = (
        pl.scan_parquet(view)
        .select("group", "sample", value="pickscore.overall", row="row", group_no="group_no")
        .filter(pl.col("value").is_not_null())
        .sort("group_no", "value", "row", descending=[False, True, False])
        .with_row_index("place")
        .with_columns(pl.col("place").cast(pl.Int64), opens=pl.col("group_no") != pl.col("group_no").shift(1, fill_value=-1))
        .with_columns(
            start=pl.when("opens").then("place").forward_fill(),
            opened=pl.when(pl.col("opens") | (pl.col("value") != pl.col("value").shift(1))).then("place").forward_fill(),
            end=pl.when(pl.col("group_no") != pl.col("group_no").shift(-1, fill_value=-1)).then("place").backward_fill(),
        )
        .with_columns(rank=pl.col("opened") - pl.col("start") + 1, k=pl.col("end") - pl.col("start") + 1)
    )
    return _write_polars(_as_rankings(frame), out)


def best_worst_polars(view: str, out: Path) -> int:
    """Sort, then take the first and the last of each run."""
    import polars as pl

    ends = (
        pl.scan_parquet(view)
        .select("group", "sample", "digest", value="pickscore.overall", row="row", group_no="group_no")
        .filter(pl.col("value").is_not_null())
        .sort("group_no", "value", "row", descending=[False, True, False])
        .group_by("group_no", maintain_order=True)
        .agg(pl.all().first().name.prefix("chosen_"), pl.all().last().name.prefix("rejected_"))
    )
    return _write_polars(_as_pairs(ends), out)


def best_worst_polars_ids_late(view: str, out: Path) -> int:
    """Find the places of the best and the worst in each group, and gather the texts of these."""
    import polars as pl

    frame = (
        pl.scan_parquet(view)
        .select("group", "sample", "digest", value="pickscore.overall", row="row", group_no="group_no")
        .filter(pl.col("value").is_not_null())
        .collect()
    )
    places = (
        frame.lazy()
        .select("group_no", "value", pl.int_range(pl.len()).alias("place"))
        .group_by("group_no", maintain_order=True)
        .agg(
            best=pl.col("place").gather(pl.col("value").arg_max()).first(),
            worst=pl.col("place").gather(pl.col("value").arg_min()).first(),
        )
        .collect()
    )
    chosen = frame[places["best"]].select(pl.all().name.prefix("chosen_"))
    rejected = frame[places["worst"]].select(pl.all().name.prefix("rejected_"))
    return _write_polars(_as_pairs(pl.concat([chosen, rejected], how="horizontal").lazy()), out)


def all_pairs_polars(view: str, out: Path) -> int:
    """A self-join of sorted rows, which stay in order, carrying the texts along."""
    import polars as pl

    side = (
        pl.scan_parquet(view)
        .select("group", "sample", digest=pl.col("digest").hash(), value="pickscore.overall", row="row", group_no="group_no")
        .filter(pl.col("value").is_not_null())
        .sort("group_no", "value", "row", descending=[False, True, False])
        .with_row_index("place")
        .collect()
        .lazy()
    )
    joined = (
        side.select(pl.all().name.prefix("chosen_"))
        .join(
            side.select(pl.all().name.prefix("rejected_")),
            left_on="chosen_group_no",
            right_on="rejected_group_no",
            maintain_order="left_right",
        )
        .filter(pl.col("chosen_place") < pl.col("rejected_place"))
    )
    return _write_polars(_as_pairs(joined), out)


def all_pairs_polars_ids_late(view: str, out: Path) -> int:
    """Join integers, and gather the texts of the pairs that are left."""
    import polars as pl

    frame = (
        pl.scan_parquet(view)
        .select("group", "sample", digest=pl.col("digest").hash(), value="pickscore.overall", row="row", group_no="group_no")
        .filter(pl.col("value").is_not_null())
        .sort("group_no", "value", "row", descending=[False, True, False])
        .with_row_index("place")
        .collect()
    )
    side = frame.lazy().select("place", "value", "digest", "group_no")
    places = (
        side.join(side, on="group_no", maintain_order="left_right")
        .filter((pl.col("place") < pl.col("place_right")) & (pl.col("digest") != pl.col("digest_right")))
        .filter((pl.col("value") - pl.col("value_right")) >= MIN_MARGIN)
        .select("place", "place_right")
        .collect()
    )
    chosen = frame[places["place"]].select(pl.all().name.prefix("chosen_"))
    rejected = frame[places["place_right"]].select(pl.all().name.prefix("rejected_"))
    return _write_polars(_as_pairs(pl.concat([chosen, rejected], how="horizontal").lazy()), out)


def _as_rankings(frame: Any) -> Any:
    import polars as pl

    assert isinstance(frame, pl.LazyFrame)
    nothing = pl.lit(None, dtype=pl.Float64)
    return frame.select("group", "sample", "rank", "value", spread=nothing, k="k", wins=nothing, row="row")


def _as_pairs(frame: Any) -> Any:
    import polars as pl

    assert isinstance(frame, pl.LazyFrame)
    nothing = pl.lit(None, dtype=pl.Float64)
    margin = pl.col("chosen_value") - pl.col("rejected_value")
    return frame.filter((margin > 0) & (margin >= MIN_MARGIN) & (pl.col("chosen_digest") != pl.col("rejected_digest"))).select(
        group="chosen_group",
        chosen="chosen_sample",
        rejected="rejected_sample",
        margin=margin,
        chosen_value="chosen_value",
        rejected_value="rejected_value",
        confidence=nothing,
        split=pl.lit("train"),
        chosen_spread=nothing,
        rejected_spread=nothing,
        chosen_row="chosen_row",
        rejected_row="rejected_row",
    )


def _write_polars(frame: Any, out: Path) -> int:
    import polars as pl

    assert isinstance(frame, pl.LazyFrame)
    frame.sink_parquet(out, compression="zstd", compression_level=1)
    return int(pl.scan_parquet(out).select(pl.len()).collect().item())


def _read_pandas(view: str, *columns: str) -> Any:
    import pandas as pd

    frame = pd.read_parquet(view, columns=["group_no", "row", "group", "sample", *columns, "pickscore.overall"])
    return frame.rename(columns={"pickscore.overall": "value"}).dropna(subset="value")


def _write_pandas(frame: Any, out: Path) -> int:
    import pandas as pd

    assert isinstance(frame, pd.DataFrame)
    frame.to_parquet(out, compression="zstd", compression_level=1, index=False)
    return len(frame)


def filter_pandas(view: str, out: Path) -> int:
    import pandas as pd

    frame = pd.read_parquet(view, columns=["row", "sample", "pickscore.overall", "hps.overall"])
    return _write_pandas(frame.loc[(frame["pickscore.overall"] >= 0.5) & (frame["hps.overall"] >= 0.2), ["row", "sample"]], out)


def rank_pandas(view: str, out: Path) -> int:
    import pandas as pd

    frame = _read_pandas(view)
    assert isinstance(frame, pd.DataFrame)
    frame = frame.sort_values(["group_no", "value", "row"], ascending=[True, False, True])
    groups = frame.groupby("group_no", sort=False)["value"]
    frame["rank"] = groups.rank("min", ascending=False).astype("int64")
    frame["k"] = groups.transform("size")
    frame["spread"] = frame["wins"] = float("nan")
    return _write_pandas(frame[["group", "sample", "rank", "value", "spread", "k", "wins", "row"]], out)


def best_worst_pandas(view: str, out: Path) -> int:
    import pandas as pd

    frame = _read_pandas(view, "digest")
    assert isinstance(frame, pd.DataFrame)
    values = frame.groupby("group_no", sort=False)["value"]
    chosen, rejected = frame.loc[values.idxmax()], frame.loc[values.idxmin()]
    ends = pd.concat(
        [chosen.add_prefix("chosen_").reset_index(drop=True), rejected.add_prefix("rejected_").reset_index(drop=True)], axis=1
    )
    return _write_pandas(_pandas_pairs(ends), out)


def all_pairs_pandas(view: str, out: Path) -> int:
    import pandas as pd

    frame = _read_pandas(view, "digest")
    assert isinstance(frame, pd.DataFrame)
    frame["digest"] = pd.util.hash_array(frame["digest"].to_numpy(dtype=object), categorize=False)
    frame = frame.sort_values(["group_no", "value", "row"], ascending=[True, False, True], ignore_index=True)
    side = pd.DataFrame({"group_no": frame["group_no"], "place": frame.index, "value": frame["value"]})
    joined = side.merge(side, on="group_no", suffixes=("_chosen", "_rejected"))
    far = (joined["place_chosen"] < joined["place_rejected"]) & (joined["value_chosen"] - joined["value_rejected"] >= MIN_MARGIN)
    joined = joined.loc[far, ["place_chosen", "place_rejected"]]
    chosen = frame.take(joined["place_chosen"].to_numpy()).add_prefix("chosen_").reset_index(drop=True)
    rejected = frame.take(joined["place_rejected"].to_numpy()).add_prefix("rejected_").reset_index(drop=True)
    return _write_pandas(_pandas_pairs(pd.concat([chosen, rejected], axis=1)), out)


def _pandas_pairs(ends: Any) -> Any:
    import pandas as pd

    assert isinstance(ends, pd.DataFrame)
    margin = ends["chosen_value"] - ends["rejected_value"]
    ends = ends.assign(margin=margin, split="train", confidence=float("nan"))
    ends = ends.assign(chosen_spread=float("nan"), rejected_spread=float("nan"))
    ends = ends[(margin > 0) & (margin >= MIN_MARGIN) & (ends["chosen_digest"] != ends["rejected_digest"])]
    named = ends.rename(columns={"chosen_group": "group", "chosen_sample": "chosen", "rejected_sample": "rejected"})
    return named[
        [
            *("group", "chosen", "rejected", "margin", "chosen_value", "rejected_value", "confidence", "split"),
            *("chosen_spread", "rejected_spread", "chosen_row", "rejected_row"),
        ]
    ]


BASELINES: dict[str, dict[str, Job]] = {
    "filter": {"duckdb": filter_duckdb, "duckdb v2": filter_duckdb_v2, "polars": filter_polars, "pandas": filter_pandas},
    "rank": {"duckdb": rank_duckdb, "polars": rank_polars, "polars runs": rank_polars_runs, "pandas": rank_pandas},
    "best-worst": {
        "duckdb": best_worst_duckdb,
        "polars": best_worst_polars,
        "polars ids late": best_worst_polars_ids_late,
        "pandas": best_worst_pandas,
    },
    "all-pairs": {
        "duckdb": all_pairs_duckdb,
        "polars": all_pairs_polars,
        "polars ids late": all_pairs_polars_ids_late,
        "pandas": all_pairs_pandas,
    },
}
"""By job, then by name."""
