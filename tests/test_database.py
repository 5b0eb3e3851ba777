"""DuckDB as curate uses it: what stops a query is told apart, and nothing is reached that was not given."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import duckdb
import pytest

from curate.database import connect, no_pattern, trouble
from curate.errors import CurateError

SORTED = "SELECT hash(range) FROM range(3000000) ORDER BY hash(range), range LIMIT 2900000"


def stopped(connection: duckdb.DuckDBPyConnection, sql: str) -> str | None:
    with connection, pytest.raises((duckdb.Error, OSError)) as problem:
        connection.execute(sql).fetchall()
    return trouble(problem.value)


def test_a_full_disk_is_no_lack_of_memory(small_disk: Path) -> None:
    assert stopped(connect(memory="32MB", scratch=small_disk, threads=1), SORTED) == "full"


def test_a_lack_of_memory(tmp_path: Path) -> None:
    hungry = "SELECT string_agg(repeat('x', 1000), ',') FROM range(1000000)"
    assert stopped(connect(memory="32MB", scratch=tmp_path, threads=1), hungry) == "memory"


def test_an_interruption(tmp_path: Path) -> None:
    connection = connect(memory="100MB", scratch=tmp_path, threads=1)
    timer = threading.Timer(0.2, connection.interrupt)
    timer.start()
    endless = "SELECT count(*) FROM range(1000000000) AS a, range(1000000000) AS b WHERE a.range % 7 = b.range % 11"
    assert stopped(connection, endless) == "interrupted"
    timer.join()


def test_a_slip_is_none_of_them(tmp_path: Path) -> None:
    assert stopped(connect(memory="100MB", scratch=tmp_path), "SELECT nothing FROM nowhere") is None


def test_variables_of_the_program_are_no_tables(tmp_path: Path) -> None:
    rows = [{"secret": 1}]
    assert rows
    assert stopped(connect(memory="100MB", scratch=tmp_path), "SELECT * FROM rows") is None


def test_an_extension_is_neither_loaded_nor_fetched(tmp_path: Path) -> None:
    with connect(memory="100MB", scratch=tmp_path) as connection:
        names = ("autoinstall_known_extensions", "autoload_known_extensions", "allow_community_extensions")
        assert [connection.execute(f"SELECT current_setting('{name}')").fetchone() for name in names] == [(False,)] * 3


@pytest.mark.parametrize("name", ["a*b.parquet", "a[1]?.parquet", "[].parquet"])
def test_a_path_is_no_pattern(name: str, tmp_path: Path) -> None:
    with connect(memory="100MB", scratch=tmp_path) as connection:
        for place, number in ((name, 1), (name.replace("*", "x").replace("?", "x").replace("[", "(").replace("]", ")"), 2)):
            connection.execute(f"COPY (SELECT {number} AS number) TO '{tmp_path / place}'")
        assert connection.execute("FROM read_parquet(?)", [no_pattern(str(tmp_path / name))]).fetchall() == [(1,)]


def test_a_folder_that_no_query_can_name_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="is not UTF-8"):
        connect(memory="100MB", scratch=tmp_path / os.fsdecode(b"\xff"))
