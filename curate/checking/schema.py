"""Rows against the contracts in `schemas/exports/`, one JSON Schema for each format.

The schemas use a small part of JSON Schema (type, required, properties, items, minItems, maxItems, minimum, maximum), which is
read here. Columns of Parquet files have `x-arrow` besides: the Arrow types that the format's readers take; and `x-needed-by`:
the readers that stop without the column, where not all of them do.
"""

from __future__ import annotations

import functools
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from curate.checking.findings import Finding, Place
from curate.content import content

if TYPE_CHECKING:
    import pyarrow as pa

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


_OF_NUMBERS = {"not-finite", "out-of-range"}


@functools.cache
def row_schema(format_name: str) -> Mapping[str, Any]:
    """The contract of a format's rows."""
    text = content("schemas").joinpath("exports", f"{format_name}.schema.json").read_text(encoding="utf-8")
    schema: Mapping[str, Any] = json.loads(text)
    return schema


def row_findings(row: Any, schema: Mapping[str, Any], place: Place) -> Iterator[Finding]:
    """Where a row of JSON is not of its contract."""
    for rule, path, problem in _problems(row, schema, ""):
        yield _finding(rule, path, problem, place)


def number_findings(row: Mapping[str, Any], schema: Mapping[str, Any], names: Sequence[str], place: Place) -> Iterator[Finding]:
    """Where numbers in these cells of a row of Parquet are none, or out of their range; what is no number has another rule."""
    for name in names:
        for rule, path, problem in _problems(row.get(name), schema["properties"][name], name):
            if rule in _OF_NUMBERS:
                yield _finding(rule, path, problem, place)


def _finding(rule: str, path: str, problem: str, place: Place) -> Finding:
    return place.error(rule, f"{path or 'the row'} {problem}", "Write the export again, or leave the row out.")


def column_findings(columns: pa.Schema, schema: Mapping[str, Any], place: Place) -> Iterator[Finding]:
    """Where the columns of a Parquet file are not of their contract."""
    twice = sorted(name for name, count in Counter(columns.names).items() if count > 1)
    for name in twice:
        yield place.error(
            "duplicate-column",
            f"there are several columns called '{name}', and readers fail, or take any one of them",
            "Write the column once.",
        )
    for name in schema["required"]:
        if name not in columns.names:
            yield place.error(
                "missing-column", f"the column '{name}' is missing, and its readers need it", "Write the export again."
            )
    for name, wanted in schema["properties"].items():
        if "x-needed-by" in wanted and name not in columns.names:
            message = f"the column '{name}' is missing, and {wanted['x-needed-by']} stops without it"
            yield place.warning("missing-column", message, "Write it, unless that is not what will read it.")
        accepted = wanted.get("x-arrow")
        if accepted and name in columns.names and name not in twice and str(columns.field(name).type) not in accepted:
            label = name.startswith("label_")
            yield place.error(
                "label-type" if label else "wrong-type",
                f"the column '{name}' is {columns.field(name).type}, and its readers take {' or '.join(accepted)}"
                + (": a label that is no number is never equal to one" if label else ""),
                "Write the column with that type.",
            )


def _problems(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    """The rule, the path and what is wrong there, of every place where a value is not of its schema."""
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        yield "wrong-type", path, f"is {value!r:.60}, not {' or '.join(kinds)}"
        return
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number_problems(value, schema, path)
    if isinstance(value, dict):
        yield from (("missing-column", f"{path}{name}", "is missing") for name in schema.get("required", []) if name not in value)
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                yield from _problems(value[name], inner, f"{path}{name}")
    if isinstance(value, list):
        yield from _length_problems(value, schema, path)
        for number, item in enumerate(value):
            yield from _problems(item, schema.get("items", {}), f"{path}[{number}]")


def _number_problems(value: float, schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    if value != value or abs(value) > sys.float_info.max:  # NaN, infinity, and integers that no float holds
        yield "not-finite", path, f"is {value!r:.60}, which is no number to compare"
    elif value < schema.get("minimum", value) or value > schema.get("maximum", value):
        yield "out-of-range", path, f"is {value}, out of its range"


def _length_problems(value: list[Any], schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        yield "wrong-type", path, f"has {len(value)} items"


def _is(value: Any, kind: str) -> bool:
    """Whether a value is of a JSON type; True is no number."""
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES[kind])
