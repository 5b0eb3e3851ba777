"""Items for raters, made without shards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pytest

from curate.raters import Item, Preparation
from curate.records import Media, Sample, group_id, sample_id

if TYPE_CHECKING:
    import numpy as np


def make_item(
    *,
    number: int = 0,
    prompt: str | None = None,
    pixels: Mapping[str, np.ndarray],
    preparations: tuple[Preparation, ...] = (),
) -> Item:
    """An item as the engine hands it over: one sample, its pixels by role, and what `preparations` make of them."""
    response = (Media(kind="image", digest=hashlib.sha256(pixels["response"].tobytes()).hexdigest()),)
    sample = Sample(
        id=sample_id(prompt, {}, response),
        group=group_id(prompt, {}),
        shard="made.tar",
        key=f"{number:06d}",
        index=0,
        prompt=prompt,
        response=response,
    )
    prepared = {(one.role, one.name): one.make(pixels[one.role]) for one in preparations}
    return Item(number=number, samples=(sample,), prepared=(prepared,), pixels=(pixels,))


@pytest.fixture
def sample_item() -> Callable[..., Item]:
    return make_item
