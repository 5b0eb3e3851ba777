"""UnifiedReward's comparisons of two pictures, edits or videos (CodeGoat24/UnifiedReward; arXiv 2503.05236 and 2505.03318).

    1.x, Qwen          'Image 1 is better than Image 2' (Qwen: 'Image 1 is better.'), or 'Both images are equally good'
    2.0                for alignment, coherence and style 'Image 1: 0.44' and 'Image 2: 0.56', which sum to 1
    Think              thoughts with scores of both for each dimension, and their totals; then a verdict in <answer>
    Edit               a verdict, or a score of each, which may be negative

What is called `value` is the probability that the first is better: 1, 0, or 0.5 for a tie.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from curate.rubrics.replies.base import Outputs, Reason, Unreadable
from curate.rubrics.replies.formats.parts import Plain, as_json, labelled, settings, thoughts_and_answer, verdict
from curate.rubrics.replies.lenient import NUMBER
from curate.rubrics.replies.locating import located, without_thoughts
from curate.rubrics.replies.objects import within
from curate.strict import Strict

SHARES_OFF = 0.02
"""How far two shares that sum to 1 may be from it."""

_EITHER = r"(?:edited\s+)?(?:image|video)\s+[12](?:\s+score)?"
"""The labels of both, as a regular expression."""


class Pair(Plain):
    """`unifiedreward-pair`: `value`."""

    outputs = ("value",)

    def read(self, text: str) -> Outputs:
        """See `Format`."""
        return {"value": verdict(without_thoughts(text))}


class PairScore(Plain):
    """`unifiedreward-pair-score`: `alignment`, `coherence` and `style`, each the share of the first, 0 to 1, as it is written."""

    outputs = ("alignment", "coherence", "style")

    def read(self, text: str) -> Outputs:
        """See `Format`."""
        sections = _sections(without_thoughts(text), self.outputs)
        return {name: _share(sections[name], name) for name in self.outputs}


def _sections(text: str, names: tuple[str, ...]) -> dict[str, str]:
    """What stands behind the label of each dimension, up to the next."""
    found = list(re.finditer(rf"(?<!\w)({'|'.join(names)})\s+score[*_`\s]{{0,8}}[:：]", text, re.IGNORECASE))
    labels = [one[1].lower() for one in found]
    for name in names:
        if labels.count(name) != 1:
            reason: Reason = "ambiguous" if name in labels else "no_field"
            raise Unreadable(reason, f"'{name} score' stands {labels.count(name)} times in the reply, not once")
    ends = [*(one.start() for one in found[1:]), len(text)]
    # The mark of a bold label is not part of what stands before it.
    return {label: text[one.end() : end].rstrip("*_# \n\t") for label, one, end in zip(labels, found, ends, strict=True)}


def _share(section: str, name: str) -> float:
    first, second = (labelled(section, f"(?:image|video) {number}", (0, 1), beside=_EITHER) for number in (1, 2))
    if abs(first + second - 1) > SHARES_OFF:
        raise Unreadable(
            "inconsistent", f"the shares of '{name}' are {first:g} and {second:g}, which is {first + second:g} together"
        )
    return first


class ThinkParams(Strict):
    """The params of `unifiedreward-think`."""

    totals: bool = True
    """Whether the thoughts are read too. Without them the verdict in <answer> is taken for what it says, as in the released
    benchmarks; for servers that keep the thoughts for themselves."""


class Think:
    """`unifiedreward-think`: `value`; `first_total` and `second_total`; `scores`, those of each dimension, as JSON.

    The verdict decides, and everything else has to agree with it: each total is the sum of the scores of its dimensions, and the
    winner does not have the lower one. Where they contradict each other the reply is unreadable, since nobody can tell which of
    them the judge stands by. At equal totals either may win.
    """

    texts = ("scores",)

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._totals = settings(ThinkParams, params).totals
        self.outputs = ("value", "first_total", "second_total", "scores") if self._totals else ("value",)

    def read(self, text: str) -> Outputs:
        """See `Format`."""
        if not self._totals:
            return {"value": verdict(located(without_thoughts(text), "answer"))}
        thoughts, said = thoughts_and_answer(text)
        value = verdict(located(said, "answer"))
        before, behind = _around_totals(thoughts)
        totals = (_total(behind, 1), _total(behind, 2))
        scores = _dimensions(before)
        for number, total in enumerate(totals):
            summed = sum(pair[number] for _, pair in scores)
            if abs(summed - total) > 1e-6:
                raise Unreadable("inconsistent", f"the scores of {number + 1} sum to {summed:g}, and its total is {total:g}")
        if (totals[0] - totals[1]) * (value - 0.5) < 0:
            raise Unreadable("inconsistent", f"the totals are {totals[0]:g} and {totals[1]:g}, and the lower one wins")
        found = [{"dimension": name, "first": pair[0], "second": pair[1]} for name, pair in scores]
        return {"value": value, "first_total": totals[0], "second_total": totals[1], "scores": as_json(found)}


def _around_totals(thoughts: str) -> tuple[str, str]:
    """The thoughts before and behind the last 'Total score:'."""
    found = list(re.finditer(r"total\s+scores?[*_`\s]{0,8}[:：]", thoughts, re.IGNORECASE))
    if not found:
        raise Unreadable("no_field", "there is no 'Total score' in the thoughts")
    return thoughts[: found[-1].start()], thoughts[found[-1].end() :]


_PLAIN = NUMBER.pattern.removeprefix("-?")


def _total(text: str, number: int) -> float:
    """The total of one, behind its sum or alone: 'Image 1: 9+8+8=25'."""
    sums = rf"((?<!\w)(?:image|video)\s+{number}[*_`\s]{{0,8}}[:：])[\d.+\s]{{1,200}}="
    return labelled(re.sub(sums, r"\1", text, flags=re.IGNORECASE), f"(?:image|video) {number}", beside=_EITHER)


_SCORE = re.compile(rf"(?:image|video)\s+([12])[*_`]*\s*[:：]?\s*\(?\s*({_PLAIN})\s*/\s*10\b", re.IGNORECASE)

_NAME = re.compile(r"([^\n:：;]{1,80})[:：][*_`\s]{0,40}\Z")


def _dimensions(text: str) -> list[tuple[str, tuple[float, float]]]:
    """For each dimension its name and the scores of the first and the second, which come in either order."""
    found = list(_SCORE.finditer(text))
    if not found or len(found) % 2:
        raise Unreadable(
            "wrong_format", f"there are {len(found)} scores out of 10 in the thoughts, and not two for each dimension"
        )
    dimensions = []
    end = 0
    for one, other in zip(found[::2], found[1::2], strict=True):
        if one[1] == other[1]:
            raise Unreadable("wrong_format", f"two scores of {one[1]} follow each other in the thoughts")
        scores = {each[1]: within(float(each[2]), (1, 10), "a score in the thoughts") for each in (one, other)}
        named = _NAME.search(text[end : one.start()][-200:])
        name = re.sub(r"^[\s\d.)*_#-]+|[*_\s]+$", "", named[1]) if named else ""
        dimensions.append((name, (scores["1"], scores["2"])))
        end = other.end()
    return dimensions


class EditPairParams(Strict):
    """The params of `unifiedreward-edit-pair`."""

    asked: Literal["verdict", "scores"] = "verdict"
    """What the judge was asked for."""


class EditPair:
    """`unifiedreward-edit-pair`: `value`; or `first` and `second`, scores without limits where scores are asked for."""

    texts = ()

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._scores = settings(EditPairParams, params).asked == "scores"
        self.outputs = ("first", "second") if self._scores else ("value",)

    def read(self, text: str) -> Outputs:
        """See `Format`."""
        text = without_thoughts(text)
        if not self._scores:
            return {"value": verdict(text)}
        return {
            name: labelled(text, rf"image {number}(?: score)?", beside=_EITHER)
            for number, name in enumerate(self.outputs, start=1)
        }
