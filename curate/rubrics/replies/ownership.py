"""Whose something in a reply is, a mark ('Rating:'), a verdict or an object: the judge's own, a quote, or a report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

from curate.rubrics.replies.base import Unreadable, shown
from curate.rubrics.replies.refusals import is_refusal

MOST_MARKS = 32

_DECORATION = r"(?:[^\w\"'“”‘’«»„`()\[\]<>\\{}]|\(?(?:\d{1,2}|[a-z])[.)]\s|</?\w{1,20}>|\\boxed\{)*"
"""What may stand before a mark that begins its line: Markdown, bullets, numbers, tags; no quotes."""

_OWN = (
    r"(?:(?:so|thus|therefore|hence|overall|finally|in (?:conclusion|summary)|and|yet|but|my|the|final|total|edited|image"
    r"|scores? (?:of|for)|answer|verdict|conclusion|judge?ment|result)[*_]*[,:]?[*_\s]+){0,5}[*_]*"
)
"""Words that lead to what a judge says itself."""

_INTRODUCED = (
    r"(?:(?:here(?: is|'s|’s)|this is|it is clear that"
    r"|i(?: would|'d|’d)? (?:give|think|believe|find|say|conclude)(?: that)?)"
    r"\s+)?"
)
"""The same at the beginning of a sentence or clause."""

_ASPECT = re.compile(_DECORATION + r"(?:(?:[^\W\d_][\w'’/&-]{0,30}|[&+/])[*_\s]{1,4}){1,5}", re.IGNORECASE)
"""Words that say what a mark is of."""

_SAID = re.compile(
    r"\b(?:i|we|you|it|no|not|never|is|are|was|be|would|will|can(?:not)?|has|have|to|gives?|given|deserves?|this|that|an?"
    r"|says?|said|saying|reads?|reading|asks?|asked|tells?|told|states?|writes?|written|contains?|claims?|wants?|demands?)\b",
    re.IGNORECASE,
)
"""What belongs to a sentence, and to no name of an aspect."""

_BEGUN_LINE = re.compile(_DECORATION + _OWN, re.IGNORECASE)

_BEGUN_CLAUSE = re.compile(_DECORATION + _INTRODUCED + _OWN, re.IGNORECASE)

_QUOTED_LINE = re.compile(rf"{_DECORATION}[>\"'“‘«„`(\[][>\"'“‘«„`(\[\s*_]*", re.IGNORECASE)

_CLOSED = re.compile(r"[\"'”’»`)\]][.*_]*$")

_SENTENCES = re.compile(r"(?<=[.!?;。])[\"”’')\]*_`]*\s+|\s[-–—]+\s+")

_CLAUSES = re.compile(r"(?<=[.!?;,。])[\"”’')\]*_`]*\s+|\s[-–—]+\s+")

_REPORTED = re.compile(
    r"\b(?:says?|said|saying|reads?|reading|asks?|asked|tells?|told|states?|writes?|written|contains?|texts?|instruct\w*|claims?"
    r"|quot\w*|request\w*|demands?|wants?|words?|lines?|if|unless|supposing|assuming)\b",
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

    Quoted marks never count in 1 and 2, and in 2 and 3 none does in a refusal; what stands in a block of the question that is
    written again, <caption>…</caption>, is a quote. Raises `Unreadable` for more than `MOST_MARKS`.
    """
    found = list(islice(mark.finditer(text), MOST_MARKS + 1))
    if len(found) > MOST_MARKS:
        raise Unreadable("ambiguous", f"{shown(found[0][0])} stands more than {MOST_MARKS} times in the reply")
    blocks = _blocks(text)
    found = [one for one in found if not any(start <= one.start() < end for start, end in blocks)]
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
    if _REPORTED.search(_introducing(above)) and not re.search(r"\w", line):
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


