"""Which samples a rater can be asked about, and what has to be done to a sample before it is asked."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from curate.cards import Card, CardFile
from curate.errors import MissingExtra
from curate.frames import Frames
from curate.raters import Preparation, Rater
from curate.rating.tasks import Outcome, Task
from curate.records import Media, MediaKind, Member, Sample, Status

if TYPE_CHECKING:
    from curate.raters import Made

_SEEN = frozenset({"image", "video"})
"""Kinds of media that are decoded to pixels."""

_SHOWN = 8
"""Conditions of a sample that are named."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Seat:
    """A rater's place in a run."""

    file: CardFile
    rater: Rater
    preparations: Mapping[int, Preparation] = field(default_factory=dict)
    """Its preparations, by their position among the run's distinct ones."""
    worker: int | None = None
    """Its position among the raters that live in decode workers; None for those that do not."""

    @property
    def card(self) -> Card:
        return self.file.card

    @property
    def splits_videos(self) -> bool:
        """Whether it judges pictures, so that a video is put to it frame by frame."""
        return self.card.takes.response != "video"

    def arrays(self, outcome: Outcome) -> dict[tuple[str, str], Made]:
        """What its preparations made of a sample, by (role, name); nothing of an optional role that the sample lacks."""
        return {
            (one.role, one.name): outcome.arrays[position]
            for position, one in self.preparations.items()
            if position in outcome.arrays
        }

    @property
    def roles(self) -> tuple[str, ...]:
        """The media it judges."""
        return self.card.takes.roles

    @cached_property
    def decodes(self) -> frozenset[str]:
        """The roles it needs as pixels."""
        if self.worker is not None:
            return frozenset(self.roles)
        return frozenset(preparation.role for preparation in self.preparations.values())


def media_of(sample: Sample, role: str) -> Media | None:
    """The medium of a role; None where the sample has none."""
    return sample.response[0] if role == "response" else sample.conditions.get(role)


def unfit(sample: Sample, card: Card) -> tuple[Status, str] | None:
    """Why a rater cannot judge this sample whatever its media hold; None where it can."""
    wanted = card.takes.response
    by_frames = wanted == "image" and sample.kind == "video" and card.frames is not None and card.judges == "samples"
    if wanted not in ("any", sample.kind) and not by_frames:
        return Status.UNSUPPORTED_MEDIA, f"{card.name} judges {wanted}s, this is a {sample.kind}"
    if card.takes.prompt == "required" and not (sample.prompt or "").strip():
        return Status.MISSING_PROMPT, f"{card.name} needs a prompt"
    role = card.takes.missing(sample.conditions)
    if role is None:
        return None
    return Status.MISSING_CONDITION, f"{card.name} needs the condition '{role}'{_what_there_is(sample, card)}"


def _what_there_is(sample: Sample, card: Card) -> str:
    """The rest of the sentence about a condition that is missing: which others the sample has."""
    source = sample.conditions.get("source")
    if card.takes.conditions == ("reference",) and source is not None and source.kind in _SEEN:
        return f"; as the rater {card.name}:source it compares with the source"
    return f"; the sample has {', '.join(sorted(sample.conditions)[:_SHOWN])}" if sample.conditions else ""


def task_for(number: int, sample: Sample, seats: Sequence[Seat], *, probe: bool = True) -> Task:
    """What the decode workers do for a sample, given who will be asked about it; `probe` asks for its size as well."""
    seen = {role for seat in seats for role in seat.decodes if _kind(sample, role) in _SEEN}
    videos = _videos(sample, {*seen, "response"})
    if seen & videos.keys():
        need_video_extra()
    workers = tuple(seat.worker for seat in seats if seat.worker is not None)
    return Task(
        number=number,
        probe="response" if probe and _kind(sample, "response") in _SEEN else None,
        media={},
        decode=frozenset(seen),
        videos=videos,
        prepare=tuple(sorted({position for seat in seats for position in seat.preparations})),
        raters=workers,
        sample=sample if workers else None,
    )


def media_for(sample: Sample, task: Task, read: Callable[[Member], bytes]) -> dict[str, bytes]:
    """The encoded media a task needs, by role."""
    roles = set(task.decode) | ({task.probe} if task.probe else set())
    return bytes_of(sample, sorted(roles), read)


def bytes_of(sample: Sample, roles: Sequence[str], read: Callable[[Member], bytes]) -> dict[str, bytes]:
    """The original bytes of some roles; texts as UTF-8. `read` gives those of a member."""
    found: dict[str, bytes] = {}
    for role in roles:
        media = media_of(sample, role)
        if media is not None and media.member is not None:
            found[role] = read(media.member)
        elif media is not None and media.text is not None:
            found[role] = media.text.encode()
    return found


def distinct_preparations(
    cards: Sequence[Card], raters: Sequence[Rater]
) -> tuple[tuple[Preparation, ...], list[dict[int, Preparation]]]:
    """The preparations of all raters with equal ones merged, and for each rater its own by position."""
    positions: dict[tuple[str, str, Frames | None], int] = {}
    distinct: list[Preparation] = []
    of_each = []
    for card, rater in zip(cards, raters, strict=True):
        own = {}
        for preparation in (replace(one, frames=card.frames and card.frames.sampling) for one in rater.preparations):
            key = (preparation.role, preparation.name, preparation.frames)
            if key not in positions:
                positions[key] = len(distinct)
                distinct.append(preparation)
            own[positions[key]] = preparation
        of_each.append(own)
    return tuple(distinct), of_each


def need_video_extra() -> None:
    """Raise `MissingExtra` where videos cannot be decoded: every one of them would fail, and stay failed."""
    if importlib.util.find_spec("av") is None:
        raise MissingExtra("decoding videos", "video", ModuleNotFoundError("av"))


def _videos(sample: Sample, roles: Iterable[str]) -> dict[str, str]:
    media = {role: media_of(sample, role) for role in sorted(roles)}
    return {role: one.digest for role, one in media.items() if one is not None and one.kind == "video"}


def _kind(sample: Sample, role: str) -> MediaKind | None:
    media = media_of(sample, role)
    return None if media is None else media.kind
