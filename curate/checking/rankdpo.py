"""Checks of ranked lists, by the rules of the RankDPO loss: k images, φ in [0, 1], ranks from 1, best first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.checking.findings import Finding, Place
from curate.checking.images import Looker, competing_findings, image_findings
from curate.checking.ledger import Ledger, no_rows, prompt_findings, too_few_rows
from curate.checking.ranks import ranks_against_values
from curate.checking.schema import column_findings, row_schema
from curate.checking.tables import missing_parts, picture_columns, tables, unreadable

_NEEDED = ("images", "phi", "values", "ranks")
_AS_LONG = (*_NEEDED, "spreads", "samples", "generators", "widths", "heights")
_COLUMNS = ("prompt", *_AS_LONG)
_UNEQUAL = "a batch of one shape needs crops or stretches"


def check(folder: Path) -> Iterator[Finding]:
    """Findings of every split."""
    yield from missing_parts(folder)
    ledger, looker, rows = Ledger(), Looker(), Counter[str]()
    for table in tables(folder):
        try:
            columns = table.schema()
            for name in sorted(picture_columns(folder, columns) & {"images"}):
                yield table.place.error("image-feature", f"'{name}' is an Image() feature, not raw bytes", "Write list<binary>.")
            yield from column_findings(columns, row_schema("rankdpo"), table.place)
            for place, row in table.rows(_COLUMNS):
                rows[table.split] += 1
                yield from _row(row, table.split, place, ledger, looker)
        except (OSError, pa.ArrowInvalid) as problem:
            yield unreadable(table, problem)
    if not rows:
        yield no_rows("row in a Parquet file")
        return
    yield from too_few_rows(rows["train"], 1, "any trainer", Place())


def _row(row: dict[str, Any], split: str, place: Place, ledger: Ledger, looker: Looker) -> Iterator[Finding]:
    prompt = row.get("prompt")
    yield from prompt_findings(prompt, place)
    lists = {name: row[name] for name in _AS_LONG if isinstance(row.get(name), list)}
    lengths = {name: len(value) for name, value in lists.items()}
    if not lists.keys() >= set(_NEEDED) or len(set(lengths.values())) != 1:
        yield place.error("wrong-length", f"its lists differ in length: {lengths}", "Leave the row out.")
        return
    if lengths["images"] < 2:
        yield place.error("wrong-length", "a list of fewer than two images ranks nothing", "Leave the row out.")
        return
    names = [f"images[{number}]" for number in range(lengths["images"])]
    looks = [looker.look(data if isinstance(data, bytes) else b"") for data in lists["images"]]
    for look, name in zip(looks, names, strict=True):
        yield from image_findings(look, name, place)
    yield from competing_findings(looks, names, place, _UNEQUAL)
    yield from _order(lists["ranks"], lists["values"], lists["phi"], place)
    if isinstance(prompt, str):
        yield from ledger.prompt(prompt, split, place)
        if len(looks) > 1:
            yield from ledger.preference(prompt, looks[0].digest, looks[-1].digest, place)


def _order(ranks: Sequence[Any], values: Sequence[Any], phi: Sequence[Any], place: Place) -> Iterator[Finding]:
    if not all(isinstance(one, int | float) for one in (*ranks, *values, *phi)):
        yield place.error("wrong-type", "ranks, values and phi are numbers, none of them null", "Leave the row out.")
        return
    if not all(math.isfinite(one) for one in values):
        yield place.error("not-finite", f"values are {list(values)}", "Leave the row out.")
        return
    if list(ranks) != sorted(ranks) or not _are_places(ranks):
        message = f"ranks are {list(ranks)}: best first means from 1 upwards, a tie sharing one, as in 1, 2, 2, 4"
        yield place.error("wrong-order", message, "Sort the row, and count the ranks again.")
    if not all(0 <= one <= 1 for one in phi):
        yield place.error("wrong-type", f"phi is {list(phi)}, and a share of wins lies in [0, 1]", "Divide the wins by n(k-1).")
    if len(set(ranks)) == 1 or len(set(phi)) == 1:
        yield place.warning("tie", "all its images tie, so it weighs nothing in the loss", "Leave the row out.")
    yield from ranks_against_values(ranks, values, "images", place)
    for one, other in combinations(range(len(ranks)), 2):
        better, worse = (one, other) if ranks[one] < ranks[other] else (other, one)
        if ranks[better] != ranks[worse] and phi[better] < phi[worse]:
            yield place.warning("phi-disagrees", f"images[{better}] has the better rank and the smaller phi", "Rank by phi.")


def _are_places(ranks: Sequence[float]) -> bool:
    """Whether ranks count from 1, either the places (1, 2, 2, 4) or the different ones (1, 2, 2, 3)."""
    places = [1 + sum(other < rank for other in ranks) for rank in ranks]
    different = [1 + len({other for other in ranks if other < rank}) for rank in ranks]
    return list(ranks) in (places, different)
