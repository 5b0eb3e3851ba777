"""The database that selects: DuckDB over one view, with everything else locked out.

It reads the view's file and spills to one scratch folder; other files, the network, extensions and its own settings are
closed before the first expression runs. Every query can be interrupted, and is when the time is up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from curate.database import Setting, connect, first_line, literal, no_pattern, trouble
from curate.errors import CurateError, Option, OutputError, StoreError
from curate.files import no_space
from curate.records import View

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

DATABASE_SHARE = 0.5
"""Of the memory asked for: the rest is for the slices that are worked on, and for the writer."""

_BATCH_ROWS = 1 << 17
_INTERRUPT_EVERY = 0.1
_TOO_LITTLE_MEMORY = ("not enough memory for this selection; raise ", Option("memory"), ", to 8GB, say")

Parameters = Mapping[str, float | str]


class Engine:
    """Queries over the table `samples`, which is the view. Use it as a context manager; safe from several threads."""

    def __init__(self, view: View, *, memory: int, threads: int | None, seconds: float | None, scratch: Path) -> None:
        """`memory` in bytes, for all of the process's work; `scratch` is an existing folder for what does not fit.

        Raises `StoreError` for a view that cannot be read.
        """
        self._seconds = seconds
        self._scratch = scratch
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._running: set[duckdb.DuckDBPyConnection] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._connection = _connect(view, int(memory * DATABASE_SHARE), threads, scratch)

    def __enter__(self) -> Self:
        if self._seconds is not None:
            threading.Thread(target=self._watch, args=(self._seconds,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None) -> None:
        self._closed.set()
        self._connection.close()

    def batches(self, sql: str, parameters: Parameters) -> Iterator[pa.RecordBatch]:
        """The rows of a query as a stream, in its order."""
        with self._cursor() as cursor:
            yield from cursor.sql(sql, params=dict(parameters)).to_arrow_reader(_BATCH_ROWS)

    def rows(self, sql: str, parameters: Parameters) -> list[tuple[Any, ...]]:
        """The rows of a query with a small result."""
        with self._cursor() as cursor:
            return cursor.execute(sql, dict(parameters)).fetchall()

    def check_time(self) -> None:
        """Raises `CurateError` when the time is up; for work between queries."""
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise self._out_of_time()

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        import duckdb

        self.check_time()
        cursor = self._connection.cursor()
        with self._lock:
            self._running.add(cursor)
        try:
            yield cursor
        except (duckdb.InterruptException, duckdb.OutOfMemoryException, duckdb.IOException, OSError) as problem:
            match trouble(problem):
                case "interrupted":
                    raise self._out_of_time() from problem
                case "full":
                    raise OutputError(no_space(self._scratch)) from problem
                case "memory":
                    raise CurateError(*_TOO_LITTLE_MEMORY) from problem
            raise
        finally:
            with self._lock:
                self._running.discard(cursor)
            cursor.close()

    def _watch(self, seconds: float) -> None:
        """Stop what runs when the time is up; again and again, for a query that was just about to start."""
        over = self._closed.wait(seconds)
        while not over:
            with self._lock:
                for cursor in self._running:
                    cursor.interrupt()
            over = self._closed.wait(_INTERRUPT_EVERY)

    def _out_of_time(self) -> CurateError:
        longer = f"the selection took longer than {self._seconds:g} seconds; raise "
        return CurateError(longer, Option("timeout"), ", or simplify the expressions")


def _connect(view: View, memory: int, threads: int | None, scratch: Path) -> duckdb.DuckDBPyConnection:
    import duckdb

    plain = str(Path(view.path).resolve())
    path = no_pattern(plain)
    settings: dict[str, Setting] = {
        "preserve_insertion_order": True,
        "ieee_floating_point_ops": True,  # division by zero gives infinity, which every expression turns into null
        "allowed_paths": [path, plain],  # as it is named, and as it is opened
    }
    connection = connect(memory=f"{memory >> 10}KiB", scratch=scratch, threads=threads, settings=settings)
    try:
        connection.execute(f"CREATE VIEW samples AS FROM read_parquet({literal(path)})")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
    except duckdb.Error as problem:
        connection.close()
        raise StoreError(f"the view {view.path} cannot be read ({first_line(problem)})") from problem
    return connection
