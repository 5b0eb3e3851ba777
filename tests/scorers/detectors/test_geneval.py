"""GenEval's rules on boxes made by hand; the pipeline on tiny random networks, against the original computation written out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
cv2 = pytest.importorskip("cv2")
data = pytest.importorskip("skimage.data")

from PIL import Image  # noqa: E402

import curate  # noqa: E402
from curate.errors import CardError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.raters import Item, Value  # noqa: E402
from curate.records import Status  # noqa: E402
from curate.scorers.detectors.geneval import Geneval  # noqa: E402
from curate.scorers.detectors.geneval_colours import Colours  # noqa: E402
from curate.scorers.detectors.geneval_rules import Found, Request, judge, read_request, relations  # noqa: E402
from curate.scorers.detectors.instances import Segmenter, read_instances  # noqa: E402
from curate.scorers.detectors.wanted import Refusal  # noqa: E402
from curate.scorers.libraries import import_transformers  # noqa: E402
from curate.scorers.pixels import Normalise  # noqa: E402
from curate.scorers.towers.two_towers import Towers  # noqa: E402
from curate.shards.resize import Geometry  # noqa: E402
from curate.testing import write_shard  # noqa: E402
from tests.scorers.clip_formula import MEAN, STD, as_openclip, formula_image, formula_text, token_ids  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402
from tests.scorers.tiny.clip import SIDE, clip_tokenizer, save_transformers  # noqa: E402
from tests.scorers.tiny.detectors import CLASSES, save_mask2former  # noqa: E402

Make = Callable[..., Item]

# Rules.

LEFT, RIGHT, LOW = (0, 0, 10, 10), (50, 0, 60, 10), (0, 50, 10, 60)


def seen(*boxes: tuple[int, int, int, int]) -> list[Found[str]]:
    """Objects whose mask is the colour that they have."""
    return [Found(box=box, confidence=1 - number / 100, mask="red") for number, box in enumerate(boxes)]


def verdict(asked: dict[str, Any], found: dict[str, list[Found[str]]]) -> bool:
    return judge(Request.model_validate(asked), found, lambda _, objects: [one.mask for one in objects], margin=0.1).correct


def include(name: str, count: int = 1, **more: Any) -> dict[str, Any]:
    return {"class": name, "count": count, **more}


def test_include_means_at_least_and_exclude_makes_it_exact() -> None:
    two = {"include": [include("dog", 2)]}
    exactly_two = {**two, "exclude": [include("dog", 3)]}
    assert not verdict(two, {"dog": seen(LEFT)})
    assert verdict(two, {"dog": seen(LEFT, RIGHT, LOW)})
    assert verdict(exactly_two, {"dog": seen(LEFT, RIGHT)})
    assert not verdict(exactly_two, {"dog": seen(LEFT, RIGHT, LOW)})


def test_colour_is_asked_of_the_surest_only() -> None:
    asked = {"include": [include("dog", 1, color="red")]}
    red, blue = seen(LEFT)[0], replace(seen(RIGHT)[0], mask="blue")
    assert verdict(asked, {"dog": [red, blue]})
    assert not verdict(asked, {"dog": [blue, red]})
    assert not verdict({"include": [include("dog", 2, color="red")]}, {"dog": [red, blue]})


def test_position_is_asked_of_all_against_all_of_a_clause_that_holds() -> None:
    asked = {"include": [include("dog"), include("cat", 2, position=["right of", 0])]}
    assert verdict(asked, {"dog": seen(LEFT), "cat": seen(RIGHT, (80, 0, 90, 10))})
    assert not verdict(asked, {"dog": seen(LEFT), "cat": seen(RIGHT, LOW)})
    assert not verdict(asked, {"cat": seen(RIGHT, RIGHT)}), "there is no dog to be right of"


def test_the_reasons_and_the_share_of_clauses_are_told() -> None:
    asked = Request.model_validate({"include": [include("dog"), include("cat", 3)], "exclude": [include("cup", 1)]})
    found = judge(asked, {"dog": seen(LEFT), "cup": seen(RIGHT)}, lambda *_: [], margin=0.1)
    assert (found.held, found.asked) == (1, 3)
    assert found.reasons == ("wanted 3 cat, found 0", "wanted fewer than 1 cup, found 1")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (LEFT, RIGHT, {"left of"}),
        (RIGHT, LEFT, {"right of"}),
        (LEFT, LOW, {"above"}),
        (RIGHT, LOW, {"right of", "above"}),
        (LEFT, LEFT, set()),
        ((0, 0, 100, 100), (19, 0, 119, 100), set()),  # 19 pixels apart, a margin of 20
        ((0, 0, 100, 100), (41, 0, 141, 100), {"left of"}),  # (41 - 20) / 41 > 1/2
        ((0, 0, 100, 100), (39, 0, 139, 100), set()),  # (39 - 20) / 39 < 1/2
    ],
)
def test_relations_take_a_margin_off_the_distance(one: Any, other: Any, expected: set[str]) -> None:
    assert relations(one, other, 0.1) == expected


corner = st.integers(0, 500)
boxes = st.tuples(corner, corner, corner, corner).map(lambda box: (box[0], box[1], box[0] + box[2] + 1, box[1] + box[3] + 1))


@given(boxes, boxes)
def test_relations_are_mirrored(one: Any, other: Any) -> None:
    mirrored = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    assert {mirrored[relation] for relation in relations(one, other, 0.1)} == relations(other, one, 0.1)


# What records say.


@pytest.mark.parametrize(
    "meta",
    [
        {"include": "dogs"},
        {"include": [["dog", 1]]},
        {"include": [{"class": "dog"}]},
        {"include": [include("dog", 0)]},
        {"include": [include("dog", True)]},
        {"include": [include("dog", "2")]},
        {"include": [include("", 1)]},
        {"include": [include("d" * 1000, 1)]},
        {"include": [include("dog", 1, color=["red"])]},
        {"include": [include("dog", 1, position=["left of", 0])]},
        {"include": [include("dog"), include("cat", 1, position=["left of", -1])]},
        {"include": [include("dog"), include("cat", 1, position=["near", 0])]},
        {"include": [include("dog"), include("cat", 1, position="left of")]},
        {"include": [include("dog")] * 65},
        {"exclude": {"class": "dog"}},
        {"tag": 3, "include": [include("dog")]},
    ],
    ids=lambda meta: json.dumps(meta)[:60],
)
def test_metadata_that_cannot_be_read_are_a_parse_error(meta: dict[str, Any]) -> None:
    refused = read_request(meta)
    assert isinstance(refused, Refusal)
    assert refused.status is Status.PARSE_ERROR
    assert len(refused.detail) <= 300


def test_a_record_that_asks_nothing_is_not_applicable() -> None:
    for meta in ({}, {"include": [], "exclude": None}, {"tag": "counting", "prompt": "two dogs"}):
        refused = read_request(meta)
        assert isinstance(refused, Refusal)
        assert refused.status is Status.NOT_APPLICABLE


leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["dog", "left of"])
clause = st.dictionaries(st.sampled_from(["class", "count", "color", "position"]), leaves | st.lists(leaves, max_size=3))


@given(st.dictionaries(st.sampled_from(["tag", "include", "exclude"]), leaves | st.lists(clause, max_size=3)))
def test_any_metadata_are_read_or_refused(meta: dict[str, Any]) -> None:
    assert isinstance(read_request(meta), Request | Refusal)


# Instances.


def original_instances(folder: Path, picture: np.ndarray, shortest: int, longest: int) -> list[tuple[int, float, list[int]]]:
    """(class, score, box), the surest first, as mmdetection prepares a picture and reads Mask2Former, with OpenCV and loops."""
    model = import_transformers().Mask2FormerForUniversalSegmentation.from_pretrained(str(folder)).eval()
    height, width = picture.shape[:2]
    scale = min(longest / max(height, width), shortest / min(height, width))
    wide, tall = int(width * scale + 0.5), int(height * scale + 0.5)
    resized = cv2.resize(picture.astype(np.float32), (wide, tall), interpolation=cv2.INTER_LINEAR)
    normalised = (resized - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
    padded = np.zeros((-(-tall // 32) * 32, -(-wide // 32) * 32, 3), dtype=np.float32)
    padded[:tall, :wide] = normalised
    with torch.no_grad():
        outputs = model(pixel_values=torch.from_numpy(padded).permute(2, 0, 1)[None])
    probabilities = outputs.class_queries_logits[0].softmax(-1).numpy()
    found = []
    for query, mask in enumerate(outputs.masks_queries_logits[0].numpy()):
        mask = cv2.resize(mask, padded.shape[1::-1], interpolation=cv2.INTER_LINEAR)[:tall, :wide]
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
        rows, columns = np.nonzero(mask > 0)
        inside = float((1 / (1 + np.exp(-mask[mask > 0]))).mean()) if len(rows) else 0.0
        box = [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1] if len(rows) else []
        found += [(number, float(probabilities[query, number]) * inside, box) for number in range(len(CLASSES))]
    best = sorted(range(len(found)), key=lambda position: -probabilities[:, :-1].ravel()[position])[:100]
    return sorted((found[position] for position in best), key=lambda one: -one[1])


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector") / "detector"
    save_mask2former(folder)
    return folder


@pytest.mark.parametrize(("top", "left"), [(40, 0), (0, 200)], ids=["wide", "tall"])
def test_instances_are_those_of_the_original_reading(top: int, left: int, detector: Path) -> None:
    picture = np.ascontiguousarray(data.chelsea()[top:, left:])
    model = import_transformers().Mask2FormerForUniversalSegmentation.from_pretrained(str(detector)).eval()
    segmenter = Segmenter(model, shortest=64, longest=96, most=100)
    pixels = torch.from_numpy(picture).movedim(-1, 0)[None].float() / 255
    with torch.no_grad():
        (found,) = segmenter.find(pixels, at_least=0.12)
    wanted = [one for one in original_instances(detector, picture, 64, 96) if one[1] > 0.12]
    assert len(found) == len(wanted) > 5
    assert [one.number for one in found] == [number for number, _, _ in wanted]
    assert [one.confidence for one in found] == pytest.approx([score for _, score, _ in wanted], abs=1e-4)
    assert [list(one.box) for one in found] == [box for _, _, box in wanted]


def test_a_box_is_what_its_mask_spans_and_an_empty_mask_is_no_object() -> None:
    logits = torch.full((3, 20, 30), -50.0)
    logits[0, 4:9, 7:19] = 50
    logits[2, 0, 0] = 50
    found = read_instances(logits, torch.tensor([0.5, 0.9, 0.7]), torch.tensor([1, 1, 0]), 0.3)
    assert [(one.number, one.box) for one in found] == [(0, (0, 0, 1, 1)), (1, (7, 4, 19, 9))]
    assert found[1].confidence == pytest.approx(0.5)


# Colours.


def test_colours_are_told_as_the_original_tells_them(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from curate.scorers.towers.transformers_clip import TransformersTowers

    save_transformers(tmp_path / "model", clip_tokenizer())
    model = import_transformers().CLIPModel.from_pretrained(str(tmp_path / "model")).eval()
    names = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
    templates = ("a photo of a {colour} {object}", "a photo of a {colour} object")
    told = Colours(
        Towers(TransformersTowers(model, clip_tokenizer(), 1.0)),
        Normalise(MEAN, STD),
        Geometry(size=SIDE),
        names=names,
        templates=templates,
        background=(153, 153, 153),
        device=torch.device("cpu"),
    )
    picture = np.concatenate([255 * (np.indices((200, 100, 3))[2] == plane).astype(np.uint8) for plane in range(3)], axis=1)
    picture[100:] = data.coffee()[:100, :300]
    weights = as_openclip(load_file(tmp_path / "model" / "model.safetensors"))
    classifier = []
    for colour in names:
        texts = [template.replace("{colour}", colour).replace("{object}", "cup") for template in templates]
        parts = [formula_text(token_ids(text), weights, quick=True) for text in texts]
        mean = torch.stack([part / part.norm() for part in parts]).mean(dim=0)
        classifier.append(mean / mean.norm())
    objects, wanted = [], []
    for number in range(8):
        mask = np.random.default_rng(number).random((200, 300)) > number / 10
        left, top = 75 * (number % 4), 100 * (number // 4)
        box = (left, top, left + 60, top + 90)
        objects.append(Found(box=box, confidence=0.9, mask=torch.from_numpy(mask)))
        blank = Image.new("RGB", (300, 200), "#999")
        cut = Image.composite(Image.fromarray(picture), blank, Image.fromarray(mask)).crop(box)
        image = formula_image(Geometry(size=SIDE)(np.asarray(cut)), weights, quick=True)
        wanted.append(names[int((torch.stack(classifier) @ image).argmax())])
    assert told.of("cup", objects, picture) == wanted
    assert len(set(wanted)) > 1, "the crops differ enough for the test to mean something"


def test_a_colour_is_not_told_by_a_network_whose_numbers_are_none(rater: Geneval, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest of ten numbers that are none would be the first colour."""
    one = Found(box=(0, 0, 40, 40), confidence=0.9, mask=torch.ones(60, 60, dtype=torch.bool))
    picture = np.ascontiguousarray(data.coffee()[:60, :60])
    assert rater._colours.of("cup", [one], picture)[0] in rater._args.colours
    monkeypatch.setattr(rater._towers, "images", lambda pixels, keys: torch.full((1, rater._towers.width), float("nan")))
    with pytest.raises(FloatingPointError, match="the network that tells colours"):
        rater._colours.of("cup", [one], picture)


