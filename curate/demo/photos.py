"""The demo's photographs, which lie in the wheels of scikit-image and scikit-learn, and prompts for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import MissingExtra

if TYPE_CHECKING:
    from PIL import Image

SIDE = 448
"""Pixels of the longer side; the photographs are brought to it so that the demo takes seconds."""

FOLDERS = {"scikit-image": ("skimage", "data"), "scikit-learn": ("sklearn", "datasets/images")}


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph, and what a person might have asked for to get it."""

    name: str
    package: str
    file: str
    prompt: str
    credit: str


PHOTOS = (
    Photo(
        "astronaut",
        "scikit-image",
        "astronaut.png",
        "Portrait of a smiling astronaut in an orange space suit, a flag and a shuttle model behind her",
        "NASA, public domain",
    ),
    Photo(
        "chelsea", "scikit-image", "chelsea.png", "Close-up of a tabby cat looking past the camera", "Stefan van der Walt, CC0"
    ),
    Photo(
        "coffee",
        "scikit-image",
        "coffee.png",
        "A cup of espresso on a saucer with a spoon, on a wooden table",
        "Rachel Michetti, CC0",
    ),
    Photo(
        "rocket", "scikit-image", "rocket.jpg", "A rocket on its launch pad at dawn, lit by floodlights", "SpaceX, public domain"
    ),
    Photo("flower", "scikit-learn", "flower.jpg", "A flower in bloom against dark green leaves", "vultilion, CC BY 2.0"),
    Photo(
        "china",
        "scikit-learn",
        "china.jpg",
        "A Chinese tower with red pillars and tiled roofs above a lake",
        "danielbuechele, CC BY 2.0",
    ),
    Photo(
        "hubble",
        "scikit-image",
        "hubble_deep_field.jpg",
        "Hundreds of distant galaxies against black space",
        "NASA, public domain",
    ),
    Photo(
        "camera",
        "scikit-image",
        "camera.png",
        "Black-and-white photograph of a man behind a film camera in a park",
        "Lav Varshney, CC0",
    ),
    Photo(
        "motorcycle",
        "scikit-image",
        "motorcycle_left.png",
        "A red motorcycle parked in a cluttered garage",
        "Nera Nesic and others, Middlebury 2014 stereo benchmark",
    ),
    Photo(
        "coins",
        "scikit-image",
        "coins.png",
        "Rows of ancient Greek coins on a dark cloth, black and white",
        "Brooklyn Museum, no known restrictions",
    ),
    Photo("grass", "scikit-image", "grass.png", "Texture of a mown lawn from above, black and white", "linolafett, CC0"),
    Photo("gravel", "scikit-image", "gravel.png", "Texture of grey gravel from above", "CC0Textures, CC0"),
    Photo("brick", "scikit-image", "brick.png", "A weathered brick wall, black and white", "CC0Textures, CC0"),
)


def photographs() -> Iterator[tuple[Photo, Image.Image]]:
    """Each photograph with its pixels, RGB. Raises `MissingExtra` where a package is not installed."""
    from PIL import Image

    for photo in PHOTOS:
        with Image.open(_folder(photo.package) / photo.file) as image:
            pixels = image.convert("RGB")
        pixels.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        yield photo, pixels


def _folder(package: str) -> Path:
    """Where a package keeps its photographs, found without importing it."""
    module, inside = FOLDERS[package]
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("the demo", "demo", ModuleNotFoundError(f"its photographs lie in {package}"))
    return Path(spec.submodule_search_locations[0]) / inside
