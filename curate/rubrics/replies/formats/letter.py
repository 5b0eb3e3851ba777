"""The letter of an option, as models write it that were asked for nothing else: 'B', '(B)', 'B. the red one', 'Answer: B'.

A reply that names several options is read only where it ends by saying which: 'A. one\\nB. two\\nThe answer is B.'
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import ascii_uppercase
from typing import Any

from curate.rubrics.replies.base import Outputs, Unreadable, shown
from curate.rubrics.replies.behind import takes_back
from curate.rubrics.replies.locating import located, without_thoughts

_ANSWER = r"(?:the\s+)?(?:correct\s+|right\s+|best\s+|final\s+)?(?:answer|option|choice|letter)"

_LED = (
    rf"(?:(?:my\s+)?{_ANSWER}\s*(?:is|:)?\s*|(?:i(?:['’]d)?\s+(?:would\s+)?(?:choose|pick|select|say|answer)|it\s+is|it['’]s)\s+"
    r"(?:(?:option|choice|letter|answer)\s+)?)?"
)

_FIRST = re.compile(
    rf"{_LED}[\s*(\[\"'“‘`]*([A-Z])(?=\s*$|\s*[.):,;!\]*\"”`]|['’](?!\w)|\s+[-–—]+\s|\s*\n)",
    re.IGNORECASE,
)

_STATED = re.compile(
    rf"(?:^|(?<=\n)|(?<=[.!;]\s)|(?<=[.!;]\s\s))[ \t*_#>-]{{0,8}}"
    rf"(?:(?:so|thus|therefore|hence|based\s+on\s+[^,.:;\n]{{1,60}}),?\s)?{_ANSWER}\s?(?:is\s?:?|:)\s?(?:option\s)?"
    r"[\s*(\[\"'`]{0,8}(?-i:([A-Z]))(?=\s*$|[.):,\]*\"'`]|\s*\n)",
    re.IGNORECASE,
)
"""A line or sentence of the judge's own that says which option it is."""

_BEFORE = (
    r"(?:^|[\n.,;:!?]\s+|[,;:(\[\"'“‘`*/\n)&]\s?|\s[-–—]+\s"
    r"|\b(?i:or|and|is|be|no|not|nor|answer|option|choice|choose|pick|than|say|says|maybe|perhaps|but|wait|actually|hmm"
    r"|it['’]s|rather)\s+)"
)

_MENTIONED = re.compile(rf"{_BEFORE}(?P<letter>[A-Z])(?=\s*$|\s*[),:;\]*\"'”’`/!?&\n]|\.(?!\w)|\s+(?:or|and|is|was)\b|\s[-–—])")
"""A letter that stands for an option, and not for a word ('A kite') or in a name ('vitamin C')."""

_MENTIONED_LATER = re.compile(
    rf"{_BEFORE}(?P<letter>[B-HJ-Z](?!['’]?\w|\.\w)|[AI](?=\s*$|\s*[),:;\]*\"'”’`/!?&\n]|\.(?!\w)|\s+(?:or|and|is|was|it)\b))"
)
"""The same in a later line, where a letter before a word is one too: 'D it is'."""

_DENIED = re.compile(
    r"[\s.):,\]*\"'`]{0,8}(?:is|was|seems|would be)\s(?:\w+\s)?(?:wrong|incorrect|false|untrue|not)\b", re.IGNORECASE
)

_OTHERS_WRONG = re.compile(
    r"\b[A-Z](?:(?:,|,? (?:and|or)) [A-Z]\b){0,25} (?:is|are)"
    r" (?:both |all |clearly )?(?:wrong|incorrect|false|not (?:right|correct))\b"
)
"""A clause that names options to turn them down."""

_LETTER_OF_A_LETTER = re.compile(r"[(\[*]{0,3}[A-Z][*]{0,2}[.:)\]][*]{0,2} [*]{0,2}[A-Z][.*]{0,3}")
"""An option whose text is a letter itself: 'B. A'."""


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
        """1 for the letter that the reply begins with, or that it says at its end to be the answer.

        Raises `Unreadable` where there is none, where it is none of the options, and where others are named beside it.
        """
        said = _unwrapped(without_thoughts(text).strip())
        found = _stated(said) or _begun(said)
        letter = found[1].upper()
        if letter not in self._letters:
            raise Unreadable("no_choice", f"there is no option {letter}")
        # What was said before a statement at the end may name all options; what follows an answer may not.
        behind = _named_behind(said, found.end(), letter) & set(self._letters)
        denied = _DENIED.match(said, found.end()) or re.search(rf"\b{letter}{_DENIED.pattern}", said[found.end() :])
        if behind - {letter} or denied or _taken_back(said[found.end() :]):
            raise Unreadable("ambiguous", f"more than the option {letter} is named, or it is denied, in {shown(said)}")
        return {f"p_{one}": float(one == letter) for one in self._letters}


_HESITATES = re.compile(r"\W*(?:actually|hmm+|wait|sorry|correction|scratch that)\s?(?:[,:;]|[-–—]\s)", re.IGNORECASE)


def _taken_back(rest: str) -> bool:
    """Whether what follows a letter takes it back; its first sentence may be the text of the option: 'B. Rather dark'."""
    ends = re.search(r"\n|(?<=\w)[.!?;]\s", rest)
    return _HESITATES.match(rest) is not None or (ends is not None and takes_back(rest[ends.start() :]))


def _unwrapped(said: str) -> str:
    """What stands in the box or between the tags of a reply, or else all of it; raises `Unreadable` where there are several."""
    if re.search(r"</?answer>", said, re.IGNORECASE):
        said = located(said, "answer")
    return located(said, "boxed") if "\\boxed{" in said else said


def _named_behind(said: str, end: int, letter: str) -> set[str]:
    """The letters named behind an answer, but those that are turned down for it, and the text of 'B. A'."""
    if _LETTER_OF_A_LETTER.fullmatch(said):
        return set()
    rest = _OTHERS_WRONG.sub(lambda clause: clause[0] if re.search(rf"\b{letter}\b", clause[0]) else "", said[end:])
    line, _, later = (said[end - 1 : end] + rest).partition("\n")
    found = [*_MENTIONED.finditer(line, 1), *_MENTIONED_LATER.finditer(f"\n{later}")]
    return {one["letter"] for one in found}


def _stated(said: str) -> re.Match[str] | None:
    """The last statement of the answer; None where there is none. Raises `Unreadable` where statements differ."""
    found = list(_STATED.finditer(said))
    if len({one[1] for one in found}) > 1:
        raise Unreadable("ambiguous", f"different letters are said to be the answer in {shown(said)}")
    return found[-1] if found else None


def _begun(said: str) -> re.Match[str]:
    """The letter that the reply begins with."""
    found = _FIRST.match(said)
    # A small letter alone is an answer; before something else it may be a word.
    if found is None or (found[1].islower() and found.end() != len(said.rstrip(" .)*\"'`]"))):
        raise Unreadable("no_choice", f"{shown(said)} does not begin with the letter of an option")
    return found
