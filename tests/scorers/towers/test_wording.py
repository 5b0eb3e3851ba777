"""Texts before they become tokens, held against the functions of the originals."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")
for needed in ("transformers", "open_clip"):
    if find_spec(needed) is None:
        pytest.skip(f"needs {needed}", allow_module_level=True)

import curate  # noqa: E402
from curate.cards import CardFile, load_card, shipped_cards  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.scorers.libraries import import_open_clip, import_transformers  # noqa: E402
from curate.scorers.references.directional import Captions  # noqa: E402
from curate.scorers.towers.wording import worder  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402
from tests.scorers.tiny.clip import clip_tokenizer  # noqa: E402

PASTED = [
    "it’s a “red” fox — really…",
    "a cat &amp; a dog, &amp;lt;b&amp;gt;",
    "schÃ¶n",
    "ＦＵＬＬ width, a ﬁne ligature",
    " A\u00a0Cat\n\ton  a mat ",
    "naïve café 雪 2024 🦊",
]
"""What people paste, and what pages and tables make of it."""

PLAIN = ["a red cat on a mat", "Two DOGS, running!", "don't", "a_b"]

BY_OPENAI = ("clip-directional", "clip-l14", "clipscore", "clipscore-imagereward", "long-clip")
BY_TRANSFORMERS = ("clipscore-torchmetrics", "pickscore")


def test_openai_reads_the_tokens_that_the_original_tokenizer_reads() -> None:
    """OpenCLIP's is openai/CLIP's under another spelling of the two marks."""
    original, ours, word = import_open_clip().SimpleTokenizer(), clip_tokenizer(), worder("openai")

    def ids(text: str) -> list[int]:
        found: list[int] = ours(text, add_special_tokens=False)["input_ids"]
        return found

    for text in (*PASTED, *PLAIN):
        assert ids(word(text)) == original.encode(text), text
    assert all(ids(text) == ids(word(text)) for text in PLAIN)
    assert sum(ids(text) != ids(word(text)) for text in PASTED) >= 4, "transformers' tokenizer alone reads others"


def test_cards_read_texts_as_their_originals_do() -> None:
    wordings = {name: shipped_cards()[name].card.args.get("wording") for name in (*BY_OPENAI, *BY_TRANSFORMERS)}
    assert wordings == dict.fromkeys(BY_OPENAI, "openai") | dict.fromkeys(BY_TRANSFORMERS)


FANCY, FLAT = "it’s a “red” fox &amp; a dog", 'it\'s a "red" fox & a dog'


def noise(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (40, 50, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["clip-l14", "pickscore"])
def test_pasted_marks_are_plain_ones_where_the_original_makes_them_so(name: str, tmp_path: Path) -> None:
    one, other = curate.scorer(tiny_card(name, tmp_path).where).score([noise(1)] * 2, [FANCY, FLAT])
    assert bool(one == other) == (name in BY_OPENAI)


def test_captions_are_cleaned_as_prompts_are(tmp_path: Path) -> None:
    rater = curate.scorer(own_captions(tiny_card("clip-directional", tmp_path)).where)
    captions = [Captions("a cat", FANCY), Captions("a cat", FLAT), Captions(FANCY, "a cat"), Captions(FLAT, "a cat")]
    scores = rater.score([noise(1)] * 4, captions, source=[noise(2)] * 4)[:, 0]
    assert scores[0] == scores[1] != scores[2] == scores[3]


def own_captions(file: CardFile) -> CardFile:
    """The tiny card, for samples that bring their captions."""
    return changed(file, lambda args: {name: one for name, one in args.items() if "caption" not in name})


def changed(file: CardFile, change: Callable[[dict[str, Any]], dict[str, Any]]) -> CardFile:
    """A card beside this one, over the same weights, with other arguments."""
    card = yaml.safe_load(Path(file.where).read_text())
    card["args"] = change(card["args"])
    path = Path(file.where).with_name("changed.yaml")
    path.write_text(yaml.safe_dump(card))
    return load_card(str(path))


def test_raters_share_towers_whatever_they_do_to_texts(tmp_path: Path) -> None:
    """The heads over clip-l14's pictures read no text, and say nothing of it."""
    file = tiny_card("clip-l14", tmp_path)
    one: Any = load_rater(file)
    other: Any = load_rater(changed(file, lambda args: args | {"wording": "as_is"}))
    assert one._towers is other._towers


def test_wordings() -> None:
    text = " A_red CAT,\n on\ta mat! "
    assert worder("as_is")(text) == text
    assert worder("lower")(text) == " a_red cat,\n on\ta mat! "
    assert worder("canonical")(text) == "a red cat on a mat"
    assert worder("canonical")("?!") == ""
    assert worder("openai")(text) == "a_red cat, on a mat!"


HARD = [*PLAIN, *PASTED, "long_hair", "under__score_", 'it\'s  (really)\n"quoted" — dashed', "ÀÉ: 雪！", ""]


def test_the_canonical_wording_is_that_of_big_vision() -> None:
    """OpenCLIP's function of the same name is big_vision's."""
    import_open_clip()
    from open_clip.tokenizer import canonicalize_text

    for text in HARD:
        assert worder("canonical")(text) == canonicalize_text(text)


def test_transformers_joins_what_an_underscore_parts_and_else_says_the_same() -> None:
    tokenizer: Any = import_transformers().SiglipTokenizer
    canonical = tokenizer.canonicalize_text
    stand_in = type("OnlyWords", (), {"do_lower_case": True, "remove_punctuation": tokenizer.remove_punctuation})()
    for text in HARD:
        assert (worder("canonical")(text) == canonical(stand_in, text)) == ("_" not in text.strip("_"))
