"""What stands behind a mark in a reply: 'Rating:', 'Final Score (1-10):', or a headline."""

from __future__ import annotations

import re
from functools import cache
from itertools import islice
from string import whitespace

from curate.rubrics.replies.base import Unreadable, shown
from curate.rubrics.replies.behind import takes_back
from curate.rubrics.replies.ownership import MOST_MARKS, counting, is_of_an_aspect

Limits = tuple[float, float]
"""The smallest and the largest number that counts."""


def after_each(text: str, mark: str, limits: Limits | None = None) -> list[str]:
    """`behind_each` for the plain words of a mark, which may end with a colon: 'Rating:'."""
    bare = mark.rstrip(":")
    return behind_each(text, re.escape(bare), mark, limits, colon=bare != mark, clauses=False)


def behind_each(
    text: str, words: str, called: str, limits: Limits | None = None, *, colon: bool = True, clauses: bool = True
) -> list[str]:
    """For each mark that counts (`counting`) the line that follows it: what is left of its own, or else the next.

    `words` is the regular expression of a mark, `called` its name for people. Before its colon may stand Markdown and, in
    parentheses, the scale ('Rating (1-10):'), which has to be that of the `limits`; where no such mark counts, a headline of the
    words does, in a line of its own ('## Rating'). A line that stands there twice is given once. Raises `Unreadable` where no
    mark counts, nothing follows one, or it is taken back, and where there are more than `MOST_MARKS`.
    """
    written = _written(words) if colon else re.compile(rf"(?<![^\W_]){words}", re.IGNORECASE)
    own = counting(text, written, clauses=clauses)
    if not own and colon:
        own = counting(text, _headline(words), clauses=clauses)
    if not own:
        raise Unreadable("no_field", f"there is no '{called}' of the judge's own in {shown(text)}")
    for one in own if colon else ():
        _check_scale(one, limits, called)
    # A headline of the same words is not an answer.
    behind = [(line, rest) for line, rest in (_first_line(text, one.end()) for one in own) if not written.match(line)]
    if not all(line for line, _ in behind):
        raise Unreadable("no_field", f"nothing follows '{called}'")
    if any(takes_back(rest) for _, rest in behind):
        raise Unreadable("ambiguous", f"what stands behind '{called}' is taken back in {shown(text)}")
    return list(dict.fromkeys(line for line, _ in behind))


def of_aspects(text: str, words: str) -> list[str]:
    """The lines behind marks of something else that begin their line: 'Style Rating: 3' where the mark is 'Rating'.

    What they say is another answer, unless it is the same or cannot be read.
    """
    found = islice(_written(words).finditer(text), MOST_MARKS + 1)
    return [_first_line(text, one.end())[0] for one in found if is_of_an_aspect(text, one.start())]


_TYPE = r"(?:[*_`]|</?(?:b|i|em|strong)>){0,3}"

_SCALE = rf"{_TYPE}[^\S\n]?(?:\((?P<scale>[^()\n]{{1,30}})\){_TYPE}[^\S\n]?)?"
"""The scale of a mark in parentheses, if it is said."""


@cache
def _written(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![^\W_]){words}{_SCALE}[:：]", re.IGNORECASE)


@cache
def _headline(words: str) -> re.Pattern[str]:
    """These words at the end of a line."""
    return re.compile(rf"(?<![^\W_]){words}{_SCALE}[^\S\n]{{0,8}}(?=\n)", re.IGNORECASE)


_ON_A_SCALE = re.compile(
    r"(?:[\s\-–—~/,:.]|\b(?:out|of|on|a|the|scale|from|to|between|and|up|max|maximum|min|minimum|points?|stars?|score|rating)\b)*",
    re.IGNORECASE,
)


def _check_scale(mark: re.Match[str], limits: Limits | None, called: str) -> None:
    """Raises `Unreadable` where a mark names in parentheses another scale than that of the limits, or anything else."""
    said = mark["scale"]
    if not said:
        return
    numbers = tuple(float(one.replace("−", "-")) for one in _SCALE_NUMBER.findall(said))
    known = not numbers or (limits is not None and numbers in {limits, limits[1:]})
    if not known or not _ON_A_SCALE.fullmatch(_SCALE_NUMBER.sub(" ", said)):
        raise Unreadable("out_of_range", f"'{called}' is said to be of another scale: {shown(said)}")


_SCALE_NUMBER = re.compile(r"(?:(?<![\w.)])[-−])?[0-9]+(?:\.[0-9]+)?")


def _first_line(text: str, start: int) -> tuple[str, str]:
    """The first line from `start` on that is not blank, without the Markdown before it, and all that is behind it.

    Both are empty where there is none.
    """
    line, _, rest = text[start:].lstrip("*_`" + whitespace).partition("\n")
    return line.strip(), rest
