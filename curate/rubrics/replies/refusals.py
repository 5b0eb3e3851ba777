"""Tells a judge that does not want to answer from one that answers badly."""

from __future__ import annotations

import re

_START = 600
"""Characters looked at: who refuses does so at once."""

_CANNOT = r"(?:can\s?not|can't|could\s?not|couldn't|won't|will not|(?:am|'m) (?:unable|not able) to|must decline to)"

_VERBS = (
    r"(?:help|assist|do|comply|continue|answer|respond|provide|give|offer|fulfil+|process|view|see|look|rate|score|judge|evaluate|"
    r"assess|analy[sz]e|compare|describe|review|discuss|engage|proceed|complete|identify|participate|support|make|share)"
)

_DOING = rf"{_CANNOT}\s+(?:\w+\s+){{0,2}}{_VERBS}\b"

_RULES = r"(?:polic(?:y|ies)|guidelines?|terms|safety|usage)"

_PATTERNS = (
    rf"\b(?:sorry|apologi[sz]e|afraid|regret)\b[^.\n]{{0,60}}{_DOING}",
    rf"\bi\s?{_DOING}",
    r"\bi (?:must|have to|need to) (?:respectfully )?(?:decline|refuse)\b",
    r"\b(?:sorry|apologi[sz]e)\b[^.\n]{0,60}\b(?:unable|not possible|decline|against)\b",
    r"\bas an? (?:ai|artificial intelligence|language model|assistant)\b[^.\n]{0,80}\b(?:can\s?not|can't|unable|won't)\b",
    rf"\b(?:violates?|against|not (?:allowed|permitted) by|prohibited by)\b[^.\n]{{0,40}}\b{_RULES}\b",
    r"\b(?:content|image|picture|request) (?:is|was|has been) (?:blocked|flagged|filtered|withheld)\b",
    r"(?:抱歉|对不起)[^。\n]{0,20}(?:无法|不能)|我(?:无法|不能)(?:提供|回答|评|协助|帮助|处理)",
)

_ANY = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS), re.IGNORECASE)


def is_refusal(text: str) -> bool:
    """Whether a reply that could not be read is a refusal in so many words. Not to be asked of replies that could be read."""
    return _ANY.search(text[:_START].replace("’", "'")) is not None
