"""Text and JSON of a record, read strictly: what is stored later has to be what stands there, or be refused with a reason."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from curate.shards.limits import ShardLimits

_BOM = b"\xef\xbb\xbf"


class BadMetadataError(Exception):
    """Text or JSON that cannot be used; the message says which and why."""


def read_text(data: bytes, *, where: str, limits: ShardLimits) -> str:
    """UTF-8 as text, without a byte-order mark and trailing line ends; raises `BadMetadataError` for everything else."""
    return clean_text(_decode(data, where=where, limit=limits.text_bytes), where=where, limits=limits)


def clean_text(text: str, *, where: str, limits: ShardLimits) -> str:
    """`text` without trailing line ends, so that 'a cat' is one prompt whether a file or a JSON field holds it.

    Raises `BadMetadataError` for what no table can hold (lone surrogates, NUL) and what is over the limit.
    """
    text = text.rstrip("\r\n")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as problem:
        raise BadMetadataError(f"{where} holds half of a surrogate pair") from problem
    if size > limits.text_bytes:
        raise BadMetadataError(f"{where} has {size} bytes; the limit is {limits.text_bytes}")
    if "\0" in text:
        raise BadMetadataError(f"{where} holds a NUL")
    return text


def read_json(data: bytes, *, where: str, limits: ShardLimits) -> Any:
    """The value of a JSON member: UTF-8, no NaN or infinity, no key twice in an object, bounded depth and size.

    Raises `BadMetadataError` for everything else. Numbers too large for a float and lone surrogates are refused as well,
    since no table can hold them.
    """
    text = _decode(data, where=where, limit=limits.json_bytes)
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_not_json, parse_float=_finite)
    except RecursionError as problem:
        raise BadMetadataError(f"{where} is nested too deeply") from problem
    except ValueError as problem:
        raise BadMetadataError(f"{where} is not JSON that can be used: {problem}") from problem
    if text.count("[") + text.count("{") > limits.json_depth and _depth(value) > limits.json_depth:
        raise BadMetadataError(f"{where} is nested more than {limits.json_depth} deep")
    if "\\u" in text:
        _refuse_surrogates(value, where)
    return value


def _decode(data: bytes, *, where: str, limit: int) -> str:
    if len(data) > limit:
        raise BadMetadataError(f"{where} has {len(data)} bytes; the limit is {limit}")
    try:
        return data.removeprefix(_BOM).decode()
    except UnicodeDecodeError as problem:
        raise BadMetadataError(f"{where} is not UTF-8 (byte {problem.start})") from problem


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:40]!r} stands twice in one object")
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:40]} is too large")
    return value


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _depth(value: Any) -> int:
    """Levels of lists and objects, without recursion."""
    deepest, level = 0, [value]
    while level := [one for one in level if isinstance(one, (dict, list))]:
        deepest += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return deepest


def _refuse_surrogates(value: Any, where: str) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as problem:
        raise BadMetadataError(f"{where} holds half of a surrogate pair") from problem
