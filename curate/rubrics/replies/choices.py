"""Reads which answer a judge chose, and the one number that it wrote, out of running text.

The longest words win, so that 'Very Good' is not 'Good'. A reply that names two different answers, or denies the one it names, is
unreadable: which of them was meant is nobody's to guess. So is one that gives different answers behind the same mark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress

from curate.rubrics.reads import Choice, Number, Option
from curate.rubrics.replies.base import Outputs, Unreadable, shown
from curate.rubrics.replies.behind import comes_first, without_top
from curate.rubrics.replies.lenient import NUMBER
from curate.rubrics.replies.locating import located
from curate.rubrics.replies.marks import after_each, of_aspects
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

_NOT = (
    r"(?:\b(?:not|cannot|never|neither|nor|without|hardly|barely|scarcely|nowhere|nothing|(?:anything|all) but"
    r"|far from|less than|(?:wrong|false|untrue|incorrect|mistaken)\s(?:to|that)|disagree|doubt|dispute|deny|denies)|n['’]t)"
)

_DENIED = re.compile(
    rf"{_NOT}(?:\s\w+)?\s?$"  # a line feed may only wrap a sentence
    rf"|{_NOT}(?: (?!but\b)[\w'’]+){{0,5}} $"
    r"|\bno(?: \w+)? $"
)
"""What denies the answer that follows it: a word of denial a few words before, in the same clause."""

_INEXACT = re.compile(
    r"(?:\b(?:minus|negative|(?:less|more|fewer|greater|higher|lower|better|worse|other) than|at (?:least|most)|up to"
    r"|above|below|under|over|between|around|about|roughly|approximately|approx\.|circa|nearly|almost|close to)"
    r"(?: (?:a|an|the|(?:a |the )?(?:score|rating) of))?|(?<![-=])>|[<≤≥~≈±−])\s?$|–$"
)
"""What makes another number of the one that follows it, or no certain one."""

_WITHDRAWN = r"[*`\"'”’»)]{0,4}\s?(?:\?|(?:is|was|would be|seems) (?:\w+ )?(?:wrong|false|untrue|incorrect|not|no longer)\b)"
"""What takes back the answer before it."""

_OPEN = re.compile(
    r"\s*(?:\+|or (?:more|less|fewer|above|below|higher|lower|so)\b|at (?:least|most)\b|minus\b|plus\b"
    rf"|(?:hundred|thousand|million|billion|dozen)\b)|{_WITHDRAWN}"
)
"""The same behind a number, and what takes it back."""

_IS_WITHDRAWN = re.compile(_WITHDRAWN)

_PICTURE = r"(?:it|(?:this|the) (?:image|picture|photo|video))"

_NAMED = (
    r"(?:(?:the|my|its|this) )?(?:(?:final|overall|visual|image|picture|quality) ){0,3}(?:score|rating|quality|answer)"
    rf"(?: (?:of|for) {_PICTURE})?"
)

_RATED = rf"i (?:would )?(?:rate|score|give) {_PICTURE}(?: an?| as)?"

_NOTHING_BUT = re.compile(rf"(?:{_NAMED} ?(?:is|of|[:=])? ?|{_RATED} )?NUMBER(?: ?(?:stars?|points?))?")
"""A place for one number: the number, what it is and its unit."""

_SET_OFF = re.compile(r"\\(?:boxed|text)\b|[*`$_\"'“”‘’()\[\]{}]")
"""Signs and marks of LaTeX around an answer that say nothing."""

_LED = (
    rf"(?:(?:{_NAMED}|(?:the )?(?:(?:better|best) (?:one|image|picture|video)|winner|verdict|choice))(?: is)? ?:? ?"
    r"|(?:it is|they are|they look|(?:both|the two|the) (?:images|pictures|videos) are) )?"
)

_BETTER = (
    r"(?: wins| (?:is|has|looks) (?:(?:clearly|slightly|much|visually|the) )?(?:better|best|sharper|superior|preferable"
    r"|(?:of )?(?:the )?(?:better|best|higher|superior) (?:visual |image |overall )?quality))"
)
"""What says of an answer that it is one."""

_LOOKED_BACK = 80
"""Characters before an answer in which a denial is looked for."""

_TAG = re.compile(r"</?[a-z][^<>0-9]{0,80}>", re.IGNORECASE)

_NUMERIC = re.compile(r"[-+]?[.,]?[0-9](?:[0-9.,:/%eE+-]*[0-9%])?[%°]?")
"""What looks like a number, a fraction, a share or a time; a sign between digits belongs to it."""


def options_of(spec: Choice) -> Sequence[Option]:
    """The answers to choose from."""
    if spec.scale is None:
        return spec.options or ()
    return [Option(name=word, value=float(level)) for level, word in enumerate(SCALES[spec.scale], start=1)]


def read_choice(text: str, spec: Choice) -> Outputs:
    """`value` and `choice` (the name) of the one answer in a reply (without its thoughts).

    Raises `Unreadable` for none, several and denied ones, in <answer> or a box for more than the answer ('Image A is better' says
    no more), and behind a mark for a line that begins with anything else.
    """
    return _the_same(text, spec, lambda said: _chosen(said, spec))


def read_number(text: str, spec: Number) -> Outputs:
    """`value`, the one number of a reply (without its thoughts).

    Raises `Unreadable` for none, several, fractions and shares, for one that is denied, a bound or about right, and in <answer>
    or a box for anything beside it but what it is and its unit. Behind a mark it may be said to be out of the range's largest.
    """
    return _the_same(text, spec, lambda said: _number(said, spec))


def _the_same(text: str, spec: Choice | Number, read: Callable[[str], Outputs]) -> Outputs:
    """What is read where the answer stands; raises `Unreadable` where the places for it do not all say the same."""
    text = located(text, spec.place)
    if spec.after is None:
        return read(text)
    limits = spec.range if isinstance(spec, Number) else None
    found = [read(line) for line in after_each(text, spec.after, limits)]
    for line in of_aspects(text, re.escape(spec.after.rstrip(":"))):
        with suppress(Unreadable):
            found.append(read(line))
    if any(one != found[0] for one in found):
        raise Unreadable("ambiguous", f"there are {len(found)} answers behind '{spec.after}', and they differ")
    return found[0]


def _chosen(text: str, spec: Choice) -> Outputs:
    said = _folded(text)
    names = {_plain(word): option for option in options_of(spec) for word in (option.name, *option.spellings)}
    longest_first = "|".join(re.escape(word).replace(r"\ ", r"\s") for word in sorted(names, key=len, reverse=True))
    if spec.place != "anywhere" and spec.after is None and (alone := _alone(said, longest_first)):
        return {"value": names[alone].value, "choice": names[alone].name}
    found: dict[str, Option] = {}
    for match in re.finditer(rf"(?<!\w)(?:{longest_first})(?!\w)", said):
        if _DENIED.search(_before(said, match)) or _IS_WITHDRAWN.match(said, match.end()):
            raise Unreadable("ambiguous", f"{match[0]!r} is denied in {shown(text)}")
        option = names[_plain(match[0])]
        found[option.name] = option
    if not found:
        raise Unreadable("no_choice", f"none of the answers is in {shown(text)}")
    if len(found) > 1:
        raise Unreadable("ambiguous", f"{' and '.join(sorted(found))} are both in the reply")
    (option,) = found.values()
    if spec.after is not None:
        words = "|".join(re.escape(word).replace(r"\ ", r"[\s_\-‐‑–]+") for word in sorted(names, key=len, reverse=True))
        comes_first(text, words, "no_choice")
    elif spec.place != "anywhere":
        raise Unreadable("no_choice", f"there is more than {option.name!r} in {shown(text)}")
    return {"value": option.value, "choice": option.name}


def _number(text: str, spec: Number) -> Outputs:
    if spec.after is not None:
        text = without_top(text, spec.range[1] if spec.range else None)
    found = {match[0] for match in _NUMERIC.finditer(text)}
    if not found:
        raise Unreadable("not_a_number", f"there is no number in {shown(text)}")
    if len(found) > 1:
        raise Unreadable("ambiguous", f"there are {len(found)} numbers in {shown(text)}")
    (number,) = found
    # Behind a mark nothing but a number is awaited, and '.85' can be nothing else.
    digits = f"0{number}" if spec.after is not None and number.startswith(".") else number
    if not NUMBER.fullmatch(digits) or re.search(rf"[\w.,/-]{re.escape(number)}|{re.escape(number)}(?:\w|\s*%)", text):
        raise Unreadable("not_a_number", f"{number!r} is no plain number in {shown(text)}")
    said = _folded(_TAG.sub(" ", text), dashes="")
    for match in re.finditer(re.escape(number.casefold()), said):
        before = _before(said, match)
        if _DENIED.search(before) or _INEXACT.search(before) or _OPEN.match(said, match.end()):
            raise Unreadable("not_a_number", f"{number!r} is denied, or not exact, in {shown(text)}")
    if spec.after is not None:
        comes_first(text, re.escape(number), "not_a_number", number=True)
    elif spec.place != "anywhere" and not _stands_alone(said, number):
        raise Unreadable("not_a_number", f"there is more than {number!r} in {shown(text)}")
    return {"value": within(float(digits), spec.range, "the number")}


def _alone(said: str, words: str) -> str | None:
    """The one of `words` that is all a place for an answer says, with what it is; None where that says more."""
    other = rf"(?: (?:than|to) (?:that of )?(?!(?P=answer))(?:{words})| overall)?"
    written = re.compile(rf"{_LED}(?P<answer>{words})(?:{_BETTER}{other})?")
    # The name of an answer may hold signs itself.
    for bare in (said, _SET_OFF.sub(" ", said)):
        if found := written.fullmatch(" ".join(bare.split()).rstrip(".! ")):
            return found["answer"]
    return None


def _stands_alone(said: str, number: str) -> bool:
    """Whether there is nothing beside a number but what it is and its unit."""
    bare = " ".join(_SET_OFF.sub(" ", said.replace(number.casefold(), "NUMBER")).split())
    return _NOTHING_BUT.fullmatch(bare.rstrip(".! ")) is not None


def _before(said: str, match: re.Match[str]) -> str:
    """The end of what stands before an answer, without the signs that set it off: 'not **good**', 'not "good"'."""
    return re.sub(r"[*`\"“”«»‘]|'(?=$)", "", said[max(0, match.start() - _LOOKED_BACK) : match.start()])


def _folded(text: str, dashes: str = r"\-‐‑–") -> str:
    """A text in which case, blanks, `dashes` and underscores make no difference; what holds a line feed becomes one."""
    return re.sub(rf"[\s_{dashes}]+", lambda blank: "\n" if "\n" in blank[0] else " ", text.casefold())


def _plain(word: str) -> str:
    """The name of an answer, however it is written."""
    return " ".join(_folded(word).split())
