"""Whose a mark in a reply is ('Rating:', 'Final Score:', 'Image 1 is better'): the judge's own, a quote, or a report."""

from __future__ import annotations

import re
from itertools import islice
from string import whitespace

from curate.rubrics.replies.base import Unreadable, shown
from curate.rubrics.replies.refusals import is_refusal

MOST_MARKS = 32


def after_each(text: str, mark: str) -> list[str]:
    """For each `mark` that counts (`counting`) the line that follows it: what is left of its own, or else the next.

    Markdown may stand in front of a mark's colon; a line that stands there twice is given once. Raises `Unreadable` where no mark
    counts, where nothing follows one, and where there are more than `MOST_MARKS`.
    """
    bare = mark.rstrip(":")
    written = re.compile(rf"(?<![^\W_]){re.escape(bare)}" + (r"[*_`]{0,3}\s?[:：]" if bare != mark else ""), re.IGNORECASE)
    lines = [_first_line(text, one.end()) for one in counting(text, written, clauses=False)]
    if not lines:
        raise Unreadable("no_field", f"there is no '{mark}' of the judge's own")
    # A headline of the same words is not an answer.
    lines = [line for line in lines if not written.match(line)]
    if not all(lines):
        raise Unreadable("no_field", f"nothing follows '{mark}'")
    return list(dict.fromkeys(lines))


def _first_line(text: str, start: int) -> str:
    """The first line from `start` on that is not blank, without the Markdown before it; empty where there is none."""
    lines = text[start:].lstrip("*_`" + whitespace).splitlines()
    return lines[0].strip() if lines else ""


_DECORATION = r"(?:[^\w\"'“”‘’«»„`()\[\]<>\\{}]|\(?(?:\d{1,2}|[a-z])[.)]\s|</?\w{1,20}>|\\boxed\{)*"
"""What may stand before a mark that begins its line: Markdown, bullets, numbers, tags; no quotes."""

_OWN = (
    r"(?:(?:so|thus|therefore|hence|overall|finally|in (?:conclusion|summary)|and|yet|but|my|the|final|total|edited|image|quality"
    r"|layout|composition|region|scores? (?:of|for)|answer|verdict|conclusion|judge?ment|result)[*_]*[,:]?[*_\s]+){0,5}[*_]*"
)
"""Words that lead to what a judge says itself."""

_INTRODUCED = (
    r"(?:(?:here(?: is|'s|’s)|this is|it is clear that"
    r"|i(?: would|'d|’d)? (?:give|think|believe|find|say|conclude)(?: that)?)"
    r"\s+)?"
)
"""The same at the beginning of a sentence or clause."""

_BEGUN_LINE = re.compile(_DECORATION + _OWN, re.IGNORECASE)

_BEGUN_CLAUSE = re.compile(_DECORATION + _INTRODUCED + _OWN, re.IGNORECASE)

_QUOTED_LINE = re.compile(rf"{_DECORATION}[>\"'“‘«„`(\[][>\"'“‘«„`(\[\s*_]*", re.IGNORECASE)

_CLOSED = re.compile(r"[\"'”’»`)\]][.*_]*$")

_SENTENCES = re.compile(r"(?<=[.!?;。])[\"”’')\]*_`]*\s+|\s[-–—]+\s+")

_CLAUSES = re.compile(r"(?<=[.!?;,。])[\"”’')\]*_`]*\s+|\s[-–—]+\s+")

_REPORTED = re.compile(
    r"\b(?:says?|said|saying|reads?|reading|asks?|asked|tells?|told|states?|writes?|written|contains?|texts?|instruct\w*|claims?"
    r"|quot\w*|request\w*|demands?|wants?|words?|lines?|if|unless)\b",
    re.IGNORECASE,
)
"""What makes the words that follow somebody else's, or a condition's."""

