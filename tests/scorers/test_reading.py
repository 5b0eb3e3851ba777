"""Prompts that a network does not read as they were written: the value is the original's, and that is said beside it."""

from __future__ import annotations

import io
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
if find_spec("open_clip") is None:
    pytest.skip("needs open_clip", allow_module_level=True)
data = pytest.importorskip("skimage.data")

from PIL import Image  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

import curate  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.scorers.network import NetworkRater  # noqa: E402
from curate.scorers.pictures import items_of  # noqa: E402
from curate.scorers.reading import said_of  # noqa: E402
from curate.scorers.references.directional import Captions  # noqa: E402
from curate.testing import write_shard  # noqa: E402
from tests.scorers.clip_formula import as_openclip, expected, token_ids  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402

LONG = "a very long story about " * 30

MARKS = {"transformers": ("<|startoftext|>", "<|endoftext|>"), "open_clip": ("<start_of_text>", "<end_of_text>")}
"""OpenAI's tokenizer spells them as transformers' does; OpenCLIP's reads that spelling as any other text."""

START, END = MARKS["transformers"]


def prompts_of(library: str) -> dict[str, str | None]:
    """Prompts with what is to be said of each."""
    start, end = MARKS[library]
    other = END if library == "open_clip" else "<end_of_texts>"
    return {
        "a red cat on a mat": None,
        f"a red cat{end} on a mat": f"the prompt holds control tokens ({end}), read as such",
        f"{start}a red cat": f"the prompt holds control tokens ({start}), read as such",
        f"a{start} red {start}cat{end}{end}": f"the prompt holds control tokens ({end}, {start}), read as such",
        f"{LONG}{end}": "the prompt was cut to 77 tokens",
        f"{end}{LONG}": f"the prompt was cut to 77 tokens and holds control tokens ({end}), read as such",
        f"a red cat {other} <|endoftext> </s> [SEP] <pad> on a mat": None,
        "!!!!": None,
    }


def ids_of(prompt: str, library: str) -> list[int]:
    """The tokens of a prompt with marks: those of the words between, by OpenCLIP's tokenizer, and those of the marks."""
    numbers = dict(zip(MARKS[library], (49406, 49407), strict=True))
    parts = re.split(f"({'|'.join(map(re.escape, numbers))})", prompt)
    ids = [number for part in parts for number in ([numbers[part]] if part in numbers else token_ids(part, 999)[1:-1])]
    return [*[49406, *ids][:76], 49407]


def rater_of(name: str, folder: Path) -> NetworkRater:
    rater = load_rater(tiny_card(name, folder))
    assert isinstance(rater, NetworkRater)
    return rater


def said(rater: NetworkRater, prompts: list[str]) -> list[str | None]:
    """What the rater says beside its value of each prompt, one by one and in one batch alike."""
    pictures = [data.astronaut()[:64, :64]] * len(prompts)
    conditions = dict.fromkeys(rater.card.takes.conditions, pictures)
    found = rater.judge(items_of(rater.card, rater.preparations, pictures, prompts, conditions))
    notes = {one.item: one.values[rater.card.main].detail for one in found}
    return [notes[number] for number in range(len(prompts))]


@pytest.mark.parametrize(("name", "library"), [("clip-l14", "transformers"), ("hpsv2-1", "open_clip")])
def test_control_tokens_in_a_prompt_are_said_and_the_value_is_the_originals(name: str, library: str, tmp_path: Path) -> None:
    rater = rater_of(name, tmp_path)
    prompts = prompts_of(library)
    assert said(rater, list(prompts)) == list(prompts.values())
    (place,) = tmp_path.rglob("*.safetensors")
    state = load_file(place) if library == "open_clip" else as_openclip(load_file(place))
    picture = data.chelsea()
    square = rater.preparations[0].make(picture)
    quick = library == "transformers"
    wanted = [expected(square, ids_of(prompt, library), state, quick=quick) for prompt in prompts]
    assert rater.score([picture] * len(prompts), list(prompts))[:, 0].tolist() == pytest.approx(wanted, abs=1e-5)
    alone = expected(square, token_ids("a red cat"), state, quick=quick)
    assert wanted[1] == pytest.approx(alone, abs=1e-5), "what stands behind the end is not read"


