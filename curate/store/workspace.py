"""A DuckDB connection for work on more rows than fit in memory, fed from the store's files through checked reads."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.database import connect, first_line, trouble
from curate.errors import CurateError, OutputError, StoreError
from curate.files import is_temporary, no_space, output_errors
from curate.store.lock import exclusive

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

BATCH_ROWS = 65_536


class Workspace:
    """A private database in memory that spills into a folder of its own."""

    def __init__(self, db: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.folder = folder
        """Where it spills; removed at its end, with whatever lies in it."""
        self._db = db
        self._problem: CurateError | None = None

    def feed(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        """Make a stream of batches readable as the table `name`, once."""
        import pyarrow as pa

        self._db.register(name, pa.RecordBatchReader.from_batches(schema, self._watched(batches)))

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a small result."""
        with self._errors():
            return self._db.execute(sql).fetchall()

    def stream(self, sql: str) -> Iterator[pa.RecordBatch]:
        """The rows of a large result, in its order, as they come."""
        with self._errors():
            yield from self._db.sql(sql).to_arrow_reader(BATCH_ROWS)

    def _watched(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """DuckDB turns what a stream raises into text; remember it as it was."""
        try:
            yield from batches
        except CurateError as problem:
            self._problem = problem
            raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        import duckdb
        import pyarrow as pa

        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError) as problem:
            if self._problem is not None:
                raise self._problem from None
            match trouble(problem):
                case "full":
                    raise OutputError(no_space(self.folder.parent)) from problem
                case "memory":
                    allow = f"the work does not fit into the memory it may use ({first_line(problem)}); allow more"
                    raise StoreError(allow) from problem
            raise


@contextlib.contextmanager
def open_workspace(cache: Path, *, memory: str, threads: int | None) -> Iterator[Workspace]:
    """A workspace below the cache folder, one at a time; another process waits for it.

    Raises `StoreError` where `memory` is not a size as DuckDB reads it (`1GB`, `512MiB`).
    """
    import duckdb

    with output_errors(cache):
        cache.mkdir(exist_ok=True)
    with exclusive(cache / "lock", wait=True):
        _remove_leftovers(cache)
        folder = cache / f"work-{secrets.token_hex(8)}"
        try:
            with output_errors(folder):
                folder.mkdir()
            try:
                db = connect(memory=memory, scratch=folder, threads=threads, settings={"arrow_lossless_conversion": True})
            except duckdb.Error as problem:
                raise StoreError(f"cannot work with memory={memory!r} and threads={threads}: {first_line(problem)}") from problem
            with contextlib.closing(db):
                yield Workspace(db, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(cache: Path) -> None:
    """Remove what killed processes left; the cache's lock is held, so nobody works in it."""
    for entry in cache.iterdir():
        if entry.name.startswith("work-"):
            shutil.rmtree(entry, ignore_errors=True)
        elif is_temporary(entry):
            entry.unlink(missing_ok=True)
