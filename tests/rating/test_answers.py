"""One status for the answers on several dimensions."""

from __future__ import annotations

from curate.raters import Value
from curate.rating.answers import overall, why_failed
from curate.records import Status, reason_of


def test_what_does_not_apply_takes_nothing_from_what_does() -> None:
    ok, away = Value(value=1.0), Value(status=Status.NOT_APPLICABLE, detail="not asked")
    failed = Value(status=Status.PARSE_ERROR, detail="not_json: no")
    assert overall({"a": ok, "b": away}) is Status.OK
    assert overall({"a": away, "b": ok}) is Status.OK
    assert overall({"a": away, "b": away}) is Status.NOT_APPLICABLE
    assert overall({"a": away, "b": failed, "c": ok}) is Status.PARSE_ERROR
    assert why_failed({"a": away, "b": failed}) == reason_of(failed.status, failed.detail)
