"""UnifiedReward's ratings of one picture, edit or video (CodeGoat24/UnifiedReward; Wang et al., arXiv 2503.05236).

    1.x, Qwen          a line 'element (type): 0' or 1 for each element of the prompt, then 'Final Score:' up to 10, or 5 (Qwen)
    2.0, pictures      'Alignment Score (1-5): 2.69', and so for coherence and style; the older Qwen model scores each word before
    2.0, videos        the same for alignment, physics and style
    1.x, videos        five dimensions from 1 to 4, then 'Final Score:' up to 10
    Edit               an object with the reasoning and a list of two scores, 0 to 25

The scores of 2.0 are floats with many decimals, taken as they stand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator

from curate.rubrics.checks import NAME, unique
from curate.rubrics.reads import Json
from curate.rubrics.replies.base import Outputs, Unreadable, shown
from curate.rubrics.replies.formats.parts import Plain, as_json, labelled, settings, whole
from curate.rubrics.replies.lenient import NotLenient, parse_lenient
from curate.rubrics.replies.locating import without_thoughts
from curate.rubrics.replies.objects import read_object, within
from curate.strict import Strict

FINAL_SCORE = "Final Score"

FIVE_POINTS = (1.0, 5.0)


class PointParams(Strict):
    """The params of `unifiedreward-point`."""

    highest: int = Field(default=10, ge=2)
    """Of the final score: 10 for 1.x, 5 for Qwen. The lowest is 1."""
    elements: bool = True
    """Whether the lines of elements are read; if not, `score` is the only output."""


class Point:
    """`unifiedreward-point`: `score`, `elements` (the share of them that are there), `findings` (each with its type, as JSON)."""

    texts = ("findings",)

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._params = settings(PointParams, params)
        self.outputs = ("score", "elements", "findings") if self._params.elements else ("score",)

    def read(self, text: str) -> Outputs:
        """See `Format`."""
        text = without_thoughts(text)
        score = labelled(text, FINAL_SCORE, (1, self._params.highest), out_of=self._params.highest)
        if not self._params.elements:
            return {"score": score}
        elements = _elements(text)
        found = [{"element": element, "type": kind, "there": there} for (element, kind), there in elements.items()]
        return {"score": score, "elements": sum(elements.values()) / len(elements), "findings": as_json(found)}


_ELEMENT = re.compile(r"[\s>*#•-]*(?P<element>[^\n]*?\S)\s*\((?P<kind>[^()\n]+)\)[*_`\s]*[:：][*_`\s]*(?P<there>[^\n]*)")


def _elements(text: str) -> dict[tuple[str, str], int]:
    """For each element and type, 1 where it is there and 0 where not."""
    elements: dict[tuple[str, str], int] = {}
    for line in text.splitlines():
        found = _ELEMENT.fullmatch(line[:1000])
        if found is None or FINAL_SCORE.lower() in line.lower():
            continue
        there = found["there"].strip(" *_`.;,")
        if there not in {"0", "1"}:
            raise Unreadable("out_of_range", f"an element is 0 or 1, not {shown(there)}")
        element = (found["element"].strip(" *_`"), found["kind"].strip())
        if elements.setdefault(element, int(there)) != int(there):
            raise Unreadable("ambiguous", f"the element {shown(element[0])} is both 0 and 1")
    if not elements:
        raise Unreadable("wrong_format", "there is no line 'element (type): 0' or 1")
    return elements


class WordsParams(Strict):
    """The params of `unifiedreward-acs`."""

    words: bool = False
    """Whether a list of words and scores comes first; adds the outputs `no_mistakes` and `words`."""


class AlignmentCoherenceStyle:
    """`unifiedreward-acs`: `alignment`, `coherence` and `style`, 1 to 5.

    With `words` also `words`, the pairs of word and score as JSON, where a higher score is a word that is shown less well, and
    `no_mistakes`, the score of the item [No_mistakes], where a higher one is better.
    """

    texts = ("words",)

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._words = settings(WordsParams, params).words
        self.outputs = ("alignment", "coherence", "style", *(("no_mistakes", "words") if self._words else ()))

    def read(self, text: str) -> Outputs:
        """See `Format`."""
        text = without_thoughts(text)
        scores = _scores(text, ("Alignment", "Coherence", "Style"))
        return {**scores, **_words(text)} if self._words else scores


class AlignmentPhysicsStyle(Plain):
    """`unifiedreward-aps`: `alignment`, `physics` and `style` of a video, 1 to 5."""

    outputs = ("alignment", "physics", "style")

    def read(self, text: str) -> Outputs:
        """See `Format`."""
        return _scores(without_thoughts(text), ("Alignment", "Physics", "Style"))


def _scores(text: str, names: tuple[str, ...]) -> dict[str, float]:
    beside = rf"(?:{'|'.join(names)})\s+score"
    return {name.lower(): labelled(text, f"{name} Score", FIVE_POINTS, out_of=5, beside=beside) for name in names}


_NO_MISTAKES = "no_mistakes"


def _words(text: str) -> Outputs:
    """The scores of the words, which stand between their label and that of the alignment."""
    parts = re.split(r"(?i)word-?wise\s+scores?\s*[*_]{0,3}\s*[:：][*_]{0,3}", text)
    if len(parts) != 2:
        raise Unreadable("ambiguous" if len(parts) > 2 else "no_field", f"'Word-wise Scores' stands there {len(parts) - 1} times")
    listed = re.split(r"(?i)[*_]{0,3}alignment\s+score", parts[1])[0].strip().strip("-").strip()
    try:
        pairs = parse_lenient(listed)
    except (NotLenient, ValueError, RecursionError) as problem:
        raise Unreadable("not_json", f"{shown(listed)} is no list of words and scores") from problem
    words = [_word(pair) for pair in pairs] if isinstance(pairs, list) else []
    verdicts = [score for word, score in words if word.strip("[]").casefold() == _NO_MISTAKES]
    if len(verdicts) != 1:
        raise Unreadable("wrong_format", f"[No_mistakes] stands {len(verdicts)} times in the list of words")
    return {"no_mistakes": verdicts[0], "words": as_json(words)}


def _word(pair: Any) -> tuple[str, float]:
    match pair:
        case [str() as word, int() | float() as score] if not isinstance(score, bool) and abs(score) < 1e300:
            return word, within(float(score), None, f"the word {shown(word)}")
    raise Unreadable("wrong_type", f"{shown(str(pair))} is no word with a score")


_VIDEO_LABELS = {
    "visual_quality": "visual quality",
    "temporal_consistency": "temporal consistency",
    "dynamic_degree": "dynamic degree",
    "alignment": "text-to-video alignment",
    "factual_consistency": "factual consistency",
}


class Video(Plain):
    """`unifiedreward-video`: five dimensions, whole numbers from 1 to 4, and `score`, 1 to 10."""

    outputs = (*_VIDEO_LABELS, "score")

    def read(self, text: str) -> Outputs:
        """See `Format`."""
        text = without_thoughts(text)
        beside = "|".join((*_VIDEO_LABELS.values(), FINAL_SCORE))
        levels = {
            name: whole(labelled(text, label, (1, 4), out_of=4, beside=beside), f"'{label}'")
            for name, label in _VIDEO_LABELS.items()
        }
        return {**levels, "score": labelled(text, FINAL_SCORE, (1, 10), out_of=10, beside=beside)}


class EditParams(Strict):
    """The params of `unifiedreward-edit`."""

    scores: tuple[Annotated[str, Field(pattern=NAME)], ...] = Field(default=("success", "preservation"), min_length=1)
    """What the numbers of the list are called, in order: for the other question `[naturalness, artifacts]`."""

    @field_validator("scores")
    @classmethod
    def _are_names(cls, scores: tuple[str, ...]) -> tuple[str, ...]:
        unique((*scores, "reasoning", "text"), "outputs")
        return scores


class Edit:
    """`unifiedreward-edit`: one number for each name in `scores`, 0 to 25, and `reasoning`."""

    texts = ("reasoning",)

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._scores = settings(EditParams, params).scores
        self.outputs = (*self._scores, "reasoning")
        fields = {
            "reasoning": {"type": "text", "required": False},
            "score": {"type": "numbers", "count": len(self._scores), "range": (0.0, 25.0)},
        }
        self._spec = Json.model_validate({"fields": fields})

    def read(self, text: str) -> Outputs:
        """See `Format`; a reply without reasoning has an empty one."""
        said = read_object(without_thoughts(text), self._spec)
        numbers = said["score"]
        assert isinstance(numbers, tuple), "the field is 'numbers'"
        return {**dict(zip(self._scores, numbers, strict=True)), "reasoning": said.get("reasoning", "")}
