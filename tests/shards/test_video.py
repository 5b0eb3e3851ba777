"""Videos: the right frames at the right times, and nothing but a status from hostile bytes."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

av = pytest.importorskip("av")

from curate.records import Status  # noqa: E402
from curate.shards.media import Limits, MediaError  # noqa: E402
from curate.shards.video import Video  # noqa: E402
from tests.shards.videos import video  # noqa: E402

GREYS = [10 * number for number in range(16)]


@pytest.mark.parametrize(
    ("codec", "container", "format_"),
    [
        ("libx264", "mp4", "mp4"),
        ("libvpx", "webm", "webm"),
        ("mpeg4", "avi", "avi"),
        ("libx264", "matroska", "webm"),
        ("libx264", "mpegts", "mpegts"),
    ],
)
def test_frames_are_found_by_their_place(codec: str, container: str, format_: str) -> None:
    found = Video(video(GREYS, codec=codec, container=container))
    assert (found.width, found.height, found.format) == (64, 48, format_)
    assert len(found.times) == 16
    assert np.diff(found.times) == pytest.approx(np.full(15, 1 / 8), abs=2e-3)
    frames = dict(found.frames([3, 0, 15]))
    assert list(frames) == [0, 3, 15]
    for position, pixels in frames.items():
        assert pixels.shape == (48, 64, 3)
        assert pixels.dtype == np.uint8
        assert pixels.mean() == pytest.approx(GREYS[position], abs=4)


def test_times_are_those_of_the_packets() -> None:
    stamps = [0, 100, 200, 1000, 1050, 4000]
    found = Video(video(GREYS[:6], stamps=stamps, container="matroska"))
    assert found.times == pytest.approx([stamp / 1000 for stamp in stamps], abs=1e-3)


def test_a_clip_cut_out_without_encoding_it_again_is_read_from_its_first_whole_frame() -> None:
    whole = video([5 * number for number in range(40)], container="mpegts", gop=10)
    packets = whole[len(whole) // 3 // 188 * 188 :]  # in the middle of a group of pictures
    found = Video(packets)
    frames = dict(found.frames(range(len(found.times))))
    assert 10 < len(frames) == len(found.times) < 40


def test_what_an_edit_list_leaves_out_is_not_announced() -> None:
    found = Video(cut_by_an_edit_list(video([5 * number for number in range(40)], gop=10), seconds=1.6))
    frames = dict(found.frames(range(len(found.times))))
    assert len(frames) == len(found.times) < 40
    assert frames[0].mean() >= 5 * 10


def cut_by_an_edit_list(data: bytes, *, seconds: float) -> bytes:
    """The end of a video from a moment on, its packets copied: what lies between the last key frame and the moment is hidden."""
    out = io.BytesIO()
    with av.open(io.BytesIO(data)) as reading, av.open(out, "w", format="mp4") as writing:
        source = reading.streams.video[0]
        copied = writing.add_stream_from_template(source)
        start = int(seconds / source.time_base)
        reading.seek(start, stream=source)
        for packet in reading.demux(source):
            if packet.size:
                packet.pts, packet.dts = packet.pts - start, packet.dts - start
                packet.stream = copied
                writing.mux(packet)
    return out.getvalue()


def test_limits() -> None:
    data = video(GREYS)
    for limits in (Limits(video_frames=15), Limits(video_bytes=100), Limits(pixels=1000), Limits(side=50)):
        with pytest.raises(MediaError) as refused:
            Video(data, limits)
        assert refused.value.status is Status.TOO_LARGE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"<?xml version='1.0'?><MPD></MPD>",
        b"\x00\x00\x00\x18ftypmp42",
        b"\x1aE\xdf\xa3" + b"\0" * 100,
        b"RIFF\0\0\0\0AVI " + b"\xff" * 100,
        b"\x89PNG\r\n\x1a\n",
    ],
    ids=["nothing", "a list of files", "a playlist", "a manifest", "cut mp4", "empty matroska", "broken avi", "a picture"],
)
def test_what_is_no_video_has_a_status(data: bytes) -> None:
    with pytest.raises(MediaError) as refused:
        Video(data)
    assert refused.value.status is Status.DECODE_ERROR


def test_cut_and_damaged_videos_never_raise_anything_else() -> None:
    chance = random.Random(0)
    refused = 0
    for container, codec in (("mp4", "libx264"), ("matroska", "libx264"), ("mpegts", "libx264"), ("avi", "mpeg4")):
        data = video(GREYS, container=container, codec=codec)
        for _ in range(40):
            broken = bytearray(data[: chance.randrange(1, len(data))] if chance.random() < 0.5 else data)
            for _ in range(chance.randrange(20)):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            try:
                found = Video(bytes(broken))
                frames = list(found.frames(range(len(found.times))))
            except MediaError:
                refused += 1
            else:
                assert len(frames) == len(found.times)
    assert refused > 80
