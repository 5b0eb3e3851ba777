"""What is wrong with the images of a row: each by itself, and next to the ones it competes with."""

from __future__ import annotations

import hashlib
import io
import math
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.checking.findings import Finding, Place
from curate.shards.media import DecodedImage, MediaError, decode_image
from curate.shards.orientation import orientation_of, upright

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

_REMEMBERED = 256
"""Looks; their grey levels take 64 MiB at most. The images of a prompt stand close together, so few are enough."""
_COMPARED_SIDE = 512
"""Grey levels that are compared along each side."""
_SAME_MEAN = 1.0
_SAME_ANYWHERE = 8
"""Grey levels of 255 by which the same picture may differ, on average and anywhere: re-encoding stays below, damage that a
preference may rest upon, such as blur, noise or JPEG blocks, does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen of one image."""

    digest: str
    """SHA-256 of its bytes, hex."""
    problem: str | None = None
    """Why it cannot be decoded; the fields below mean nothing then."""
    empty: bool = False
    size: tuple[int, int] = (0, 0)
    """Width and height as stored, which is what trainers see: none of them turns a picture by its EXIF tag."""
    turned: bool = False
    """Whether an EXIF tag asks for a rotation or a mirror image."""
    unlike: Literal["", "transparent", "sixteen-bit"] = ""
    """The rule for a picture that trainers see otherwise than raters did; empty where they see the same."""
    pixels: str = ""
    """SHA-256 of the pixels that trainers see, hex: the same picture in other bytes has the same.
    Empty where none are compared."""
    grey: NDArray[np.uint8] | None = None
    """Grey levels (rows, columns), at most `_COMPARED_SIDE` each; None where none are compared."""


class Looker:
    """Decodes images, each once while it is remembered."""

    def __init__(self, *, compared: bool = True) -> None:
        """`compared` is false where images are only looked at by themselves, which needs no memory of their pixels."""
        self._compared = compared
        self._seen: OrderedDict[str, Look] = OrderedDict()

    def look(self, data: bytes) -> Look:
        """Decode `data` whole, so that a cut image shows; never raises for bad bytes."""
        digest = hashlib.sha256(data).hexdigest()
        if digest in self._seen:
            self._seen.move_to_end(digest)
            return self._seen[digest]
        found = self._seen[digest] = _look(data, digest, compared=self._compared)
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return found


def _look(data: bytes, digest: str, *, compared: bool) -> Look:
    if not data:
        return Look(digest=digest, problem="it has no bytes", empty=True)
    try:
        decoded = decode_image(data)
    except MediaError as problem:
        return Look(digest=digest, problem=problem.detail)
    try:
        return _as_trained(data, digest, decoded, compared=compared)
    except Exception as problem:  # decoders raise anything at all, and trainers would stop at it
        return Look(digest=digest, problem=f"readers stop with {type(problem).__name__}: {problem}")


def _as_trained(data: bytes, digest: str, decoded: DecodedImage, *, compared: bool) -> Look:
    """What trainers see, who all call `Image.open(…).convert("RGB")`, next to what `decode_image` gave the raters.

    The plain conversion drops transparency, which raters saw on white, clips 16-bit grey to white, and turns nothing. It is made
    only where it differs so: everything else is converted by the same call, and JPEG by a decoder that gives the same pixels.
    """
    from PIL import Image

    with Image.open(io.BytesIO(data)) as stored, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of palettes with transparency, which is reported below
        orientation = orientation_of(stored, data)
        has_alpha = "A" in decoded.mode.upper() or "transparency" in stored.info or b"tRNS" in data  # which may come late
        may_differ = has_alpha or decoded.mode.startswith("I")
        pixels = np.asarray(stored.convert("RGB")) if may_differ or orientation != 1 else decoded.pixels
    differs = may_differ and not np.array_equal(upright(pixels, orientation), decoded.pixels)
    return Look(
        digest=digest,
        size=(pixels.shape[1], pixels.shape[0]),
        turned=orientation != 1,
        unlike="" if not differs else "transparent" if has_alpha else "sixteen-bit",
        pixels=hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest() if compared else "",
        grey=_grey(Image.fromarray(pixels)) if compared else None,
    )


def _grey(image: Picture) -> NDArray[np.uint8]:
    """Grey levels for a comparison that sees blur and noise: a larger picture is halved once, and then only every n-th is taken.

    Averages over more than two pixels a side would hide what the comparison is about.
    """
    grey = image.convert("L")
    if max(grey.size) > _COMPARED_SIDE:
        grey = grey.reduce(2)
    step = math.ceil(max(grey.size) / _COMPARED_SIDE)
    return np.asarray(grey)[::step, ::step].copy()


def image_findings(look: Look, name: str, place: Place) -> Iterator[Finding]:
    """What is wrong with one image; `name` is what the row calls it."""
    if look.empty:
        yield place.error("empty-file", f"{name} has no bytes", "Leave the row out, or fetch the image again.")
        return
    if look.problem:
        yield place.error("undecodable", f"{name} cannot be decoded: {look.problem}", "Leave the row out.")
        return
    if look.turned:
        yield place.warning(
            "exif-rotation",
            f"{name} is meant to be turned by its EXIF tag, and trainers do not turn it",
            "Turn the pixels and drop the tag, or leave the row out.",
        )
    if look.unlike == "transparent":
        message = f"{name} is transparent: raters saw it on white, and trainers see the colours behind"
        yield place.warning("transparent", message, "Paint it on white, or leave the row out.")
    if look.unlike == "sixteen-bit":
        message = f"{name} has 16 bits a pixel: raters saw its grey levels, and trainers see nearly all of it as white"
        yield place.warning("sixteen-bit", message, "Store it with 8 bits, or leave the row out.")


def competing_findings(looks: Sequence[Look], names: Sequence[str], place: Place, unequal_sizes: str) -> Iterator[Finding]:
    """What is wrong between the images of one row; `unequal_sizes` says what this format's readers do with such a row."""
    whole = [(look, name) for look, name in zip(looks, names, strict=True) if look.problem is None]
    for (one, name), (other, other_name) in combinations(whole, 2):
        if (one.pixels, one.size) == (other.pixels, other.size):
            same = "bytes" if one.digest == other.digest else "pixels in other bytes"
            yield place.error(
                "identical-images",
                f"{name} and {other_name} are the same {same}: nothing to prefer, and no gradient",
                "Leave the row out.",
            )
        elif _look_alike(one, other):
            yield place.warning(
                "near-identical-images",
                f"{name} and {other_name} look the same",
                "Look at them; a preference between them is noise.",
            )
    sizes = {look.size for look, _ in whole}
    if len(sizes) > 1:
        said = ", ".join(f"{width}x{height}" for width, height in sorted(sizes))
        yield place.warning(
            "unequal-sizes", f"sizes differ ({said}): {unequal_sizes}", "Crop them to one size, or leave the row out."
        )


def _look_alike(one: Look, other: Look) -> bool:
    """Whether nothing tells the two pictures apart, neither a place nor a little of it everywhere."""
    assert one.grey is not None
    assert other.grey is not None
    if one.size != other.size or one.grey.shape != other.grey.shape:
        return False
    differences = np.abs(one.grey.astype(np.int16) - other.grey)
    return bool(differences.max() <= _SAME_ANYWHERE and differences.mean() < _SAME_MEAN)