_NOT_FOUND = re.compile(
    r"\b(?:can\s?not|can['’]t|could\s?not|couldn['’]t)\s+(?:see|find|identify)\b(?!\s+(?:\w+\s+)?(?:image|picture|photo|video)s?\b)",
    re.IGNORECASE,
)
"""A finding ('I cannot see the hat') that is worded like a refusal."""

_LOOKED_AROUND = 200
"""Characters before and behind a mark that tell whose it is."""


def counting(text: str, mark: re.Pattern[str], *, clauses: bool = True) -> list[re.Match[str]]:
    """The marks that are the judge's own: the one rule for everything that is read behind a mark or label.

    1. Those that begin their line (behind decoration, or words like 'my final') count, and then no others do.
    2. Else those that begin their sentence (or one of its `clauses`), unless it reports them ('the sign says') or is conditional.
    3. Else those of a line that is in quotes as a whole, unless what stands before reports it.

    Quoted marks never count in 1 and 2, and in 2 and 3 none does in a refusal. Raises `Unreadable` for more than `MOST_MARKS`.
    """
    found = list(islice(mark.finditer(text), MOST_MARKS + 1))
    if len(found) > MOST_MARKS:
        raise Unreadable("ambiguous", f"{shown(found[0][0])} stands more than {MOST_MARKS} times in the reply")
    standing = [(_standing(text, one, _CLAUSES if clauses else _SENTENCES), one) for one in found]
    best = min((rank for rank, _ in standing if rank), default=0)
    own = [one for rank, one in standing if rank and rank == best]
    # A quote that began in an earlier line is not the judge's answer; beside one it leaves open which of them is.
    if best == _AT_LINE:
        return [] if all(_closes_a_quote(_line_of(text, one)) for one in own) else own
    return [] if is_refusal(_NOT_FOUND.sub("", text)) else own


_AT_LINE, _AT_CLAUSE, _IN_QUOTES = 1, 2, 3


def _standing(text: str, mark: re.Match[str], ends: re.Pattern[str]) -> int:
    """How a mark stands among the `ends` of sentences, a number of the rule of `counting`; 0 for one that does not count."""
    start = mark.start()
    window = text[max(0, start - _LOOKED_AROUND) : start]
    above, newline, line = window.rpartition("\n")
    whole = bool(newline) or start <= _LOOKED_AROUND
    introduced = above.rstrip().rpartition("\n")[2]
    if introduced.endswith((":", "：")) and _REPORTED.search(introduced) and not re.search(r"\w", line):
        return 0
    if whole and _BEGUN_LINE.fullmatch(line):
        return _AT_LINE
    if whole and _QUOTED_LINE.fullmatch(line) and (">" in line or _CLOSED.search(_line_of(text, mark))):
        return 0 if _REPORTED.search(window) else _IN_QUOTES
    parts = ends.split(line)
    begun = _BEGUN_CLAUSE.fullmatch(parts[-1]) and (whole or len(parts) > 1)
    if not begun or _opens_a_quote(line) or _REPORTED.search(_SENTENCES.split(line)[-1]):
        return 0
    return _AT_CLAUSE


def _line_of(text: str, mark: re.Match[str]) -> str:
    """A mark and what is left of its line."""
    return text[mark.start() : mark.end() + _LOOKED_AROUND].partition("\n")[0].rstrip()


def _opens_a_quote(line: str) -> bool:
    """Whether quotes or parentheses are open at the end of a piece of text."""
    odd = any(line.count(mark) % 2 for mark in ('"', "`"))
    odd |= len(re.findall(r"(?<!\w)['‘]\w", line)) > len(re.findall(r"\S['’](?!\w)", line))
    return odd or any(line.count(opening) > line.count(closing) for opening, closing in ("“”", "«»", "()", "[]"))


def _closes_a_quote(line: str) -> bool:
    """Whether quotes are closed that were opened in an earlier line."""
    return line.count('"') % 2 == 1 or any(line.count(closing) > line.count(opening) for opening, closing in ("“”", "«»"))
