"""Videos: the right frames at the right times, and nothing but a status from hostile bytes."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

av = pytest.importorskip("av")

from curate.records import Status  # noqa: E402
from curate.shards.limits import MediaLimits  # noqa: E402
from curate.shards.media import MediaError  # noqa: E402
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


CONTAINERS = [
    ("libx264", "mp4", {}),
    ("libx264", "mp4", {"movflags": "faststart"}),
    ("libx264", "mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof+global_sidx"}),
    ("libx264", "matroska", {}),
    ("libvpx", "webm", {}),
    ("mpeg4", "avi", {}),
    ("libx264", "flv", {}),
]
"""Containers that say how long they are."""


@pytest.mark.parametrize(
    ("codec", "container", "options", "start"),
    [(*one, start) for one in CONTAINERS for start in (0, 5) if not start or one[1] in ("mp4", "matroska", "webm")],
)
def test_a_file_that_was_cut_off_is_no_video(
    codec: str, container: str, options: dict[str, str], start: int, tmp_path: Path
) -> None:
    data = written(tmp_path, codec, container, options, [start + number / 30 for number in range(60)])
    assert len(Video(data).times) == 60
    for share in (0.4, 0.6, 0.85):
        with pytest.raises(MediaError) as refused:
            Video(data[: int(len(data) * share)])
        assert refused.value.status is Status.DECODE_ERROR


def written(
    folder: Path,
    codec: str,
    container: str,
    options: dict[str, str],
    times: Sequence[float],
    *,
    sound: float = 0,
) -> bytes:
    """A video of noise with frames at some times, and seconds of sound; through a file, since some containers mend their head."""
    chance = np.random.default_rng(0)
    path = folder / f"video.{container}"
    with av.open(path, "w", format=container, options=options) as writing:
        stream = writing.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000) if codec == "libx264" else Fraction(1, 30)
        if sound:
            voice = writing.add_stream("aac", rate=48000, layout="mono")
            for place in range(0, int(sound * 48000), 1024):
                noise = av.AudioFrame.from_ndarray(chance.normal(0, 0.1, (1, 1024)).astype(np.float32), "fltp", "mono")
                noise.sample_rate, noise.pts, noise.time_base = 48000, place, Fraction(1, 48000)
                writing.mux(voice.encode(noise))
            writing.mux(voice.encode(None))
        for time in times:
            frame = av.VideoFrame.from_ndarray(chance.integers(0, 256, (48, 64, 3), dtype=np.uint8), format="rgb24")
            frame.time_base = stream.codec_context.time_base
            frame.pts = round(time / frame.time_base)
            writing.mux(stream.encode(frame))
        writing.mux(stream.encode(None))
    return path.read_bytes()


SLIDES = [0.0, 4.0, 9.0, 11.0]


@pytest.mark.parametrize("container", ["mp4", "matroska"])
@pytest.mark.parametrize(
    ("times", "sound"),
    [(SLIDES, 0), (SLIDES, 16), ([0.0], 0), ([0.0, 0.04], 3), ([number / 30 for number in range(30)], 4)],
    ids=["uneven", "uneven with sound", "one frame", "sound is longer", "sound is much longer"],
)
def test_uneven_frames_and_longer_sound_are_not_taken_for_a_cut(
    container: str, times: Sequence[float], sound: float, tmp_path: Path
) -> None:
    assert len(Video(written(tmp_path, "libx264", container, {}, times, sound=sound)).times) == len(times)


def test_a_matroska_file_without_lengths_of_streams_is_held_against_its_own(tmp_path: Path) -> None:
    whole = written(tmp_path, "libx264", "matroska", {}, [number / 30 for number in range(60)], sound=6)
    unnamed = whole.replace(b"DURATION", b"DURATI0N")
    assert len(Video(unnamed).times) == 60
    with pytest.raises(MediaError, match="seconds that it announces: the file was cut off"):
        Video(unnamed[: len(unnamed) // 2])


def test_a_file_that_announces_no_length_is_taken_as_it_is(tmp_path: Path) -> None:
    data = written(tmp_path, "libx264", "matroska", {"live": "1"}, [number / 30 for number in range(60)], sound=4)
    assert len(Video(data).times) == 60
    assert 20 < len(Video(data[: int(len(data) * 0.6)]).times) < 60


def test_an_end_that_an_edit_list_leaves_out_is_not_missed(tmp_path: Path) -> None:
    data = bytearray(written(tmp_path, "libx264", "mp4", {}, [number / 25 for number in range(50)]))
    length = data.index(b"elst") + 12
    assert 1980 < struct.unpack(">I", data[length : length + 4])[0] < 2000
    data[length : length + 4] = struct.pack(">I", 1000)
    assert len(Video(bytes(data)).times) == 25


TURNED: dict[str, tuple[tuple[int, int, int, int], Callable[[Any], Any]]] = {
    "not at all": ((1, 0, 0, 1), lambda picture: picture),
    "clockwise": ((0, 1, -1, 0), lambda picture: np.rot90(picture, -1)),
    "upside down": ((-1, 0, 0, -1), lambda picture: np.rot90(picture, 2)),
    "counterclockwise": ((0, -1, 1, 0), lambda picture: np.rot90(picture, 1)),
    "left is right": ((-1, 0, 0, 1), lambda picture: picture[:, ::-1]),
    "up is down": ((1, 0, 0, -1), lambda picture: picture[::-1]),
    "about the diagonal": ((0, 1, 1, 0), lambda picture: picture.swapaxes(0, 1)),
    "about the other diagonal": ((0, -1, -1, 0), lambda picture: np.rot90(picture, 2).swapaxes(0, 1)),
}
"""What a display matrix (a, b, c, d) does: a pixel at (x, y) is shown at (ax + cy, bx + dy)."""


def matrix(a: int, b: int, c: int, d: int) -> bytes:
    """As the head of a track holds it."""
    return struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize("how", TURNED)
def test_frames_are_turned_and_mirrored_as_the_container_says(how: str, tmp_path: Path) -> None:
    data = written(tmp_path, "libx264", "mp4", {}, [0.0, 0.1])
    ((_, upright),) = Video(data).frames([0])
    numbers, expected = TURNED[how]
    place = data.index(matrix(1, 0, 0, 1), data.index(b"tkhd"))  # of the track: the film has one too
    ((_, shown),) = Video(data[:place] + matrix(*numbers) + data[place + 36 :]).frames([0])
    np.testing.assert_array_equal(shown, expected(upright))
    assert shown.flags.c_contiguous


def test_limits() -> None:
    data = video(GREYS)
    for limits in (MediaLimits(video_frames=15), MediaLimits(video_bytes=100), MediaLimits(pixels=1000), MediaLimits(side=50)):
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
