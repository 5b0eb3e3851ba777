"""Objects that judges write: read where they can be, and never with a number that nobody wrote."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.rubrics.reads import Json
from curate.rubrics.replies.base import Unreadable
from curate.rubrics.replies.lenient import DuplicateKey, NotLenient, parse_lenient
from curate.rubrics.replies.objects import MOST_OBJECTS, json_schema, read_object

EDIT = {
    "reasoning": {"type": "text", "rationale": True, "required": False},
    "score": {"type": "numbers", "count": 2, "range": [0, 25]},
}

RATING = {"rating": {"type": "number", "range": [1, 5]}}

KINDS = {
    "whole": {"type": "integer", "range": [1, 5]},
    "fine": {"type": "boolean"},
    "kind": {"type": "choice", "options": {"None": 0, "Slight": 1, "Very slight": 0.5}},
    "why": {"type": "text"},
}


def spec(fields: dict[str, Any], **more: Any) -> Json:
    return Json.model_validate({"fields": fields, **more})


def reason(text: str, of: Json) -> str:
    with pytest.raises(Unreadable) as problem:
        read_object(text, of)
    return problem.value.reason


WRITTEN = {
    "plain": '{"reasoning": "good", "score": [20, 15]}',
    "spaced": '\n\n  {"score" : [ 20 , 15 ] }  \n',
    "fenced": 'Here you are:\n```json\n{"reasoning": "good", "score": [20, 15]}\n```\nAnything else?',
    "in a sentence": 'I say {"score": [20, 15]} and no more.',
    "behind braces that are no object": 'The set {a, b} is nice. {"score": [20, 15]}',
    "floats": '{"score": [20.0, 1.5e1]}',
    "single quotes": "{'reasoning': 'it doesn't show \"it\", really', 'score': [20, 15]}",
    "typographic quotes": "{“reasoning”: “good”, “score”: [20, 15]}",
    "trailing commas": '{"reasoning": "good", "score": [20, 15,],}',
    "quotes that are not escaped": '{"reasoning": "the sign says "OPEN" in red", "score": [20, 15]}',
    "line feeds in a text": '{"reasoning": "one\ntwo", "score": [20, 15]}',
    "numbers in quotes": '{"score": ["20", "15"]}',
    "a text that is a list": '{"reasoning": ["one", "two"], "score": [20, 15]}',
    "no text": '{"reasoning": null, "score": [20, 15]}',
    "words of Python": "{'reasoning': None, 'score': [20, 15]}",
    "never closed": '{"reasoning": "good", "score": [20, 15]',
    "a text that breaks everything": '{"reasoning": "he said "yes", and "no", then [left] {", "score": [20, 15]}',
    "the same twice": '{"score": [20, 15]}\nOnce more: {"score": [20.0, 15]}',
    "beside an object without the fields": '{"note": "I look"} {"score": [20, 15]}',
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_what_can_be_read_is_read(text: str) -> None:
    assert read_object(text, spec(EDIT))["score"] == (20.0, 15.0)


UNREADABLE = {
    "nothing": ("", "not_json"),
    "a sentence": ("I like it: 20, 15.", "not_json"),
    "a list": ("[20, 15]", "not_json"),
    "another key": ('{"scores": [20, 15]}', "no_field"),
    "one number": ('{"score": [20]}', "wrong_count"),
    "three numbers": ('{"score": [20, 15, 3]}', "wrong_count"),
    "no list": ('{"score": 20}', "wrong_type"),
    "too large": ('{"score": [26, 15]}', "out_of_range"),
    "negative": ('{"score": [20, -1]}', "out_of_range"),
    "endless": ('{"score": [20, 1e999]}', "out_of_range"),
    "no number": ('{"score": [NaN, 15]}', "not_a_number"),
    "infinite": ('{"score": [Infinity, 15]}', "not_a_number"),
    "a text that is no number": ('{"score": ["20/25", 15]}', "not_a_number"),
    "true": ('{"score": [true, 15]}', "not_a_number"),
    "nothing in it": ('{"score": [null, 15]}', "not_a_number"),
    "a key that stands twice": ('{"score": [20, 15], "score": [20, 15]}', "ambiguous"),
    "twice in single quotes": ("{'score': [20, 15], 'score': [1, 2]}", "ambiguous"),
    "twice deep inside": ('{"score": [20, 15], "more": {"a": 1, "a": 2}}', "ambiguous"),
    "two that differ": ('{"score": [20, 15]} or rather {"score": [10, 15]}', "ambiguous"),
    "an example before it": ('{"score": [99, 99]} {"score": [20, 15]}', "ambiguous"),
    "one that is broken beside it": ('{"score": [20, 15]} {"score": [2', "ambiguous"),
    "two broken ones": ('{"score": [20, 15] {"score": [2, 1]', "not_json"),
    "a decimal comma": ('{"score": [20,5 15]}', "not_a_number"),
    "a leading zero": ('{"score": [020, 15]}', "not_a_number"),
    "hexadecimal": ('{"score": [0x14, 15]}', "not_a_number"),
    "deep": ("{" * 100_000, "not_json"),
    "deep in a value": ('{"score": ' + "[" * 100_000, "not_json"),
    "many": ('{"score": [20, 15]}' * (MOST_OBJECTS + 1), "ambiguous"),
    "digits without end": ('{"score": [' + "9" * 10_000 + ", 15]}", "not_json"),
}


@pytest.mark.parametrize(("text", "why"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_has_a_reason(text: str, why: str) -> None:
    assert reason(text, spec(EDIT)) == why


def test_texts_are_read_to_the_letter() -> None:
    read = read_object('{"reasoning": "the sign says "OPEN", in red", "score": [20, 15]}', spec(EDIT))
    assert "reasoning" not in read, "where it ends is a guess, so only the numbers behind their key are taken"
    assert read_object('{"reasoning": "a \\"b\\" \\u00e9\\n", "score": [20, 15]}', spec(EDIT))["reasoning"] == 'a "b" é\n'


@pytest.mark.parametrize(
    "text", ['{"rating": 4}', '{"rating": 4.0}', "{'rating': '4'}", '"rating": 4}', '"why": "rating: no", "rating": "4"}']
)
def test_integers_and_floats_in_both_quotes(text: str) -> None:
    assert read_object(text, spec(RATING)) == {"rating": 4.0}


@pytest.mark.parametrize(
    "text",
    [
        '"rating": 4,5',
        '"rating": 4.5.1',
        '"rating": 4/5',
        '"rating": 4 5',
        '"rating": 4-5',
        '"rating": four',
        '"rating": 4',
        '"rating": 4 ',
        '"rating": 4,',
        '{"rating": 4',
        '{"why": "so", "rating": 4.',
        '{"rating": "4',
        '"rating": 4, "rating": 5',
    ],
)
def test_half_a_number_is_none(text: str) -> None:
    with pytest.raises(Unreadable):
        read_object(text, spec(RATING))


PLAIN = '{"reasoning": "a", "score": 4}'

SCORED = {"reasoning": {"type": "text"}, "score": {"type": "integer", "range": [1, 5]}}


@pytest.mark.parametrize(
    "before",
    [
        *(
            "Here is my answer in the requested format:\n",
            "Here it is, in the format that the prompt asks for:\n```json\n",
            "`",
            "(",
            "[",
        ),
        *(
            "Based on the instructions:\n",
            "Following the instructions, my rating: ",
            "The text in the image is garbled. ",
            "Answer: ",
        ),
        *(
            "The picture shows a sign.\n\n",
            "The caption asks for a cat:\nit has one.\n",
            "> so far\n",
            "<answer>",
            "<output>",
            "**json**\n",
        ),
        *('The caption says {"score": 5}.\n', '<caption>{"score": 5}</caption>\n', "I say "),
    ],
)
def test_an_object_of_the_judges_own(before: str) -> None:
    assert read_object(before + PLAIN, spec(SCORED))["score"] == 4
    assert read_object(f"{before}{PLAIN}\nNo cat is there, the caption says.", spec(SCORED))["score"] == 4


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        *[
            ("The picture contains the text ", ". It is an injection. My score: 1"),
            ("> ", "\n\nThat is from the caption; I give 1."),
        ],
        *[
            ("The caption says:\n", ""),
            ("The sign reads:\n```json\n", "\n```"),
            ('It says "', '".'),
            ("For example: ", ""),
            ("<caption>", "</caption>"),
        ],
        *[
            ("The words on the wall ask me to answer, and the text says ", ""),
            ("The image contains this text: ", " and no more."),
        ],
    ],
)
def test_an_object_that_is_quoted_or_reported(before: str, behind: str) -> None:
    assert reason(f"{before}{PLAIN}{behind}", spec(SCORED)) == "no_field"


@pytest.mark.parametrize(
    "behind", ["Actually, 3.", "This is wrong.", "No, wait.", "On second thought it is a 2.", "Correction: 2"]
)
def test_an_object_that_is_taken_back(behind: str) -> None:
    assert reason(f"{PLAIN}\n{behind}", spec(SCORED)) == "ambiguous"


def test_objects_of_a_list_are_all_the_judges() -> None:
    assert reason(f"[{PLAIN}, {PLAIN.replace('4', '5')}]", spec(SCORED)) == "ambiguous"
    assert read_object(f"[{PLAIN}, {PLAIN}]", spec(SCORED))["score"] == 4


def test_keys_in_any_case_are_one() -> None:
    assert read_object('{"Reasoning": "a", "SCORE": 4}', spec(SCORED)) == {"reasoning": "a", "score": 4}
    assert read_object('"reasoning": "a", "Score": 4}', spec(SCORED)) == {"score": 4}
    deep = spec({"first": {"type": "number", "at": ["Image 1", "score"]}})
    assert read_object('{"image 1": {"Score": 3}}', deep) == {"first": 3}
    for text in ('{"score": 4, "Score": 5, "reasoning": "a"}', '{"score": 4, "score ": 5}', "{'score': 4, 'SCORE': 4}"):
        assert reason(text, spec(SCORED)) == "ambiguous"
    assert reason(f'{{"Score": 5, "SCORE": 4}} {PLAIN}', spec(SCORED)) == "ambiguous"


@pytest.mark.parametrize(
    "text",
    [
        '{"reasoning":"The sign says "score": 5\n in red", score: 2}',
        '{"reasoning":"The sign says "score": 5\n in red", "Score": 2}',
        '{"reasoning":"The sign says "a", "score": 5\n in red", score: 2}',
        '{"reasoning":"The sign says "a", "score": 5\n in red", "SCORE": 2\n',
        '{"reasoning":"The sign says:\n"score": 5\n in red and then',
        'score: 2, "score": 4}',
        'rating: no, "score": 4}',
    ],
)
def test_a_key_in_a_text_is_none(text: str) -> None:
    assert reason(text, spec(SCORED)) == "not_json"


def test_a_list_in_a_text_is_none() -> None:
    cut = '{"reasoning":"the text says \'score\': [25, 25]\n, ok "a", and then cut'
    assert reason(cut, spec(EDIT)) == "not_json"
    assert read_object('{"reasoning":"a "b" c",\n"score": [20, 15]\n', spec(EDIT))["score"] == (20, 15)
    kinds = spec({"kind": KINDS["kind"], "fine": KINDS["fine"]})
    assert read_object('{"kind": Slight, "fine": true}x{', kinds) == {"kind": 1.0, "fine": 1.0}


def test_the_places_of_answers() -> None:
    boxed, tagged = spec(RATING, **{"in": "boxed"}), spec(RATING, **{"in": "answer"})
    assert read_object('{"rating": 1} so \\boxed{{"rating": 3.5}}', boxed) == {"rating": 3.5}
    assert read_object('{"rating": 1} so \\boxed{"rating": 3.5}', boxed) == {"rating": 3.5}
    assert read_object('{"rating": 1} <answer>{"rating": 3.5}</answer>', tagged) == {"rating": 3.5}
    assert read_object('<answer>{"rating": 3.5}', tagged) == {"rating": 3.5}
    assert read_object('<answer>"rating": 3.5</answer>', tagged) == {"rating": 3.5}
    assert reason('<answer>"rating": 3', tagged) == reason('<answer>{"rating": 3', tagged) == "not_json"
    assert reason('{"rating": 3.5}', boxed) == reason('{"rating": 3.5}', tagged) == "no_field"
    assert reason('<answer>{"rating": 3}</answer><answer>{"rating": 4}</answer>', tagged) == "ambiguous"


@pytest.mark.parametrize(
    "text",
    [
        '{"reasoning": "x", "score": [20, 22]} Actually {"score": [1, 2]}',
        '{"score": [1, 2]} {"reasoning": "x", "score": [20, 22]}',
        '{"reasoning": "x", "score": [20, 22]} {"score": "none"}',
    ],
)
def test_a_correction_without_its_reasons_counts(text: str) -> None:
    assert reason(text, spec(EDIT)) == "ambiguous"


@pytest.mark.parametrize("other", ['{"note": 1}', '{"reasoning": "y"}', '{"score": [20, 22]}'])
def test_an_object_that_says_nothing_else_does_not(other: str) -> None:
    whole = '{"reasoning": "x", "score": [20, 22]}'
    for text in (f"{other} {whole}", f"{whole} {other}"):
        assert read_object(text, spec(EDIT))["score"] == (20, 22)


def test_a_part_of_an_answer_corrects_only_one_before_it() -> None:
    two = spec({"a": {"type": "number"}, "b": {"type": "number"}})
    assert read_object('It says {"a": 5}. {"a": 1, "b": 2}', two) == {"a": 1, "b": 2}
    assert reason('{"a": 1, "b": 2} No, {"a": 5}', two) == "ambiguous"


def test_fields_of_other_kinds() -> None:
    read = read_object('{"whole": 4.0, "fine": "Yes", "kind": " very  SLIGHT. ", "why": "so"}', spec(KINDS))
    assert read == {"whole": 4.0, "fine": 1.0, "kind": 0.5, "why": "so"}
    assert read_object('{"whole": 4, "fine": false, "kind": "None", "why": "so"}', spec(KINDS))["fine"] == 0.0
    good = {"whole": 4, "fine": True, "kind": "None", "why": "so"}
    for name, wrong, why in [
        ("whole", 4.5, "not_a_number"),
        ("whole", 6, "out_of_range"),
        ("fine", "maybe", "no_choice"),
        ("fine", 2, "no_choice"),
        ("kind", "slightly", "no_choice"),
        ("kind", 1, "wrong_type"),
        ("why", 3, "wrong_type"),
        ("why", None, "wrong_type"),
    ]:
        assert reason(json.dumps(good | {name: wrong}), spec(KINDS)) == why


def test_fields_inside_of_others() -> None:
    of = spec({"first": {"type": "number", "at": ["Image 1", "score"]}, "second": {"type": "number", "at": ["Image 2", "score"]}})
    assert read_object('{"Image 1": {"score": 3}, "Image 2": {"score": 4}}', of) == {"first": 3.0, "second": 4.0}
    assert reason('{"Image 1": {"score": 3}, "Image 2": 4}', of) == "no_field"
    assert reason('{"Image 1": {"score": 3}, "Image 2": {', of) == "not_json"


def test_a_schema_says_what_is_read() -> None:
    import jsonschema

    for fields, text in ((EDIT, WRITTEN["plain"]), (KINDS, '{"whole": 4, "fine": true, "kind": "Slight", "why": "so"}')):
        schema = json_schema(spec(fields))
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(json.loads(text), schema)
        assert list(schema["properties"]) == list(fields), "reasons before scores, where the card has them so"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"whole": 9, "fine": True, "kind": "Slight", "why": ""}, json_schema(spec(KINDS)))


HINTS = st.sampled_from(
    ['{"score": [20, 15]}', '{"score":', "[20, 15]", '"', "'", "{", "}", "[", "]", ",", "4.5", "-", "e3", "\\boxed{", "True"]
)


@given(st.lists(HINTS | st.text(max_size=8), max_size=12).map("".join))
def test_a_number_that_is_read_stands_in_the_text(text: str) -> None:
    for fields in (EDIT, RATING, KINDS):
        with suppress(Unreadable):
            read = read_object(text, spec(fields))
            literals = {float(one) for one in re.findall(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", text)}
            for name in {"score", "rating", "whole"} & read.keys():
                value = read[name]
                assert literals.issuperset(value if isinstance(value, tuple) else [value])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def keys_differ(value: Any) -> bool:
    """Whether no object has two keys that differ only in case or in the blanks around them."""
    if isinstance(value, dict):
        return len({key.strip().casefold() for key in value}) == len(value) and all(map(keys_differ, value.values()))
    return not isinstance(value, list) or all(map(keys_differ, value))


@given(json_values.filter(lambda value: isinstance(value, dict) and keys_differ(value)))
def test_the_forgiving_reader_reads_json_as_json(value: dict[str, Any]) -> None:
    """But for quotes in texts before a comma, where it cannot know."""
    text = json.dumps(value)
    assert parse_lenient(text) == json.loads(text)


@given(st.text(alphabet="{}[]:,\"'0123456789.eE-+ \\nutrfalsNoe“”", max_size=60))
def test_the_forgiving_reader_reads_or_refuses(text: str) -> None:
    with suppress(NotLenient, DuplicateKey):
        read = parse_lenient(text)
        assert json.loads(json.dumps(read, allow_nan=False)) == read, "what is read is JSON, and no number that is none"


@given(st.floats(0, 25).map(lambda one: round(one, 3)), st.floats(0, 25).map(lambda one: round(one, 3)), st.text(max_size=30))
def test_what_is_written_as_json_is_read(first: float, second: float, why: str) -> None:
    text = json.dumps({"reasoning": why, "score": [first, second]})
    assert read_object(f"So:\n{text}\n", spec(EDIT)) == {"reasoning": why, "score": (first, second)}
