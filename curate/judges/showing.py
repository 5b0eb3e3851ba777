"""From the items of a run to the cases of a rubric: pictures decoded, resized, encoded; texts and metadata beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

from curate.asks import Picture
from curate.judges.pictures import Size, encoded, resized
from curate.raters import Item, Preparation
from curate.records import Sample
from curate.rubrics.case import Candidate, Case
from curate.rubrics.spec import Pictures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

ENCODERS = 2
"""Threads that encode; Pillow lets go of the interpreter while it does."""

_MIMES: Mapping[bytes, Literal["image/png", "image/jpeg"]] = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}


class Showing:
    """Makes cases of items for one rubric."""

    def __init__(self, spec: Pictures, roles: Iterable[str]) -> None:
        """`roles` are those whose pictures are shown: 'response', conditions."""
        self._spec = spec
        size = Size(area=spec.area, longest=spec.longest, side=spec.side, upscale=spec.upscale)
        self.preparations = tuple(Preparation(name=size.name, make=size, role=role) for role in sorted(roles))
        self.wants_bytes = spec.format == "original"
        self._threads = ThreadPoolExecutor(ENCODERS, thread_name_prefix="encode")

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def case(self, item: Item) -> Case:
        """The case that an item is about: one candidate, or two."""
        first = item.samples[0]
        candidates = tuple(self._candidate(item, position) for position in range(len(item.samples)))
        ids = [sample.id for sample in item.samples]
        return Case(
            key=":".join([*ids, *(f"{role}{frame}" for role, frame in sorted(item.frames.items()))]),
            candidates=candidates,
            prompt=first.prompt,
            texts={role: medium.text for role, medium in first.conditions.items() if medium.text is not None},
            meta=first.meta,
        )

    def _candidate(self, item: Item, position: int) -> Candidate:
        sample = item.samples[position]
        pixels = {role: array for (role, _), array in item.prepared[position].items()} if item.prepared else {}
        data = item.data[position] if item.data else {}
        frames = {role: _frames(array) for role, array in pixels.items()}
        if self._spec.match is not None and self._spec.match in frames:
            height, width = frames[self._spec.match][0].shape[:2]
            frames = {role: [resized(one, width, height) for one in several] for role, several in frames.items()}
        pictures = {role: self._encoded(several, data.get(role)) for role, several in frames.items()}
        return Candidate(pictures=pictures, text=_text(sample))

    def _encoded(self, frames: list[Pixels], original: bytes | None) -> tuple[Picture, ...]:
        """The pictures of a role; the original bytes where they are asked for and a server can take them."""
        mime = _mime(original) if original is not None and len(frames) == 1 else None
        if original is not None and mime is not None:
            height, width = frames[0].shape[:2]
            return (Picture(data=original, mime=mime, width=width, height=height),)
        kind: Literal["png", "jpeg"] = "jpeg" if self._spec.format == "jpeg" else "png"
        return tuple(self._threads.map(lambda frame: encoded(frame, kind, self._spec.quality), frames))


def difference(samples: Sequence[Sample]) -> str | None:
    """In what the requests of two samples differ, in a word; None for those that answer the same one, and for a single sample."""
    first, *others = samples
    for other in others:
        if other.prompt != first.prompt:
            return "prompt"
        roles = sorted(first.conditions.keys() | other.conditions.keys())
        found = ({role: one.conditions[role].digest for role in roles if role in one.conditions} for one in (first, other))
        ours, theirs = found
        if ours != theirs:
            return next(role for role in roles if ours.get(role) != theirs.get(role))
    return None


def _frames(array: Pixels) -> list[Pixels]:
    """One picture (height, width, 3), or those of a video (frames, height, width, 3)."""
    return [array] if array.ndim == 3 else list(array)


def _mime(data: bytes) -> Literal["image/png", "image/jpeg"] | None:
    """What a file says it is in its first bytes; None for what judges are not sent as it lies."""
    return next((mime for magic, mime in _MIMES.items() if data.startswith(magic)), None)


def _text(sample: Sample) -> str | None:
    return sample.response[0].text if sample.kind == "text" else None