# The whole.


@pytest.fixture(scope="module")
def rater(tmp_path_factory: pytest.TempPathFactory) -> Geneval:
    rater = load_rater(tiny_card("geneval-hf", tmp_path_factory.mktemp("geneval"), metadata=None))
    assert isinstance(rater, Geneval)
    return rater


def ask(rater: Geneval, make: Make, metas: Sequence[dict[str, Any]]) -> list[dict[str, Value]]:
    items = []
    for number, meta in enumerate(metas):
        item = make(number=number, pixels={"response": data.chelsea()}, preparations=rater.preparations)
        item.samples = (replace(item.samples[0], meta=meta),)
        items.append(item)
    judged = {judgement.item: dict(judgement.values) for judgement in rater.judge(items)}
    return [judged[number] for number in range(len(metas))]


def test_every_record_of_a_batch_gets_its_own_answer(rater: Geneval, sample_item: Make) -> None:
    cups = {"include": [include("cup", 2)]}
    answers = ask(
        rater,
        sample_item,
        [
            cups,
            {**cups, "tag": "counting"},
            {**cups, "exclude": [include("cup", 3)]},
            {"include": [include("unicorn")]},
            {"include": [include("cup", 17)]},
            {"include": [include("cup", 1, color="teal")]},
            {"include": {"class": "cup"}},
            {},
        ],
    )
    statuses = [answer["correct"].status for answer in answers]
    assert statuses == [Status.OK] * 3 + [Status.NOT_APPLICABLE] * 3 + [Status.PARSE_ERROR, Status.NOT_APPLICABLE]
    assert [answer["correct"].value for answer in answers[:3]] == [1.0, 0.0, 0.0]
    assert [answer["clauses"].value for answer in answers[:3]] == [1.0, 0.0, 0.5]
    assert answers[1]["correct"].detail == "wanted 2 cup, found 0", "nothing random is as sure as counting needs"
    assert "fewer than 3 cup" in (answers[2]["correct"].detail or "")


