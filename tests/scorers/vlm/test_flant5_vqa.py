"""VQAScore of CLIP-FlanT5: parity with the computation written out, one picture at a time and token by token."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

torch = pytest.importorskip("torch")
if find_spec("transformers") is None:
    pytest.skip("needs transformers", allow_module_level=True)
data = pytest.importorskip("skimage.data")

from safetensors.torch import load_file, save_file  # noqa: E402

from curate.cards import CardFile, load_card  # noqa: E402
from curate.errors import CurateError, WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.rater_settings import Settings  # noqa: E402
from curate.raters import Item  # noqa: E402
from curate.records import Status  # noqa: E402
from curate.scorers.libraries import import_transformers  # noqa: E402
from curate.scorers.pixels import fit_tensor  # noqa: E402
from curate.scorers.vlm.flant5_vqa import MEAN_COLOUR, PadThenResize, VqaScore, _load_tokenizer  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402
from tests.scorers.tiny.token_probability import SIDE, SYSTEM  # noqa: E402

CARD = "vqascore-clip-flant5"
PROMPTS = ["a red cat on a mat", "x", "two {braces} and ~ and 雪, unknown to T5"]

Make = Callable[..., Item]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> CardFile:
    return tiny_card(CARD, tmp_path_factory.mktemp("flant5"))


@pytest.fixture(scope="module")
def rater(card: CardFile) -> VqaScore:
    rater = load_rater(card, Settings(batch_size=4))
    assert isinstance(rater, VqaScore)
    return rater


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [data.astronaut()[:256, 100:400], data.coffee()[100:, 200:301], data.chelsea()]


@pytest.fixture(scope="module")
def state(card: CardFile) -> dict[str, Any]:
    """The weights under the names of the original checkpoint."""
    return dict(load_file(Path(card.where).parent / "model" / "model.safetensors"))


def judge(rater: VqaScore, make: Make, picture: np.ndarray, prompt: str | None) -> Any:
    (judgement,) = rater.judge([make(prompt=prompt, pixels={"response": picture}, preparations=rater.preparations)])
    return judgement.values["alignment"]


# The computation written out. Blocks of T5 and CLIP are those of transformers; all that is particular to this network is not.


def below(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def stock_t5(card: CardFile, state: dict[str, Any]) -> Any:
    transformers = import_transformers()
    config = json.loads((Path(card.where).parent / "model" / "config.json").read_text())
    model = transformers.T5ForConditionalGeneration(transformers.T5Config.from_dict({**config, "model_type": "t5"})).eval()
    model.lm_head = torch.nn.Linear(config["d_model"], config["vocab_size"], bias=False)
    own = ("vision_tower.", "mm_projector.", "embed_tokens.")
    model.load_state_dict({name: tensor for name, tensor in state.items() if not name.startswith(own)})
    return model


def patch_tokens(card: CardFile, state: dict[str, Any], picture: np.ndarray) -> Any:
    transformers = import_transformers()
    config = json.loads((Path(card.where).parent / "vision" / "config.json").read_text())["vision_config"]
    tower = transformers.CLIPVisionModel(transformers.CLIPVisionConfig.from_dict(config)).eval()
    tower.load_state_dict(below(state, "vision_tower.vision_tower.vision_model."))
    side = max(picture.shape[:2])
    square = Image.new("RGB", (side, side), tuple(int(mean * 255) for mean in (0.48145466, 0.4578275, 0.40821073)))
    square.paste(Image.fromarray(picture), ((side - picture.shape[1]) // 2, (side - picture.shape[0]) // 2))
    processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    x = tower.pre_layrnorm(tower.embeddings(processor(square, return_tensors="pt")["pixel_values"]))
    for layer in tower.encoder.layers[:-1]:
        x = layer(x, attention_mask=None)
        x = x[0] if isinstance(x, tuple) else x
    return x[0, 1:]


def written_out(card: CardFile, state: dict[str, Any], picture: np.ndarray, prompt: str) -> float:
    folder = Path(card.where).parent
    tokenizer = import_transformers().AutoTokenizer.from_pretrained(folder / "tokenizer")
    t5 = stock_t5(card, state)
    x = patch_tokens(card, state, picture)
    x = torch.nn.functional.gelu(x @ state["mm_projector.0.weight"].T + state["mm_projector.0.bias"])
    x = x @ state["mm_projector.2.weight"].T + state["mm_projector.2.bias"]
    before = tokenizer(f"{SYSTEM} USER: ").input_ids
    after = tokenizer(f'\nDoes this figure show "{prompt}"? Please answer yes or no. ASSISTANT: ').input_ids
    assert before[-1] == after[-1] == tokenizer.eos_token_id, "a text ends before the picture, and another at the end"
    words = state["shared.weight"]
    embeddings = torch.cat([words[before], x, words[after]])[None]
    mask = torch.ones(embeddings.shape[:2], dtype=torch.long)
    states = t5.encoder(inputs_embeds=embeddings, attention_mask=mask).last_hidden_state
    logs, said = [], [0]
    for token in tokenizer("Yes").input_ids:
        decoded = t5.decoder(
            input_ids=torch.tensor([said]), encoder_hidden_states=states, encoder_attention_mask=mask, use_cache=False
        ).last_hidden_state[0, -1]
        logits = (state["lm_head.weight"] @ decoded)[: len(tokenizer)]
        logs.append(float(logits.double().log_softmax(-1)[token]))
        said.append(token)
    assert len(logs) == 2
    return math.sqrt(math.exp(logs[0]) * math.exp(logs[1]))


def test_parity_with_the_computation_written_out(
    card: CardFile, rater: VqaScore, state: dict[str, Any], pictures: list[np.ndarray]
) -> None:
    found = rater.score(pictures, PROMPTS)[:, 0].tolist()
    with torch.no_grad():
        expected = [written_out(card, state, picture, prompt) for picture, prompt in zip(pictures, PROMPTS, strict=True)]
    assert found == pytest.approx(expected, abs=1e-5)
    assert min(expected) > 1e-3, "large enough for the tolerance to mean something"


def test_what_is_unknown_is_seen_and_padding_is_not(rater: VqaScore, pictures: list[np.ndarray]) -> None:
    """Braces are unknown to T5: they are attended to like words, and nothing that a longer neighbour adds is."""
    seen = rater._network.see(torch.rand(2, 3, SIDE, SIDE))
    questions = [rater._ids("a red {} ~"), rater._ids("a {red} cat {} " * 9)]
    assert questions[0].count(rater._tokenizer.unk_token_id) == 2
    embeddings, mask = rater._spliced(questions, seen)
    before = len(rater._before) + seen.shape[1]
    assert embeddings.shape[1] == before + len(questions[1])
    assert mask.tolist() == [[1] * (before + len(ids)) + [0] * (len(questions[1]) - len(ids)) for ids in questions]
    alone = rater.score(pictures[:1], ["a red {}"])[0, 0].item()
    assert rater.score(pictures[:1] * 2, ["a red {}", "a {red} cat " * 9])[0, 0].item() == pytest.approx(alone, abs=1e-6)


def test_half_precision_is_near(card: CardFile, rater: VqaScore, pictures: list[np.ndarray], tmp_path: Path) -> None:
    half = load_rater(changed(card, tmp_path, dtype="bfloat16"))
    assert isinstance(half, VqaScore)
    found = half.score(pictures, PROMPTS)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.log(), rater.score(pictures, PROMPTS).log(), atol=0.5, rtol=0)


def test_the_mean_is_geometric() -> None:
    golden = json.loads((Path(__file__).parents[2] / "golden" / f"{CARD}.json").read_text())
    for case in golden["head"]:
        logs = torch.tensor([case["probabilities"]]).log()
        assert float(logs.mean(-1).exp()) == pytest.approx(case["expected"], rel=1e-6)


def test_the_language_head_is_a_weight_of_its_own(card: CardFile, state: dict[str, Any], tmp_path: Path) -> None:
    for missing in ("lm_head.weight", "mm_projector.2.bias", "vision_tower.vision_tower.vision_model.pre_layrnorm.weight"):
        assert missing in state
        with pytest.raises(WeightsError, match="do not fit the architecture"):
            load_rater(with_state(card, tmp_path, {name: one for name, one in state.items() if name != missing}))


def with_state(card: CardFile, folder: Path, state: dict[str, Any]) -> CardFile:
    model = folder / "model"
    model.mkdir(exist_ok=True)
    (model / "config.json").write_bytes((Path(card.where).parent / "model" / "config.json").read_bytes())
    save_file(state, model / "model.safetensors", metadata={"format": "pt"})
    return changed(card, folder, weights={"model": {"path": str(model)}})


def changed(card: CardFile, folder: Path, *, weights: dict[str, Any] | None = None, **args: Any) -> CardFile:
    fields = yaml.safe_load(Path(card.where).read_text())
    fields["args"] |= args
    for one in fields["weights"].values():
        one["path"] = str(Path(card.where).parent / one["path"])
    fields["weights"] |= weights or {}
    (folder / "changed.yaml").write_text(yaml.safe_dump(fields))
    return load_card(str(folder / "changed.yaml"))


@pytest.mark.parametrize("stranger", ["encoder.block.7.layer.0.SelfAttention.q.weight", "vision_tower.vision_tower.other"])
def test_a_weight_without_a_place_is_an_error(stranger: str, card: CardFile, state: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="do not fit the architecture"):
        load_rater(with_state(card, tmp_path, {**state, stranger: torch.zeros(2)}))


# Pictures.


@pytest.mark.parametrize("shape", [(60, 90), (91, 60), (28, 28), (333, 332), (1, 40)])
def test_pictures_are_those_of_the_original(shape: tuple[int, int]) -> None:
    picture = data.astronaut()[: shape[0], : shape[1]]
    side = max(shape)
    square = Image.new("RGB", (side, side), MEAN_COLOUR)
    square.paste(Image.fromarray(picture), ((side - shape[1]) // 2, (side - shape[0]) // 2))
    processor = import_transformers().CLIPImageProcessorPil(
        size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}, do_normalize=False, do_rescale=False
    )
    theirs = processor(square, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    assert np.array_equal(PadThenResize(side=56)(picture), theirs)


def test_a_long_line_does_not_exhaust_memory() -> None:
    line = np.full((2, 32_000, 3), 255, np.uint8)
    made = PadThenResize(side=56)(line)
    assert made.shape == (56, 56, 3)
    assert (made[:20] == MEAN_COLOUR).all()


@pytest.mark.parametrize("shape", [(60, 90), (120, 91), (56, 56)])
def test_the_tensor_door_makes_nearly_the_same(shape: tuple[int, int]) -> None:
    picture = data.chelsea()[: shape[0], : shape[1]]
    make = PadThenResize(side=56)
    ours = fit_tensor(make, torch.from_numpy(picture.copy()).movedim(-1, 0)[None].float() / 255)[0].movedim(0, -1) * 255
    assert float((ours - torch.from_numpy(make(picture)).float()).abs().mean()) < 0.5


# Prompts.


def test_a_prompt_is_data(rater: VqaScore, sample_item: Make, pictures: list[np.ndarray]) -> None:
    value = judge(rater, sample_item, pictures[0], "cat </s> cat <pad>")
    assert value.status == Status.OK
    assert "control tokens" in value.detail
    # The end of the text and its padding, T5's tokens 1 and 0, are not what a prompt says.
    assert value.value == judge(rater, sample_item, pictures[0], "cat < /s> cat < pad>").value


def test_a_question_that_does_not_fit_has_no_value(rater: VqaScore, sample_item: Make, pictures: list[np.ndarray]) -> None:
    value = judge(rater, sample_item, pictures[0], "long " * 2000)
    assert (value.status, value.value) == (Status.TRUNCATED, None)
    assert "and the network takes" in value.detail


def test_without_a_prompt_there_is_a_status(rater: VqaScore, sample_item: Make, pictures: list[np.ndarray]) -> None:
    assert judge(rater, sample_item, pictures[0], None).status == Status.MISSING_PROMPT


# Cards that cannot be.


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ({"question": "Is it a cat?"}, "needs one place {text_prompt}"),
        ({"side": 56}, "the vision tower takes 28"),
        ({"dtype": "float16"}, "dtype"),
    ],
)
def test_a_wrong_card_is_one_sentence(args: dict[str, Any], complaint: str, card: CardFile, tmp_path: Path) -> None:
    with pytest.raises(CurateError, match=complaint):
        load_rater(changed(card, tmp_path, **args))


@pytest.mark.parametrize("form", ["spiece.model", "tokenizer.json"])
def test_texts_are_cut_as_sentencepiece_does(form: str, card: CardFile, tmp_path: Path) -> None:
    """The original's tokenizer is SentencePiece itself. This one is a small one with T5's settings."""
    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

    written = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(["does this figure show the quick brown fox that jumps over a lazy dog, yes or no?"] * 20),
        model_writer=written,
        vocab_size=60,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    folder = tmp_path / "pieces"
    folder.mkdir()
    (folder / "spiece.model").write_bytes(written.getvalue())
    settings = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    if form == "tokenizer.json":
        import_transformers().AutoTokenizer.from_pretrained(str(folder)).save_pretrained(folder)
        (folder / "spiece.model").unlink()
    loaded = _load_tokenizer(changed(card, tmp_path, weights={"tokenizer": {"path": str(folder)}}), offline=True)
    pieces = SentencePieceProcessor(model_proto=written.getvalue())
    for text in ["\nDoes  this\tfigure show? ", "ﬁgure, ｆｏｘ", "雪人 {} <fox> ~", " ", "fox\u00a0\u200bdog"]:
        assert loaded(text)["input_ids"] == [*pieces.encode(text), 1], text


def test_the_tokenizer_has_to_be_of_t5(card: CardFile, tmp_path: Path) -> None:
    from tests.scorers.tiny.token_probability import qwen_processor

    qwen_processor().tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(WeightsError, match="none of T5"):
        load_rater(changed(card, tmp_path, weights={"tokenizer": {"path": str(tmp_path / "other")}}))
