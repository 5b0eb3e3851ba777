"""What judges replied, kept word for word beside the tables of a store: nothing is asked twice, whatever ends a run.

An SQLite file to which rows are only added. A reply is found again by a key that covers all that decides it; of several under
one key the newest stands. A row is on its way to the disk as soon as it is added: a killed run loses what was in flight, and no
more.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from curate.asks import Model, Usage
from curate.errors import StoreError
from curate.records import canonical_json

FILE = "replies.sqlite"

_FORMAT = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key BLOB NOT NULL,
    card TEXT NOT NULL,
    backend TEXT NOT NULL,
    answered REAL NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    seconds REAL NOT NULL,
    reply TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS replies_by_key ON replies (key);
CREATE INDEX IF NOT EXISTS replies_by_card ON replies (card);
CREATE TABLE IF NOT EXISTS weights (model TEXT PRIMARY KEY, weights TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostOfCard:
    """What the replies for one card cost together."""

    replies: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    requests: int
    mean_seconds: float
    """From the first try to the reply."""
    backends: str
    """The software that answered, with its version; several with commas between."""


class Replies:
    """The replies of a store. Use from one thread; `with` closes it. Raises `StoreError` where the file cannot be read."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """`read_only` leaves the file as it is, which has to be there."""
        self.path = path
        try:
            self._connection = _reading(path) if read_only else _writing(path)
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version > _FORMAT:
                self._connection.close()
                raise StoreError(f"{path} was written by a newer version of curate; update curate")
            if not read_only:
                self._connection.executescript(_SCHEMA)
                self._connection.execute(f"PRAGMA user_version={_FORMAT}")
        except sqlite3.Error as problem:
            raise self._unusable(problem) from problem

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is lost without it, but the write-ahead log stays a file of its own."""
        self._connection.close()

    @property
    def last(self) -> int:
        """The number of the newest reply, 0 where there is none; numbers grow."""
        return int(self._row("SELECT max(rowid) FROM replies")[0] or 0)

    def find(self, key: bytes, *, after: int = 0) -> str | None:
        """The newest reply under a key, of those that came after the one of that number; where it is damaged, what is there."""
        # As bytes: of a row that is no text in UTF-8, SQLite would say that the whole file is of no use.
        sql = "SELECT CAST(reply AS BLOB) FROM replies WHERE key = ? AND rowid > ? ORDER BY rowid DESC LIMIT 1"
        row = self._row(sql, key, after)
        return None if row is None else bytes(row[0]).decode("utf-8", "replace")

    def add(self, key: bytes, card: str, reply: str, usage: Usage, backend: str = "") -> None:
        """Keep a reply for a card (its fingerprint); `backend` is the software that gave it."""
        row = (
            key,
            card,
            backend,
            time.time(),
            usage.prompt_tokens,
            usage.cached_tokens,
            usage.completion_tokens,
            usage.requests,
            usage.seconds,
            reply,
        )
        self._row("INSERT INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", *row)

    def weights_of(self, model: Model) -> str | None:
        """The weights from which the replies of a model came; None where no server said."""
        row = self._row("SELECT weights FROM weights WHERE model = ?", canonical_json(model.as_dict()))
        return None if row is None else str(row[0])

    def note_weights(self, model: Model, weights: str) -> None:
        """Remember what a server says the weights of a model are; what was said first stands."""
        self._row("INSERT OR IGNORE INTO weights VALUES (?, ?)", canonical_json(model.as_dict()), weights)

    def _row(self, sql: str, *values: object) -> Any:
        try:
            return self._connection.execute(sql, values).fetchone()
        except sqlite3.Error as problem:
            raise self._unusable(problem) from problem

    def _unusable(self, problem: sqlite3.Error) -> StoreError:
        return StoreError(
            f"the replies of judges in {self.path} cannot be used ({problem}); move the file away to have them asked again"
        )


def _writing(path: Path) -> sqlite3.Connection:
    # Autocommit: each row is its own transaction, appended to the write-ahead log.
    connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _reading(path: Path) -> sqlite3.Connection:
    """Leaves nothing beside the file; SQLite does that for one without a write-ahead log only where told that nobody writes."""
    alone = "" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{alone}", uri=True, timeout=30, check_same_thread=False)


def costs(folder: Path) -> Mapping[str, CostOfCard]:
    """What the replies of a store cost, by fingerprint of their card; empty where no judge was asked."""
    path = folder / FILE
    if not path.exists():
        return {}
    sql = (
        "SELECT card, count(*), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(requests), avg(seconds), "
        "group_concat(DISTINCT backend) FROM replies GROUP BY card"
    )
    try:
        with closing(_reading(path)) as connection:
            rows = connection.execute(sql).fetchall()
    except sqlite3.Error as problem:
        raise StoreError(f"the replies of judges in {path} cannot be read ({problem})") from problem
    return {
        card: CostOfCard(
            replies=count,
            prompt_tokens=prompt,
            cached_tokens=cached,
            completion_tokens=completion,
            requests=requests,
            mean_seconds=seconds,
            backends=backends,
        )
        for card, count, prompt, cached, completion, requests, seconds, backends in rows
    }
