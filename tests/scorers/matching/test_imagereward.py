"""ImageReward: parity with the computation written out, on a tiny random checkpoint under the original's names."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
data = pytest.importorskip("skimage.data")

from PIL import Image  # noqa: E402

from curate.cards import CardFile, load_card, shipped_cards  # noqa: E402
from curate.errors import CardError, WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.scorers.golden import load_golden  # noqa: E402
from curate.scorers.libraries import import_transformers  # noqa: E402
from curate.scorers.matching.bert_text import load_words  # noqa: E402
from curate.scorers.matching.blip_network import MARKS  # noqa: E402
from curate.scorers.passes import Inputs  # noqa: E402
from curate.scorers.pixels import declared_preparation  # noqa: E402
from tests.scorers import blip_formula as formula  # noqa: E402
from tests.scorers.tiny.blip import HEADS, SIDE, bert_tokenizer, imagereward_state, vocabulary_size  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402

LONG = "a very long story about a red cat " * 6
PROMPTS = ["A red CAT.", "a cup of coffee, and an astronaut behind it", LONG, "zebras [ENC] 42"]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> CardFile:
    return tiny_card("imagereward", tmp_path_factory.mktemp("imagereward"))


@pytest.fixture(scope="module")
def rater(card: CardFile) -> Iterator[Any]:
    rater = load_rater(card)
    yield rater
    rater.close()


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [data.astronaut()[:256, 100:400], data.coffee()[100:, 200:500], data.chelsea(), data.astronaut()[:201, :144]]


def token_ids(prompt: str) -> list[int]:
    """By BERT's tokenizer with the two marks that BLIP's authors appended, at most 35 of them, the last one kept."""
    words = bert_tokenizer().get_vocab()
    pieces: list[int] = []
    for number, part in enumerate(prompt.split("[ENC]")):
        pieces += [len(words) + 1] if number else []
        pieces += bert_tokenizer()(part, add_special_tokens=False)["input_ids"]
    return [words["[CLS]"], *pieces[:33], words["[SEP]"]]


def expected(square: np.ndarray, prompt: str) -> float:
    """The original's computation, from the checkpoint under its own names."""
    state = imagereward_state()
    picture = formula.vision(square, formula.below(state, "blip.visual_encoder."), heads=HEADS)
    x = formula.text(token_ids(prompt), picture, formula.below(state, "blip.text_encoder."), heads=HEADS)[0]
    for layer in (0, 2, 4, 6, 7):
        x = formula.linear(x, state, f"mlp.layers.{layer}")
    return (float(x) - 0.16717362830052426) / 1.0333394966054072


def test_it_follows_the_formula(rater: Any, pictures: list[np.ndarray]) -> None:
    wanted = [expected(rater.preparations[0].make(picture), prompt) for picture, prompt in zip(pictures, PROMPTS, strict=True)]
    assert np.ptp(wanted) > 0.1, "the pairs differ enough for parity to mean something"
    assert rater.score(pictures, PROMPTS)[:, 0].tolist() == pytest.approx(wanted, abs=1e-5)


def test_both_doors_agree_where_nothing_is_resized(rater: Any, pictures: list[np.ndarray]) -> None:
    squares = [rater.preparations[0].make(picture) for picture in pictures[:2]]
    pixels = torch.from_numpy(np.stack(squares)).movedim(-1, 1) / 255
    by_tensor = rater.score_tensor(pixels, PROMPTS[:2])
    torch.testing.assert_close(by_tensor, rater.score(squares, PROMPTS[:2])[:, 0], atol=1e-5, rtol=0)


