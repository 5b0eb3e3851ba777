"""What comparisons make of samples: for a card that judges pairs, one row a sample with its win rates and strengths.

DuckDB joins the comparisons to the samples and puts them in the order of groups, spilling to disk; some whole groups at a time
become numbers here, which wait in a file without a name until they become a table of the view.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.files import output_errors
from curate.records import RaterColumns, Status
from curate.standings import bradley_terry, win_rates
from curate.store.feeds import UUID, Places, card_schema
from curate.store.ids import Ids, find, order, unpack_bytes
from curate.store.judgements import LiveRows, id_bytes, status_codes
from curate.store.known import CODES
from curate.store.runs import Codes, starts_of_runs
from curate.store.tables import ID
from curate.store.unit import StoredCard
from curate.store.workspace import Workspace

STRENGTH = "_strength"
"""Follows a dimension's name in that of its Bradley-Terry strengths."""

_ANSWERS = pa.schema(
    [("first", UUID), ("second", UUID), ("dimension", pa.uint16()), ("value", pa.float64()), ("status", pa.uint8())]
)

_BY_GROUP = """
SELECT one."group", answers.* FROM answers
JOIN present AS one ON one.sample = answers.first JOIN present AS other ON other.sample = answers.second
WHERE one."group" = other."group" ORDER BY one."group", dimension, first, second
"""


def judges_pairs(card: StoredCard) -> bool:
    """Whether a card compares samples, rather than rating them one by one."""
    return bool(json.loads(card.text).get("judges") == "pairs")


def with_strengths(dimensions: Sequence[str]) -> tuple[str, ...]:
    """The dimensions of a view for those that pairs were judged on: win rates under their names, then the strengths.

    A dimension of the card goes before a strength of the same name.
    """
    return tuple(dict.fromkeys([*dimensions, *(f"{name}{STRENGTH}" for name in dimensions)]))


def load_present(workspace: Workspace, places: Places, gone: Collection[str]) -> None:
    """Make the table `present`: the samples that take part, those of shards that are not `gone`, each with its group."""
    columns = {"sample": UUID, "group": UUID, "shard": pa.int64()}
    workspace.feed("fed", pa.schema(list(columns.items())), places.batches(columns))
    workspace.run("CREATE TEMP TABLE present AS SELECT * FROM fed")
    lost = [str(number) for number, shard in enumerate(places.shards) if shard in gone]
    if lost:
        workspace.run(f"DELETE FROM present WHERE shard IN ({', '.join(lost)})")


def load_standings(workspace: Workspace, table: str, live: LiveRows, columns: RaterColumns, asked: Sequence[str]) -> None:
    """Make a table with the columns of `card_schema`: the standing of each sample of `present` that the card has compared.

    `asked` are the dimensions that the card judges on. Only comparisons between two samples of a group that are both
    `present` count.
    """
    workspace.feed("answers", _ANSWERS, _answers(live, asked))
    schema = card_schema(columns)
    with output_errors(workspace.folder), tempfile.TemporaryFile(dir=workspace.folder) as waiting:
        with pa.ipc.new_stream(waiting, schema) as writer:
            for answers in _whole_groups(workspace.stream(_BY_GROUP)):
                writer.write_batch(_standings(answers, columns, asked))
        waiting.seek(0)
        workspace.feed("fed", schema, pa.ipc.open_stream(waiting))
        workspace.run(f"CREATE TEMP TABLE {table} AS SELECT * FROM fed")


def _answers(live: LiveRows, asked: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The comparisons that stand, dimensions by their place among those asked, statuses by their codes."""
    for batch in live.every(["dimension", "value", "status"]):
        dimensions = batch.column("dimension").dictionary_encode()
        places = pa.array([asked.index(name) for name in dimensions.dictionary.to_pylist()], pa.uint16())
        arrays = [pa.ExtensionArray.from_storage(UUID, batch.column(name)) for name in ("first", "second")]
        arrays += [places.take(dimensions.indices), batch.column("value"), pa.array(status_codes(batch.column("status")))]
        yield pa.RecordBatch.from_arrays(arrays, schema=_ANSWERS)


def _whole_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows, which are in the order of groups, in batches that cut no group."""
    waiting: list[pa.RecordBatch] = []
    last = None
    for batch in batches:
        groups = _ids(batch, "group")
        if not len(groups):
            continue
        # The last group of a batch may go on in the next one.
        begin = int(np.flatnonzero(starts_of_runs(groups))[-1])
        if waiting and (groups[0] != last).any():
            yield _joined(waiting)
            waiting = []
        if begin:
            yield _joined([*waiting, batch.slice(0, begin)])
            waiting = []
        waiting.append(batch.slice(begin))
        last = groups[-1]
    if waiting:
        yield _joined(waiting)


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def _standings(answers: pa.RecordBatch, columns: RaterColumns, asked: Sequence[str]) -> pa.RecordBatch:
    """The comparisons of some whole groups as one row a sample."""
    both = [_ids(answers, "first"), _ids(answers, "second")]
    samples = np.concatenate(both)
    samples = samples[order(samples)]
    samples = samples[starts_of_runs(samples)]
    first, second = (find(samples, side) for side in both)
    groups = np.zeros(len(samples), dtype=np.int64)
    groups[first] = groups[second] = np.cumsum(starts_of_runs(_ids(answers, "group"))) - 1
    dimension, status = answers.column("dimension").to_numpy(), answers.column("status").to_numpy()
    value = answers.column("value").to_numpy(zero_copy_only=False)  # null becomes NaN
    made: dict[str, NDArray[np.float64]] = {}
    worst = np.zeros(len(samples), dtype=np.uint8)
    for place, name in enumerate(asked):
        mine = dimension == place
        rates = win_rates(first[mine], second[mine], value[mine], len(samples))
        made[name] = rates
        if (strength := f"{name}{STRENGTH}") not in asked:
            made[strength] = bradley_terry(first[mine], second[mine], value[mine], len(samples), groups=groups)
        failed = np.isnan(rates)
        worst[failed] = np.maximum(worst, _worst(first[mine], second[mine], status[mine], len(samples)))[failed]
        worst[~failed] = np.maximum(worst[~failed], CODES[Status.OK])
    values = [pa.array(made[name], mask=np.isnan(made[name])) for name in columns.dimensions]
    return pa.RecordBatch.from_arrays([_uuids(samples), *values, pa.array(worst)], schema=card_schema(columns))


def _worst(first: NDArray[np.int64], second: NDArray[np.int64], status: Codes, samples: int) -> Codes:
    """For each sample the largest status code of its comparisons, the least there is where it has none."""
    worst = np.zeros(samples, dtype=np.uint8)
    for side in (first, second):
        np.maximum.at(worst, side, status)
    return worst


def _ids(batch: pa.RecordBatch, name: str) -> Ids:
    return unpack_bytes(id_bytes(batch.column(name).storage))


def _uuids(ids: Ids) -> pa.Array:
    data = pa.py_buffer(ids.astype(">u8").tobytes())
    return pa.ExtensionArray.from_storage(UUID, pa.FixedSizeBinaryArray.from_buffers(ID, len(ids), [None, data]))
