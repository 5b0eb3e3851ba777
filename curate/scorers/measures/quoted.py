"""Texts that a prompt asks for in quotes, and how well what was read agrees with them. Pure text, no network, no pictures."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

_PAIRS = (
    '"([^"]*)"',
    # German „…“ and English “…” share a mark, so what closes may be either.
    "[“„‟]([^“”„‟]*)[”“]",
    "«([^«»]*)»",
    "‹([^‹›]*)›",
    "「([^「」]*)」",
    "『([^『』]*)』",
    "﹁([^﹁﹂]*)﹂",
    "〝([^〝〞〟]*)[〞〟]",
    "＂([^＂]*)＂",
    # Single quotes are apostrophes too: these stand outside of words and hold two characters or more.
    r"(?<!\w)'([^']{2,})'(?!\w)",
    r"(?<!\w)[‘‚]([^‘’‚]{2,})[’‘](?!\w)",
)
_QUOTED = re.compile("|".join(_PAIRS))

LONGEST = 2000
"""Characters that are compared, of what is asked and of what is read; so that no prompt can keep the rater busy for long."""


def quoted_texts(prompt: str) -> list[str]:
    """What stands in quotes in the prompt, in order; quotes around nothing but spaces do not count."""
    found = (next(filter(None, match.groups()), "") for match in _QUOTED.finditer(prompt))
    return [text for text in found if plain(text)]


def plain(text: str) -> str:
    """The text as it is compared: NFKC, no case, no spaces.

    Readers of pictures end a line where the picture does and lose spaces within it, and scripts such as Chinese have none,
    so spaces are not counted on either side.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(folded.split())


def agreement(wanted: Sequence[str], lines: Sequence[str]) -> float:
    """1 where every wanted text was read, 0 where nothing of them was; `wanted` holds at least one that is not empty.

    For each wanted text the stretch of what was read (lines joined in order) that is nearest to it is taken, so other text in
    the picture costs nothing: 1 - edits / length, the texts weighted by their lengths.
    """
    read = plain("".join(lines))[:LONGEST]
    texts = [plain(text)[:LONGEST] for text in wanted]
    return 1 - sum(edits_to_nearest(text, read) for text in texts) / sum(map(len, texts))


def edits_to_nearest(text: str, within: str) -> int:
    """Fewest insertions, deletions and replacements that make `text` of some stretch of `within`; at most its length.

    The approximate search of Sellers (1980): an edit distance whose stretch may begin and end anywhere. One row for each
    character of `text`, each computed at once.
    """
    letters = np.array([ord(letter) for letter in within], dtype=np.int64)
    places = np.arange(len(letters) + 1)
    row = np.zeros(len(letters) + 1, dtype=np.int64)
    for letter in text:
        below = row + 1
        below[1:] = np.minimum(below[1:], row[:-1] + (letters != ord(letter)))
        # A step to the right costs one: the least of all that lie to the left, plus the way.
        row = np.minimum.accumulate(below - places) + places
    return int(row.min())