def test_metadata_come_from_the_records_of_a_shard(tmp_path: Path) -> None:
    import io

    card = tiny_card("geneval-hf", tmp_path, metadata=None)
    out = io.BytesIO()
    Image.fromarray(data.chelsea()).save(out, "PNG")
    metas = [{"include": [include("cup", 2)], "tag": "counting"}, {"include": "broken"}, {"other": 1}]
    records = [
        (f"{number:04d}", {"png": out.getvalue(), "json": json.dumps({**meta, "prompt": f"picture {number}"}).encode()})
        for number, meta in enumerate(metas)
    ]
    write_shard(tmp_path / "made.tar", records)
    report = curate.rate([str(tmp_path / "made.tar")], raters=[card.where], store=tmp_path / "store", workers=0)
    assert report.statuses["geneval-hf"] == {Status.OK: 1, Status.PARSE_ERROR: 1, Status.NOT_APPLICABLE: 1}


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({"objects": ["cat"]}, "1 names for 3 classes"),
        ({"metadata": {"include": [{"class": "cat"}]}}, "count"),
    ],
)
def test_a_card_that_does_not_hold_together_is_one_sentence(args: dict[str, Any], why: str, tmp_path: Path) -> None:
    card = tiny_card("geneval-hf", tmp_path)
    card = card.model_copy(update={"card": card.card.model_copy(update={"args": {**card.card.args, **args}})})
    with pytest.raises(CardError, match=why):
        load_rater(card)
