"""Finding things in a sample's own JSON, which anybody may have written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curate.records import Status
from curate.rubrics.case import NoJudgementError


def of_meta(meta: Mapping[str, Any], path: str) -> Any:
    """What stands at a dotted path; raises `NoJudgementError` where nothing does."""
    value: Any = meta
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if value is None:
        raise NoJudgementError(Status.NOT_APPLICABLE, f"no_field: the sample's JSON has no '{path}'")
    return value
