"""Checks of ranked lists, by the rules of the RankDPO loss: k images, φ in [0, 1], ranks from 1, best first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from curate.checking.findings import Finding, Place
from curate.checking.guess import manifest
from curate.checking.images import Look, Looker, competing_findings, image_findings
from curate.checking.ledger import Ledger, prompt_findings, too_few_rows
from curate.checking.outline import Likeness, Outline
from curate.checking.ranks import ranks_against_values
from curate.checking.schema import column_findings, number_findings, row_schema
from curate.checking.tables import Table, is_table, picture_columns, walk

_NEEDED = ("images", "phi", "values", "ranks")
_AS_LONG = (*_NEEDED, "spreads", "samples", "generators", "widths", "heights")
_COLUMNS = ("prompt", *_AS_LONG)
_ROUNDING = 1e-6
"""By which φ may differ from a share: it may be a 32-bit number."""
_UNEQUAL = "a batch of one shape needs crops or stretches"


def looks_like(outline: Outline) -> Likeness | None:
    """A table of lists."""
    return outline.with_columns({"images", "phi", "ranks"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What is remembered of all rows, and known of them beforehand."""

    by_ranks: bool
    """Whether φ was counted from the ranks, and not from what raters said: a ranking that was made without `--wins`."""
    ledger: Ledger = field(default_factory=Ledger)
    looker: Looker = field(default_factory=Looker)


def reads(folder: Path, name: str) -> bool:
    """Any table that `datasets` finds."""
    return is_table(name)


def check(folder: Path) -> Iterator[Finding]:
    """Findings of every split."""
    recipe = (manifest(folder) or {}).get("recipe")
    by_ranks = isinstance(recipe, Mapping) and recipe.get("verb") == "rank" and not recipe.get("wins")
    rows = yield from walk(folder, _COLUMNS, partial(_columns, folder), partial(_row, _Seen(by_ranks=by_ranks)))
    if rows:
        yield from too_few_rows(rows["train"], 1, "any trainer", Place())


def _columns(folder: Path, table: Table) -> Iterator[Finding]:
    columns = table.schema()
    for name in sorted(picture_columns(folder, columns) & {"images"}):
        yield table.place.error("image-feature", f"'{name}' is an Image() feature, not raw bytes", "Write list<binary>.")
    yield from column_findings(columns, row_schema("rankdpo"), table.place)


def _row(seen: _Seen, row: dict[str, Any], split: str, place: Place) -> Iterator[Finding]:
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
    looks = [seen.looker.look(data if isinstance(data, bytes) else b"") for data in lists["images"]]
    for look, name in zip(looks, names, strict=True):
        yield from image_findings(look, name, place)
    yield from competing_findings(looks, names, place, _UNEQUAL)
    yield from _repeated(lists.get("samples", []), place)
    if isinstance(prompt, str):
        yield from seen.ledger.prompt(prompt, split, place)
    wrong = list(_not_numbers(row, lists, place))
    yield from wrong or _order(seen, prompt, lists, looks, place)


def _repeated(samples: Sequence[Any], place: Place) -> Iterator[Finding]:
    if len(set(map(str, samples))) < len(samples):
        yield place.warning("duplicate-sample", "a sample stands in its list more than once", "Keep the first of them.")


def _not_numbers(row: Mapping[str, Any], lists: Mapping[str, Sequence[Any]], place: Place) -> Iterator[Finding]:
    if not all(isinstance(one, int | float) for name in ("ranks", "values", "phi") for one in lists[name]):
        yield place.error("wrong-type", "ranks, values and phi are numbers, none of them null", "Leave the row out.")
    else:
        yield from number_findings(row, row_schema("rankdpo"), ("values", "phi", "spreads"), place)


def _order(
    seen: _Seen, prompt: Any, lists: Mapping[str, Sequence[Any]], looks: Sequence[Look], place: Place
) -> Iterator[Finding]:
    """What is wrong with a list whose numbers are numbers."""
    ranks, phi = lists["ranks"], lists["phi"]
    if list(ranks) != sorted(ranks) or not _are_places(ranks):
        message = f"ranks are {list(ranks)}: best first means from 1 upwards, a tie sharing one, as in 1, 2, 2, 4"
        yield place.error("wrong-order", message, "Sort the row, and count the ranks again.")
    if len(set(ranks)) == 1 or len(set(phi)) == 1:
        yield place.warning("tie", "all its images tie, so it weighs nothing in the loss", "Leave the row out.")
    else:
        yield from _phi(ranks, phi, seen.by_ranks, place)
    yield from ranks_against_values(ranks, lists["values"], "images", place)
    if isinstance(prompt, str):
        yield from seen.ledger.ranking(prompt, [look.digest for look in looks], ranks, place)


def _phi(ranks: Sequence[float], phi: Sequence[float], by_ranks: bool, place: Place) -> Iterator[Finding]:
    """φ against the ranks: it falls with them, unless it was counted from what other raters said."""
    equal = []
    for one, other in combinations(range(len(ranks)), 2):
        better, worse = (one, other) if ranks[one] < ranks[other] else (other, one)
        if ranks[better] != ranks[worse] and phi[better] < phi[worse]:
            yield place.warning("phi-disagrees", f"images[{better}] has the better rank and the smaller phi", "Rank by phi.")
        elif ranks[better] != ranks[worse] and phi[better] == phi[worse]:
            equal.append(f"images[{better}] and images[{worse}]")
    beaten = [sum(other > rank for other in ranks) / (len(ranks) - 1) for rank in ranks]
    if by_ranks and any(abs(said - counted) > _ROUNDING for said, counted in zip(phi, beaten, strict=True)):
        message = f"phi is {list(phi)}, and the shares of the others with a worse rank are {beaten}"
        yield place.warning("phi-disagrees", message, "Count phi from the ranks.")
    elif equal:
        message = f"{equal[0]} have different ranks and the same phi, so nothing is learned of the two"
        yield place.note("phi-disagrees", message, "Nothing, where phi is from other raters than the ranks.")


def _are_places(ranks: Sequence[float]) -> bool:
    """Whether ranks count from 1, either the places (1, 2, 2, 4) or the different ones (1, 2, 2, 3)."""
    places = [1 + sum(other < rank for other in ranks) for rank in ranks]
    different = [1 + len({other for other in ranks if other < rank}) for rank in ranks]
    return list(ranks) in (places, different)
