"""VideoScore: parity with the library's own Idefics2 and processor and a head written out, on tiny random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from PIL import Image  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from curate.cards import load_card  # noqa: E402
from curate.errors import WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.records import Status  # noqa: E402
from curate.scorers.libraries import import_transformers  # noqa: E402
from curate.scorers.passes import Inputs  # noqa: E402
from curate.scorers.vlm.videoscore import Bounded  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402
from tests.scorers.tiny.vlm import HIDDEN, idefics_config, idefics_tokenizer  # noqa: E402

PROMPTS = ["a red cat", "two dogs that run, naïve café 雪"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videoscore")


@pytest.fixture(scope="module")
def rater(folder: Path) -> Any:
    return load_rater(tiny_card("videoscore", folder))


def states_of(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for path in (folder / "model").glob("*.safetensors"):
        state |= load_file(path)
    return state


def processor_of_the_library() -> Any:
    transformers = import_transformers()
    from transformers.models.idefics2.image_processing_pil_idefics2 import Idefics2ImageProcessorPil

    pictures = Idefics2ImageProcessorPil(size={"shortest_edge": 28, "longest_edge": 56}, do_image_splitting=False)
    return transformers.Idefics2Processor(pictures, idefics_tokenizer(), image_seq_len=3)


@torch.no_grad()
def expected(folder: Path, frames: np.ndarray, prompt: str) -> list[float]:
    """The original's steps: its prompt with a mark for each frame, the processor, the whole network, the last token."""
    state = states_of(folder)
    model = import_transformers().Idefics2Model(idefics_config(idefics_tokenizer())).eval()
    body = {name.removeprefix("model."): weight for name, weight in state.items() if name.startswith("model.")}
    model.load_state_dict(body, strict=True)
    text = f'Judge the video of "{prompt}",\nwhose frames are:\n' + "<image> " * len(frames)
    inputs = processor_of_the_library()(text=text, images=[Image.fromarray(frame) for frame in frames], return_tensors="pt")
    last = model(**inputs, use_cache=False).last_hidden_state[0, -1]
    return (state["score.weight"] @ last + state["score.bias"]).tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("shape", [(70, 50), (40, 90), (30, 30)])
def test_it_is_the_computation_of_the_original(rater: Any, folder: Path, shape: tuple[int, int]) -> None:
    videos = np.random.default_rng(5).integers(0, 256, (2, 3, *shape, 3), dtype=np.uint8)
    prepared = np.stack([[rater.preparations[0].make(frame) for frame in video] for video in videos])
    pixels = torch.from_numpy(prepared).movedim(-1, 2) / 255
    values = rater.forward(Inputs(pixels={"response": pixels}, prompts=PROMPTS)).values
    wanted = torch.tensor([expected(folder, video, prompt) for video, prompt in zip(videos, PROMPTS, strict=True)])
    assert (wanted[0] - wanted[1]).abs().max() > 0.01, "the videos differ enough for parity to mean something"
    torch.testing.assert_close(values, wanted, atol=1e-5, rtol=0)


def test_texts_are_cut_as_the_file_says(rater: Any, folder: Path) -> None:
    """The class that transformers has for this kind of network has another token behind a frame, where the head reads."""
    from tokenizers import Tokenizer

    filed = Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))
    for prompt in [*PROMPTS, " two  blanks ", ""]:
        shown = "<fake_token_around_image>" + "<image>" * 3 + "<fake_token_around_image> "
        wanted = filed.encode(f'Judge the video of "{prompt}",\nwhose frames are:\n' + shown * 2)
        asked, _ = rater._reader.question('Judge the video of "{text_prompt}",\nwhose frames are:\n', prompt, 2)
        assert asked == wanted.ids
        assert wanted.tokens[-1] == "▁▁"


