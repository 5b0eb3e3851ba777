"""Objects found by name: presence and counting, against transformers' own processor and the formulas written out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
data = pytest.importorskip("skimage.data")

from PIL import Image  # noqa: E402

from curate.errors import CardError, CurateError, WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.rater_settings import Settings  # noqa: E402
from curate.raters import Item, Value  # noqa: E402
from curate.records import Status  # noqa: E402
from curate.scorers.detectors.counting import excess, shortfall  # noqa: E402
from curate.scorers.detectors.grounding import GroundingRater, WithinEdges, presence  # noqa: E402
from curate.scorers.libraries import import_transformers  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402
from tests.scorers.tiny.detectors import MARKS, bert_tokenizer, save_grounding  # noqa: E402

Make = Callable[..., Item]

GOLDEN = Path(__file__).parents[2] / "golden" / "pfcd-counting.json"


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [data.astronaut()[:200, 100:400], data.coffee()[100:, 200:500], data.chelsea()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("presence")


@pytest.fixture(scope="module")
def rater(folder: Path) -> Iterator[GroundingRater]:
    rater = load_rater(tiny_card("grounding-dino-presence", folder))
    assert isinstance(rater, GroundingRater)
    yield rater
    rater.close()


@pytest.fixture(scope="module")
def counting_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("counting")


@pytest.fixture(scope="module")
def counting(counting_folder: Path) -> GroundingRater:
    rater = load_rater(tiny_card("pfcd-counting", counting_folder))
    assert isinstance(rater, GroundingRater)
    return rater


def ask(rater: GroundingRater, make: Make, asked: list[tuple[np.ndarray, dict[str, Any]]]) -> list[dict[str, Value]]:
    """What the rater says of pictures whose records say what is wanted."""
    items = []
    for number, (picture, meta) in enumerate(asked):
        item = make(number=number, pixels={"response": picture}, preparations=rater.preparations)
        item.samples = (replace(item.samples[0], meta=meta),)
        items.append(item)
    judged = {judgement.item: dict(judgement.values) for judgement in rater.judge(items)}
    return [judged[number] for number in range(len(asked))]


WITHIN = {"size": {"shortest_edge": 128, "longest_edge": 160}}
SQUASHED = {"size": {"height": 128, "width": 128}, "resample": Image.Resampling.BICUBIC}
"""How the two tiny cards prepare pictures, in the words of transformers."""


def original_confidences(folder: Path, picture: np.ndarray, names: list[str], how: dict[str, Any]) -> dict[str, np.ndarray]:
    """(boxes, tokens) of each name, by the processor and the network of transformers as their documentation uses them."""
    transformers = import_transformers()
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil

    tokenizer = transformers.BertTokenizer.from_pretrained(str(folder / "model"))
    images = GroundingDinoImageProcessorPil(**how)
    processor = transformers.GroundingDinoProcessor(images, tokenizer)
    model = transformers.GroundingDinoForObjectDetection.from_pretrained(str(folder / "model")).eval()
    inputs = processor(images=Image.fromarray(picture), text=[names], return_tensors="pt")
    with torch.no_grad():
        probabilities = model(**inputs).logits.sigmoid()[0].numpy()
    tokens = [tokenizer.decode([token]) for token in inputs["input_ids"][0]]
    columns: dict[str, list[int]] = {}
    words = [(name, word) for name in names for word in name.split()]
    for name, word in words:
        columns.setdefault(name, []).append(tokens.index(word))
    return {name: probabilities[:, where] for name, where in columns.items()}


@pytest.mark.parametrize(
    ("height", "width"), [(512, 512), (1024, 768), (300, 1200), (1200, 300), (800, 640), (801, 4000), (97, 31), (1333, 800)]
)
def test_the_geometry_is_that_of_the_original_processor(height: int, width: int) -> None:
    import_transformers()
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil

    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    processor = GroundingDinoImageProcessorPil(do_rescale=False, do_normalize=False, do_pad=False)
    theirs = processor(Image.fromarray(picture), return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    assert np.array_equal(WithinEdges(shortest=800, longest=1333)(picture), theirs)


def test_thin_pictures_keep_a_pixel_and_tensors_follow() -> None:
    edges = WithinEdges(shortest=128, longest=160)
    assert edges.resized(1, 32767) == (1, 160)
    picture = data.chelsea()
    on_tensor = edges.on_tensor(torch.from_numpy(picture.copy()).movedim(-1, 0)[None].float() / 255)
    difference = np.abs(on_tensor[0].movedim(0, -1).numpy() * 255 - edges(picture))
    assert difference.mean() < 0.5


def test_presence_is_the_nth_surest_box_of_the_least_certain_object(
    rater: GroundingRater, folder: Path, pictures: list[np.ndarray], sample_item: Make
) -> None:
    wanted = [{"cat": 2, "red ball": 1}, {"dog": 3}, {"cup": 1, "cat": 1, "dog": 2}]
    judged = ask(rater, sample_item, [(one, {"objects": want}) for one, want in zip(pictures, wanted, strict=True)])
    for picture, want, values in zip(pictures, wanted, judged, strict=True):
        confidences = original_confidences(folder, picture, list(want), WITHIN)
        there = [np.sort(confidences[name].max(axis=1))[-count] for name, count in want.items()]
        assert values["presence"].value == pytest.approx(min(there), abs=1e-5)
        assert values["mean"].value == pytest.approx(np.mean(there), abs=1e-5)


def test_captions_of_a_batch_do_not_touch_each_other(
    rater: GroundingRater, pictures: list[np.ndarray], sample_item: Make
) -> None:
    short, long = {"objects": ["cat"]}, {"objects": ["cat", "red ball", "cup", "dog"]}
    together = ask(rater, sample_item, [(pictures[0], short), (pictures[0], long)])
    alone = ask(rater, sample_item, [(pictures[0], short)])
    assert together[0]["presence"].value == pytest.approx(alone[0]["presence"].value, abs=1e-6)


@pytest.mark.parametrize(
    ("meta", "status"),
    [
        ({"objects": "a dog"}, Status.PARSE_ERROR),
        ({"objects": {"unicorn": 1}}, Status.NOT_APPLICABLE),
        ({"objects": {"[sep]": 1}}, Status.NOT_APPLICABLE),
        ({"objects": {"\u200b\x07": 1}}, Status.NOT_APPLICABLE),
        ({"objects": []}, Status.NOT_APPLICABLE),
        ({"objects": [" ".join(["cat"] * (number % 7 + 10)) + " dog" * (number // 7) for number in range(49)]}, Status.TRUNCATED),
    ],
    ids=["text", "unknown word", "mark", "nothing visible", "none", "too many tokens"],
)
def test_a_record_that_cannot_be_answered_is_a_status_and_spares_its_batch(
    meta: dict[str, Any], status: Status, rater: GroundingRater, pictures: list[np.ndarray], sample_item: Make
) -> None:
    refused, fine = ask(rater, sample_item, [(pictures[0], meta), (pictures[0], {"objects": ["cat"]})])
    assert refused["presence"].status is status
    assert refused["presence"].value is None
    assert fine["presence"].status is Status.OK


def test_more_objects_than_boxes_are_not_there() -> None:
    assert float(presence(torch.tensor([[0.9], [0.8]]), 3)) == 0.0


def test_a_card_without_objects_leaves_it_to_the_record(folder: Path, pictures: list[np.ndarray], sample_item: Make) -> None:
    rater = load_rater(tiny_card("grounding-dino-presence", folder, objects=None))
    assert isinstance(rater, GroundingRater)
    (values,) = ask(rater, sample_item, [(pictures[0], {})])
    assert values["presence"].status is Status.NOT_APPLICABLE


# Counting.


@pytest.mark.parametrize("golden", json.loads(GOLDEN.read_text())["head"], ids=lambda golden: golden["dimension"])
def test_golden_values_of_the_loss(golden: dict[str, Any]) -> None:
    confidences = torch.tensor(golden["confidences"])[:, None]
    half = {"missing": shortfall, "extra": excess}[golden["dimension"]]
    loss = 0.5 / golden["count"] * float(half(confidences, golden["count"], 0.1))
    assert loss == pytest.approx(golden["expected"], abs=golden["tolerance"])


def test_counting_follows_the_formula(
    counting: GroundingRater, counting_folder: Path, pictures: list[np.ndarray], sample_item: Make
) -> None:
    wanted = {"cat": 6, "red ball": 3, "dog": 1}
    (values,) = ask(counting, sample_item, [(pictures[1], {"objects": wanted})])
    found = original_confidences(counting_folder, pictures[1], list(wanted), SQUASHED)
    missing = extra = 0.0
    for name, count in wanted.items():
        confidences = found[name]
        largest = sorted(confidences.ravel().tolist(), reverse=True)[:count]
        missing += sum(max(0.0, 0.5 - one) for one in largest)
        others = sorted(confidences.max(axis=1).tolist(), reverse=True)[count:]
        extra += sum(max(0.0, one - 0.5) for one in others)
    assert missing > 0.01
    assert extra > 0.01
    assert values["missing"].value == pytest.approx(0.5 * missing / 10, abs=1e-5)
    assert values["extra"].value == pytest.approx(0.5 * extra / 10, abs=1e-5)
    assert values["counting"].value == pytest.approx(0.5 * (missing + extra) / 10, abs=1e-5)


def test_larger_is_better_through_both_doors_of_a_loss(counting: GroundingRater, pictures: list[np.ndarray]) -> None:
    prepared = counting.preparations[0].make(pictures[0])
    pixels = torch.from_numpy(prepared).movedim(-1, 0)[None].float() / 255
    from_pictures = counting.score([prepared])[0, list(counting.dimensions).index("counting")]
    assert float(from_pictures) < 0
    assert float(counting.score_tensor(pixels)[0].detach()) == pytest.approx(float(from_pictures), abs=1e-5)
    assert float(counting.score_objects(pixels, [{"cat": 4, "dog": 1}])[0]) == pytest.approx(float(from_pictures), abs=1e-5)


def test_gradients_reach_pixels_with_objects_of_their_own(counting: GroundingRater) -> None:
    pixels = torch.rand(2, 3, 64, 64, requires_grad=True)
    counting.score_objects(pixels, [{"cat": 6}, {"red ball": 1}], dimension="counting").sum().backward()
    assert pixels.grad is not None
    assert all(float(one.norm()) > 0 for one in pixels.grad)
    with pytest.raises(CurateError, match="picture 0: parse_error"):
        counting.score_objects(pixels, [{"cat": 0}, {"dog": 1}])


@pytest.mark.parametrize(
    ("pixels", "objects", "said"),
    [
        (torch.rand(1, 3, 64, 64) * 255, [{"cat": 1}], r"pixels are RGB in \[0, 1\]"),
        (torch.rand(2, 3, 64, 64), [{"cat": 1}], "2 pictures and 1 wishes"),
        (torch.rand(3, 64, 64), [{"cat": 1}], "pixels are"),
    ],
)
def test_pixels_with_objects_of_their_own_are_checked(
    pixels: torch.Tensor, objects: list[dict[str, int]], said: str, counting: GroundingRater
) -> None:
    with pytest.raises(CurateError, match=said):
        counting.score_objects(pixels, objects)


def test_scores_of_objects_are_computed_in_float32(counting: GroundingRater) -> None:
    pixels = torch.rand(1, 3, 64, 64)
    alone = counting.score_objects(pixels, [{"cat": 3}]).detach()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(counting.score_objects(pixels, [{"cat": 3}]).detach(), alone)
    assert torch.equal(counting.score_objects(pixels.double(), [{"cat": 3}]).detach(), alone)


def test_more_wanted_than_there_are_boxes_count_as_missing() -> None:
    assert float(shortfall(torch.tensor([[0.2]]), 3, 0.5)) == pytest.approx(0.3 + 2 * 0.5)
    assert float(excess(torch.tensor([[0.9]]), 3, 0.5)) == 0.0


# Cards and weights that do not fit.


def test_a_tokenizer_whose_marks_are_elsewhere_is_refused(tmp_path: Path) -> None:
    card = tiny_card("grounding-dino-presence", tmp_path)
    save_grounding(tmp_path / "model", bert_tokenizer(marks={**MARKS, ".": 1000, "?": 1001}))
    with pytest.raises(WeightsError, match="not the one of BERT"):
        load_rater(card, Settings())


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({"objects": {"cat": 0}}, "from 1 to 100"),
        ({"preprocess": {"shortest": -1, "longest": 100}}, "numbers of pixels"),
        ({"preprocess": {"size": 64, "shortest": 3}}, "no field 'shortest'"),
    ],
)
def test_a_card_that_does_not_hold_together_is_one_sentence(args: dict[str, Any], why: str, tmp_path: Path) -> None:
    card = tiny_card("grounding-dino-presence", tmp_path)
    card = card.model_copy(update={"card": card.card.model_copy(update={"args": {**card.card.args, **args}})})
    with pytest.raises(CardError, match=why):
        load_rater(card)
