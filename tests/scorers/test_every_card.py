"""Every shipped card, over tiny random weights: it loads by its real loading code, rates a shard, and keeps the common laws."""

from __future__ import annotations

import gc
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
data = pytest.importorskip("skimage.data")

from PIL import Image  # noqa: E402

import curate  # noqa: E402
from curate.cards import CardFile, load_card, shipped_cards  # noqa: E402
from curate.errors import CurateError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.rater_settings import Settings  # noqa: E402
from curate.records import Status  # noqa: E402
from curate.scorers import pretrained  # noqa: E402
from curate.scorers.network import NetworkRater  # noqa: E402
from curate.scorers.pictures import items_of  # noqa: E402
from curate.testing import write_shard  # noqa: E402
from tests.scorers import tensor_door  # noqa: E402
from tests.scorers.tiny.cards import makers, tiny_card  # noqa: E402

WITHOUT_WEIGHTS = {
    "signal",
    "ocr",
    "injected-text",
    "nsfw",
    "identity-sface",
    "jpeg-compressibility",
    "jpeg-incompressibility",
    "musiq",
    "topiq-nr",
    "clipiqa",
}
"""Their weights, where they have any, come inside packages, and they are tested on those."""

MAKERS = makers()

WANTED = {"objects": {"cat": 1}, "tag": "single_object", "include": [{"class": "cat", "count": 1}]}
"""What a record says for raters that count."""

OF_PICTURES = sorted(name for name in MAKERS if shipped_cards()[name].card.takes.response != "video")
"""Those of videos are tried on videos, in `vlm/test_videos.py`."""


@pytest.fixture(scope="module", autouse=True)
def _imports_are_not_searched() -> Iterator[None]:
    """A lack of memory collects garbage: among what was imported before there is none, and it takes longest to search."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module", params=OF_PICTURES)
def card(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CardFile:
    return tiny_card(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def rater(card: CardFile) -> Iterator[NetworkRater]:
    rater = load_rater(card)
    assert isinstance(rater, NetworkRater)
    yield rater
    rater.close()


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [data.astronaut()[:256, 100:400], data.coffee()[100:, 200:500], data.chelsea(), data.astronaut()[200:, :256]]


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_every_shipped_card_has_a_tiny_twin() -> None:
    of_scorers = {name for name, file in shipped_cards().items() if file.card.target.startswith("curate.scorers.")}
    assert of_scorers == set(MAKERS) | WITHOUT_WEIGHTS


def test_it_rates_a_shard(card: CardFile, pictures: list[np.ndarray], tmp_path: Path) -> None:
    takes = card.card.takes
    records = []
    for number, picture in enumerate(pictures):
        members = {f"{role}.png": png(picture[::-1]) for role in takes.conditions}
        members["edited.png" if takes.conditions else "png"] = png(picture)
        members |= {"source_caption.txt": b"a grey cat", "target_caption.txt": b"a red cat", "json": json.dumps(WANTED).encode()}
        records.append((f"{number:04d}", {**members, "txt": f"photograph {number} of a red cat".encode()}))
    write_shard(tmp_path / "made.tar", records)
    report = curate.rate([str(tmp_path / "made.tar")], raters=[card.where], store=tmp_path / "store", workers=0)
    assert report.computed == len(pictures)
    assert set(report.statuses[card.card.name]) == {Status.OK}


def parameters() -> dict[int, torch.nn.Parameter]:
    """All that this process has, whatever holds them."""
    return {id(one): one for one in gc.get_objects() if issubclass(type(one), torch.nn.Parameter)}


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_a_second_load_makes_no_new_weights(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does one under another name: what cards share is the network, not the rater."""
    file = tiny_card(name, tmp_path)
    rater = load_rater(file)
    reads: list[object] = []
    monkeypatch.setattr(pretrained, "load_file", reads.append)
    before = parameters()
    again = [load_rater(file), load_rater(load_card(f"again={file.where}"))]
    new = [one.shape for key, one in parameters().items() if key not in before]
    assert new == []
    assert reads == []
    for one in (rater, *again):
        one.close()


def test_one_by_one_and_together_are_the_same(card: CardFile, pictures: list[np.ndarray]) -> None:
    prompts = ["a cat", "a cup of coffee, with a very long prompt behind it", "an astronaut", "a cat"]
    conditions = {role: [picture[::-1] for picture in pictures] for role in card.card.takes.conditions}
    scores = []
    for batch_size in (1, len(pictures)):
        rater = load_rater(card, Settings(batch_size=batch_size))
        assert isinstance(rater, NetworkRater)
        scores.append(rater.score(pictures, prompts, **conditions).numpy())
        rater.close()
    assert np.ptp(scores[0][:, 0]) > 0, "the pictures are told apart"
    scale = max(1.0, float(np.abs(scores[0]).max()))
    np.testing.assert_allclose(scores[0] / scale, scores[1] / scale, atol=1e-5)


