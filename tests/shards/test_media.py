"""The door for images: right pixels from every kind of file, a status from every bad one, nothing else ever."""

from __future__ import annotations

import io
import pickle
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from curate.records import Status
from curate.shards.image_formats import DECODERS, sniff
from curate.shards.jpeg import decode_plain_jpeg, read_jpeg_header
from curate.shards.limits import MediaLimits
from curate.shards.media import DecodedImage, MediaError, decode_image, probe_image
from tests.media_corpus import ARITHMETIC_JPEG, encoded, exif, golden, hostile, scene

PHOTOS = Path(sklearn.datasets.__file__).parent / "images"


@pytest.fixture(params=["simplejpeg", "pillow"])
def jpeg_decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways through the door: with the fast decoder, and as where it is not installed."""
    if request.param == "simplejpeg":
        pytest.importorskip("simplejpeg")
    else:
        monkeypatch.setitem(sys.modules, "simplejpeg", None)
    return str(request.param)


def outcome(data: bytes) -> DecodedImage | Status:
    try:
        return decode_image(data)
    except MediaError as problem:
        return problem.status


def status_of(data: bytes, limits: MediaLimits | None = None) -> Status:
    with pytest.raises(MediaError) as caught:
        decode_image(data, limits or MediaLimits())
    return caught.value.status


def grey_levels_apart(first: np.ndarray, second: np.ndarray) -> int:
    assert first.shape == second.shape
    return int(np.abs(first.astype(int) - second).max())


# What is seen


@pytest.mark.parametrize("name", golden())
def test_pixels_are_what_a_person_would_see(name: str, jpeg_decoder: str) -> None:
    picture = golden()[name]
    image = decode_image(picture.data)
    assert image.pixels.dtype == np.uint8
    assert image.pixels.flags.c_contiguous
    assert image.pixels.flags.writeable
    assert (image.format, image.frames) == (picture.format, picture.frames)
    assert (image.height, image.width) == picture.seen.shape[:2]
    assert grey_levels_apart(image.pixels, picture.seen) <= picture.within


@pytest.mark.parametrize("name", golden())
def test_probing_tells_what_decoding_gives(name: str) -> None:
    picture = golden()[name]
    assert probe_image(picture.data) == (picture.seen.shape[1], picture.seen.shape[0], picture.format)


@pytest.mark.parametrize(
    ("name", "mode"),
    [("palette png", "P"), ("16-bit grey png", "I;16"), ("rgba png", "RGBA"), ("grey jpeg", "L"), ("cmyk tiff", "CMYK")],
)
def test_the_mode_as_stored_is_told(name: str, mode: str) -> None:
    assert decode_image(golden()[name].data).mode == mode


def test_a_name_means_nothing_and_the_first_bytes_everything() -> None:
    """A PNG called .jpg is a PNG: no name is asked for."""
    for name in DECODERS:
        data = encoded(scene(32, 32), DECODERS[name])
        assert sniff(data) == name
        assert decode_image(data).format == name


def test_what_follows_a_whole_picture_does_not_matter() -> None:
    """Polyglots: a zip, a PDF or a script behind a picture is not looked at."""
    for name in ("JPEG", "PNG", "GIF", "BMP", "WEBP"):
        data = encoded(scene(32, 32), name)
        for tail in (b"PK\x03\x04" + bytes(200), b"%PDF-1.7\n%%EOF", b"<script>alert(1)</script>"):
            assert np.array_equal(decode_image(data + tail).pixels, decode_image(data).pixels)


def test_an_arithmetic_jpeg_is_decoded_by_pillow() -> None:
    pixels = decode_image(ARITHMETIC_JPEG).pixels
    assert pixels.shape == (16, 16, 3)
    assert pixels[0, 15, 0] > 200 > 100 > pixels[0, 0, 0]
    assert pixels[15, 0, 1] > 200 > 100 > pixels[0, 0, 1]


def test_damaged_exif_leaves_the_picture_as_stored(jpeg_decoder: str) -> None:
    data = encoded(scene(40, 24), "JPEG", exif=b"Exif\x00\x00garbage that is no TIFF")
    image = decode_image(data)
    assert (image.width, image.height) == (40, 24)
    assert probe_image(data) == (40, 24, "jpeg")


def test_an_orientation_outside_one_to_eight_is_none(jpeg_decoder: str) -> None:
    for orientation in (0, 9, 65535):
        image = decode_image(encoded(scene(40, 24), "JPEG", exif=exif(orientation)))
        assert (image.width, image.height) == (40, 24)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_agree_with_pillow(orientation: int, jpeg_decoder: str) -> None:
    data = encoded(scene(41, 23), "JPEG", quality=95, exif=exif(orientation))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(decode_image(data).pixels, np.asarray(expected))


def test_an_orientation_in_xmp_alone_is_applied(jpeg_decoder: str) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    data = encoded(scene(40, 24), "JPEG", xmp=xmp)
    assert (decode_image(data).width, decode_image(data).height) == (24, 40)
    assert probe_image(data) == (24, 40, "jpeg")


def test_a_colour_profile_changes_nothing() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert np.array_equal(decode_image(encoded(scene(16, 16), "PNG", icc_profile=profile)).pixels, scene(16, 16))


# The fast decoder


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": 0},
        {"subsampling": 1},
        {"subsampling": 2},
        {"progressive": True},
        {"restart_marker_blocks": 3},
        {"quality": 30},
    ],
    ids=str,
)
def test_the_fast_decoder_gives_pillows_pixels(mode: str, options: dict[str, Any]) -> None:
    pytest.importorskip("simplejpeg")
    photo = Image.open(PHOTOS / "china.jpg").convert(mode).resize((321, 213))
    data = encoded(photo, "JPEG", **options)
    header = read_jpeg_header(data)
    assert header is not None
    fast = decode_plain_jpeg(data, header)
    assert fast is not None
    assert grey_levels_apart(fast, np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))) <= 1


@pytest.mark.parametrize("name", ["cmyk jpeg, inverted by adobe", "mpo"])
def test_what_is_not_plain_is_left_to_pillow(name: str) -> None:
    data = golden()[name].data
    header = read_jpeg_header(data)
    assert header is not None
    assert decode_plain_jpeg(data, header) is None


def test_an_rgb_jpeg_is_left_to_pillow() -> None:
    data = encoded(scene(32, 24), "JPEG", quality=100, keep_rgb=True)
    header = read_jpeg_header(data)
    assert header is not None
    assert decode_plain_jpeg(data, header) is None
    assert grey_levels_apart(decode_image(data).pixels, scene(32, 24)) <= 4


def mutations(data: bytes, *, seed: int, count: int) -> Iterator[bytes]:
    """Copies with one to eight bits flipped, half of them in the headers."""
    rng = random.Random(seed)
    for _ in range(count):
        copy = bytearray(data)
        reach = len(copy) if rng.random() < 0.5 else min(len(copy), 700)
        for _ in range(rng.randint(1, 8)):
            copy[rng.randrange(reach)] ^= 1 << rng.randrange(8)
        yield bytes(copy)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": exif(6)}], ids=["baseline", "progressive", "turned"])
def test_damage_has_one_outcome_whichever_decoder_is_installed(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("simplejpeg")
    photo = Image.open(PHOTOS / "flower.jpg").resize((96, 64))
    damaged = list(mutations(encoded(photo, "JPEG", **options), seed=5, count=300))
    fast = [outcome(data) for data in damaged]
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    for one, data in zip(fast, damaged, strict=True):
        other = outcome(data)
        if isinstance(one, DecodedImage):
            assert isinstance(other, DecodedImage)
            assert grey_levels_apart(one.pixels, other.pixels) <= 1
        else:
            assert one == other


# What is refused


@pytest.mark.parametrize("name", hostile())
def test_hostile_files_become_their_status(name: str, jpeg_decoder: str) -> None:
    case = hostile()[name]
    assert status_of(case.data) == case.status


@pytest.mark.parametrize("format_name", ["JPEG", "progressive JPEG"])
def test_a_cut_jpeg_is_a_decode_error_wherever_it_is_cut(format_name: str, jpeg_decoder: str) -> None:
    photo = Image.open(PHOTOS / "china.jpg").resize((120, 80))
    data = encoded(photo, "JPEG", progressive=format_name.startswith("progressive"), exif=exif(6))
    for part in range(100):
        assert status_of(data[: len(data) * part // 100]) == Status.DECODE_ERROR
    for missing in (1, 2, 3, 10):
        assert status_of(data[:-missing]) == Status.DECODE_ERROR


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM"])
def test_a_cut_file_is_an_error_or_still_whole(format_name: str) -> None:
    """Some formats end in bytes that say nothing about pixels; a cut there loses nothing. Pixels are never made up."""
    photo = Image.open(PHOTOS / "china.jpg").resize((60, 40))
    data = encoded(photo, format_name)
    whole = decode_image(data).pixels
    for part in range(100):
        cut = outcome(data[: len(data) * part // 100])
        assert cut == Status.DECODE_ERROR or (isinstance(cut, DecodedImage) and np.array_equal(cut.pixels, whole))


def test_limits_hold_at_their_edge() -> None:
    data = encoded(scene(40, 30), "PNG")
    exact = MediaLimits(bytes=len(data), pixels=1200, side=40, frames=1)
    assert decode_image(data, exact).width == 40
    for less in (MediaLimits(bytes=len(data) - 1), MediaLimits(pixels=1199), MediaLimits(side=39)):
        assert status_of(data, less) == Status.TOO_LARGE
    for name in ("animated gif", "animated png", "animated webp", "tiff of two pages", "mpo"):
        assert decode_image(golden()[name].data, MediaLimits(frames=2)).frames == 2
        assert status_of(golden()[name].data, MediaLimits(frames=1)) == Status.TOO_LARGE


def test_a_later_page_that_cannot_be_read_takes_nothing_from_the_first() -> None:
    data = golden()["tiff of two pages"].data
    directory = struct.unpack_from("<I", data, 4)[0]
    entries = struct.unpack_from("<H", data, directory)[0]
    second = struct.unpack_from("<I", data, directory + 2 + 12 * entries)[0]
    image = decode_image(data[:second])
    assert np.array_equal(image.pixels, scene(32, 24))
    assert image.frames == 1


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to see the most memory a process had")
def test_a_bomb_is_refused_before_its_pixels_take_memory() -> None:
    """In a process of its own, whose peak stays far below what one bomb would take."""
    program = """if True:
        from pathlib import Path
        from curate.records import Status
        from curate.shards.media import MediaError, decode_image
        from tests.media_corpus import hostile
        bombs = [case.data for case in hostile().values() if case.status is Status.TOO_LARGE]
        def most_kib():
            # Of this process alone: getrusage begins with what the one that started it had.
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
        used = most_kib()
        for bomb in bombs:
            try:
                decode_image(bomb)
            except MediaError as problem:
                assert problem.status is Status.TOO_LARGE
        assert most_kib() - used < 16 * 1024
        held = bytes(64 << 20) + b"x"
        assert most_kib() - used > 32 * 1024, "memory is seen when it is taken"
    """
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, cwd=root, timeout=60)


# Nothing but a MediaError


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("format_name", sorted(DECODERS.values()))
def test_bit_flips_end_in_pixels_or_in_a_media_error(format_name: str) -> None:
    data = encoded(scene(24, 20), format_name)
    for damaged in mutations(data, seed=11, count=500 if format_name != "AVIF" else 200):
        result = outcome(damaged)
        if isinstance(result, DecodedImage):
            assert result.pixels.shape == (result.height, result.width, 3)
            assert result.pixels.dtype == np.uint8


SIGNATURES = [
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"II*\x00",
    b"BM",
    b"RIFF    WEBP",
    b"\x00\x00\x00\x18ftypavif",
    b"P6",
]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from([b"", *SIGNATURES]), st.binary(max_size=300))
def test_any_bytes_at_all_end_in_pixels_or_in_a_media_error(start: bytes, rest: bytes) -> None:
    found: list[Any] = []
    for read in (decode_image, probe_image):
        try:
            found.append(read(start + rest))
        except MediaError as problem:
            found.append(problem)
    assert all(one.status is not Status.OK and one.detail for one in found if isinstance(one, MediaError))
    decoded, probed = found
    if isinstance(decoded, DecodedImage):
        height, width, channels = decoded.pixels.shape
        assert (decoded.pixels.dtype, channels, probed) == (np.uint8, 3, (width, height, decoded.format))


def test_an_error_says_what_and_crosses_processes() -> None:
    with pytest.raises(MediaError, match="too_large: 9000 x 7000") as caught:
        decode_image(encoded(Image.new("1", (9_000, 7_000)), "TIFF", compression="group4"), MediaLimits(pixels=50_000_000))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.status, copy.detail, str(copy)) == (caught.value.status, caught.value.detail, str(caught.value))


def test_equal_failures_have_equal_details() -> None:
    """Details are stored; an address in memory in one of them would make equal runs unequal."""
    for case in hostile().values():
        details = set()
        for _ in range(2):
            with pytest.raises(MediaError) as caught:
                decode_image(bytes(bytearray(case.data)))
            details.add(str(caught.value))
        assert len(details) == 1


def test_threads_decode_what_one_thread_does() -> None:
    files = [picture.data for picture in golden().values()] * 3
    alone = [decode_image(data).pixels for data in files]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda data: decode_image(data).pixels, files))
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))
