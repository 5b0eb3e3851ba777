"""Heads on an embedding: their formulas, their files, and one pass of the tower for all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
data = pytest.importorskip("skimage.data")

from PIL import Image  # noqa: E402

import curate  # noqa: E402
from curate.cards import CardFile, load_card, shipped_cards  # noqa: E402
from curate.errors import CurateError, WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.records import Status  # noqa: E402
from curate.scorers.states import load_state  # noqa: E402
from curate.scorers.towers.heads import Chain, HeadArguments, HeadShape, PromptArguments, Prompts  # noqa: E402
from curate.scorers.towers.transformers_clip import TransformersTowers  # noqa: E402
from curate.testing import write_shard  # noqa: E402
from tests.scorers.clip_formula import as_openclip, formula_image  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402
from tests.scorers.tiny.clip import SHARED  # noqa: E402
from tests.scorers.tiny.heads import NSFW, RELU, V1, V2, V2_5, layers, save_head  # noqa: E402
from tests.scorers.towers.test_siglip import formula_image as siglip_image  # noqa: E402

GOLDEN = Path(__file__).parents[2] / "golden"
OVER_L14 = ("laion-aesthetic-v1-l14", "laion-aesthetic-v2", "laion-nsfw", "q16")
HEADS = sorted(name for name, file in shipped_cards().items() if file.card.target.startswith("curate.scorers.towers.heads:"))

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [data.astronaut()[:256, 100:400], data.coffee()[100:, 200:500], data.chelsea()]


def unit(embedding: torch.Tensor) -> torch.Tensor:
    return embedding / embedding.norm()


def chain(x: torch.Tensor, state: State, names: Sequence[str], *, rectified: bool = False) -> torch.Tensor:
    for number, name in enumerate(names):
        dot = f"{name}." if name else ""
        x = state[f"{dot}weight"] @ (x.relu() if rectified and number else x) + state[f"{dot}bias"]
    return x[0]


def nsfw(x: torch.Tensor, state: State) -> torch.Tensor:
    standard = (x - state["norm.mean"]) / state["norm.variance"].sqrt()
    return 1 / (1 + (-chain(standard, state, NSFW, rectified=True)).exp())


def q16(x: torch.Tensor, state: State) -> torch.Tensor:
    prompts = state["prompts"]
    powers = (100 * torch.stack([unit(prompt) @ x for prompt in prompts])).exp()
    return powers[1] / powers.sum()


FORMULAS: dict[str, tuple[Callable[[torch.Tensor, State], torch.Tensor], str, int]] = {
    "laion-aesthetic-v1-l14": (lambda x, state: chain(x, state, V1), "linear", 1),
    "laion-aesthetic-v2": (lambda x, state: chain(x, state, V2), "layers.0", 1),
    "aesthetic-v2-5": (lambda x, state: chain(x, state, V2_5), "scoring_head.0", 1),
    "laion-nsfw": (nsfw, "linear_1", -1),
    "q16": (q16, "prompts", -1),
}
"""By card: what the head is, the file that tiny weights of it lie in, the sign that makes larger better."""


@pytest.mark.parametrize("name", FORMULAS)
def test_a_head_follows_its_formula(name: str, tmp_path: Path, pictures: list[np.ndarray]) -> None:
    from safetensors.torch import load_file

    formula, file, sign = FORMULAS[name]
    rater: Any = load_rater(tiny_card(name, tmp_path))
    tower, head = load_file(tmp_path / "model" / "model.safetensors"), load_file(tmp_path / f"{file}.safetensors")
    squares = [rater.preparations[0].make(picture) for picture in pictures]
    if name == "aesthetic-v2-5":
        embeddings = [unit(siglip_image(square, tower)) for square in squares]
    else:
        embeddings = [unit(formula_image(square, as_openclip(tower), quick=True)) for square in squares]
    wanted = [sign * float(formula(embedding, head)) for embedding in embeddings]
    assert np.ptp(wanted) > 0.01, "the pictures differ enough for parity to mean something"
    tolerance = json.loads((GOLDEN / f"{name}.json").read_text())["tolerance"]["fp32_cpu"]
    assert rater.score(pictures)[:, 0].tolist() == pytest.approx(wanted, abs=tolerance)


def test_every_card_with_a_head_has_its_formula_here() -> None:
    assert set(HEADS) == {*FORMULAS, "laion-aesthetic-v1-b32", "laion-aesthetic-v1-b16"}, "those two are v1 over other towers"


def test_layers_with_nothing_between_are_one_affine_map() -> None:
    torch.manual_seed(0)
    state = layers(V2, 768)
    head = Chain(state, HeadShape(layers=V2), width=768, where="card", place="weights.head")
    matrix, offset = torch.eye(768, dtype=torch.float64), torch.zeros(768, dtype=torch.float64)
    for name in V2:
        weight, bias = state[f"{name}.weight"].double(), state[f"{name}.bias"].double()
        matrix, offset = weight @ matrix, weight @ offset + bias
    x = torch.nn.functional.normalize(torch.randn(16, 768), dim=-1)
    torch.testing.assert_close(head(x).double(), x.double() @ matrix.T + offset, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (layers(RELU, SHARED), r"layers\.2\.bias.*and \d+ more"),
        (layers(V1, SHARED), r"layers\.0\.bias"),
        ({**layers(V2, SHARED), "spare": torch.zeros(1)}, "spare"),
        (layers(V2, SHARED + 1), "do not follow each other from an embedding of 16 numbers"),
        ({**layers(V2, SHARED), "layers.4.weight": torch.zeros(10, 11)}, "do not follow each other"),
    ],
    ids=["reluMSE", "v1", "spare", "another tower", "torn"],
)
def test_a_file_of_another_head_is_refused(state: State, said: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    card = tiny_card("laion-aesthetic-v2", tmp_path)
    save_file(state, tmp_path / "layers.0.safetensors")
    with pytest.raises(WeightsError, match=said):
        load_rater(load_card(card.where))


def test_prompts_of_another_tower_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    card = tiny_card("q16", tmp_path)
    for arrays in (
        {"prompts": torch.zeros(2, 5)},
        {"prompts": torch.zeros(1, SHARED)},
        {"one": torch.zeros(2, SHARED), "two": torch.zeros(2, SHARED)},
    ):
        save_file(arrays, tmp_path / "prompts.safetensors")
        with pytest.raises(WeightsError, match=r"not one of at least 2 prompts by 16"):
            load_rater(load_card(card.where))


def test_mistakes_in_a_card_are_sentences(tmp_path: Path) -> None:
    for args, said in (
        ({"head": {"layers": []}}, "args.head.layers"),
        ({"head": {"layers": ["a"], "between": "gelu"}}, "args.head.between"),
        ({"head": {"layers": ["a"], "activation": "relu"}}, "activation"),
    ):
        with pytest.raises(CurateError, match=said):
            load_rater(tiny_card("laion-aesthetic-v1-l14", tmp_path, **args))


def test_a_head_of_several_numbers_is_not_one_dimension(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    card = tiny_card("laion-aesthetic-v1-l14", tmp_path)
    save_file({"weight": torch.zeros(3, SHARED), "bias": torch.zeros(3)}, tmp_path / "linear.safetensors")
    with pytest.raises(WeightsError, match="gives 3 numbers, not one for each dimension"):
        load_rater(load_card(card.where))


def test_all_heads_of_a_tower_and_its_similarity_take_one_pass(
    tmp_path: Path, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("clip-l14", "clipscore-imagereward", *OVER_L14)
    cards = [tiny_card(name, tmp_path).where for name in names]
    records = []
    for number in range(6):
        Image.fromarray(np.roll(pictures[number % 3], number, axis=1)).save(tmp_path / "picture.png")
        records.append((f"{number:04d}", {"png": (tmp_path / "picture.png").read_bytes(), "txt": b"a red cat"}))
    write_shard(tmp_path / "made.tar", records)
    seen: list[int] = []
    embed = TransformersTowers.embed_images
    monkeypatch.setattr(TransformersTowers, "embed_images", lambda self, pixels: seen.append(len(pixels)) or embed(self, pixels))
    report = curate.rate([str(tmp_path / "made.tar")], raters=cards, store=tmp_path / "store", workers=0)
    assert all(report.statuses[name] == {Status.OK: 6} for name in names)
    assert sum(seen) == 6, "each picture went through the tower once, for six raters"


def test_a_tower_in_half_precision_leaves_the_head_whole(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    full: Any = load_rater(tiny_card("laion-aesthetic-v2", tmp_path))
    half: Any = load_rater(tiny_card("laion-aesthetic-v2", tmp_path, dtype="bfloat16"))
    assert half._towers is not full._towers
    assert all(one.dtype is torch.float32 for layer in half._chain._layers for one in layer)
    np.testing.assert_allclose(half.score(pictures), full.score(pictures), atol=0.05)


def test_weights_in_bfloat16_are_widened(tmp_path: Path) -> None:
    """As those of Aesthetic Predictor V2.5 are."""
    from safetensors.torch import load_file, save_file

    path = save_head(tmp_path, V2_5, 32)
    narrow = {name: one.bfloat16() for name, one in load_file(path).items()}
    save_file(narrow, path)
    head = Chain(load_file(path), HeadShape(layers=V2_5), width=32, where="card", place="weights.head")
    x = torch.nn.functional.normalize(torch.randn(4, 32, generator=torch.Generator().manual_seed(0)), dim=-1)
    wide = {name: one.float() for name, one in narrow.items()}
    torch.testing.assert_close(head(x)[:, 0], torch.stack([chain(one, wide, V2_5) for one in x]))


def probe(kind: str, width: int) -> torch.Tensor:
    made = {"zero": torch.zeros(width), "constant": torch.full((width,), width**-0.5), "first": torch.eye(width)[0]}
    return made[kind]


def real_head(file: CardFile, state: State) -> tuple[Chain | Prompts, int]:
    """The head of a card, and the width of the embeddings it takes."""
    if file.card.target.endswith(":PromptHead"):
        (array,) = state.values()
        settings = PromptArguments.model_validate(dict(file.card.args))
        prompts = Prompts(state, column=settings.column, scale=settings.scale, width=array.shape[1], where=file.where)
        return prompts, array.shape[1]
    shape = HeadArguments.model_validate(dict(file.card.args)).head
    width = state[f"{shape.layers[0]}.weight".removeprefix(".")].shape[1]
    return Chain(state, shape, width=width, where=file.where, place="weights.head"), width


@pytest.mark.weights
@pytest.mark.parametrize("name", HEADS)
def test_golden_numbers_of_the_real_heads(name: str) -> None:
    file = load_card(name)
    try:
        state = load_state(file, "head", offline=True)
    except WeightsError as problem:
        pytest.skip(str(problem))
    head, width = real_head(file, state)
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    for case in golden["head"]["probes"]:
        value = float(head(probe(case["embedding"], width)[None])[0, 0])
        assert value == pytest.approx(case["expected"], abs=golden["tolerance"]["fp32_cpu"]), case
