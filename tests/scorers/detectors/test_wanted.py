"""What a record says of the objects it wants: read, or refused with a status."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.records import Status
from curate.scorers.detectors.wanted import Refusal, phrase, wanted_objects


def test_numbers_and_lists_are_read() -> None:
    assert wanted_objects({"objects": {"Red  Ball": 2, "dog": 1}}) == {"red ball": 2, "dog": 1}
    assert wanted_objects({"objects": ["dog", "cat"]}) == {"dog": 1, "cat": 1}


def test_the_card_answers_where_the_record_does_not() -> None:
    assert wanted_objects({"other": 1}, {"cat": 3}) == {"cat": 3}
    assert wanted_objects({"objects": {"dog": 1}}, {"cat": 3}) == {"dog": 1}
    refused = wanted_objects({})
    assert isinstance(refused, Refusal)
    assert refused.status is Status.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("two dogs", "not names with numbers"),
        (7, "not names with numbers"),
        ({"dog": 0}, "from 1 to"),
        ({"dog": -1}, "from 1 to"),
        ({"dog": 10**30}, "from 1 to"),
        ({"dog": True}, "from 1 to"),
        ({"dog": 1.0}, "from 1 to"),
        ({"dog": "2"}, "from 1 to"),
        ({"dog": [1] * 1000}, "from 1 to"),
        ({" . ?": 1}, "name of an object"),
        ({"d" * 101: 1}, "name of an object"),
        (["dog", ["cat"]], "name of an object"),
        (["dog", "Dog"], "twice"),
        ([f"dog {number}" for number in range(65)], "more than"),
    ],
)
def test_what_cannot_be_read_is_a_parse_error(said: Any, why: str) -> None:
    refused = wanted_objects({"objects": said})
    assert isinstance(refused, Refusal)
    assert refused.status is Status.PARSE_ERROR
    assert why in refused.detail
    assert len(refused.detail) < 200


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: (
    st.lists(inner) | st.dictionaries(st.text(), inner)
), max_leaves=8))  # fmt: skip
def test_any_json_is_read_or_refused(said: Any) -> None:
    found = wanted_objects({"objects": said})
    if not isinstance(found, Refusal):
        assert found
        assert all(name == phrase(name) and count >= 1 for name, count in found.items())
