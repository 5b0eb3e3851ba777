"""What all settings that people write have in common: they are read strictly, whole, and stay as they were read."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Strict(BaseModel):
    """Base of settings: no unknown fields, no number that is none, no silent conversion but of lists to tuples, frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _lists_are_tuples(cls, data: Any) -> Any:
        return {key: _frozen(value) for key, value in data.items()} if isinstance(data, dict) else data


def _frozen(value: Any) -> Any:
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value
