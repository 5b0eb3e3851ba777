"""Videos, frame by frame: a decode worker decodes the frames that somebody wants, once, and hands each to all who do; what a
rater of pictures says of the frames becomes one answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from curate.cards import Card
from curate.frames import Frames
from curate.raters import Value
from curate.rating.tasks import Watched
from curate.records import Status
from curate.shards.limits import MediaLimits
from curate.shards.video import Video

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.raters import Made

    Pixels = NDArray[np.uint8]

T = TypeVar("T")


FRAMES = "frames "
"""What the words about frames begin with that stand beside a value."""

NOTHING = Watched(positions=(), total=0)


@dataclass(slots=True, kw_only=True)
class Viewer(Generic[T]):
    """Somebody who wants to see frames of a video."""

    frames: Frames
    see: Callable[[Pixels], T]
    """Called with each frame in order; what it gives is gathered."""
    seen: list[T] = field(default_factory=list)
    watched: Watched = NOTHING


def watch(data: bytes, viewers: Sequence[Viewer[Any]], limits: MediaLimits, *, key: str) -> Video:
    """Show the viewers their frames; gives the video, for its size and format. Raises `MediaError`."""
    video = Video(data, limits)
    chosen = {frames: frames.choose(video.times, key=key) for frames in {viewer.frames for viewer in viewers}}
    for viewer in viewers:
        viewer.watched = Watched(positions=tuple(chosen[viewer.frames]), total=len(video.times))
    wanted = {position for positions in chosen.values() for position in positions}
    for position, pixels in video.frames(wanted) if wanted else ():
        for viewer in viewers:
            if position in chosen[viewer.frames]:
                viewer.seen.append(viewer.see(pixels))
    return video


def stacked(seen: Sequence[Made]) -> Made:
    """What was made of the frames as one array, frames first."""
    import numpy as np

    return np.stack(seen)


def combined(card: Card, answers: Sequence[Mapping[str, Value]], watched: Watched) -> dict[str, Value]:
    """One answer of those to the frames, in order, dimension by dimension, in the rater's own direction as they are.

    A frame without a value leaves the video without one: what is left would be another measure. The spread of a combined value is
    not known, and the frames are named beside it.
    """
    return {name: _combined(card, [answer[name] for answer in answers], watched) for name in answers[0]}


def _combined(card: Card, values: Sequence[Value], watched: Watched) -> Value:
    for position, value in zip(watched.positions, values, strict=True):
        if value.status is not Status.OK or value.value is None:
            return Value(status=value.status, detail=f"frame {position} of {watched.total}: {value.detail or value.status}")
    assert card.frames is not None, "only cards that look at frames are asked about them"
    # Combined as they will be stored: the least of the frames is the worst one, whatever the rater's direction.
    sign = 1.0 if card.higher_is_better else -1.0
    one = card.frames.combine(
        [sign * value.value for value in values if value.value is not None], watched.positions, watched.total
    )
    said = dict.fromkeys(value.detail for value in values if value.detail)
    return Value(value=sign * one, detail="; ".join([str(watched), *said]))
