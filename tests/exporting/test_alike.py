"""A sign of a picture is that of its pixels, whatever bytes they are in, and takes no decoding of all of them."""

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curate.exporting import alike
from curate.exporting.alike import same_pixels, sign_of
from tests.exporting.world import photo, photographs


def encoded(pixels: np.ndarray, encoding: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, encoding, **options)
    return out.getvalue()


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("pixels", [photographs()[0][:50, :70], photographs()[1][:1, :1], noise(40, 9000), noise(300, 300)])
def test_a_png_of_the_same_pixels_has_the_same_sign(pixels: np.ndarray) -> None:
    """Also where its first rows need more than is looked at first, and where the first piece is cut in two."""
    ones = [encoded(pixels, "PNG", compress_level=level) for level in (0, 1, 9)]
    assert len({sign_of(one, "png") for one in ones}) == 1
    assert all(same_pixels(one, other) for one, other in itertools.combinations(ones, 2))
    changed = pixels.copy()
    changed[0, 0] ^= 1
    assert sign_of(encoded(changed, "PNG"), "png") not in {sign_of(one, "png") for one in ones}


def test_what_begins_alike_is_compared_whole() -> None:
    pixels = photographs()[0][:50, :70].copy()
    one = encoded(pixels, "PNG")
    pixels[-1, -1] ^= 1
    other = encoded(pixels, "PNG")
    assert sign_of(one, "png") == sign_of(other, "png")
    assert not same_pixels(one, other)


def test_a_jpeg_is_the_same_picture_whatever_stands_before_its_scan() -> None:
    data = photo(3)
    exif = Image.Exif()
    exif[0x0112] = 6
    tag = exif.tobytes()
    tagged = data[:2] + b"\xff\xe1" + (len(tag) + 2).to_bytes(2) + tag + data[2:]
    assert Image.open(io.BytesIO(tagged)).getexif()[0x0112] == 6
    assert sign_of(tagged, "jpg") == sign_of(data, "jpg") != sign_of(photo(4), "jpg")
    assert same_pixels(tagged, data), "no trainer turns it"


@pytest.mark.parametrize("cut", [0, 8, 20, 33, 40, 200])
def test_hostile_bytes_have_a_sign_and_are_like_nothing(cut: int) -> None:
    data = photo(1, encoding="PNG")[:cut] + b"x" * 40
    assert len({sign_of(data, "png"), sign_of(data, "jpg"), sign_of(data, "webp")}) >= 1
    assert not same_pixels(data, data)


def test_little_of_a_large_picture_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    real = alike._as_trained

    def watched(data: bytes) -> bytes | None:
        found = real(data)
        decoded.append(len(found or b""))
        return found

    monkeypatch.setattr(alike, "_as_trained", watched)
    sign_of(encoded(noise(1000, 1000), "PNG"), "png")
    assert max(decoded) < 8 * 1000 * 3 + 100
