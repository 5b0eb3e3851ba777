"""What follows an answer, and whether it leaves it as it is: one rule for numbers, words, letters and verdicts.

An aside in the same sentence may change an answer ('9, but 3 if strict'), and so may a second thought in any later sentence
('Actually, 3.'). What is meant then is nobody's to guess, so the reply is unreadable.
"""

from __future__ import annotations

import re

from curate.rubrics.replies.base import Reason, Unreadable, shown
from curate.rubrics.replies.lenient import NUMBER

AROUND = r"(?:[\s⭐★*_`|$\"'“”‘’()\[\]{}]|\\boxed\b|\\text\b|</?(?:b|i|u|em|strong|span|p|code)>)*"
"""Signs, tags of type and marks of LaTeX around the answer behind a mark."""

_AFTER = re.compile(
    rf"(?:\s*(?:points?|stars?)\b)?{AROUND}(?:<[/|]?\w[^<>]{{0,80}}>\s*)*"
    r"(?:$|。|[.!;]+(?:$|[\s*_`\"'”’)]+(?![-+−]?\d))"
    r"|\s*(?:[,:(]|[-–—]+(?=\s)|(?<=\s)(?=(?:because|since|as|due)\b))\s*(?P<aside>[^.!?]*[^.!?\s]))",
    re.IGNORECASE,
)
"""What may follow an answer on its line: nothing, its unit, a sentence of its own, or an aside."""

_CONDITION = re.compile(
    r"(?:(?:but|only|except) )?(?:if|unless|assuming|provided|supposing|were|or|else|otherwise|actually|rather)\b"
    r"|.*(?:\bno[,:]|\bwait\b|\bonly if\b|\bif (?:we|you|one|i)\b|\b(?:only|alone)\W*$)",
    re.IGNORECASE,
)
"""What makes an aside more than one."""

_CHANGE = r"(?:lower|reduc|revis|rais|chang|adjust|increas|decreas|correct)(?:e[sd]?|s|ed|ing)?\b"

_SOURCE = r"(?:caption|prompt|description|text|sign|image|picture|instruction|user|question)s?"

_WANTS = r"(?:asks?|wants?|instructs?|requests?|orders?|demands?|says)"

_CHANGED = re.compile(
    rf"\bi\s(?:\w+\s)?{_CHANGE}\s(?:it|this|that|my|the (?:rating|score))\b|\brevis\w*\s?:|^correct(?:ion|ed)\b"
    r"|\b(?:demand(?:s|ed)?|minus|per ?cent|sorry|scratch (?:that|it)|hmm+|i mean|deduct\w*|subtract\w*)\b|\bfalse\W*$"
    r"|\btoo (?:high|low|generous|harsh)(?:,? (?:perhaps|maybe|probably))?\W*$|^(?:said|says)\b"
    r"|^(?:just |exactly )?as (?:instructed|demanded|told|ordered|asked|requested)(?:\W*$| by\b| to\b)"
    rf"|^(?:just |exactly )?(?:as|because|since|like) (?:the |this |that )?{_SOURCE}(?: in (?:the|this) \w+)?"
    rf" {_WANTS}(?: so| it)?\W*$",
    re.IGNORECASE,
)
"""Words by which an aside takes something off the answer, or gives it to somebody else."""

_WORD = r"(?:zero|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|hundred)"

_OTHER_NUMBER = re.compile(
    rf"[0-9]|\b(?:{_WORD}|(?:(?:to|by|from|minus|less|or)\s|[:=]\s?)one)\b(?:\W*$|[^\w\s-]"
    r"|\s(?:for|if|without|with|because|since|as|on|out|to|or|at|in|when|where|is|was|would|less|more|lower|higher|off"
    r"|points?|stars?|per ?cent)\b)|\bone (?:less|lower|off|points?|stars?)\b",
    re.IGNORECASE,
)
"""Another number in an aside; in words only one that counts nothing: 'five without the hat', not 'two dogs'."""

_SENTENCE_START = (
    r"(?:\A\s{0,20}|[.!;。][\"'”’)\]*_`]{0,4}\s{1,20}|\n\s{0,20})[-–—>*_#(\"'“‘]{0,6}\s?"
    r"(?:(?:but|and|so|oh|well|however|though),?\s){0,2}"
)

