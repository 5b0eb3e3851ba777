"""The door through which video bytes become frames: hostile until shown otherwise, upright, in RGB, chosen by time.

The first bytes decide the container and only that one is tried, so that a playlist or a list of files is never followed;
nothing but the bytes at hand is read. Frames are named by their place in the order of presentation; when each is shown comes
from the packets, not from what the header says of rate and length; but a file whose header says that there is more of it was cut
off, and is no video. Needs PyAV (FFmpeg).
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from curate.records import Status
from curate.shards.limits import DEFAULT_MEDIA_LIMITS, MediaLimits
from curate.shards.media import MediaError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MAGIC: tuple[tuple[Callable[[bytes], bool], str, str], ...] = (
    (lambda head: head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"), "mp4", "mp4"),
    (lambda head: head[:4] == b"\x1aE\xdf\xa3", "matroska", "webm"),
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"AVI ", "avi", "avi"),
    (lambda head: head[:4] == b"OggS", "ogg", "ogg"),
    (lambda head: head[:3] == b"FLV", "flv", "flv"),
    (lambda head: head[:4] in (b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3"), "mpeg", "mpeg"),
    (lambda head: head[:1] == b"G" and head[188:189] == b"G", "mpegts", "mpegts"),
)
"""By what a file begins with: FFmpeg's name for the container, and ours."""

_HEAD = 189

_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", re.ASCII)

_SPARE = 0.05
"""By which share of its announced length a video may end early: lengths are rounded, and last frames are shown for longer."""