def test_siglip_is_told_the_same_where_marks_are_left_in_its_texts(tmp_path: Path) -> None:
    """SigLIP's canonical texts have no marks left that a control token is made of; SigLIP 2's have."""
    prompts = ["a cat", "a <eos> cat", "a <pad> cat", "a cat of an unknown kind"]
    for name, marked in (("siglip-so400m", False), ("siglip2-so400m", True)):
        (tmp_path / name).mkdir()
        note = "the prompt holds control tokens ({}), read as such"
        wanted = [None, note.format("<eos>"), note.format("<pad>"), None] if marked else [None] * 4
        assert said(rater_of(name, tmp_path / name), prompts) == wanted


@pytest.mark.parametrize("name", ["imagereward", "blip-itm"])
def test_word_pieces_are_told_the_same(name: str, tmp_path: Path) -> None:
    prompts = ["a cat", "a cat [SEP] a dog", "a [MASK] cat", "a zzqx cat", "[CLS][SEP]"]
    note = "the prompt holds control tokens ({}), read as such"
    wanted = [None, note.format("[SEP]"), note.format("[MASK]"), None, note.format("[CLS], [SEP]")]
    assert said(rater_of(name, tmp_path), prompts) == wanted


def test_mps_is_told_the_same(tmp_path: Path) -> None:
    note = f"the prompt holds control tokens ({END}), read as such"
    assert said(rater_of("mps", tmp_path), ["a cat", f"a cat{END} on a mat"]) == [None, note]


def test_what_is_said_of_tokens() -> None:
    control = {1: "<a>", 2: "<b>"}
    assert said_of([5, 6, 7], context=5, marks=2, control=control) == ""
    assert said_of([5, 6, 7, 1], context=5, marks=2, control=control) == "was cut to 5 tokens", "what was cut off was not read"
    assert said_of([], context=5, marks=2, control=control) == ""
    assert said_of([2, 1, 2], context=5, marks=2, control=control) == "holds control tokens (<a>, <b>), read as such"


def test_it_reaches_the_notices_of_a_run(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.fromarray(data.astronaut()[:64, :64]).save(out, "PNG")
    records = [
        (f"{number}", {"png": out.getvalue(), "txt": prompt.encode()}) for number, prompt in enumerate(prompts_of("transformers"))
    ]
    write_shard(tmp_path / "made.tar", records)
    file = tiny_card("pickscore", tmp_path)
    report = curate.rate([str(tmp_path / "made.tar")], raters=[file.where], store=tmp_path / "store", workers=0)
    assert f"pickscore, of 1 samples: the prompt holds control tokens ({END}), read as such" in report.notices
    assert "pickscore, of 1 samples: the prompt was cut to 77 tokens" in report.notices


def test_it_is_said_at_the_door_for_tensors(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rater = rater_of("pickscore", tmp_path)
    rater.score_tensor(torch.rand(2, 3, 32, 32), ["a cat", f"a cat{END}"])
    note = f"pickscore, of 1 of 2 pictures: the prompt holds control tokens ({END}), read as such"
    assert [record.getMessage() for record in caplog.records] == [note]


def test_captions_of_an_edit_are_told_the_same(tmp_path: Path) -> None:
    rater = load_rater(tiny_card("clip-directional", tmp_path, source_caption=None, target_caption=None))
    assert isinstance(rater, NetworkRater)
    pairs = [Captions("a cat", "a dog"), Captions(f"a cat{END}", f"a dog{END}"), Captions("a cat", LONG)]
    pictures = [data.astronaut()[:64, :64]] * 3
    items = items_of(rater.card, rater.preparations, pictures, pairs, {"source": [data.chelsea()] * 3})
    found = {one.item: one.values["direction"].detail for one in rater.judge(items)}
    assert found == {
        0: None,
        1: f"a caption holds control tokens ({END}), read as such",
        2: "a caption was cut to 77 tokens",
    }
