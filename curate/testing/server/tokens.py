"""A toy tokenizer: words that judges are asked for are one token each, everything else is bytes.

As in the vocabularies of real models, a word with a space before it is another token than the word alone, digits are split
one by one, and a label that is not in the vocabulary is several tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

BYTES = 256
"""Ids below are single bytes; words follow."""

PALETTE = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
    "gray": (128, 128, 128),
    "orange": (255, 128, 0),
    "purple": (128, 0, 128),
    "brown": (128, 64, 0),
}
"""Colours that the scripted model knows by name, as RGB."""

FILLERS = ("The", "This", "I", "It", "In", "A", "As", "Based", "To", "Sure", "Looking", "Both", "Neither", "Let")
"""What models begin with when they do not give a label at once; likelier first."""

LABELS = (
    *("yes", "no", "true", "false", "tie", "same", "first", "second", "left", "right", "better", "worse"),
    *("excellent", "good", "fair", "average", "poor", "bad", "perfect", "terrible", "high", "medium", "low"),
    *("none", "slight", "moderate", "severe", "always", "never", "pass", "fail", "a", "b", "c", "d", "e"),
)

_PIECE = re.compile(r" ?[^\W\d_]+|.", re.DOTALL)


class Vocabulary:
    """Ids of tokens, and the other way round."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        """`words` are one token each, as they stand, besides those that every vocabulary here has."""
        letters = dict.fromkeys(variant for word in (*LABELS, *PALETTE, *map(str.lower, FILLERS)) for variant in _variants(word))
        self._words = tuple(dict.fromkeys([*"0123456789", *letters, *words]))
        self._texts: tuple[str, ...] = (*(bytes([one]).decode("utf-8", "replace") for one in range(BYTES)), *self._words)
        self._ids = {word: BYTES + place for place, word in enumerate(self._words)}

    def __len__(self) -> int:
        return len(self._texts)

    def encode(self, text: str) -> list[int]:
        """Ids of the tokens of a text; `decode` of each gives the text back, byte by byte where it has to."""
        ids: list[int] = []
        for piece in [text] if text in self._ids else _PIECE.findall(text):
            word = self._ids.get(piece)
            ids.extend(piece.encode("utf-8", "surrogatepass") if word is None else [word])
        return ids

    def raw(self, token: int) -> bytes:
        """The bytes of a token; `IndexError` for one that is not in the vocabulary."""
        if not 0 <= token < len(self):
            raise IndexError(token)
        return bytes([token]) if token < BYTES else self._words[token - BYTES].encode()

    def decode(self, token: int) -> str:
        """The text of a token; of a byte that is no text alone, the replacement character. `IndexError` as with `raw`."""
        if token < 0:
            raise IndexError(token)
        return self._texts[token]


def _variants(word: str) -> tuple[str, ...]:
    """The spellings of a word that are one token each."""
    spellings = (word, word.capitalize(), word.upper())
    return (*spellings, *(f" {one}" for one in spellings))