class Video:
    """An opened video: when its frames are shown, and the frames.

    Raises `MediaError` where the bytes are no video that can be read, and for one over a limit.
    """

    def __init__(self, data: bytes, limits: MediaLimits = DEFAULT_MEDIA_LIMITS) -> None:
        self._data = data
        self._limits = limits
        self._container, self.format = _container_of(data, limits)
        with self._open() as (container, stream):
            width, height = stream.codec_context.width, stream.codec_context.height
            self._check_size(width, height)
            self.width, self.height = int(width), int(height)
            shown = self._announced(container, stream)
            base = float(stream.time_base) if stream.time_base else 1.0
        self._shown = self._from_the_first(shown) if shown else self._decoded()
        self.times: list[float] = [stamp * base for stamp in self._shown]
        """Seconds, ascending: when each frame is shown."""

    def frames(self, positions: Collection[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """The frames at some positions, in order: RGB (height, width, 3). Memory: one at a time.

        Raises `MediaError` where one of them cannot be decoded; those before it have come by then.
        """
        wanted = {self._shown[position]: position for position in positions}
        for frame in self._decode():
            position = wanted.pop(frame.pts, None)
            if position is not None:
                yield position, _upright(frame)
            if not wanted:
                return
        raise MediaError(Status.DECODE_ERROR, f"{len(wanted)} of the frames it announces cannot be decoded")

    def _decode(self) -> Iterator[Any]:
        with self._open() as (container, stream):
            for frame in container.decode(stream):
                self._check_size(frame.width, frame.height)
                yield frame

    def _announced(self, container: Any, stream: Any) -> list[int]:
        """When every frame is shown, in order; read from the packets, which are not decoded. Empty where not all of them say."""
        shown: set[int] = set()
        undated = False
        ends = _Ends(stream.index)
        for packet in container.demux():
            if not packet.size:
                continue
            ends.add(packet)
            if packet.stream.index != stream.index or packet.is_discard:  # an edit list may leave out what the stream holds
                continue
            if packet.pts is None:
                undated = True
                continue
            shown.add(int(packet.pts))
            self._check_count(len(shown))
        if not shown and not undated:
            raise MediaError(Status.DECODE_ERROR, "it holds no frame")
        ends.check(self._container, container, stream)
        return [] if undated else sorted(shown)

    def _from_the_first(self, shown: Sequence[int]) -> list[int]:
        """Those that can be decoded: a stream cut out of a longer one begins with frames that lean on what is not there."""
        first = next(self._decode(), None)
        if first is None or first.pts is None:
            raise MediaError(Status.DECODE_ERROR, "none of its frames can be decoded")
        return [stamp for stamp in shown if stamp >= first.pts]

    def _decoded(self) -> list[int]:
        """When every frame is shown, found by decoding all of them, for containers that do not say."""
        shown: list[int] = []
        for frame in self._decode():
            if frame.pts is None:
                raise MediaError(Status.UNSUPPORTED_MEDIA, "not all of its frames say when they are shown")
            shown.append(int(frame.pts))
            self._check_count(len(shown))
        if not shown:
            raise MediaError(Status.DECODE_ERROR, "none of its frames can be decoded")
        return sorted(set(shown))

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        """The container and its video stream; whatever FFmpeg says while they are read becomes a `MediaError`."""
        try:
            import av
        except ImportError as problem:
            raise MediaError(Status.UNSUPPORTED_MEDIA, "videos need PyAV: pip install 'curate-preferences[video]'") from problem
        try:
            with av.open(io.BytesIO(self._data), format=self._container, metadata_errors="replace") as container:
                if not container.streams.video:
                    raise MediaError(Status.DECODE_ERROR, "it holds no moving picture")
                stream = container.streams.video[0]
                if stream.codec_context is None:
                    raise MediaError(Status.UNSUPPORTED_MEDIA, "it is coded in a way that is not known here")
                stream.codec_context.thread_count = 1  # decode workers are as many as there are processors
                yield container, stream
        except MediaError:
            raise
        except MemoryError as problem:
            raise MediaError(Status.OOM, "not enough memory to decode the video") from problem
        except (av.FFmpegError, ValueError, OverflowError) as problem:
            said = getattr(problem, "strerror", None) or str(problem)
            raise MediaError(Status.DECODE_ERROR, f"{type(problem).__name__}: {said}") from problem

    def _check_count(self, frames: int) -> None:
        if frames > self._limits.video_frames:
            raise MediaError(Status.TOO_LARGE, f"more than {self._limits.video_frames} frames")

    def _check_size(self, width: int, height: int) -> None:
        if width < 1 or height < 1:
            raise MediaError(Status.DECODE_ERROR, f"{width} x {height} pixels are no picture")
        if max(width, height) > self._limits.side or width * height > self._limits.pixels:
            raise MediaError(Status.TOO_LARGE, f"frames of {width} x {height} pixels are over the limit")


class _Ends:
    """How far the packets of a file lead, in seconds, to be held against the length that the file announces."""

    def __init__(self, video: int) -> None:
        self._video = video
        self._starts: set[float] = set()
        self._last = 0.0
        self._last_of_all = 0.0

    def add(self, packet: Any) -> None:
        """Take note of a packet of any stream."""
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None or packet.time_base is None:
            return
        end = float((stamp + (packet.duration or 0)) * packet.time_base)
        self._last_of_all = max(self._last_of_all, end)
        if packet.stream.index == self._video:
            self._starts.add(float(stamp * packet.time_base))
            self._last = max(self._last, end)

    def check(self, format_: str, container: Any, stream: Any) -> None:
        """Raise `MediaError` where the packets end well before the announced end; a container may announce none.

        How long the last frame is shown is not always said, so the longest of the others counts, twice.
        """
        starts = sorted(self._starts)
        first = starts[0] if starts else 0.0
        announced, reached = _announced_end(format_, container, stream, first), self._last
        if announced is None and format_ in ("matroska", "flv"):
            # The length of all streams together: sound may be longer than the picture.
            announced, reached = _whole(container), self._last_of_all
        longest = max((after - before for before, after in pairwise(starts)), default=_interval(stream))
        if announced is None or longest is None:
            return
        if reached < announced - max(2 * longest, _SPARE * (announced - first)):
            said = f"it ends after {reached - first:.3f} of the {announced - first:.3f} seconds that it announces"
            raise MediaError(Status.DECODE_ERROR, f"{said}: the file was cut off")


def _announced_end(format_: str, container: Any, stream: Any, first: float) -> float | None:
    """When the video stream ends, in seconds, as the file's header says; None where it says nothing of this stream.

    FFmpeg fills in lengths that it has found or guessed; only those are taken that come from a header.
    """
    if format_ == "matroska" and (found := _CLOCK.fullmatch(stream.metadata.get("DURATION", ""))):
        # Counted from 0, not from the first frame; a tag may be left over from a longer file.
        clock = 3600 * int(found[1]) + 60 * int(found[2]) + float(found[3])
        return min(clock, _whole(container) or clock)
    if format_ == "mp4" and stream.duration:
        # In fragments there is no count of frames, and the length is that of an index that counts from 0.
        return float(stream.duration * stream.time_base) + (first if stream.frames else 0.0)
    if format_ == "avi" and stream.frames and (interval := _interval(stream)):
        return first + float(stream.frames * interval)
    return None


def _whole(container: Any) -> float | None:
    """Seconds of all streams together, as the container says."""
    return float(container.duration / 1_000_000) if container.duration else None


def _interval(stream: Any) -> float | None:
    """Seconds between two frames, as the header says."""
    return float(1 / stream.average_rate) if stream.average_rate else None


def _container_of(data: bytes, limits: MediaLimits) -> tuple[str, str]:
    if not data:
        raise MediaError(Status.DECODE_ERROR, "the file is empty")
    if len(data) > limits.video_bytes:
        raise MediaError(Status.TOO_LARGE, f"{len(data)} bytes are over the limit of {limits.video_bytes}")
    head = data[:_HEAD]
    for matches, container, name in _MAGIC:
        if matches(head):
            return container, name
    raise MediaError(Status.DECODE_ERROR, "the bytes begin like no video format that is known")


def _upright(frame: Any) -> NDArray[np.uint8]:
    """Pixels of a frame, turned and mirrored the way its container says it is to be shown, by whole quarters of a turn."""
    import numpy as np

    pixels: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return pixels
    # Rows of three, in the order of bytes of this machine: a pixel at (x, y) is shown at (ax + cy, bx + dy), moved into view.
    a, b, _, c, d = (int(number) for number in np.frombuffer(matrix, dtype=np.int32)[:5])
    across, down = a, d
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, across, down = pixels.swapaxes(0, 1), c, b
    return np.ascontiguousarray(pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])
