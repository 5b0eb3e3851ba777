"""The words of an expression: numbers, texts, names, keywords and operators, each with its position."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from curate.errors import ExpressionError

MAX_BYTES = 4096
"""Of UTF-8 in one expression; nobody writes more by hand, and every later limit follows from it."""

KEYWORDS = frozenset(
    ["and", "or", "not", "in", "between", "is", "null", "like", "ilike", "case", "when", "then", "else", "end", "true", "false"]
)

TokenKind = Literal["number", "text", "name", "quoted name", "keyword", "operator", "end"]

_TOKEN = re.compile(
    r"""
      (?P<space>   [ \t\r\n]+ )
    | (?P<number>  (?: [0-9]+ (?: \.[0-9]* )? | \.[0-9]+ ) (?: [eE] [+-]? [0-9]+ )? )
    | (?P<name>    [A-Za-z_] [A-Za-z0-9_]* )
    | (?P<text>    ' (?: [^'] | '' )* ' )
    | (?P<quoted>  " (?: [^"] | "" )+ " )
    | (?P<operator> <= | >= | <> | != | == | [-+*/(),.<>=] )
    """,
    re.VERBOSE,
)

_HINTS = {
    "'": "a text that begins here has no closing quote",
    '"': "a quoted name that begins here has no closing quote",
    ";": "one expression is expected, without ';'",
    "%": "'%' is not in the language",
    "^": "'^' is not in the language; powers are pow(x, y)",
    "|": "'|' is not in the language; write 'or'",
    "&": "'&' is not in the language; write 'and'",
    "!": "'!' stands only in '!='; write 'not'",
}


@dataclass(frozen=True, slots=True)
class Token:
    """One word of an expression."""

    kind: TokenKind
    text: str
    """What it means: keywords and bare names in small letters, texts and quoted names without their quotes."""
    start: int
    """Position of its first character, from 0."""
    end: int
    """Position after its last character."""


def problem_at(what: str, start: int, message: str) -> ExpressionError:
    """The error that says where: `what` names the option, `start` counts characters from 0 (people see it from 1)."""
    return ExpressionError(what, f", position {start + 1}: {message}")


def tokenize(text: str, what: str) -> list[Token]:
    """The tokens of an expression, closed by one of kind 'end'; raises `ExpressionError` for anything else in the text."""
    _check_text(text, what)
    tokens: list[Token] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None or text.startswith(("--", "/*"), place):
            raise problem_at(what, place, _unreadable(text, place))
        if match.lastgroup != "space":
            tokens.append(_token(match, what))
        place = match.end()
    tokens.append(Token("end", "", len(text), len(text)))
    _check_glued(tokens, what)
    return tokens


def _check_text(text: str, what: str) -> None:
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as problem:
        raise problem_at(what, problem.start, "a character that is not Unicode text stands here") from problem
    if size > MAX_BYTES:
        raise ExpressionError(what, f" is {size} bytes long, and an expression has at most {MAX_BYTES}")
    if "\0" in text:
        raise problem_at(what, text.index("\0"), "a NUL character stands here")
    if not text.strip():
        raise ExpressionError(what, " is empty; write an expression such as pickscore > 0.2")


def _unreadable(text: str, place: int) -> str:
    character = text[place]
    if text.startswith(("--", "/*"), place):
        return "comments are not in the language (write a minus before a negative number as '- -1' or '-(-1)')"
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    return _HINTS.get(character, f"the character '{shown}' is not in the language; names with it are written in double quotes")


def _token(match: re.Match[str], what: str) -> Token:
    text, (start, end) = match.group(), match.span()
    if match.lastgroup == "number":
        if not math.isfinite(float(text)):
            raise problem_at(what, start, f"the number {text[:40]} is too large")
        return Token("number", text, start, end)
    if match.lastgroup == "text":
        return Token("text", text[1:-1].replace("''", "'"), start, end)
    if match.lastgroup == "quoted":
        return Token("quoted name", text[1:-1].replace('""', '"'), start, end)
    if match.lastgroup == "name":
        small = text.lower()
        return Token("keyword" if small in KEYWORDS else "name", small, start, end)
    return Token("operator", {"<>": "!=", "==": "="}.get(text, text), start, end)


def _check_glued(tokens: list[Token], what: str) -> None:
    """Refuse `1abc` and `'a''b'c`, which some dialects read as two words and some as one."""
    for one, following in pairwise(tokens):
        if one.end == following.start and "operator" not in (one.kind, following.kind) and following.kind != "end":
            raise problem_at(what, following.start, f"a space or an operator is missing before '{following.text[:40]}'")