@contextmanager
def every_layer(does: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[list[str]]:
    """Of all networks, what each layer gives goes through `does` first; the names of the layers that were asked are gathered."""
    asked: list[str] = []

    def hook(layer: torch.nn.Module, _: object, given: object) -> object:
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d | torch.nn.Conv3d) and isinstance(given, torch.Tensor):
            asked.append(type(layer).__name__)
            return does(given)
        return given

    handle = torch.nn.modules.module.register_module_forward_hook(hook)
    try:
        yield asked
    finally:
        handle.remove()


def out_of_order(given: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("the device is out of order")


def out_of_memory(given: torch.Tensor) -> torch.Tensor:
    raise torch.OutOfMemoryError("CUDA out of memory")


FAILURES = {
    Status.NAN: lambda given: given * float("nan"),
    Status.ERROR: out_of_order,
    Status.OOM: out_of_memory,
}
"""What a network does that fails, by the status that is the answer."""


@pytest.mark.parametrize("status", FAILURES, ids=str)
def test_a_network_that_fails_gives_no_number(
    rater: NetworkRater, pictures: list[np.ndarray], status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Originals give 0, 1, -1, the midpoint or a random number."""
    monkeypatch.setattr(rater, "batch_size", 2)  # and afterwards what it was, since a lack of memory halves it
    conditions = {role: [picture[::-1] for picture in pictures[:2]] for role in rater.card.takes.conditions}
    items = [
        replace(item, samples=(replace(item.samples[0], meta=WANTED),))
        for item in items_of(rater.card, rater.preparations, pictures[:2], ["a cat"] * 2, conditions)
    ]
    rater.close()  # forgets what it knows of these pictures, and then what it was told falsely
    with every_layer(FAILURES[status]) as asked:
        judged = [judgement.values for judgement in rater.judge(items)]
    rater.close()
    if not asked:
        pytest.skip("it has no layers that could fail")
    found = [value for values in judged for value in values.values()]
    assert len(judged) == 2
    assert {value.value for value in found} == {None}
    # GenEval counts what it finds and has no number to pass on, so a search among numbers that are none is an error.
    expected = Status.ERROR if (rater.card.name, status) == ("geneval-hf", Status.NAN) else status
    assert {value.status for value in found} == {expected}


def tensor_score(rater: NetworkRater, pixels: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
    prompts = ["a red cat", "a cup of coffee"]
    return rater.score_tensor(pixels, prompts, **{role: beside.flip(-1) for role in rater.card.takes.conditions})


@pytest.fixture
def generated(pictures: list[np.ndarray]) -> torch.Tensor:
    """Two pictures as a generator makes them: (2, 3, 64, 64) in [0, 1]."""
    small = [np.asarray(Image.fromarray(picture).resize((64, 64))) for picture in pictures[:2]]
    return torch.from_numpy(np.stack(small)).movedim(-1, 1).float() / 255


def test_gradients_are_those_of_finite_differences(rater: NetworkRater, generated: torch.Tensor) -> None:
    if not rater.differentiable:
        pytest.skip("its scores have no gradients, and it says so")
    pixels = (0.05 + 0.9 * generated).requires_grad_()
    (gradient,) = torch.autograd.grad(tensor_score(rater, pixels, generated).sum(), pixels)
    assert gradient.isfinite().all()
    assert gradient.norm() > 0
    step = 1e-2 * gradient / gradient.norm()
    with torch.no_grad():
        rise = tensor_score(rater, pixels + step, generated).sum() - tensor_score(rater, pixels - step, generated).sum()
    assert float(rise / 2) == pytest.approx(float(1e-2 * gradient.norm()), rel=0.05, abs=1e-6)


def test_twenty_steps_of_ascent_raise_the_score(rater: NetworkRater, generated: torch.Tensor) -> None:
    if not rater.differentiable:
        pytest.skip("its scores have no gradients, and it says so")
    pixels = generated.clone().requires_grad_()
    optimiser = torch.optim.Adam([pixels], lr=0.01, maximize=True)
    before = tensor_score(rater, pixels, generated).detach()
    for _ in range(20):
        optimiser.zero_grad()
        tensor_score(rater, pixels.clamp(0, 1), generated).sum().backward()
        optimiser.step()
    assert (tensor_score(rater, pixels.clamp(0, 1), generated).detach() > before).all()


def test_the_doors_lie_no_further_apart_than_is_written(rater: NetworkRater) -> None:
    """In docs/raters.md; `python -m tests.scorers.tensor_door` measures all of them again."""
    doors = tensor_door.written()
    assert (rater.card.name in doors) == rater.differentiable
    if rater.differentiable:
        door = doors[rater.card.name]
        slack = 1e-6 * max(1.0, door["span"])
        difference = tensor_door.measured(rater)["difference"]
        assert difference <= door["difference"] + slack
        assert door["difference"] <= 10 * difference + 10 * slack, "it is written that they lie further apart than they do"


def test_a_network_without_gradients_refuses_the_tensor_door(rater: NetworkRater, generated: torch.Tensor) -> None:
    if rater.differentiable:
        pytest.skip("it has gradients")
    with pytest.raises(CurateError, match="no gradients"):
        tensor_score(rater, generated, generated)
