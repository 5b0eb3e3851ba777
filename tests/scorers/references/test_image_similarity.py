"""CLIP-I, DINO and DINOv2 similarity: parity with the formulas written out, several references, and what is refused."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
data = pytest.importorskip("skimage.data")

from PIL import Image  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

import curate  # noqa: E402
from curate.cards import CardFile, load_card  # noqa: E402
from curate.errors import CardError, CurateError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.records import Status  # noqa: E402
from curate.scorers.libraries import import_transformers  # noqa: E402
from curate.scorers.references.base import AsItIs, Shrunk  # noqa: E402
from curate.scorers.references.encoders import IMAGENET_MEAN, IMAGENET_STD  # noqa: E402
from curate.scorers.references.image_similarity import EmbeddingSimilarity  # noqa: E402
from curate.testing import write_shard  # noqa: E402
from tests.scorers.clip_formula import as_openclip, formula_image  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402
from tests.scorers.tiny.clip import SIDE  # noqa: E402
from tests.scorers.vit_formula import tokens_of  # noqa: E402


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [data.coffee()[:150, :201], data.chelsea()[:97], data.astronaut()[:120, 150:350]]


def rater_of(file: CardFile) -> EmbeddingSimilarity:
    rater = load_rater(file)
    assert isinstance(rater, EmbeddingSimilarity)
    return rater


def changed(file: CardFile, folder: Path, **fields: Any) -> CardFile:
    """The card with other fields, mappings merged."""
    card = yaml.safe_load(Path(file.where).read_text())
    for name, value in fields.items():
        card[name] = {**card.get(name, {}), **value} if isinstance(value, Mapping) else value
    path = folder / "changed.yaml"
    path.write_text(yaml.safe_dump(card))
    return load_card(str(path))


def original_square(picture: np.ndarray, size: int, crop: int) -> np.ndarray:
    """As the originals prepare it, by torchvision over Pillow."""
    import_transformers()  # makes torchvision fit to be imported beside any torch
    from torchvision import transforms

    steps = [transforms.Resize(size, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(crop)]
    return np.array(transforms.Compose(steps)(Image.fromarray(picture)))


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(one @ other / (one.norm() * other.norm()))


@pytest.mark.parametrize(("name", "size", "crop"), [("dino", 40, 32), ("dinov2", 32, 28)])
@pytest.mark.parametrize("pooling", ["cls", "cls+patches"])
def test_dino_is_the_cosine_of_tokens(
    name: str, size: int, crop: int, pooling: str, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    file = tiny_card(name, tmp_path, pooling=pooling, preprocess={"rounding": "round"})
    state = load_file(tmp_path / "model" / "model.safetensors")

    def embedding(picture: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy(original_square(picture, size, crop)).float() / 255
        pixels = ((pixels - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)).movedim(-1, 0)
        tokens = tokens_of(pixels, state, heads=4)
        return tokens[0] if pooling == "cls" else torch.cat([tokens[0], tokens[1:].mean(0)])

    references = pictures[1:] + pictures[:1]
    wanted = [cosine(embedding(one), embedding(other)) for one, other in zip(pictures, references, strict=True)]
    found = rater_of(file).score(pictures, reference=references)
    np.testing.assert_allclose(found[:, 0], wanted, atol=1e-5)


def test_clip_i_is_the_cosine_of_image_embeddings(pictures: list[np.ndarray], tmp_path: Path) -> None:
    rater = rater_of(tiny_card("clip-i", tmp_path))
    weights = as_openclip(load_file(tmp_path / "model" / "model.safetensors"))
    response, reference = rater.preparations

    def embedding(picture: np.ndarray) -> torch.Tensor:
        return formula_image(response.make(picture), weights, quick=True)

    assert response.name == reference.name, "so a picture that is both is prepared once"
    wanted = cosine(embedding(pictures[0]), embedding(pictures[1]))
    assert float(rater.score(pictures[:1], reference=pictures[1:2])) == pytest.approx(wanted, abs=1e-5)
    assert response.make(pictures[0]).shape == (SIDE, SIDE, 3)


def test_several_references_count_by_their_mean_or_their_largest(pictures: list[np.ndarray], tmp_path: Path) -> None:
    file = tiny_card("dinov2", tmp_path)
    roles = ["reference_0", "reference_1"]
    several = changed(file, tmp_path, takes={"conditions": roles})
    largest = changed(several, tmp_path, args={"several": "max"})
    one = rater_of(file)
    alone = [float(one.score(pictures[:1], reference=[other])) for other in pictures[1:]]
    given = {role: [other] for role, other in zip(roles, pictures[1:], strict=True)}
    assert float(rater_of(several).score(pictures[:1], **given)) == pytest.approx(np.mean(alone), abs=1e-6)
    assert float(rater_of(largest).score(pictures[:1], **given)) == pytest.approx(max(alone), abs=1e-6)


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_a_shard_with_numbered_references(pictures: list[np.ndarray], tmp_path: Path) -> None:
    """Found by the layout without being told; a sample that lacks one of them, or has a broken one, says so."""
    file = changed(tiny_card("dino", tmp_path), tmp_path, takes={"conditions": ["reference_0", "reference_1"]})
    both = {"reference.0.png": png(pictures[1]), "reference.1.png": png(pictures[2])}
    records = [
        ("whole", {"edited.png": png(pictures[0]), **both}),
        ("lacks", {"edited.png": png(pictures[0]), "reference.0.png": both["reference.0.png"]}),
        ("broken", {"edited.png": png(pictures[0]), **both, "reference.1.png": b"no picture"}),
    ]
    write_shard(tmp_path / "made.tar", records)
    report = curate.rate([str(tmp_path / "made.tar")], raters=[file.where], store=tmp_path / "store", workers=0)
    assert report.statuses["dino"] == {Status.OK: 1, Status.MISSING_CONDITION: 1, Status.DECODE_ERROR: 1}


def test_what_does_not_fit_is_one_sentence(pictures: list[np.ndarray], tmp_path: Path) -> None:
    file = tiny_card("dino", tmp_path)
    with pytest.raises(CardError, match="say what pictures are compared with"):
        load_rater(changed(file, tmp_path, takes={"conditions": []}))
    with pytest.raises(CardError, match="squares of 24 pixels, but the network takes 32"):
        load_rater(changed(file, tmp_path, args={"preprocess": {"size": 24}}))
    with pytest.raises(CurateError, match="needs the condition 'reference'"):
        rater_of(file).score(pictures)
    with pytest.raises(CurateError, match="needs the condition 'reference'"):
        rater_of(file).score_tensor(torch.rand(1, 3, 40, 40))


def test_a_reference_goes_through_the_network_once(pictures: list[np.ndarray], tmp_path: Path) -> None:
    rater = rater_of(tiny_card("dinov2", tmp_path))
    seen: list[int] = []
    embed = rater._encoder._embed  # type: ignore[attr-defined]
    rater._encoder._embed = lambda pixels: (seen.append(len(pixels)), embed(pixels))[1]  # type: ignore[attr-defined]
    rater.score(pictures, reference=[pictures[0]] * 3)
    assert sum(seen) == 3, "the first picture is the reference of all"


def test_preparations_of_pictures_that_keep_their_size(pictures: list[np.ndarray]) -> None:
    import_transformers()
    from torchvision import transforms

    assert AsItIs()(pictures[0]) is pictures[0]
    shrunk = Shrunk(side=64)
    for picture in pictures:
        original = transforms.Resize(64, transforms.InterpolationMode.BILINEAR)(Image.fromarray(picture))
        np.testing.assert_array_equal(shrunk(picture), np.array(original))
        tensor = torch.from_numpy(picture).movedim(-1, 0)[None].float() / 255
        by_tensor = shrunk.on_tensor(tensor)[0].movedim(0, -1).numpy() * 255
        assert np.abs(by_tensor - shrunk(picture)).mean() < 0.5
    small = pictures[0][:50]
    assert shrunk(small) is small, "what is small is not enlarged"
    assert shrunk.on_tensor(torch.zeros(1, 3, 50, 70)).shape == (1, 3, 50, 70)
