"""Tokenizers cut texts as their own files say, whatever class the library has for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tokenizers import Tokenizer, normalizers  # noqa: E402

from curate.errors import WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.scorers.libraries import import_transformers  # noqa: E402
from curate.scorers.vlm.loading import by_its_file, filed_tokenizer  # noqa: E402
from curate.scorers.vlm.vision_language import _processor  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402
from tests.scorers.tiny.vlm import idefics_tokenizer  # noqa: E402

TEXTS = [
    "a red cat",
    "",
    " ",
    "  two  blanks  ",
    "\na line\n<image><image> and <image>\tmore</s>behind",
    "<fake_token_around_image><image><fake_token_around_image> ",
    "naïve café 雪 ﬁ ▁",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tokenizer that transformers has a class for, with rules of its own."""
    idefics_tokenizer().backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text('{"model_type": "idefics2"}')
    return tmp_path


def loaded(folder: Path) -> Any:
    return import_transformers().AutoTokenizer.from_pretrained(str(folder), local_files_only=True)


def test_the_rules_are_those_of_the_file(folder: Path) -> None:
    filed = Tokenizer.from_file(str(folder / "tokenizer.json"))
    by_class = [text for text in TEXTS if loaded(folder)(text)["input_ids"] != filed.encode(text).ids]
    assert by_class, "the class cuts some of them otherwise"
    for tokenizer in (by_its_file(loaded(folder), folder), filed_tokenizer(folder, where="here")):
        for text in TEXTS:
            assert tokenizer(text)["input_ids"] == filed.encode(text).ids, text


def test_a_processor_cuts_texts_so_too(folder: Path) -> None:
    transformers = import_transformers()
    processor = transformers.Idefics2Processor(transformers.Idefics2ImageProcessorPil(), idefics_tokenizer(), image_seq_len=3)
    processor.save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "tokenizer_class": "LlamaTokenizer"}))
    made = _processor(folder, "pil", "here")
    filed = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in TEXTS:
        assert made.tokenizer(text)["input_ids"] == filed.encode(text).ids, text


def test_a_base_of_qwen_cuts_texts_so_too(tmp_path: Path) -> None:
    """A file with a rule that the class does not have: capitals are small letters."""
    file = tiny_card("hpsv3", tmp_path)
    filed = Tokenizer.from_file(str(tmp_path / "base" / "tokenizer.json"))
    filed.normalizer = normalizers.Lowercase()
    filed.save(str(tmp_path / "base" / "tokenizer.json"))
    reader = load_rater(file)._network.reader  # type: ignore[attr-defined]
    assert reader.chat("A CAT", []) == reader.chat("a cat", [])


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"model": {}}'])
def test_what_is_no_tokenizer_is_one_sentence(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(WeightsError, match=r"here: cannot read .*tokenizer\.json"):
        filed_tokenizer(tmp_path, where="here")
