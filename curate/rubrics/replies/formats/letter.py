"""The letter of an option, as models write it that were asked for nothing else: 'B', '(B)', 'B. the red one', 'Answer: B'."""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import ascii_uppercase
from typing import Any

from curate.rubrics.replies.base import Outputs, Unreadable, shown
from curate.rubrics.replies.locating import without_thoughts

_FIRST = re.compile(
    r"(?:the\s+)?(?:correct\s+|right\s+)?(?:(?:answer|option|choice)\s*(?:is|:)?\s*)?[\s*(\[\"'`]*([A-Z])(?=\s*$|\s*[.):,\]*\"`]|\s*\n)",
    re.IGNORECASE,
)


class Letter:
    """Params: `letters`, how many options there are. Outputs: `p_A`, `p_B` …: 1 for the letter that was written, 0 for others."""

    texts: tuple[str, ...] = ()

    def __init__(self, params: Mapping[str, Any]) -> None:
        count = params.get("letters")
        if set(params) != {"letters"} or not isinstance(count, int) or not 2 <= count <= len(ascii_uppercase):
            raise ValueError(f"'letters' is how many options there are, 2 to {len(ascii_uppercase)}, and the only parameter")
        self._letters = ascii_uppercase[:count]
        self.outputs = tuple(f"p_{letter}" for letter in self._letters)

    def read(self, text: str) -> Outputs:
        """1 for the letter that the reply begins with; raises `Unreadable` where it begins with none of them."""
        said = without_thoughts(text).strip()
        found = _FIRST.match(said)
        # A small letter alone is an answer; before something else it may be a word.
        if found is None or (found[1].islower() and found.end() != len(said.rstrip(" .)*\"'`]"))):
            raise Unreadable("no_choice", f"{shown(said)} does not begin with the letter of an option")
        letter = found[1].upper()
        if letter not in self._letters:
            raise Unreadable("no_choice", f"there is no option {letter}")
        return {f"p_{one}": float(one == letter) for one in self._letters}