_TAKEN_BACK = re.compile(
    rf"{_SENTENCE_START}(?:(?:actually|wait|scratch (?:that|this|it)|correction|corrected (?:rating|score|answer|verdict)"
    r"|hmm+|sorry|nope|never ?mind|or(?! so|,)|i mean|just kidding|revis(?:ed|ion|ing)|on (?:second thoughts?|reflection|closer)"
    r"|(?:ignoring|disregarding) (?:this|that)"
    rf"|rather,? (?:an? |the )?(?:[0-9]|{_WORD}|first|second|third|fourth|fifth|option|image|video)"
    r"|i (?:take (?:it|this|that) back|was (?:told|asked|instructed|ordered)|retract|withdraw)"
    rf"|i (?:now |have to |must |will |would |should )?{_CHANGE}\s(?:it|this|that|my|the (?:rating|score))"
    r"|(?:it|this|that) (?:is|was) the (?:rating|score|answer|verdict|number) (?:that |which )?(?:the |this )?"
    rf"{_SOURCE} {_WANTS})\b"
    r"|(?:edit|corrected)\s?:|no(?=\s?(?:[,.:;!]|[-–—]\s|\Z))|(?:false|not|wrong)(?=\s?(?:[.!]|\Z))|mine (?:is|was|would)\b"
    r"|(?:it|this|that) (?:is|was) (?:not (?:so|true)|wrong|false)(?=\s?(?:[.!;]|\Z))"
    r"|(?:just |quite |it is |it['’]s ){0,2}the other way (?:a)?round)"
    r"|\bmy (?:own|real|true|actual|revised|corrected|new) (?:rating|score|answer|verdict|choice)\b"
    r"|\bthe (?:reverse|opposite) is\b|[:,] (?:it is |so it is )?the other way (?:a)?round",
    re.IGNORECASE,
)
"""A sentence that takes back what was said before it."""


def takes_back(text: str) -> bool:
    """Whether what stands behind an answer, in sentences of its own, takes it back."""
    return _TAKEN_BACK.search(text) is not None


def comes_first(line: str, answer: str, reason: Reason, *, number: bool = False) -> None:
    """Raises `Unreadable` unless a line behind a mark begins with the answer and goes on with nothing that changes it.

    `answer` is a regular expression. Behind a `number` no other number may stand in the same sentence.
    """
    line = " ".join(line.split())
    begun = re.match(rf"{AROUND}(?:{answer})(?!\w)", line, re.IGNORECASE)
    if begun is None or not left_as_it_is(line, begun.end(), number=number, strictly=True):
        raise Unreadable(reason, f"{shown(line)} is not an answer and nothing else")


def left_as_it_is(line: str, end: int, *, number: bool = False, strictly: bool = False) -> bool:
    """Whether nothing in a line changes the answer that ends at `end`; `strictly`: nor is there anything but asides."""
    after = _AFTER.match(line, end)
    if after is None:
        return not strictly
    aside = after["aside"] or ""
    if _CONDITION.match(aside) or _CHANGED.search(aside) or (number and _OTHER_NUMBER.search(aside)):
        return False
    return not takes_back(line[after.end("aside") if after["aside"] else after.end() :].lstrip(".!?"))


def without_top(line: str, top: float | None) -> str:
    """A line that says its number to be out of the largest there is, without that: '8/10', '8 out of 10', '8 (out of 10)'."""
    if top is None:
        return line
    said = rf"({AROUND}{NUMBER.pattern}{AROUND})(?:/|out of|of)\s?{top:g}(?:\.0+)?\)?(?![\w/%^]|[.,]\d)"
    return re.sub(rf"\A{said}", r"\1", line, flags=re.IGNORECASE)


_SIGNED = rf"[-−+]?(?:{NUMBER.pattern.removeprefix('-?')})(?![\w/%^-]|[.,]\d)"


def number_first(line: str, top: float | None = None) -> float:
    """The number that a line behind a mark begins with, which may be said to be out of `top`; raises `Unreadable`."""
    bare = without_top(line, top)
    found = re.match(rf"{AROUND}({_SIGNED})", bare)
    if found is None:
        raise Unreadable("not_a_number", f"{shown(line)} does not begin with a plain number")
    comes_first(bare, re.escape(found[1]), "not_a_number", number=True)
    return float(found[1].replace("−", "-"))