_TOLD = re.compile(
    r"\b(?:texts?|captions?|prompts?|descriptions?|signs?|images?|pictures?|photos?|videos?|instructions?|requests?|users?|it)\b"
    r"[^.!?;\n]{0,60}\b(?:says?|said|saying|reads?|reading|contain(?:s|ing)|asks?|tells?|states?|claims?|demands?|wants?|orders?"
    r"|instructs?|requests?|quotes?|written|embedded|injected)\b"
    r"|\b(?:examples?|for instance|such as|e\.g\.|(?:the|this) (?:texts?|words?|lines?|string|sign|caption|prompt))\s*[:：]?\s*$",
    re.IGNORECASE,
)
"""Who says something that is not the judge, and that it is said."""

_OWN_FORM = re.compile(
    r"\b(?:here|my)\b.*\b(?:format|form|json|schema|structure|as (?:asked|requested|instructed))\b", re.IGNORECASE
)
"""What only speaks of the form of the judge's own answer: 'Here it is in the format the prompt asks for'."""

_SET_OFF = re.compile(r"[\s*_`#(\[\"'“‘{|,-]*(?:json)?\s*", re.IGNORECASE)
"""What may stand before an object that begins its line."""


def other_peoples(text: str, spans: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of `spans`, in order, that are not the judge's: in a block or quote, or behind a sentence that reports them."""
    blocks = _blocks(text)
    ends = [0, *(end for _, end in spans)]
    return {
        span
        for span, before in zip(spans, ends, strict=False)
        if any(start <= span[0] < end for start, end in blocks)
        or _is_reported(text[max(before, span[0] - _LOOKED_AROUND) : span[0]])
    }


def _is_reported(before: str) -> bool:
    """Whether what follows this piece of text is a quote, or somebody else's."""
    above, _, line = before.rpartition("\n")
    if line.lstrip().startswith(">"):
        return True
    if not _SET_OFF.fullmatch(line):
        sentence = _SENTENCES.split(line)[-1]
        return _opens_a_quote(line) or _is_told(sentence)
    return _is_told(_SENTENCES.split(_introducing(above))[-1])


def _is_told(sentence: str) -> bool:
    return _TOLD.search(sentence) is not None and _OWN_FORM.search(sentence) is None


def is_of_an_aspect(text: str, start: int) -> bool:
    """Whether a mark begins its line but for words that say what it is of, and that are not the judge's way to its own answer."""
    above, _, line = text[max(0, start - _LOOKED_AROUND) : start].rpartition("\n")
    named = _ASPECT.fullmatch(line) and not _BEGUN_LINE.fullmatch(line)
    told = _SAID.search(line) or _REPORTED.search(_introducing(above))
    return bool(named) and not told and not any(begin <= start < end for begin, end in _blocks(text))


def _introducing(above: str) -> str:
    """The last line of what stands above, fences aside, if it introduces what follows; else nothing."""
    last = re.sub(r"\s*```(?:json)?\s*\Z", "", above).rstrip("*_ \n").rpartition("\n")[2]
    return last if last.endswith((":", "：")) else ""


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


_TAG = re.compile(r"<(/?)([a-z][\w-]{0,30})>", re.IGNORECASE)

_OF_JUDGES = re.compile(
    r"(?:final[_-]?)?(?:answer|output|response|result|rating|score|verdict|judge?ment|conclusion|evaluation)s?"
    r"|reason(?:s|ing)?|analysis|scratchpad|thoughts?|reflection|explanation|rationale|json"
    r"|b|i|u|em|strong|p|span|div|code|pre|center|font|small|big|h[1-6]|[uo]l|li|t[rdh]|table|tbody|blockquote",
    re.IGNORECASE,
)
"""Names of blocks that judges make, and of those of HTML; all others hold what they were asked about."""


def _blocks(text: str) -> list[tuple[int, int]]:
    """Where the blocks lie in which a judge writes down again what it was shown: from `<caption>` to `</caption>`."""
    opened: dict[str, int] = {}
    blocks: list[tuple[int, int]] = []
    for tag in _TAG.finditer(text):
        name = tag[2].casefold()
        if _OF_JUDGES.fullmatch(name):
            continue
        if not tag[1]:
            opened.setdefault(name, tag.start())
        elif (start := opened.pop(name, None)) is not None:
            blocks.append((start, tag.end()))
    return blocks
