"""Where in a reply the answer stands: behind the thoughts, in a box, between tags; behind a word see `marks`."""

from __future__ import annotations

import re

from curate.control_tokens import THOUGHTS
from curate.rubrics.reads import Place
from curate.rubrics.replies.base import Unreadable

_BOX = "\\boxed{"

MOST_BOXES = 32

_BOX_TOKENS = re.compile(r"<\|(?:begin|end)_of_box\|>")
"""What GLM puts around its answers."""

_END_TOKENS = (
    *("</s>", "<eos>", "<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<|return|>"),
    *("<end_of_turn>", "<end_of_utterance>"),
)
"""Ends of turns, which some servers leave in the text."""


def without_thoughts(text: str) -> str:
    """What a reply says behind its thoughts, stripped, without tokens that box it or end its turn.

    A chat template may have opened the thoughts itself, so a closing mark without an opening one ends them too. Raises
    `Unreadable` where thoughts are not closed, and where nothing follows them.
    """
    for opening, closing in THOUGHTS:
        text = _outside(text, opening, closing)
    # A blank, so that what stood on both sides does not become one number.
    text = _BOX_TOKENS.sub(" ", text).strip()
    while text.endswith(_END_TOKENS):
        text = text[: text.rindex("<")].rstrip()
    if not text:
        raise Unreadable("empty", "the reply is empty")
    return text


def _outside(text: str, opening: str, closing: str) -> str:
    """What stands outside of two marks."""
    kept: list[str] = []
    start, inside = 0, False
    for mark in re.finditer(f"{re.escape(opening)}|{re.escape(closing)}", text, flags=re.IGNORECASE):
        opens = mark[0].casefold() == opening.casefold()
        if opens and not inside:
            kept.append(text[start : mark.start()])
        elif not opens and not inside:
            kept.clear()
        inside = opens
        start = mark.end()
    if inside:
        raise Unreadable("unfinished", "the thoughts never came to an answer")
    # Joined by a line feed, so that what stood on both sides does not become one number.
    return "\n".join([*kept, text[start:]])


def located(text: str, place: Place) -> str:
    """The part of a reply that holds the answer; raises `Unreadable` where it is not there, or there twice and different."""
    if place == "anywhere":
        return text
    found = _boxes(text) if place == "boxed" else tagged(text, "answer")
    if not found:
        raise Unreadable("no_field", "there is no \\boxed{…}" if place == "boxed" else "there is no <answer>")
    if len(set(found)) > 1:
        raise Unreadable("ambiguous", f"there are {len(found)} answers, and they differ")
    return found[0]


def tagged(text: str, tag: str) -> list[str]:
    """What stands between `<tag>` and `</tag>`, stripped, each time; to the end where the last one is not closed."""
    opening, closing = (re.compile(f"<{slash}{re.escape(tag)}>", re.IGNORECASE) for slash in ("", "/"))
    *closed, rest = closing.split(text)
    found: list[str] = [parts[1].strip() for before in closed if len(parts := opening.split(before, maxsplit=1)) == 2]
    if len(parts := opening.split(rest, maxsplit=1)) == 2:
        found.append(parts[1].strip())
    return found


def _boxes(text: str) -> list[str]:
    """What stands in each of the first `MOST_BOXES` `\\boxed{…}`, stripped; braces in it come in pairs."""
    found: list[str] = []
    start = text.find(_BOX)
    while start >= 0 and len(found) < MOST_BOXES:
        begin = start + len(_BOX)
        end = closing_brace(text, begin - 1)
        if end is None:
            break
        found.append(_bare(text[begin:end].strip()))
        start = text.find(_BOX, end)
    return found


def _bare(text: str) -> str:
    """A text without the LaTeX command around all of it."""
    command = re.fullmatch(r"\\(?:text|mathrm|textbf|mathbf)\{([^{}]*)\}", text)
    return command[1].strip() if command else text


def closing_brace(text: str, opening: int) -> int | None:
    """Where the brace at `opening` is closed: braces inside of quotes do not count, unless that leaves it open."""
    return _closing(text, opening, r'"(?:[^"\\]|\\.)*"|[{}]') or _closing(text, opening, r"[{}]")


def _closing(text: str, opening: int, tokens: str) -> int | None:
    depth = 0
    for token in re.compile(tokens, re.DOTALL).finditer(text, opening):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0:
            return token.start()
    return None
