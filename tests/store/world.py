"""Samples, ratings and stores for the tests of the store, made from numbers."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from curate.records import Comparison, Media, Member, Rating, Reject, RejectReason, Sample, Status, group_id, sample_id
from curate.store import SampleRow, Store, Unit

SHARP, TASTE = "5a" * 8, "7a" * 8
"""Fingerprints of two cards: one with a single dimension, one with two."""

CARDS = {
    SHARP: ("sharp", {"main": "overall", "dimensions": {"overall": {}}}),
    TASTE: ("taste", {"main": "beauty", "dimensions": {"beauty": {}, "detail": {}}}),
}


def make_sample(number: int, *, shard: str = "a.tar", group: int | None = None, **fields: Any) -> Sample:
    """The sample of a number: the same bytes and prompt wherever it lies; four share a prompt unless `group` says which."""
    prompt = fields.pop("prompt", f"prompt {number // 4 if group is None else group}")
    members = (
        Member(name=f"{number:06d}.jpg", field="jpg", offset=512 + 4096 * number, length=1000 + number),
        Member(name=f"{number:06d}.json", field="json", offset=512 + 4096 * number + 2048, length=20),
    )
    response = (Media(kind="image", digest=hashlib.sha256(b"%d" % number).hexdigest(), member=members[0]),)
    return Sample(
        **{
            "id": sample_id(prompt, {}, response),
            "group": group_id(prompt, {}),
            "shard": shard,
            "key": f"{number:06d}",
            "index": 0,
            "prompt": prompt,
            "response": response,
            "generator": f"model-{number % 3}",
            "labels": {"likes": float(number)},
            "meta": {"seed": number, "nested": {"list": [1, None, "x"]}},
            "members": members,
            **fields,
        }
    )


def make_row(number: int, *, shard: str = "a.tar", **fields: Any) -> SampleRow:
    return SampleRow(sample=make_sample(number, shard=shard, **fields), width=64, height=48, format="JPEG")


def sample_ids(numbers: Iterable[int]) -> list[str]:
    return [make_sample(number).id for number in numbers]


def rate(numbers: Iterable[int], card: str = SHARP, *, statuses: Mapping[int, Status] | None = None) -> list[Rating]:
    """A rating of each number on each dimension of the card; the value depends on the number and the dimension only."""
    name, declared = CARDS[card]
    made = []
    for number in numbers:
        status = (statuses or {}).get(number, Status.OK)
        for place, dimension in enumerate(declared["dimensions"]):
            value = random.Random(f"{number} {dimension}").gauss(0, 1) if status is Status.OK else None
            spread = 0.1 * number if place == 1 and value is not None else None
            made.append(
                Rating(
                    sample=make_sample(number).id,
                    rater=name,
                    card=card,
                    dimension=dimension,
                    value=value,
                    spread=spread,
                    status=status,
                    detail=None if status is Status.OK else f"{number} went wrong",
                )
            )
    return made


def compare(pairs: Iterable[tuple[int, int]], *, value: float | None = 0.75, status: Status = Status.OK) -> list[Comparison]:
    made = []
    for one, other in pairs:
        first, second = sorted([make_sample(one).id, make_sample(other).id])
        group = make_sample(one).group
        made.append(
            Comparison(
                group=group,
                first=first,
                second=second,
                rater="sharp",
                card=SHARP,
                dimension="overall",
                value=value,
                orders_agree=None if value is None else value != 0.5,
                status=status,
            )
        )
    return made


def make_unit(shard: str, numbers: Sequence[int], *, cards: Sequence[str] = (SHARP, TASTE), **fields: Any) -> Unit:
    """A unit with the samples of some numbers, rated by some cards, and one reject."""
    return Unit(
        **{
            "shard": shard,
            "signature": "v1",
            "layout": "plain",
            "complete": True,
            "samples": [make_row(number, shard=shard) for number in numbers],
            "rejects": [Reject(shard=shard, key=f"bad-{numbers[0]}", reason=RejectReason.BAD_METADATA, detail="no JSON")],
            "ratings": [rating for card in cards for rating in rate(numbers, card)],
            "asked": frozenset(cards),
            "counts": {"samples": len(numbers)},
            **fields,
        }
    )


def add_cards(store: Store) -> None:
    for fingerprint, (name, declared) in CARDS.items():
        store.add_card(fingerprint, name, json.dumps(declared))


def make_store(path: Path, units: Iterable[Unit]) -> Store:
    """A store with both cards and some units, open for reading."""
    store = Store.create_or_open(path)
    with store.writing():
        add_cards(store)
        for unit in units:
            store.commit(unit)
    return store
