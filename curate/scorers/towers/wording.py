"""What is done to a text before a tokenizer sees it, as the towers were trained.

    as_is        nothing: the tokenizer does what is to be done
    openai       broken and fancy characters mended (ftfy), HTML's entities resolved twice, one space for each gap, small letters
    lower        small letters
    canonical    an underscore is a space, no ASCII punctuation, one space for each gap, small letters

`openai` is what the tokenizer of openai/CLIP does to every text (`clip/simple_tokenizer.py`), and OpenCLIP's after it. The one of
transformers reads the same vocabulary and does only the last two: it keeps the curved quotes and dashes that people paste. Cards
whose original is made of openai/CLIP say `openai`, and those whose original is made of transformers say nothing.

`canonical` is `canonicalize_text` of google-research/big_vision, and OpenCLIP's of that name. The tokenizer of transformers joins
what an underscore parts: `long_hair` is `longhair` there.
"""

from __future__ import annotations

import html
import string
from collections.abc import Callable
from typing import Literal

Wording = Literal["as_is", "openai", "lower", "canonical"]

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def worder(wording: Wording) -> Callable[[str], str]:
    """The function from a text to the one that becomes tokens; ModuleNotFoundError where it needs a package that is missing."""
    if wording == "openai":
        import ftfy

        return lambda text: _spaced(html.unescape(html.unescape(ftfy.fix_text(text)))).lower()
    functions: dict[Wording, Callable[[str], str]] = {"as_is": str, "lower": str.lower, "canonical": _canonical}
    return functions[wording]


def _canonical(text: str) -> str:
    return _spaced(text.replace("_", " ").translate(_NO_PUNCTUATION).lower())


def _spaced(text: str) -> str:
    """One space for each gap, and none around the text."""
    return " ".join(text.split())
