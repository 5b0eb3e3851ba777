"""Reads which answer a judge chose, and the one number that it wrote, out of running text.

The longest words win, so that 'Very Good' is not 'Good'. A reply that names two different answers, or denies the one it names, is
unreadable: which of them was meant is nobody's to guess.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from curate.rubrics.reads import Choice, Number, Option
from curate.rubrics.replies.base import Outputs, Unreadable, shown
from curate.rubrics.replies.lenient import NUMBER
from curate.rubrics.replies.locating import after_last, located
from curate.rubrics.replies.objects import within

SCALES: dict[str, tuple[str, ...]] = {
    "verbal-5": ("Extremely Poor", "Poor", "Average", "Good", "Outstanding"),
    "verbal-10": (
        "Extremely Poor",
        "Very Poor",
        "Poor",
        "Below Average",
        "Average",
        "Above Average",
        "Good",
        "Very Good",
        "Excellent",
        "Outstanding",
    ),
}
"""The verbal scales of MJ-Bench (Chen et al., 2024), from 1 upwards."""

_DENIED = re.compile(r"(?:\bnot|n't|n’t|\bnever|\bneither|\bnor|\bfar from|\bless than)(?: \w+)? ?$")

_NUMERIC = re.compile(r"[-+]?[.,]?[0-9](?:[0-9.,:/%eE+-]*[0-9%])?[%°]?")
"""What looks like a number, a fraction, a share or a time; a sign between digits belongs to it."""


def options_of(spec: Choice) -> Sequence[Option]:
    """The answers to choose from."""
    if spec.scale is None:
        return spec.options or ()
    return [Option(name=word, value=float(level)) for level, word in enumerate(SCALES[spec.scale], start=1)]


def read_choice(text: str, spec: Choice) -> Outputs:
    """`value` and `choice` (the name) of the one answer in a reply (without its thoughts); raises `Unreadable`."""
    text = located(text, spec.place)
    if spec.after is not None:
        text = after_last(text, spec.after)
    said = _folded(text)
    names = {_folded(word).strip(): option for option in options_of(spec) for word in (option.name, *option.spellings)}
    longest_first = "|".join(re.escape(word) for word in sorted(names, key=len, reverse=True))
    found: dict[str, Option] = {}
    for match in re.finditer(rf"(?<!\w)(?:{longest_first})(?!\w)", said):
        if _DENIED.search(said[max(0, match.start() - 40) : match.start()]):
            raise Unreadable("ambiguous", f"{match[0]!r} is denied in {shown(text)}")
        option = names[match[0]]
        found[option.name] = option
    if not found:
        raise Unreadable("no_choice", f"none of the answers is in {shown(text)}")
    if len(found) > 1:
        raise Unreadable("ambiguous", f"{' and '.join(sorted(found))} are both in the reply")
    (option,) = found.values()
    return {"value": option.value, "choice": option.name}


def read_number(text: str, spec: Number) -> Outputs:
    """`value`, the one number of a reply (without its thoughts); raises `Unreadable` for none, several, fractions and shares."""
    text = located(text, spec.place)
    if spec.after is not None:
        text = after_last(text, spec.after)
    found = {match[0] for match in _NUMERIC.finditer(text)}
    if not found:
        raise Unreadable("not_a_number", f"there is no number in {shown(text)}")
    if len(found) > 1:
        raise Unreadable("ambiguous", f"there are {len(found)} numbers in {shown(text)}")
    (number,) = found
    if not NUMBER.fullmatch(number) or re.search(rf"[\w.,/-]{re.escape(number)}|{re.escape(number)}(?:\w|\s*%)", text):
        raise Unreadable("not_a_number", f"{number!r} is no plain number in {shown(text)}")
    return {"value": within(float(number), spec.range, "the number")}


def _folded(text: str) -> str:
    """A text in which case, blanks, dashes and underscores make no difference."""
    return re.sub(r"[\s_\-‐‑–]+", " ", text.casefold())
