"""Reads the fields of an object out of what a judge wrote: strictly first, then forgiving how it is written, never what.

The ladder, each step only where the one before found no object at all:

1. JSON to the letter, alone or in running text, fences and boxes included; keys that stand twice and NaN are refused;
2. almost-JSON: other quotes, `True`, trailing commas, quotes in a text that are not escaped (`curate.rubrics.replies.lenient`);
3. the numbers and words behind keys, each of which stands exactly once, where a key can stand, and is seen to end: a reply that
   breaks off behind a number may have lost a digit. Texts are then left out.

No step makes or mends a number: what is read stands in the reply, digit for digit. Several objects that read differently are
ambiguous, and one that is quoted or reported is none. Upper and lower case make no difference in keys.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from curate.rubrics.reads import Json, JsonField
from curate.rubrics.replies.base import Output, Outputs, Unreadable, shown
from curate.rubrics.replies.behind import takes_back
from curate.rubrics.replies.keys import Kind, raw_behind
from curate.rubrics.replies.lenient import NUMBER, DuplicateKey, folded, keys_like, no_duplicates, parse_lenient
from curate.rubrics.replies.locating import closing_brace, located
from curate.rubrics.replies.ownership import other_peoples

MOST_OBJECTS = 32

_TRUTHS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


def read_object(text: str, spec: Json) -> Outputs:
    """The fields of the one object in a reply (without its thoughts); raises `Unreadable`."""
    said = located(text, spec.place)
    objects, rest = _parsed(object_spans(said))
    if not objects:
        # A place that was closed holds all that was to be said; one that was not goes as far as the reply.
        return _behind_keys(said, spec.fields, whole=not text.endswith(said))
    readings: list[Outputs] = []
    problems: list[Unreadable] = []
    lacking: list[tuple[Mapping[str, Any], bool]] = []
    for one in objects:
        try:
            readings.append(_fields(one, spec.fields))
        except Unreadable as problem:
            problems.append(problem)
            lacking.append((one, bool(readings)))
    if not readings:
        raise problems[-1]
    # What else looks like the answer counts too: which of them was meant is nobody's to guess.
    others = any(problem.reason != "no_field" for problem in problems)
    others |= any(_differs(one, spec.fields, readings[-1], corrects=behind) for one, behind in lacking)
    if others or any(_names_a_key(span, spec.fields) for span in rest) or len({_numbers(one) for one in readings}) > 1:
        raise Unreadable("ambiguous", f"there are {len(objects) + len(rest)} objects, and they differ")
    return readings[-1]


def json_schema(spec: Json) -> dict[str, Any]:
    """JSON Schema of the object, for servers that can enforce one; fields in the order of the card."""
    root: dict[str, Any] = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    for name, field in spec.fields.items():
        *outer, last = field.at or (name,)
        place = root
        for key in outer:
            _require(place, key)
            inner = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
            place = place["properties"].setdefault(key, inner)
        if field.required:
            _require(place, last)
        place["properties"][last] = _field_schema(field)
    return root


def _require(place: dict[str, Any], key: str) -> None:
    if key not in place["required"]:
        place["required"].append(key)


def object_spans(text: str) -> list[str]:
    """The outermost objects in a text, whole or as far as the text goes, in order.

    Raises `Unreadable` where there are too many, where each is somebody else's (`other_peoples`), and where what stands behind
    the last takes it back.
    """
    spans = _outermost(text)
    others = other_peoples(text, spans)
    own = [span for span in spans if span not in others]
    if spans and not own:
        raise Unreadable("no_field", f"there is no object of the judge's own in {shown(text)}")
    if own and takes_back(text[own[-1][1] :]):
        raise Unreadable("ambiguous", f"the object is taken back in {shown(text[own[-1][1] :])}")
    return [text[start:end] for start, end in own]


def _outermost(text: str) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    start = text.find("{")
    while start >= 0:
        if len(spans) == MOST_OBJECTS:
            raise Unreadable("ambiguous", f"there are more than {MOST_OBJECTS} objects")
        try:
            _, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            closing = closing_brace(text, start)
            end = len(text) if closing is None else closing + 1
        spans.append((start, end))
        start = text.find("{", end)
    return spans


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=no_duplicates, parse_constant=_refuse)


def _parsed(spans: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """The spans that are objects, and those that are not even almost; raises `Unreadable` where a key stands twice."""
    objects: list[dict[str, Any]] = []
    rest: list[str] = []
    for span in spans:
        for parse in (_DECODER.decode, parse_lenient):
            try:
                objects.append(parse(span))
                break
            except DuplicateKey as problem:
                raise Unreadable("ambiguous", str(problem)) from problem
            except (ValueError, RecursionError):
                continue
        else:
            rest.append(span)
    return objects, rest


def _differs(one: Mapping[str, Any], fields: Mapping[str, JsonField], reading: Outputs, *, corrects: bool) -> bool:
    """Whether an object that lacks a field is another answer than `reading`.

    It is an answer if it lacks nothing but texts; where it `corrects` one that stands before it, any of the numbers is enough.
    """
    judged = {name: field for name, field in fields.items() if field.type != "text"}
    there = {name: field for name, field in judged.items() if keys_like(one, (field.at or (name,))[0])}
    if not there or (len(there) < len(judged) and not corrects):
        return False
    try:
        return not set(_numbers(_fields(one, there))) <= set(_numbers(reading))
    except Unreadable:
        return True


def _names_a_key(span: str, fields: Mapping[str, JsonField]) -> bool:
    """Whether something that is no object has a key of the fields."""
    return any(folded((field.at or (name,))[-1]) in span.casefold() for name, field in fields.items())


def _numbers(reading: Outputs) -> tuple[tuple[str, Output], ...]:
    return tuple((name, value) for name, value in reading.items() if not isinstance(value, str))


def _fields(one: Mapping[str, Any], fields: Mapping[str, JsonField]) -> Outputs:
    """All fields of an object but the texts that may be missing and are."""
    found = ((name, _field(one, name, field)) for name, field in fields.items())
    return {name: value for name, value in found if value is not None}


def _field(one: Mapping[str, Any], name: str, field: JsonField) -> Output | None:
    """A field of an object; None for a text that may be missing and is."""
    value: Any = one
    path = field.at or (name,)
    for key in path:
        there = keys_like(value, key) if isinstance(value, Mapping) else []
        if not there:
            if not field.required:
                return None
            raise Unreadable("no_field", f"there is no {'.'.join(path)!r}")
        value = value[there[0]]
    if value is None and not field.required:
        return None
    return _converted(value, name, field)


def _converted(value: Any, name: str, field: JsonField) -> Output:
    match field.type:
        case "text":
            return _text(value, name)
        case "numbers":
            return _several(value, name, field)
        case "number" | "integer":
            return _number(value, name, field)
        case "boolean":
            return _word(value if isinstance(value, str) else json.dumps(value), name, {**_TRUTHS, "1": 1.0, "0": 0.0})
        case "choice":
            return _word(value, name, field.options or {})


def _text(value: Any, name: str) -> str:
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in texts):
        raise Unreadable("wrong_type", f"{name!r} is no text")
    return "\n".join(texts)


def _several(value: Any, name: str, field: JsonField) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise Unreadable("wrong_type", f"{name!r} is no list")
    if len(value) != field.count:
        raise Unreadable("wrong_count", f"{name!r} has {len(value)} numbers, not {field.count}")
    return tuple(_number(one, name, field) for one in value)


def _number(value: Any, name: str, field: JsonField) -> float:
    """A number, also one in quotes if nothing else is in them."""
    if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unreadable("not_a_number", f"{name!r} is {shown(str(value))}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if field.type == "integer" and not number.is_integer():
        raise Unreadable("not_a_number", f"{name!r} is {number:g}, no integer")
    return within(number, field.range, repr(name))


def within(number: float, limits: tuple[float, float] | None, called: str) -> float:
    """The number; raises `Unreadable` where it is not finite or outside of its limits, which belong to the range."""
    least, most = limits or (-math.inf, math.inf)
    if not math.isfinite(number) or not least <= number <= most:
        between = f"{least:g} to {most:g}" if limits else "what is finite"
        raise Unreadable("out_of_range", f"{called} is {number:g}, outside of {between}")
    return number


def _word(value: Any, name: str, worth: Mapping[str, float]) -> float:
    if not isinstance(value, str):
        raise Unreadable("wrong_type", f"{name!r} is no text")
    known = {" ".join(word.casefold().split()): number for word, number in worth.items()}
    said = " ".join(value.casefold().split()).rstrip(".!")
    if said not in known:
        raise Unreadable("no_choice", f"{name!r} is {shown(value)}")
    return known[said]


def _behind_keys(text: str, fields: Mapping[str, JsonField], *, whole: bool) -> Outputs:
    """What stands behind the keys of a reply that is no object; see `raw_behind`."""
    wanted = {name: field for name, field in fields.items() if field.type != "text"}
    keys = [(field.at or (name,)) for name, field in wanted.items()]
    if not wanted or any(len(path) > 1 for path in keys):
        raise Unreadable("not_json", f"there is no object in {shown(text)}")
    return {name: _behind(text, path[0], name, field, whole) for (name, field), path in zip(wanted.items(), keys, strict=True)}


def _behind(text: str, key: str, name: str, field: JsonField, whole: bool) -> Output:
    if field.type == "numbers":
        listed = raw_behind(text, key, "list", whole=whole)
        return _several([one.strip() for one in listed.split(",")], name, field)
    kind: Kind = "word" if field.type in {"boolean", "choice"} else "number"
    return _converted(raw_behind(text, key, kind, whole=whole).strip(), name, field)


def _field_schema(field: JsonField) -> dict[str, Any]:
    number: dict[str, Any] = {"type": "integer" if field.type == "integer" else "number"}
    if field.range is not None:
        least, most = field.range
        if field.type == "integer":  # grammars know sets better than limits
            return {"type": "integer", "enum": list(range(math.ceil(least), math.floor(most) + 1))}
        number |= {"minimum": least, "maximum": most}
    match field.type:
        case "text":
            return {"type": "string"}
        case "boolean":
            return {"type": "boolean"}
        case "choice":
            return {"type": "string", "enum": list(field.options or {})}
        case "numbers":
            return {"type": "array", "items": number, "minItems": field.count, "maxItems": field.count}
        case _:
            return number