def test_pixels_are_those_of_the_original_transform(pictures: list[np.ndarray], rater: Any) -> None:
    """The original's pipeline, torchvision over Pillow, at its own size and on odd margins."""
    if find_spec("torchvision") is None:
        pytest.skip("needs torchvision")
    import_transformers()  # makes torchvision fit to be imported beside any torch
    from torchvision import transforms

    shipped = shipped_cards()["imagereward"].card.args["preprocess"]
    make = declared_preparation(shipped, where="the card").make
    original = transforms.Compose(
        [
            transforms.Resize(224, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(formula.MEAN.tolist(), formula.STD.tolist()),
        ]
    )
    for picture in [*pictures, pictures[0][:233, :77], pictures[1][:45, :299]]:
        made = rater._normalise(rater._on_device(torch.from_numpy(np.stack([make(picture)]))))[0]
        torch.testing.assert_close(made, original(Image.fromarray(picture)), atol=1e-6, rtol=0)


def test_word_pieces_are_those_of_the_tokenizer(card: CardFile) -> None:
    """Cut and padded here, as the tokenizer itself would."""
    words = load_words(card, length=35, vocabulary_size=vocabulary_size(2), marks=MARKS, offline=True)
    tokenizer = bert_tokenizer()
    prompts = [*PROMPTS[:3], "", "cat " * 33, "cat " * 34]
    whole = tokenizer(prompts, padding="max_length", truncation=True, max_length=35, return_tensors="pt")
    pieces = words(prompts, torch.device("cpu"))
    assert torch.equal(pieces.ids, whole["input_ids"])
    assert torch.equal(pieces.mask, whole["attention_mask"])
    assert [bool(said) for said in pieces.said] == [False, False, True, False, False, True]
    assert words.notes(pieces) == dict.fromkeys((2, 5), "the prompt was cut to 35 tokens")


def test_a_bare_vocabulary_is_enough(card: CardFile, tmp_path: Path) -> None:
    """Old repositories hold a list of words and nothing else."""
    vocabulary = bert_tokenizer().get_vocab()
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)), encoding="utf-8")
    card = tiny_card("imagereward", tmp_path)
    Path(card.where).write_text(Path(card.where).read_text().replace("path: words", "path: bare"))
    words = load_words(load_card(card.where), length=35, vocabulary_size=vocabulary_size(2), marks=MARKS, offline=True)
    ids = words(PROMPTS, torch.device("cpu")).ids
    wanted = token_ids(PROMPTS[3])
    assert ids[3, : len(wanted)].tolist() == wanted


def test_a_cut_prompt_keeps_its_value_and_says_so(rater: Any, pictures: list[np.ndarray]) -> None:
    square = torch.from_numpy(rater.preparations[0].make(pictures[0])).movedim(-1, 0)[None] / 255
    scores = rater.forward(Inputs(pixels={"response": square}, prompts=[LONG]))
    assert scores.notes == {0: "the prompt was cut to 35 tokens"}
    assert scores.values.isfinite().all()


@pytest.mark.parametrize("change", ["missing", "strange", "misshapen"])
def test_every_weight_has_to_find_its_place(change: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    card = tiny_card("imagereward", tmp_path)
    state = imagereward_state()
    name = "blip.visual_encoder.blocks.1.attn.qkv.weight"
    if change == "missing":
        del state[name]
    elif change == "strange":
        state["blip.text_decoder.bias"] = torch.zeros(3)
    else:
        state[name] = state[name][:-1]
    save_file(state, tmp_path / "ImageReward.safetensors")
    said = r"text_decoder\.bias" if change == "strange" else r"layers\.1\.self_attn\.qkv\.weight"
    with pytest.raises(WeightsError, match=said):
        load_rater(load_card(card.where))


def test_a_description_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    card = tiny_card("imagereward", tmp_path)
    (tmp_path / "med_config.json").write_text('{"hidden_size": 32}')
    with pytest.raises(WeightsError, match="not the description of a BERT network"):
        load_rater(load_card(card.where))


def test_a_tokenizer_of_another_network_is_refused(card: CardFile) -> None:
    with pytest.raises(WeightsError, match="belongs to another network"):
        load_words(card, length=35, vocabulary_size=vocabulary_size(1), marks=MARKS, offline=True)


def test_squares_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="makes squares of 48 pixels, but the network takes 32"):
        load_rater(tiny_card("imagereward", tmp_path, preprocess={"size": SIDE + 16}))


def test_half_precision_stays_near(tmp_path: Path, rater: Any, pictures: list[np.ndarray]) -> None:
    half: Any = load_rater(tiny_card("imagereward", tmp_path, dtype="bfloat16"))
    torch.testing.assert_close(half.score(pictures, PROMPTS), rater.score(pictures, PROMPTS), atol=0.2, rtol=0)


def test_rewards_are_standardised_with_the_published_constants() -> None:
    """Another mean is quoted in places, and moves every reward by 4e-6."""
    card = shipped_cards()["imagereward"]
    golden = load_golden(card)
    assert golden is not None
    assert isinstance(golden.head, tuple)
    assert golden.head, "there are golden numbers"
    for step in golden.head:
        raw = (step.model_extra or {})["raw"]
        assert (raw - card.card.args["centre"]) / card.card.args["scale"] == pytest.approx(step.expected, abs=1e-12)
