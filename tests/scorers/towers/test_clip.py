"""The two towers: parity with the formula written out, on tiny random weights of the true architecture."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")
for needed in ("transformers", "open_clip", "safetensors"):
    if find_spec(needed) is None:
        pytest.skip(f"needs {needed}", allow_module_level=True)

import curate  # noqa: E402
from curate.cards import CardFile, load_card, parse_card, shipped_cards  # noqa: E402
from curate.errors import CardError, CurateError, WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.rater_settings import Settings  # noqa: E402
from curate.raters import Item  # noqa: E402
from curate.records import Status  # noqa: E402
from curate.scorers.libraries import import_open_clip, import_transformers  # noqa: E402
from curate.scorers.pickles import converted_path  # noqa: E402
from curate.scorers.pixels import fit_tensor  # noqa: E402
from curate.scorers.towers import clip  # noqa: E402
from curate.scorers.towers.openclip import _architecture  # noqa: E402
from curate.store import Store  # noqa: E402
from curate.testing import write_shard  # noqa: E402
from tests.scorers.clip_formula import as_openclip, expected, formula_image, formula_text, token_ids  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402
from tests.scorers.tiny.clip import ARCHITECTURE, SIDE, clip_tokenizer, save_openclip, save_transformers  # noqa: E402

PROMPTS = ["a red cat on a mat", "Two DOGS, running!", "naïve café 雪"]
GOLDEN = Path(__file__).parents[2] / "golden"
LONG = "a very long story about " * 30

Make = Callable[..., Item]


# Tiny towers of the true architecture, saved and loaded as the real ones are.


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return clip_tokenizer()


def write_card(folder: Path, weights: dict[str, Any], name: str = "tiny", **args: Any) -> CardFile:
    card = {
        "name": name,
        "version": 1,
        "about": "tiny",
        "target": "curate.scorers.towers.clip:Similarity",
        "args": {"preprocess": {"size": SIDE, "rounding": "floor"}, **args},
        "takes": {"prompt": "required"},
        "dimensions": {"fit": {}},
        "main": "fit",
        "weights": weights,
        "extra": "rewards",
        "licence": "made up",
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(card))
    return load_card(str(path))


@pytest.fixture(scope="module")
def hf_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    folder = tmp_path_factory.mktemp("hf")
    save_transformers(folder / "model", tokenizer)
    return folder


@pytest.fixture(scope="module")
def oc_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("oc")
    save_openclip(folder / "gelu")
    save_openclip(folder / "quick", quick_gelu=True)
    return folder


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    data = pytest.importorskip("skimage.data")
    return [data.astronaut()[:256, 100:400], data.coffee()[100:, 200:500], data.chelsea()]


def judge(rater: Any, make: Make, pairs: list[tuple[np.ndarray, str | None]]) -> list[Any]:
    items = [
        make(number=number, prompt=prompt, pixels={"response": picture}, preparations=rater.preparations)
        for number, (picture, prompt) in enumerate(pairs)
    ]
    judged = {judgement.item: judgement.values[rater.dimensions[0]] for judgement in rater.judge(items)}
    return [judged[number] for number in range(len(pairs))]


@pytest.mark.parametrize(("activation", "eos"), [("quick_gelu", 2), ("gelu", 49407)], ids=["OpenAI", "LAION"])
def test_transformers_towers_follow_the_formula(
    activation: str, eos: int, tmp_path: Path, tokenizer: Any, pictures: list[np.ndarray], sample_item: Make
) -> None:
    from safetensors.torch import load_file

    save_transformers(tmp_path / "model", tokenizer, activation=activation, eos=eos)
    state = load_file(tmp_path / "model" / "model.safetensors")
    weights = {"model": {"path": "model"}}
    scaled = load_rater(write_card(tmp_path, weights, library="transformers", score="scaled"))
    cosine = load_rater(write_card(tmp_path, weights, library="transformers"))
    pairs = list(zip(pictures, [*PROMPTS[:2], LONG], strict=True))
    wanted = [
        expected(scaled.preparations[0].make(picture), token_ids(prompt), as_openclip(state), quick=activation == "quick_gelu")
        for picture, prompt in pairs
    ]
    assert np.ptp(wanted) > 0.02, "the pairs differ enough for parity to mean something"
    assert [value.value for value in judge(cosine, sample_item, pairs)] == pytest.approx(wanted, abs=1e-5)
    factor = float(state["logit_scale"].exp())
    assert [value.value for value in judge(scaled, sample_item, pairs)] == pytest.approx(
        [factor * one for one in wanted], abs=1e-4
    )


@pytest.mark.parametrize("quick", [False, True], ids=["gelu", "quick_gelu"])
def test_openclip_towers_follow_the_formula(quick: bool, oc_folder: Path, pictures: list[np.ndarray], sample_item: Make) -> None:
    from safetensors.torch import load_file

    kind = "quick" if quick else "gelu"
    name = f"{ARCHITECTURE}-quickgelu" if quick else ARCHITECTURE
    weights = {"model": {"path": kind, "file": "open_clip_model.safetensors"}}
    rater = load_rater(write_card(oc_folder, weights, library="open_clip", model=name, quick_gelu=quick))
    state = load_file(oc_folder / kind / "open_clip_model.safetensors")
    pairs = list(zip(pictures, [*PROMPTS[:2], LONG], strict=True))
    wanted = [expected(rater.preparations[0].make(picture), token_ids(prompt), state, quick=quick) for picture, prompt in pairs]
    assert np.ptp(wanted) > 0.02
    assert [value.value for value in judge(rater, sample_item, pairs)] == pytest.approx(wanted, abs=1e-5)


def test_pixels_are_those_of_the_original_processor(pictures: list[np.ndarray], hf_folder: Path, sample_item: Make) -> None:
    """transformers' own Pillow processor, on odd margins as well."""
    processor_class = getattr(import_transformers(), "CLIPImageProcessorPil", None)
    if processor_class is None:
        pytest.skip("this transformers has no Pillow processor of that name")
    from PIL import Image

    rater: Any = load_rater(write_card(hf_folder, {"model": {"path": "model"}}, library="transformers"))
    processor = processor_class(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    for picture in [*pictures, pictures[0][:333, :77], pictures[1][:45, :400]]:
        wanted = processor(Image.fromarray(picture), return_tensors="np")["pixel_values"][0]
        made = rater._normalise(rater._on_device(torch.from_numpy(np.stack([rater.preparations[0].make(picture)]))))[0].numpy()
        np.testing.assert_allclose(made, wanted, atol=1e-5)


def test_pixels_are_those_of_openclip(pictures: list[np.ndarray], oc_folder: Path) -> None:
    """The card of an OpenCLIP model, whose crop rounds the other way, against OpenCLIP's own transform."""
    open_clip = import_open_clip()
    from PIL import Image

    weights = {"model": {"path": "gelu", "file": "open_clip_model.safetensors"}}
    rater: Any = load_rater(write_card(oc_folder, weights, library="open_clip", model=ARCHITECTURE, preprocess={"size": SIDE}))
    transform = open_clip.image_transform(SIDE, is_train=False)
    for picture in [*pictures, pictures[0][:233, :77], pictures[1][:45, :299]]:
        made = rater._normalise(rater._on_device(torch.from_numpy(np.stack([rater.preparations[0].make(picture)]))))[0]
        torch.testing.assert_close(made, transform(Image.fromarray(picture)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["clipscore", "clipscore-torchmetrics", "clipscore-imagereward"])
def test_the_three_conventions_of_clipscore(name: str, tmp_path: Path, pictures: list[np.ndarray], sample_item: Make) -> None:
    from safetensors.torch import load_file

    conventions = {
        "clipscore": lambda cosine: 2.5 * max(cosine, 0.0),
        "clipscore-torchmetrics": lambda cosine: 100 * cosine,
        "clipscore-imagereward": lambda cosine: cosine,
    }
    rater = load_rater(tiny_card(name, tmp_path))
    weights = as_openclip(load_file(tmp_path / "model" / "model.safetensors"))
    pairs = list(zip(pictures, PROMPTS, strict=True))
    prefix = "A photo depicts " if name == "clipscore" else ""
    cosines = [
        expected(rater.preparations[0].make(picture), token_ids(prefix + prompt), weights, quick=True)
        for picture, prompt in pairs
    ]
    assert min(cosines) < 0 < max(cosines), "both sides of zero are tried"
    wanted = [conventions[name](cosine) for cosine in cosines]
    tolerance = json.loads((GOLDEN / f"{name}.json").read_text())["tolerance"]["fp32_cpu"]
    assert [value.value for value in judge(rater, sample_item, pairs)] == pytest.approx(wanted, abs=tolerance)


def test_long_prompts_reach_the_long_tower_by_the_formula_of_its_two_tables(
    tmp_path: Path, pictures: list[np.ndarray], sample_item: Make
) -> None:
    """Long-CLIP keeps two tables of 248 positions, and adds rows below 20 of the one and the rest of the other."""
    from safetensors.torch import load_file

    rater = load_rater(tiny_card("long-clip", tmp_path))
    weights = as_openclip(load_file(tmp_path / "model" / "model.safetensors"))
    merged = weights.pop("positional_embedding")
    below_20 = (torch.arange(248) < 20).float()[:, None]
    kept, interpolated = (torch.where(mask > 0, merged, torch.full_like(merged, 9.0)) for mask in (below_20, 1 - below_20))
    weights["positional_embedding"] = kept * below_20 + interpolated * (1 - below_20)
    for prompt, cut in ((PROMPTS[0], False), (LONG, False), (LONG * 3, True)):
        ids = token_ids(prompt, 248)
        wanted = expected(rater.preparations[0].make(pictures[0]), ids, weights, quick=True)
        value = judge(rater, sample_item, [(pictures[0], prompt)])[0]
        assert value.value == pytest.approx(wanted, abs=1e-5)
        assert value.detail == ("the prompt was cut to 248 tokens" if cut else None)
    assert 77 < len(token_ids(LONG, 248)) < 248


@pytest.mark.parametrize("card", ["hpsv2", "hpsv2-1"])
def test_hpsv2_resizes_tensors_and_pads_them(card: str, tmp_path: Path, pictures: list[np.ndarray]) -> None:
    """At both doors; written out with torchvision, which the original calls."""
    import_open_clip()  # torchvision of another build than torch's is mended there
    from torchvision.transforms import functional

    rater: Any = load_rater(tiny_card(card, tmp_path))
    noise = np.random.default_rng(0).integers(0, 256, (101, 64, 3), dtype=np.uint8)  # whose resize overshoots
    beyond = 0
    for picture in [*pictures, pictures[0][:233, :77], pictures[1][:32, :21], noise]:
        tall, wide = (round(side * SIDE / max(picture.shape[:2])) for side in picture.shape[:2])
        resized = functional.resize(
            functional.to_tensor(picture), [tall, wide], functional.InterpolationMode.BICUBIC, antialias=True
        )
        left, top = (SIDE - wide) // 2, (SIDE - tall) // 2
        square = functional.pad(resized, [left, top, SIDE - wide - left, SIDE - tall - top], fill=0)
        beyond += int(((square < 0) | (square > 1)).sum())
        wanted = functional.normalize(square, rater._normalise._mean, rater._normalise._std)
        preparation = rater.preparations[0].make
        made = rater._normalise(rater._on_device(torch.from_numpy(np.stack([preparation(picture)]))))[0]
        assert torch.equal(made, wanted)
        through = rater._normalise(fit_tensor(preparation, functional.to_tensor(picture)[None]))[0]
        assert torch.equal(through, wanted)
    assert beyond > 0


def test_float_pixels_come_through_decode_workers_as_they_are(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    from PIL import Image

    records = []
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(file := io.BytesIO(), "PNG")
        records.append((f"{number}", {"png": file.getvalue(), "txt": b"a cat"}))
    shard = str(write_shard(tmp_path / "made.tar", records))
    card = tiny_card("hpsv2", tmp_path)
    found = []
    for workers in (0, 2):
        curate.rate([shard], raters=[card.where], store=tmp_path / f"{workers}", workers=workers)
        with Store.open(tmp_path / f"{workers}") as store:
            found.append(sorted((one.sample, one.value) for one in store.ratings()))
    assert len(found[0]) == len(pictures)
    assert found[0] == found[1]
    alone = load_rater(card).score(pictures, ["a cat"] * len(pictures))[:, 0].tolist()
    assert sorted(value for _, value in found[0]) == pytest.approx(sorted(alone), abs=1e-6)


def test_a_checkpoint_is_read_in_its_converted_form(
    tmp_path: Path, oc_folder: Path, pictures: list[np.ndarray], sample_item: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As HPSv2's: a torch pickle, whose tensors lie in the cache as safetensors under its SHA-256; half precision is widened."""
    from safetensors.torch import load_file, save_file

    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    state = {name: weight.half() for name, weight in load_file(oc_folder / "gelu" / "open_clip_model.safetensors").items()}
    torch.save({"state_dict": state}, tmp_path / "HPS.pt")
    card = write_card(tmp_path, {"model": {"path": "HPS.pt"}}, library="open_clip", model=ARCHITECTURE)
    with pytest.raises(WeightsError, match=r"is a pickle.*run `curate raters convert .*tiny"):
        load_rater(card)
    converted = converted_path(tmp_path / "HPS.pt")
    converted.parent.mkdir(parents=True)
    save_file(state, converted)
    rater = load_rater(card)
    wide = {name: weight.float() for name, weight in state.items()}
    wanted = expected(rater.preparations[0].make(pictures[0]), token_ids(PROMPTS[0]), wide, quick=False)
    assert judge(rater, sample_item, [(pictures[0], PROMPTS[0])])[0].value == pytest.approx(wanted, abs=1e-5)


def test_ranking_by_distance_is_ranking_by_cosine(tmp_path: Path, pictures: list[np.ndarray], sample_item: Make) -> None:
    """Social Reward is trained with squared distances and judged by cosines: -|t - p|^2 = 2 * cos - 2."""
    from safetensors.torch import load_file

    rater = load_rater(tiny_card("social-reward", tmp_path))
    weights = load_file(tmp_path / "model" / "open_clip_model.safetensors")
    text = torch.nn.functional.normalize(formula_text(token_ids(PROMPTS[1]), weights, quick=True), dim=0)
    distances = []
    for picture in pictures:
        image = formula_image(rater.preparations[0].make(picture), weights, quick=True)
        distances.append(float((text - torch.nn.functional.normalize(image, dim=0)).square().sum()))
    values = [value.value for value in judge(rater, sample_item, [(picture, PROMPTS[1]) for picture in pictures])]
    assert [2 * value - 2 for value in values] == pytest.approx([-distance for distance in distances], abs=1e-5)


def test_another_card_of_two_towers_is_a_file_and_nothing_else(
    tmp_path: Path, hf_folder: Path, pictures: list[np.ndarray]
) -> None:
    from PIL import Image

    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "mine.yaml").write_text(f"""
        name: our-own-clip
        version: 1
        about: Towers of ours, ten times the cosine and never below minus five.
        target: curate.scorers.towers.clip:Similarity
        args: {{library: transformers, times: 10.0, at_least: -0.5, preprocess: {{size: {SIDE}, mode: squash}}}}
        takes: {{prompt: required}}
        dimensions: {{fit: {{}}}}
        main: fit
        weights: {{model: {{path: {hf_folder / "model"}}}}}
        extra: rewards
        licence: our own
    """)
    records = []
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / "picture.png")
        records.append((f"{number}", {"png": (tmp_path / "picture.png").read_bytes(), "txt": PROMPTS[number].encode()}))
    write_shard(tmp_path / "made.tar", records)
    card = str(tmp_path / "cards" / "mine.yaml")
    report = curate.rate([str(tmp_path / "made.tar")], raters=[card], store=tmp_path / "store", workers=0)
    assert report.statuses["our-own-clip"] == {Status.OK: len(pictures)}


@pytest.fixture(scope="module")
def rater(hf_folder: Path) -> Any:
    return load_rater(write_card(hf_folder, {"model": {"path": "model"}}, name="shared", library="transformers", score="scaled"))


def test_batches_change_nothing(
    rater: Any, pictures: list[np.ndarray], sample_item: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [(picture, prompt) for prompt in [*PROMPTS, LONG] for picture in pictures]
    together = [value.value for value in judge(rater, sample_item, pairs)]
    rater._towers.forget()
    monkeypatch.setattr(rater, "batch_size", 1)
    alone = [value.value for value in judge(rater, sample_item, pairs)]
    assert together == pytest.approx(alone, abs=1e-5 * rater._factor)


def test_a_cut_prompt_keeps_its_value_and_says_so(rater: Any, pictures: list[np.ndarray], sample_item: Make) -> None:
    short, long = judge(rater, sample_item, [(pictures[0], "a cat"), (pictures[0], LONG)])
    assert (short.status, short.detail) == (Status.OK, None)
    assert long.status is Status.OK
    assert long.value is not None
    assert long.detail == "the prompt was cut to 77 tokens"
    exact = " ".join(["cat"] * 75)  # 75 words and the two marks are 77 tokens
    assert judge(rater, sample_item, [(pictures[0], exact)])[0].detail is None
    assert judge(rater, sample_item, [(pictures[0], exact + " cat")])[0].detail is not None


def test_without_a_prompt_there_is_no_value_and_the_others_keep_theirs(
    rater: Any, pictures: list[np.ndarray], sample_item: Make
) -> None:
    values = judge(rater, sample_item, [(pictures[0], None), (pictures[0], "a cat"), (pictures[1], "")])
    assert [value.status for value in values] == [Status.MISSING_PROMPT, Status.OK, Status.MISSING_PROMPT]


def test_a_prompt_goes_through_the_text_tower_once(
    rater: Any, pictures: list[np.ndarray], sample_item: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    rater._towers.forget()
    asked: list[str] = []
    embed = rater._towers._library.embed_texts
    monkeypatch.setattr(rater._towers._library, "embed_texts", lambda texts: asked.extend(texts) or embed(texts))
    monkeypatch.setattr(rater, "batch_size", 2)
    values = judge(rater, sample_item, [(picture, prompt) for prompt in ("one", "two", "one") for picture in pictures])
    assert asked == ["one", "two"]
    assert [value.value for value in values[:3]] == pytest.approx([value.value for value in values[6:]], abs=1e-4)


def test_out_of_memory_halves_the_batch_and_loses_nothing(
    rater: Any, pictures: list[np.ndarray], sample_item: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [(np.roll(picture, number, axis=1), PROMPTS[0]) for number in range(3) for picture in pictures]
    wanted = [value.value for value in judge(rater, sample_item, pairs)]
    rater._towers.forget()
    embed = rater._towers._library.embed_images

    def little_memory(pixels: torch.Tensor) -> torch.Tensor:
        if len(pixels) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return embed(pixels)

    monkeypatch.setattr(rater._towers._library, "embed_images", little_memory)
    monkeypatch.setattr(rater, "batch_size", 8)
    assert [value.value for value in judge(rater, sample_item, pairs)] == pytest.approx(wanted, abs=1e-3)
    assert rater.batch_size == 2


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_near_and_keeps_the_scale(
    dtype: str, hf_folder: Path, rater: Any, pictures: list[np.ndarray], sample_item: Make
) -> None:
    card = write_card(hf_folder, {"model": {"path": "model"}}, name="half", library="transformers", score="scaled", dtype=dtype)
    half: Any = load_rater(card)
    assert half._factor == rater._factor
    pairs = list(zip(pictures, PROMPTS, strict=True))
    near = [value.value for value in judge(half, sample_item, pairs)]
    assert near == pytest.approx([value.value for value in judge(rater, sample_item, pairs)], abs=0.02 * rater._factor)


def test_the_fast_backend_is_near_and_is_another_card(
    hf_folder: Path, rater: Any, pictures: list[np.ndarray], sample_item: Make
) -> None:
    fast_file = write_card(
        hf_folder,
        {"model": {"path": "model"}},
        name="fast",
        library="transformers",
        score="scaled",
        preprocess={"size": SIDE, "rounding": "floor", "backend": "fast"},
    )
    fast = load_rater(fast_file)
    pairs = list(zip(pictures, PROMPTS, strict=True))
    values = [value.value for value in judge(fast, sample_item, pairs)]
    assert values == pytest.approx([value.value for value in judge(rater, sample_item, pairs)], abs=0.1)


# Weights from the hub, and everything that can be wrong with weights.


def hub_cache(root: Path, repository: str, revision: str, files: Path) -> None:
    """A cache as the hub's client lays it out."""
    folder = root / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(revision)
    (folder / "snapshots").mkdir()
    (folder / "snapshots" / revision).symlink_to(files)


@pytest.fixture
def cache(tmp_path: Path, hf_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    import huggingface_hub.constants

    revision = "0123456789abcdef0123456789abcdef01234567"
    hub_cache(tmp_path / "hub", "someone/tiny", revision, hf_folder / "model")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return revision


def test_weights_of_the_hub_come_from_the_cache_without_a_network(
    tmp_path: Path, cache: str, rater: Any, pictures: list[np.ndarray], sample_item: Make
) -> None:
    card = write_card(tmp_path, {"model": {"hub": "someone/tiny", "revision": cache}}, library="transformers", score="scaled")
    cached = load_rater(card, Settings(offline=True))
    pairs = [(pictures[0], PROMPTS[0])]
    assert judge(cached, sample_item, pairs)[0].value == pytest.approx(judge(rater, sample_item, pairs)[0].value)


def test_an_unpinned_revision_is_said_aloud(tmp_path: Path, cache: str, caplog: pytest.LogCaptureFixture) -> None:
    card = write_card(tmp_path, {"model": {"hub": "someone/tiny", "revision": "unpinned"}}, library="transformers")
    load_rater(card, Settings(offline=True))
    assert "the revision of someone/tiny is not pinned" in caplog.text


def test_missing_weights_are_one_sentence_with_two_ways_out(tmp_path: Path, cache: str) -> None:
    other = "f" * 40
    card = write_card(tmp_path, {"model": {"hub": "someone/tiny", "revision": other}}, library="transformers")
    with pytest.raises(WeightsError) as raised:
        load_rater(card, Settings(offline=True))
    said = str(raised.value)
    assert "\n" not in said
    for part in ("this run is offline", "licence: made up", f"hf download someone/tiny --revision {other}", "weights.model.path"):
        assert part in said


def test_an_unreachable_hub_is_the_same_sentence(tmp_path: Path, cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import OfflineModeIsEnabled

    real = huggingface_hub.snapshot_download

    def no_network(*args: Any, local_files_only: bool, **options: Any) -> str:
        if not local_files_only:
            raise OfflineModeIsEnabled("Cannot reach the hub: offline mode is enabled.")
        return real(*args, local_files_only=True, **options)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", no_network)
    card = write_card(tmp_path, {"model": {"hub": "nobody/nothing", "revision": "f" * 40}}, library="transformers")
    with pytest.raises(WeightsError, match=r"Cannot reach the hub.*hf download nobody/nothing"):
        load_rater(card)


@pytest.mark.parametrize(
    ("weights", "args", "said"),
    [
        ({"model": {"path": "nowhere"}}, {"library": "transformers"}, "does not hold config.json and model"),
        ({}, {"library": "transformers"}, "needs 'weights.model'"),
        ({"model": {"path": "model"}}, {"library": "transformer"}, "args.library"),
        ({"model": {"path": "model"}}, {"library": "transformers", "dtipe": "float16"}, "Did you mean 'dtype'"),
        ({"model": {"path": "model"}}, {"library": "transformers", "model": "ViT-B-32"}, "transformers takes none"),
        ({"model": {"path": "model"}}, {"library": "open_clip"}, "open_clip needs 'model'"),
        ({"model": {"path": "model"}}, {"library": "open_clip", "model": "ViT-B-33"}, "no architecture 'ViT-B-33'.*ViT-B-32"),
        ({"model": {"path": "model"}}, {"library": "open_clip", "model": "ViT-B-16-SigLIP"}, "own tokenizer"),
        ({"model": {"path": "model"}}, {"library": "open_clip", "model": "ViT-H-14", "quick_gelu": True}, "want QuickGELU"),
        ({"model": {"path": "model"}}, {"library": "open_clip", "model": "ViT-B-32"}, "no file"),
        ({"model": {"path": "model"}}, {"library": "open_clip", "model": "ViT-B-32", "family": "siglip"}, "transformers only"),
        ({"model": {"path": "model"}}, {"library": "transformers", "wording": "lower"}, "for the family siglip"),
        ({"model": {"path": "model"}}, {"library": "open_clip", "model": "ViT-B-32", "wording": "openai"}, "tokenizer has it"),
        ({"model": {"path": "model"}}, {"library": "transformers", "family": "siglip", "wording": "openai"}, "for CLIPs"),
        (
            {"model": {"path": "model"}},
            {"library": "transformers", "family": "siglip"},
            "a model of the type 'clip', not 'siglip'",
        ),
        ({"model": {"path": "model", "file": "../../x"}}, {"library": "open_clip", "model": "ViT-B-32"}, "does not hold"),
        ({"model": {"path": "model"}}, {"library": "transformers", "preprocess": {"size": 64}}, "takes 32"),
        ({"model": {"path": "model"}}, {"library": "transformers", "preprocess": {"sise": 32}}, "no field 'sise'.*'size'"),
    ],
)
def test_mistakes_in_a_card_are_sentences(weights: Any, args: dict[str, Any], said: str, hf_folder: Path) -> None:
    with pytest.raises(CurateError, match=said) as raised:
        load_rater(write_card(hf_folder, weights, name="wrong", **args))
    assert "wrong.yaml" in str(raised.value)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path, tokenizer: Any) -> None:
    from safetensors.torch import load_file, save_file

    save_transformers(tmp_path / "model", tokenizer)
    path = tmp_path / "model" / "model.safetensors"
    state = load_file(path)
    card = write_card(tmp_path, {"model": {"path": "model"}}, library="transformers")
    save_file({name: weight for name, weight in state.items() if name != "visual_projection.weight"}, path, {"format": "pt"})
    with pytest.raises(WeightsError, match=r"visual_projection\.weight"):
        load_rater(card)
    save_file(state | {"head.weight": torch.zeros(2)}, path, {"format": "pt"})
    with pytest.raises(WeightsError, match=r"head\.weight"):
        load_rater(card)
    path.write_bytes(b"not safetensors at all")
    with pytest.raises((WeightsError, CardError), match="cannot load the weights"):
        load_rater(card)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    save_transformers(tmp_path / "model", tokenizer, eos=49000)
    with pytest.raises(WeightsError, match="does not belong to the text tower"):
        load_rater(write_card(tmp_path, {"model": {"path": "model"}}, library="transformers"))


def test_weights_of_openclip_that_do_not_fit_are_refused(tmp_path: Path, oc_folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(oc_folder / "gelu" / "open_clip_model.safetensors")
    for wrong, said in (
        ({name: weight for name, weight in state.items() if name != "visual.proj"}, r"visual\.proj"),
        (state | {"head.weight": torch.zeros(2)}, r"head\.weight"),
        (state | {"ln_final.bias": torch.zeros(5)}, r"ln_final\.bias"),
    ):
        save_file(wrong, tmp_path / "one.safetensors")
        card = write_card(tmp_path, {"model": {"path": "one.safetensors"}}, library="open_clip", model=ARCHITECTURE)
        with pytest.raises(WeightsError, match=said):
            load_rater(card)


def test_openclip_says_nothing_of_random_weights_and_leaves_the_logging_of_the_process_alone(
    oc_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    weights = {"model": {"path": str(oc_folder / "gelu" / "open_clip_model.safetensors")}}
    card = write_card(tmp_path, weights, library="open_clip", model=ARCHITECTURE)
    monkeypatch.setattr(logging.root, "handlers", [])  # as in a process that never set its logging up
    capfd.readouterr()
    load_rater(card)
    assert logging.root.handlers == []
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize("name", ["ViT-B-32", "coca_ViT-B-32", "EVA02-B-16", "ViT-B-16-quickgelu", "RN50"])
def test_architectures_of_openclip_are_those_that_it_makes_itself(name: str) -> None:
    """By the names and shapes of their weights, and the functions between them."""
    open_clip = import_open_clip()
    with torch.device("meta"):
        theirs = open_clip.create_model(name, device="meta")
        ours = _architecture(open_clip, open_clip.get_model_config(name))
    assert type(ours) is type(theirs)
    assert str(ours) == str(theirs)
    assert {key: one.shape for key, one in ours.state_dict().items()} == {
        key: one.shape for key, one in theirs.state_dict().items()
    }


def test_a_file_of_weights_that_would_run_code_is_never_opened(tmp_path: Path, oc_folder: Path) -> None:
    import pickle

    class Runs:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Runs(), protocol=2))
    torch.save({"logit_scale": Runs()}, tmp_path / "evil.bin")
    (tmp_path / "evil.safetensors").write_bytes(pickle.dumps(Runs(), protocol=2))
    for name, said in (("evil.pt", "is a pickle"), ("evil.bin", "is a pickle"), ("evil.safetensors", "cannot read")):
        card = write_card(tmp_path, {"model": {"path": name}}, library="open_clip", model=ARCHITECTURE)
        with pytest.raises(WeightsError, match=said):
            load_rater(card)
    assert not (tmp_path / "ran").exists()


def test_other_bytes_than_the_card_says_are_refused(oc_folder: Path) -> None:
    weights = {"model": {"path": "gelu", "file": "open_clip_model.safetensors", "sha256": "0" * 64}}
    with pytest.raises(WeightsError, match="it is another file"):
        load_rater(write_card(oc_folder, weights, library="open_clip", model=ARCHITECTURE))


def test_a_device_that_is_not_there_is_a_sentence(hf_folder: Path) -> None:
    card = write_card(hf_folder, {"model": {"path": "model"}}, library="transformers")
    with pytest.raises(CurateError, match="no device 'cuda:99' here: use auto or cpu"):
        load_rater(card, Settings(device="cuda:99"))


@pytest.mark.gpu
def test_the_gpu_gives_the_values_of_the_cpu(hf_folder: Path, rater: Any, pictures: list[np.ndarray], sample_item: Make) -> None:
    card = write_card(hf_folder, {"model": {"path": "model"}}, name="gpu", library="transformers", score="scaled")
    pairs = list(zip(pictures, PROMPTS, strict=True))
    on_gpu = [value.value for value in judge(load_rater(card, Settings(device="cuda")), sample_item, pairs)]
    on_cpu = [value.value for value in judge(load_rater(card, Settings(device="cpu")), sample_item, pairs)]
    assert on_gpu == pytest.approx(on_cpu, abs=1e-2)


SIMILARITIES = {
    name: file for name, file in shipped_cards().items() if file.card.target == "curate.scorers.towers.clip:Similarity"
}


@pytest.mark.parametrize("name", SIMILARITIES)
def test_shipped_cards_name_architectures_and_squares_that_hold_together(name: str) -> None:
    args = clip.arguments(SIMILARITIES[name], clip.ClipArguments)
    if args.library == "open_clip":
        config = import_open_clip().get_model_config(args.model)
        assert config["vision_cfg"]["image_size"] == args.preprocess["size"]
        assert config.get("quick_gelu", False) == args.quick_gelu
    assert args.preprocess["size"] == (384 if args.family == "siglip" else 224)
    assert (args.score == "logit") == (args.family == "siglip")
    assert parse_card(Path(SIMILARITIES[name].where).read_text(encoding="utf-8"), where=name) == SIMILARITIES[name].card
