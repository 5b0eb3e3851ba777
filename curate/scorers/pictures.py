"""Pictures in memory as a rater's items, for notebooks and training scripts that have no shards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from curate.cards import Card
from curate.errors import CurateError, nearest
from curate.raters import Item, Preparation
from curate.records import Media, Sample, group_id, sample_id
from curate.shards.media import MediaError, decode_image
from curate.shards.rgb import to_rgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = Image.Image | NDArray[np.uint8] | bytes | str | Path
else:
    Picture = object


def pixels_of(picture: Picture) -> NDArray[np.uint8]:
    """RGB (height, width, 3) in 8 bits of a Pillow image, of such pixels, of the bytes of a file, or of its path.

    Files are decoded as those of a shard are. Raises `CurateError` for what is none of these or cannot be decoded.
    """
    if isinstance(picture, Image.Image):
        if 0 in picture.size:
            raise CurateError(f"a picture of {picture.width} x {picture.height} pixels shows nothing")
        return to_rgb(picture)
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            raise CurateError(f"pixels are (height, width, 3) in uint8, not {picture.shape} in {picture.dtype}")
        return picture
    given: object = picture
    if not isinstance(given, bytes | str | Path):
        kind = type(given).__name__
        other = "; pixels in [0, 1] go to score_tensor" if kind == "Tensor" else ""
        raise CurateError(f"a picture is a Pillow image, RGB pixels in uint8, the bytes of a file or its path, not {kind}{other}")
    try:
        return decode_image(given if isinstance(given, bytes) else Path(given).read_bytes()).pixels
    except (OSError, ValueError, MediaError) as problem:
        which = "from its bytes" if isinstance(given, bytes) else str(given)
        raise CurateError(f"cannot read the picture {which}: {problem}") from problem


def check_beside(card: Card, pictures: int, prompts: Sequence[str] | None, conditions: Mapping[str, Sized]) -> None:
    """Raise `CurateError` where what is given beside some pictures is not what the card takes, one for each of them."""
    _check_prompts(prompts)
    if card.takes.prompt == "required" and prompts is None:
        raise CurateError(f"{card.name} needs a prompt for each picture")
    if role := card.takes.missing(conditions):
        raise CurateError(f"{card.name} needs the condition '{role}': pass {role}=[…]")
    taken = card.takes.roles[1:]
    for role in conditions:
        if role not in taken:
            raise CurateError(
                f"{card.name} takes no condition '{role}'{f'. {nearest(role, taken)}' if taken else ', nor any other'}"
            )
    for name, several in {"prompts": prompts, **conditions}.items():
        if several is not None and len(several) != pictures:
            raise CurateError(f"there are {pictures} pictures and {len(several)} {name}")


def _check_prompts(prompts: Sequence[str | None] | None) -> None:
    if prompts is None:
        return
    if isinstance(prompts, str) or not isinstance(prompts, Sized):
        raise CurateError("prompts are a list, one text for each picture, not one text")
    for prompt in prompts:
        if not isinstance(prompt, str | None):
            raise CurateError(f"a prompt is a text, or None where there is none, not {type(prompt).__name__}")


def check_list(name: str, pictures: object) -> None:
    """Raise `CurateError` for one picture where a list of them is wanted."""
    one = isinstance(pictures, str | bytes) or (isinstance(pictures, np.ndarray) and pictures.ndim == 3)
    if one or not isinstance(pictures, Sized):
        raise CurateError(f"{name}: give a list of pictures, not {type(pictures).__name__}; of one picture a list of one")


def items_of(
    card: Card,
    preparations: Sequence[Preparation],
    images: Sequence[Picture],
    prompts: Sequence[str] | None,
    conditions: Mapping[str, Sequence[Picture | None]],
) -> Iterator[Item]:
    """An item for each picture, numbered from 0, prepared as a decode worker would; raises `CurateError` for what is missing.

    A condition that a card can do without may be None for some of the pictures.
    """
    for name, pictures in {"images": images, **conditions}.items():
        check_list(name, pictures)
    check_beside(card, len(images), prompts, conditions)
    return (
        _item(
            number,
            preparations,
            prompts[number] if prompts else None,
            {role: shown for role, several in conditions.items() if (shown := several[number]) is not None},
            one,
        )
        for number, one in enumerate(images)
    )


def _digest(pixels: NDArray[np.uint8]) -> str:
    """Names pixels by their size as well, since pictures of two sizes may have the same bytes."""
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def _item(
    number: int, preparations: Sequence[Preparation], prompt: str | None, conditions: Mapping[str, Picture], image: Picture
) -> Item:
    pixels = {role: pixels_of(picture) for role, picture in {"response": image, **conditions}.items()}
    media = {role: Media(kind="image", digest=_digest(array)) for role, array in pixels.items()}
    response = (media.pop("response"),)
    sample = Sample(
        id=sample_id(prompt, media, response),
        group=group_id(prompt, media),
        shard="",
        key=str(number),
        index=0,
        prompt=prompt,
        response=response,
        conditions=media,
    )
    prepared = {(one.role, one.name): one.make(pixels[one.role]) for one in preparations if one.role in pixels}
    return Item(number=number, samples=(sample,), prepared=(prepared,), pixels=(pixels,))
