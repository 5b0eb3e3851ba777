"""Texts in data that talk to the judge instead of the reader: found to be said, never to change a value."""

from __future__ import annotations

import re

from curate.control_tokens import as_seen

_WHAT = r"(?:this|it|the\s+(?:image|picture|photo|edit|response|result|first|second))"

_PATTERNS = (
    # Away with what was said before.
    r"\b(?:ignore|disregard|forget|override|skip)\b[^.\n]{0,70}\b(?:instructions?|prompts?|rules?|criteria|rubrics?|messages?)\b",
    r"\b(?:new|updated|real|actual|hidden)\s+(?:instructions?|task|rubric)\s*:",
    r"\bsystem\s*(?:prompt|message|override|note)\b",
    # What the judge should say.
    rf"\b(?:rate|score|grade|judge|evaluate|mark)\s+{_WHAT}\b[^.\n]{{0,40}}(?:\d|\b(?:high|max|perfect|full|top|best|excellent|better))",
    r"\b(?:give|assign|award|output|return|report)\b[^.\n]{0,30}\b(?:scores?|ratings?|grades?|marks?|points)\b",
    r"\b(?:perfect|maximum|highest|full|top)\s+(?:possible\s+)?(?:scores?|ratings?|grades?|marks)\b",
    r"\b(?:score|rating|grade)\s*[:=]\s*\d",
    r"\b\d{1,3}\s*(?:/|out\s+of)\s*(?:10|100)\b",
    r"\b(?:answer|reply|respond|say)\s+(?:with\s+)?(?:only\s+)?[\"']?(?:yes|no|[1-9a-d])\b",
    # Whom it speaks to, or as whom.
    r"\b(?:dear|attention|note\s+to|you\s+are)\s+(?:\w+\s+){0,3}(?:judge|evaluator|grader|rater|assistant|reviewer|vlm|llm|ai)\b",
    r"^[ \t]*(?:system|assistant|user|human)\s*:",
)
"""In our words; upper and lower case are one. They find what is written plainly: a note to look, not a defence."""

_ANY = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS), re.IGNORECASE | re.MULTILINE)

MOST = 20_000
"""Characters looked at."""


def talks_to_the_judge(text: str) -> bool:
    """Whether a text of data holds something like an instruction to its judge, or a score for itself; hidden characters count."""
    return _ANY.search(as_seen(text[:MOST])) is not None
