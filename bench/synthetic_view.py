"""A view of made-up ratings, as large as wanted: what the store would give, without images and without raters."""

from __future__ import annotations

from pathlib import Path

from curate.files import atomic_file
from curate.records import RaterColumns, View

PER_GROUP = 8
RATERS = ("pickscore", "hps", "aesthetic")

_RATED = """
    CASE WHEN hash(sample || 'failed') % 1000 = 0 THEN NULL ELSE {value} END AS "{rater}.overall",
    CASE WHEN hash(sample || 'failed') % 1000 = 0 THEN 'decode_error' ELSE 'ok' END AS "{rater}.status"
"""


def synthetic_view(path: Path, rows: int) -> View:
    """A view of `rows` samples, 8 in a group, rated by three raters; one sample in a thousand could not be decoded.

    Ids and digests are hashes, so they compress as badly as real ones; the values are spread evenly, with few ties. The
    file is made once and found again.
    """
    groups = rows // PER_GROUP
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as aside:
            _write(aside, groups)
    columns = RaterColumns(card="0" * 16, main="overall", dimensions=("overall",))
    return View(path=str(path), rows=groups * PER_GROUP, groups=groups, raters=dict.fromkeys(RATERS, columns))


def _write(path: Path, groups: int) -> None:
    import duckdb

    rated = ", ".join(_RATED.format(rater=rater, value=f"(hash(sample || '{rater}') % 1000003) / 1000003.0") for rater in RATERS)
    with duckdb.connect(config={"memory_limit": "3GB", "temp_directory": str(path.parent)}) as connection:
        connection.execute(f"""
            COPY (
                SELECT
                    group_no * {PER_GROUP} + place AS row, group_no, sample, "group",
                    printf('shard-%06d.tar', group_no // 1250) AS shard, sample[1:12] AS key, place AS index,
                    'a photograph of ' || "group"[1:12] || ' in the style of ' || "group"[13:18] AS prompt,
                    'model-' || hash(sample) % 4 AS generator, 'image' AS kind, 'jpeg' AS format,
                    1024::BIGINT AS width, (512 + 64 * (hash(sample) % 8))::BIGINT AS height,
                    (100000 + hash(sample) % 100000)::BIGINT AS bytes, sha256(sample) AS digest, 'default' AS layout,
                    {rated}
                FROM (
                    SELECT
                        group_no, "group", unnest(range({PER_GROUP})) AS place,
                        unnest(list_sort([md5("group" || member) FOR member IN range({PER_GROUP})])) AS sample
                    FROM (
                        SELECT row_number() OVER (ORDER BY "group") - 1 AS group_no, "group"
                        FROM (SELECT md5(number::VARCHAR) AS "group" FROM range({groups}) AS numbers(number))
                        ORDER BY group_no
                    )
                )
            ) TO '{path}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)
        """)
