"""DuckDB, wherever curate uses it: in memory, spilling into a folder that it is given, and told apart when it fails.

Nothing is loaded or installed by itself, and no variable of the program is taken for a table.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from curate.errors import CurateError
from curate.files import is_utf8

if TYPE_CHECKING:
    import duckdb

Setting = bool | int | str | list[str]

_ALWAYS: Mapping[str, Setting] = {
    "python_enable_replacements": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
}

_FULL = (os.strerror(errno.ENOSPC), "max_temp_directory_size")
"""What DuckDB says of a full disk: the system's words, or that it keeps to what was free when it began."""


def connect(
    *, memory: str, scratch: Path, threads: int | None = None, settings: Mapping[str, Setting] | None = None
) -> duckdb.DuckDBPyConnection:
    """A database of its own that takes as much `memory` (as DuckDB reads sizes: `1GB`, `512MiB`) and spills into `scratch`.

    All cores where `threads` is None. Raises `duckdb.Error` where a setting is none.
    """
    import duckdb

    connection = duckdb.connect(":memory:")
    try:
        asked = {"memory_limit": memory, "temp_directory": str(scratch), "threads": threads, **_ALWAYS, **(settings or {})}
        for name, value in asked.items():
            if value is not None:
                connection.execute(f"SET {name} = {literal(value)}")
    except duckdb.Error:
        connection.close()
        raise
    return connection


def trouble(problem: BaseException) -> Literal["full", "memory", "interrupted"] | None:
    """What stopped a query, where it is not the query's fault: a full disk, too little memory, or an interruption.

    What goes wrong while a stream is read comes through Arrow, as an `OSError` or an `ArrowException` with DuckDB's words.
    """
    import duckdb

    said = str(problem)
    if isinstance(problem, duckdb.InterruptException) or "INTERRUPT Error" in said:
        return "interrupted"
    # Before memory, since DuckDB counts a scratch folder that may not grow among the lacks of memory.
    if any(sign in said for sign in _FULL):
        return "full"
    if isinstance(problem, duckdb.OutOfMemoryException) or "Out of Memory Error" in said:
        return "memory"
    return None


def literal(value: Setting) -> str:
    """A value as SQL writes it. Raises `CurateError` for the path of a file whose name is not UTF-8, which no query can hold."""
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, str) and not is_utf8(value):
        raise CurateError(f"{value!r} is not UTF-8, so that no database can open it; give the file or folder another name")
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value).lower()


def no_pattern(path: str) -> str:
    """A path that DuckDB takes for that file and for no pattern."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)


def first_line(problem: BaseException) -> str:
    """What went wrong, without the place in the query that DuckDB points at."""
    return str(problem).split("\n", 1)[0]
