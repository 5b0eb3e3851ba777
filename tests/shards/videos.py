"""Small videos, written by FFmpeg, whose frames say which they are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np


def video(
    greys: Sequence[int],
    *,
    size: tuple[int, int] = (64, 48),
    rate: int = 8,
    codec: str = "libx264",
    container: str = "mp4",
    stamps: Sequence[int] | None = None,
    gop: int | None = None,
) -> bytes:
    """A video (width, height) of plain grey frames, every `gop`th of them a key frame.

    `stamps` are the frames' times in 1/1000 s where they are not at equal steps.
    """
    out = io.BytesIO()
    with av.open(out, "w", format=container) as writing:
        stream = writing.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "10", "preset": "ultrafast"}
        if gop is not None:
            stream.codec_context.gop_size = gop
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, grey in enumerate(greys):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), grey, dtype=np.uint8), format="rgb24")
            if stamps is not None:
                frame.pts, frame.time_base = stamps[number], Fraction(1, 1000)
            for packet in stream.encode(frame):
                writing.mux(packet)
        for packet in stream.encode():
            writing.mux(packet)
    return out.getvalue()
