"""Finds what stands behind the key of an object that is none: one that breaks off, or whose quotes nobody can pair."""

from __future__ import annotations

import re
from typing import Literal

from curate.rubrics.replies.base import Unreadable, shown

Kind = Literal["list", "number", "word"]
"""What a key holds: numbers between brackets, a number, or one of several words."""

_BLANKS = r"\s{0,20}"
"""Bounded, so that a reply of nothing but blanks is not searched again and again."""

_MORE = rf"{_BLANKS}(?=\}}|\]|\n|,\s{{0,20}}[\"'“‘\n}}])"
"""What may follow any value: a comma only where a key follows it, since '1,5' may mean one and a half."""

_END = rf"{_BLANKS},?{_BLANKS}\Z"
"""What may follow a value that is seen to be whole."""

_LIST = rf"{_BLANKS}\[([^\[\]{{}}\"'\n]{{1,400}})\](?:{_MORE}|{_END})"

_SIMPLE = r"([^\"'“”‘’,}\]\n]{1,80}?)"

_QUOTED = rf"[\"'“‘]{_SIMPLE}[\"'”’](?:{_MORE}|{_END})"

_BARE = rf"{_SIMPLE}{_MORE}"


_BEFORE_KEY = rf"(?:\A|[{{]|[\"'”’\]}}0-9]{_BLANKS}[,\n]|[\"'”’]{_BLANKS}:{_BLANKS}\w{{1,20}}{_BLANKS}[,\n]){_BLANKS}"
"""Where a key can stand: at the beginning, or behind a value and what ends it; not in the middle of a text."""


_BEGUN = {"list": r"(?=\s{0,20}\[)", "number": r"(?=\s{0,20}[\"'“‘]?[-+.]?[0-9])", "word": ""}
"""How a value begins: behind a second key that is not written like one, something else is no value."""


def raw_behind(text: str, key: str, kind: Kind, *, whole: bool) -> str:
    """The value behind a key, as it is written, a list without its brackets.

    The key stands once, where one can stand, in its quotes; once more without them, and the value is nobody's to choose. Unless
    the text is known to be `whole`, nothing tells a number at its end from the beginning of a longer one. Raises `Unreadable`.
    """
    name = re.escape(key)
    anywhere = rf"(?<!\w){name}{_BLANKS}[\"'”’]?{_BLANKS}:{_BEGUN[kind]}"
    in_place = rf"{_BEFORE_KEY}[\"'“‘]{name}{_BLANKS}[\"'”’]{_BLANKS}:"
    if len(re.findall(anywhere, text, re.IGNORECASE)) > 1 or len(re.findall(in_place, text, re.IGNORECASE)) != 1:
        raise Unreadable("not_json", f"there is no object, and not one key {key!r}, in {shown(text)}")
    bare = rf"{_BARE}|{_SIMPLE}{_END}" if whole else _BARE
    value = _LIST if kind == "list" else rf"{_BLANKS}(?:{_QUOTED}|{bare})"
    found = re.search(f"{in_place}{value}", text, re.IGNORECASE)
    if found is None:
        raise Unreadable("not_json", f"there is no object, and nothing whole behind {key!r}, in {shown(text)}")
    (said,) = (group for group in found.groups() if group is not None)
    return said