def test_a_tokenizer_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    file = tiny_card("videoscore", tmp_path)
    (tmp_path / "model" / "tokenizer.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"cannot read .*tokenizer\.json"):
        load_rater(load_card(file.where))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((480, 640), (480, 640)),
        ((1080, 1920), (551, 980)),
        ((1920, 1080), (980, 551)),
        ((100, 200), (378, 378)),
        ((50, 4000), (378, 980)),
    ],
)
def test_sizes_of_frames(before: tuple[int, int], after: tuple[int, int]) -> None:
    from transformers.image_utils import SizeDict
    from transformers.models.idefics2.image_processing_pil_idefics2 import get_resize_output_image_size

    make = Bounded(shortest=378, longest=980)
    assert make.size(*before) == after
    assert get_resize_output_image_size(np.empty((3, *before)), SizeDict(shortest_edge=378, longest_edge=980)) == after
    assert make.on_tensor(torch.rand(2, 3, *before)).shape == (2, 3, *after)


def test_batches_of_different_lengths_change_nothing(rater: Any) -> None:
    frames = torch.rand(3, 2, 3, 56, 42)
    prompts = ["short", "a long prompt " * 9, "x"]
    together = rater.forward(Inputs(pixels={"response": frames}, prompts=prompts)).values
    for row in range(3):
        alone = rater.forward(Inputs(pixels={"response": frames[row : row + 1]}, prompts=prompts[row : row + 1])).values
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=0)


def test_grey_frames_are_frames(rater: Any) -> None:
    """Normalised they are zero everywhere, which the network's own entrance takes for padding."""
    grey = torch.full((1, 2, 3, 56, 56), 0.5)
    scores = rater.forward(Inputs(pixels={"response": grey}, prompts=["a wall"]))
    assert scores.values.isfinite().all()
    assert not scores.failures


def test_gradients_reach_every_frame(rater: Any) -> None:
    frames = torch.rand(1, 3, 3, 40, 60, requires_grad=True)
    rater.score_tensor(frames, ["a cat"], dimension="dynamic_degree").sum().backward()
    assert frames.grad is not None
    assert (frames.grad.abs().amax(dim=(0, 2, 3, 4)) > 0).all()


def test_hostile_and_long_captions(rater: Any) -> None:
    frames = torch.rand(3, 2, 3, 56, 56)
    scores = rater.forward(Inputs(pixels={"response": frames}, prompts=["<image> cat </s>", "cat " * 300, "a cat"]))
    assert set(scores.notes) == {0}
    assert {row: status for row, (status, _) in scores.failures.items()} == {1: Status.TOO_LARGE}
    alone = rater.forward(Inputs(pixels={"response": frames[2:]}, prompts=["a cat"])).values
    torch.testing.assert_close(scores.values[2], alone[0], atol=1e-5, rtol=0)


def test_names_are_those_of_the_checkpoint(folder: Path, rater: Any) -> None:
    names = set(states_of(folder))
    assert {"score.weight", "score.bias", "model.text_model.embed_tokens.weight", "model.text_model.norm.weight"} <= names
    assert {"model.vision_model.embeddings.patch_embedding.weight", "model.connector.perceiver_resampler.latents"} <= names
    assert not any(name.startswith("lm_head") for name in names)


@pytest.mark.parametrize("change", ["outputs", "missing", "kind"])
def test_other_weights_are_refused(change: str, tmp_path: Path) -> None:
    file = tiny_card("videoscore", tmp_path)
    path = tmp_path / "model" / "model-00002-of-00002.safetensors"
    state = load_file(path)
    complaint = "do not fit the architecture"
    if change == "outputs":
        other = next(one for one in (tmp_path / "model").glob("*.safetensors") if "score.weight" in load_file(one))
        path, state = other, load_file(other) | {"score.weight": torch.zeros(1, HIDDEN)}
    elif change == "missing":
        state.pop(min(state))
    else:
        (tmp_path / "model" / "config.json").write_text('{"model_type": "qwen2_vl"}')
        complaint = "type 'qwen2_vl', not 'idefics2'"
    save_file(state, path)
    with pytest.raises(WeightsError, match=complaint):
        load_rater(load_card(file.where))
