"""Hostile text comes back as it went in, or is refused by name; rows keep their contracts."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.content import content
from curate.errors import StoreError
from curate.records import Media, Member, Rating, Reject, RejectReason, Status, sample_id
from curate.store import Store
from curate.store.tables import KINDS, Kind
from tests.store.world import SHARP, compare, make_row, make_store, make_unit, rate

NASTY = [
    "",
    "'; DROP TABLE units; --",
    'quote " and \\ backslash',
    "nul\0inside",
    "\0",
    "emoji 🦆👩‍👩‍👧 and \u202e right to left",
    "line\r\nbreak\ttab\x1b[31m",
    "e\u0301 is not é",
    "\ufeffbom \uffff",
    "%s {0} ${HOME} ../../etc/passwd",
    "x" * 70_000,
]

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(NASTY[:-1])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def unit_of(shard: str, one: str, other: str, meta: Any = None) -> tuple[Any, ...]:
    """A sample and a rating with the text wherever there is room for one."""
    member = Member(name=one, field=other, offset=0, length=1)
    response = (Media(kind="text", digest="0" * 64, text=one), Media(kind="image", digest="1" * 64, member=member))
    conditions = {
        "source": Media(kind="text", digest="2" * 64, text=other),
        one: Media(kind="image", digest="3" * 64, member=member),
    }
    row = make_row(
        0,
        shard=shard,
        id=sample_id(one, {}, response),
        key=one,
        prompt=other,
        generator=one,
        response=response,
        conditions=conditions,
        labels={one: 1.5, f"{one}2": -0.0},
        meta={"text": one, "more": meta},
        members=(member,),
    )
    row = replace(row, format=other, status=Status.DECODE_ERROR, detail=one)
    rating = Rating(sample=row.sample.id, rater="sharp", card=SHARP, dimension=one, value=0.5, rationale=other)
    return row, rating


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shard=text, one=text, other=text, meta=json_values)
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, shard: str, one: str, other: str, meta: Any) -> None:
    row, rating = unit_of(shard, one, other, meta)
    reject = Reject(shard=shard, key=other, reason=RejectReason.BAD_NAME, detail=one)
    path = tmp_path_factory.mktemp("text") / "s"
    unit = make_unit(
        shard, [0], samples=[row], ratings=[rating], rejects=[reject], signature=one, layout=other, counts={one: other}
    )
    store = make_store(path, [unit])
    assert list(store.samples()) == [row]
    assert list(store.ratings()) == [rating]
    assert store.export_rows("rejects", places=True).to_pylist() == [
        {"shard": shard, "key": other, "reason": "bad_name", "detail": one}
    ]
    state = Store.open(path).unit_state(shard)
    assert state is not None
    assert (state.shard, state.signature, state.layout, state.counts) == (shard, one, other, {one: other})
    with store.lookup([row.sample.id], [SHARP]) as lookup:
        assert list(lookup.samples([row.sample.id])) == [row]
        assert lookup.ratings([row.sample.id]) == {row.sample.id: [rating]}


@pytest.mark.parametrize("nasty", NASTY, ids=range(len(NASTY)))
def test_nasty_text_survives_into_the_view(tmp_path: Path, nasty: str) -> None:
    import pyarrow.parquet as pq

    row, rating = unit_of(nasty, nasty, nasty)
    store = make_store(tmp_path / "s", [make_unit(nasty, [0], samples=[row], ratings=[rating], layout=nasty)])
    (seen,) = pq.read_table(store.view().path).to_pylist()
    assert {seen[name] for name in ("shard", "key", "prompt", "generator", "format", "layout")} == {nasty}
    assert seen[f"sharp.{nasty}"] == 0.5
    assert store.summary().raters[0].dimensions[nasty] is not None


LONE = "a\ud800b"


@pytest.mark.parametrize(
    ("fields", "what"),
    [({"key": LONE}, "key"), ({"prompt": LONE}, "prompt"), ({"labels": {LONE: 1.0}}, "label")],
)
def test_a_lone_surrogate_in_a_name_is_refused(tmp_path: Path, fields: dict[str, Any], what: str) -> None:
    store = make_store(tmp_path / "s", [])
    with store.writing(), pytest.raises(StoreError, match=rf"the {what} 'a\\ud800b' holds a lone surrogate"):
        store.commit(make_unit("a.tar", [0], samples=[make_row(0, id="ab" * 16, **fields)]))
    assert store.export_rows("samples").num_rows == 0


@pytest.mark.parametrize("field", ["shard", "signature", "layout"])
def test_a_lone_surrogate_in_the_name_of_a_unit_is_refused(tmp_path: Path, field: str) -> None:
    store = make_store(tmp_path / "s", [])
    with store.writing(), pytest.raises(StoreError, match=f"the {field} .* holds a lone surrogate"):
        store.commit(make_unit(**{"shard": "a.tar", "numbers": [0], field: LONE}))


def test_a_lone_surrogate_in_free_text_becomes_a_replacement_character(tmp_path: Path) -> None:
    row = replace(make_row(0, generator=LONE, meta={LONE: [LONE]}), detail=LONE, status=Status.DECODE_ERROR)
    rating = replace(rate([0])[0], rationale=LONE)
    rejects = [Reject(shard="a.tar", key=LONE, reason=RejectReason.BAD_NAME, detail=LONE)]
    store = make_store(tmp_path / "s", [make_unit("a.tar", [0], samples=[row], ratings=[rating], rejects=rejects)])
    (read,) = store.samples()
    assert (read.detail, read.sample.generator) == ("a\ufffdb", "a\ufffdb")
    assert read.sample.meta == {LONE: [LONE]}, "metadata is JSON, which spells it"
    assert [rating.rationale for rating in store.ratings()] == ["a\ufffdb"]
    assert store.export_rows("rejects")["key"].to_pylist() == ["a\ufffdb"]


def test_numbers_of_metadata_and_labels_survive(tmp_path: Path) -> None:
    labels = {"inf": math.inf, "tiny": 5e-324, "zero": -0.0, "nan": math.nan}
    meta = {"big": 2**70, "nan": math.nan, "inf": -math.inf, "float": 0.1}
    store = make_store(tmp_path / "s", [make_unit("a.tar", [0], samples=[make_row(0, labels=labels, meta=meta)])])
    (read,) = store.samples()
    assert repr(dict(sorted(read.sample.labels.items()))) == repr(dict(sorted(labels.items())))
    assert repr(read.sample.meta) == repr(meta)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_keep_the_contract_of_their_schema(tmp_path: Path, kind: Kind) -> None:
    schema = json.loads(
        content("schemas").joinpath("records", f"{kind.removesuffix('s')}.schema.json").read_text(encoding="utf-8")
    )
    jsonschema.Draft202012Validator.check_schema(schema)
    failed = compare([(2, 3)], value=None, status=Status.PARSE_ERROR)
    row, _ = unit_of("a.tar", "one", "other")
    unit = make_unit(
        "a.tar",
        range(4),
        samples=[*(make_row(number) for number in range(3)), row, replace(make_row(3, prompt=None), width=None, height=None)],
        ratings=[*rate(range(3), statuses={1: Status.NAN}), *rate([3])],
        comparisons=[*compare([(0, 1)]), *failed],
    )
    rows = make_store(tmp_path / "s", [unit]).export_rows(kind, places=True).to_pylist(maps_as_pydicts="strict")
    assert rows
    validator = jsonschema.Draft202012Validator(schema)
    for one in rows:
        validator.validate(one)
    for name in schema["properties"]:
        assert not validator.is_valid({key: value for key, value in rows[0].items() if key != name})
    assert not validator.is_valid({**rows[0], "sample": "not an id", "first": "not an id", "reason": "none"})


def test_members_outside_the_record_are_refused(tmp_path: Path) -> None:
    foreign = Member(name="b.jpg", field="jpg", offset=0, length=1)
    response = (Media(kind="image", digest="0" * 64, member=foreign),)
    store = make_store(tmp_path / "s", [])
    with store.writing(), pytest.raises(ValueError, match="not among the members"):
        store.commit(make_unit("a.tar", [0], samples=[make_row(0, response=response)]))
