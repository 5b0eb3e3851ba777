"""Pictures as trainers see them, by themselves and next to their rivals."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from curate.checking.findings import Place
from curate.checking.images import Looker, competing_findings
from tests.checking.looking import Row, edited, findings, half_transparent, png, rules, setting, sixteen_bit, turned
from tests.exporting.world import photo, photographs
from tests.media_corpus import encoded, golden, png_chunk


def noisy(pixels: np.ndarray) -> np.ndarray:
    chance = np.random.default_rng(0)
    return np.clip(pixels + chance.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)


def blurred(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1)))


def compressed(pixels: np.ndarray) -> np.ndarray:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=50)
    return np.asarray(Image.open(out))


def touched(pixels: np.ndarray) -> np.ndarray:
    """Another picture in one small place."""
    changed = pixels.copy()
    changed[5:45, 5:45] //= 2
    return changed


@pytest.mark.parametrize("side", [300, 1000, 2100])
@pytest.mark.parametrize("worsen", [noisy, blurred, compressed, touched])
def test_damage_that_a_preference_may_rest_upon_is_seen(side: int, worsen: Callable[[np.ndarray], np.ndarray]) -> None:
    picture = np.asarray(Image.fromarray(photographs()[0]).crop((0, 0, 300, 300)))
    picture = np.tile(picture, (side // 300, side // 300, 1))
    looker, place = Looker(), Place(file="f", row=0)

    def said(one: np.ndarray, other: np.ndarray) -> set[str]:
        looks = [looker.look(data) for data in (png(one), png(other))]
        return {found.rule for found in competing_findings(looks, ["a", "b"], place, "")}

    assert said(picture, worsen(picture)) == set()
    assert said(picture, picture ^ 1) == {"near-identical-images"}


def test_pictures_of_the_same_pixels_are_named_whatever_their_encodings() -> None:
    pixels = photographs()[0][:64, :96]
    looker, place = Looker(), Place(file="f", row=0)
    encodings = {}
    for name, options in (("PNG", {"compress_level": 1}), ("BMP", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, name, **options)
        encodings[name] = looker.look(out.getvalue())
    found = list(competing_findings([*encodings.values()], [*encodings], place, ""))
    assert [one.rule for one in found] == ["identical-images"] * 6, "every two of them"
    assert found[0].message.startswith("PNG and BMP are the same pixels in other bytes")


@pytest.mark.parametrize("name", sorted(golden()))
def test_what_trainers_see_is_what_pillow_converts(name: str) -> None:
    """Also where it is not converted a second time, because raters saw the same."""
    data = golden()[name].data
    with Image.open(io.BytesIO(data)) as stored, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of palettes with transparency
        plain = stored.convert("RGB")
    look = Looker().look(data)
    assert (look.problem, look.size) == (None, plain.size)
    assert look.pixels == hashlib.sha256(plain.tobytes()).hexdigest()


def test_pictures_are_converted_again_only_where_raters_saw_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = photographs()[0][:64, :96]
    converted: list[str] = []
    convert = Image.Image.convert

    def counted(image: Image.Image, mode: str) -> Image.Image:
        converted.append(mode)
        return convert(image, mode)

    plain = [encoded(pixels, name) for name in ("PNG", "BMP", "WEBP", "TIFF", "JPEG")]
    odd = [turned(photo(1)), half_transparent(photo(1)), sixteen_bit(1)]
    looker = Looker(compared=False)
    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "convert", counted)
        assert [looker.look(data).problem for data in plain] == [None] * 5
        assert converted == []
        looks = [looker.look(data) for data in odd]
        assert [(look.turned, look.unlike) for look in looks] == [(True, ""), (False, "transparent"), (False, "sixteen-bit")]
        assert converted == ["RGB"] * 3
    assert {look.pixels for look in looks} == {""}, "nothing is remembered of pictures that are compared with none"


def test_transparency_that_is_told_late_is_seen() -> None:
    """Of a palette's entry, behind the pixels, where only decoding them all finds it."""
    image = Image.fromarray(photographs()[0][:64, :96]).quantize(4)
    whole = encoded(image, "PNG")
    end = whole.index(b"IEND") - 4
    data = whole[:end] + png_chunk(b"tRNS", b"\x00") + whole[end:]
    with Image.open(io.BytesIO(data)) as stored:
        assert "transparency" not in stored.info
    assert Looker().look(data).unlike == "transparent"


def test_a_tiff_is_turned_by_every_reader() -> None:
    tag = Image.Exif()
    tag[0x0112] = 6
    look = Looker().look(encoded(photographs()[0][:64, :96], "TIFF", exif=tag))
    assert (look.turned, look.size) == (False, (64, 96))


def test_images_are_compared_as_trainers_decode_them(dataset: Callable[[str], Path]) -> None:
    """They drop transparency, which raters saw on white, and clip 16-bit grey: what raters told apart may be the same to them."""
    one = photo(1)

    def plant(rows: list[Row]) -> None:
        rows[3].update(jpg_0=one, jpg_1=half_transparent(one))
        rows[4].update(jpg_0=sixteen_bit(1), jpg_1=sixteen_bit(2))
        rows[5].update(jpg_0=half_transparent(one), jpg_1=half_transparent(one, hidden=255))

    found = {(found.row, found.rule) for found in findings(edited(dataset("diffusers-dpo"), plant))}
    assert found == {
        (3, "transparent"), (3, "identical-images"), (4, "sixteen-bit"), (4, "identical-images"), (5, "transparent"),
    }  # fmt: skip


def test_an_image_whose_transparency_hides_nothing_is_as_good_as_any(dataset: Callable[[str], Path]) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(photo(900))).convert("RGB"))
    opaque = png(np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)]))
    assert rules(edited(dataset("diffusers-dpo"), setting(jpg_0=opaque))) == set()
