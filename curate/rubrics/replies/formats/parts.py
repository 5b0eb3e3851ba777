"""What the formats are made of: their params, thoughts and answers, numbers behind labels, objects, verdicts.

A format takes an answer only as its judge was trained to write it, give or take Markdown, blanks and quotes. What stands twice
has to stand there twice the same; a label without a plain number behind it makes the reply unreadable, even if another has one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar

from pydantic import ValidationError

from curate.content import complaint
from curate.rubrics.checks import SHAPES
from curate.rubrics.reads import Choice, Option
from curate.rubrics.replies.base import Reason, Unreadable, shown, sound
from curate.rubrics.replies.behind import left_as_it_is, number_first, takes_back
from curate.rubrics.replies.choices import read_choice
from curate.rubrics.replies.lenient import NUMBER, DuplicateKey, keys_like, parse_lenient
from curate.rubrics.replies.locating import without_thoughts
from curate.rubrics.replies.marks import Limits, behind_each, of_aspects
from curate.rubrics.replies.objects import object_spans, within
from curate.rubrics.replies.ownership import counting
from curate.strict import Strict

Params = TypeVar("Params", bound=Strict)


class NoParams(Strict):
    """The params of a format that has none."""


class Plain:
    """Base of the formats without params and texts."""

    texts: tuple[str, ...] = ()
    """The outputs that are texts."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        settings(NoParams, params)


def settings(model: type[Params], params: Mapping[str, Any]) -> Params:
    """The params of a format; raises `ValueError`, whose message is one sentence, for those it does not take."""
    try:
        return model.model_validate(dict(params))
    except ValidationError as problem:
        raise ValueError(complaint(problem, model, where="", shapes=SHAPES).removeprefix(", ")) from problem


_THOUGHTS_END = re.compile("</think>", re.IGNORECASE)


def thoughts_and_answer(text: str) -> tuple[str, str]:
    """The thoughts of a reply, without their marks, and what it says behind them; raises `Unreadable` where either is missing."""
    said = without_thoughts(text)
    ends = list(_THOUGHTS_END.finditer(text))
    if not ends:
        raise Unreadable("wrong_format", "there are no thoughts between <think> and </think>")
    return re.sub("</?think>", "", text[: ends[-1].start()], flags=re.IGNORECASE).strip(), said


def labelled(text: str, label: str, limits: Limits | None = None, *, out_of: int | None = None, beside: str = "") -> float:
    """The number behind a label and a colon: 'Final Score: 8', also '**Final Score (1-10):** 8/10' where it is out of 10.

    `label` is a regular expression in which a blank is any blanks; case makes no difference. `beside` are all labels of the
    format: where another follows on the same line, behind a comma, it is not part of what the first says. Raises `Unreadable`
    where the label is missing or nowhere the judge's own (`behind_each`), has no plain number behind it that stands as it is, or
    different ones, and where the same label of something else has another one ('Style Final Score: 3').
    """
    words = f"(?:{label})".replace(" ", r"\s+")
    called = _readable(label)
    another = rf"(?:[,;]|\s[-–—])\s+(?!{words})(?:{beside})[*_`]{{0,3}}\s?(?:\([^()]*\)[*_`]{{0,3}}\s?)?[:：].*"

    def number_of(line: str) -> float:
        return number_first(re.sub(another, "", line, flags=re.IGNORECASE) if beside else line, out_of)

    numbers = {number_of(line) for line in behind_each(text, words, called, limits)}
    for line in of_aspects(text, words):
        with suppress(Unreadable):
            numbers.add(number_of(line))
    if len(numbers) > 1:
        raise Unreadable("ambiguous", f"'{called}' has {len(numbers)} different numbers")
    return within(numbers.pop(), limits, f"'{called}'")


def whole(number: float, called: str) -> float:
    """The number; raises `Unreadable` where it is no integer."""
    if not number.is_integer():
        raise Unreadable("not_a_number", f"{called} is {number:g}, no integer")
    return number


def _readable(label: str) -> str:
    """A label's regular expression, for people."""
    return re.sub(r"\(\?:|[()?\\]", "", re.sub(r"\(\?:[^()]*\)\?", "", label))


def one_object(text: str) -> Mapping[str, Any]:
    """The one object of a text, in JSON or almost (`curate.rubrics.replies.lenient`, which reads all JSON too).

    It may stand there twice, the same; anything else in braces makes the text unreadable.
    """
    found: list[Mapping[str, Any]] = []
    for span in object_spans(text):
        try:
            found.append(parse_lenient(span))
        except DuplicateKey as problem:
            raise Unreadable("ambiguous", str(problem)) from problem
        except (ValueError, RecursionError) as problem:
            raise Unreadable("not_json", f"{shown(span)} is no object") from problem
    if not found:
        raise Unreadable("not_json", f"there is no object in {shown(text)}")
    if any(one != found[0] for one in found):
        raise Unreadable("ambiguous", f"there are {len(found)} objects, and they differ")
    return found[0]


def field(one: Mapping[str, Any], *names: str) -> Any:
    """What stands under the one of `names` that the object has; raises `Unreadable` where it has none, or several."""
    there = keys_like(one, *names)
    if len(there) != 1:
        reason: Reason = "ambiguous" if there else "no_field"
        raise Unreadable(reason, f"there is {'more than one' if there else 'no'} {' or '.join(map(repr, names))}")
    return one[there[0]]


def text_field(one: Mapping[str, Any], *names: str) -> str:
    """Like `field`, for a text."""
    value = field(one, *names)
    if not isinstance(value, str):
        raise Unreadable("wrong_type", f"{names[0]!r} is no text")
    return sound(value).strip()


def number_field(one: Mapping[str, Any], *names: str, limits: Limits) -> float:
    """Like `field`, for a number, also one in quotes if nothing else is in them."""
    value = field(one, *names)
    if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unreadable("not_a_number", f"{names[0]!r} is {shown(str(value))}")
    try:
        return within(float(value), limits, repr(names[0]))
    except OverflowError as problem:
        raise Unreadable("out_of_range", f"{names[0]!r} is too large") from problem


def as_json(value: Any) -> str:
    """What was found, as a text to keep beside the value."""
    return sound(json.dumps(value, ensure_ascii=False))


_SIDES = {"first": 1.0, "second": 0.0, "equal": 0.5}
"""What a verdict is worth: the probability that the first is better."""

_NOUNS = ("Image", "Video")

_VERDICTS = Choice(
    options=(
        Option(
            name="first",
            value=_SIDES["first"],
            spellings=tuple(f"{noun} 1 is better{rest}" for noun in _NOUNS for rest in ("", f" than {noun} 2")),
        ),
        Option(
            name="second",
            value=_SIDES["second"],
            spellings=tuple(f"{noun} 2 is better{rest}" for noun in _NOUNS for rest in ("", f" than {noun} 1")),
        ),
        Option(
            name="equal",
            value=_SIDES["equal"],
            spellings=tuple(f"Both {noun.lower()}s are equally good" for noun in _NOUNS),
        ),
    )
)

_WHOLE_VERDICT = re.compile(
    r"(?:(image|video)\s+([12])\s+is\s+better(?:\s+than\s+\1\s+(?!\2)[12])?"
    r"|both\s+(?:images|videos)\s+are\s+equally\s+good)(?=\s*(?:[.!;,:<)\"”\n]|['’](?!\w)|\Z|(?:because|since|as|due)\b))",
    re.IGNORECASE,
)


_SIDE = re.compile(
    r"(?<!not )\b(?:prefer|choose|favou?r)\s+(?:image|video)\s+(?P<preferred>[12])\b"
    r"|(?<!\w)(?:image|video)\s+(?P<which>[12])\s+"
    r"(?:(?:(?:clearly|easily|still|also)\s+)?(?:(?P<wins>wins|won)|loses|lost)"
    r"|(?:is|was|looks|seems|remains)\s+(?:(?!not\b)\w+\s+){0,2}?(?:(?P<up>better|best|superior|preferable|winner)|worse|worst|inferior))"
    r"\s*(?:[.!;,:<)\"'”’\n]|\Z|(?:than|to|overall|in\s+(?:all|every|most|nearly|almost))\b)",
    re.IGNORECASE,
)
"""A clause that says of one of the two, as a whole, where it stands, in whatever words."""


def verdict(text: str) -> float:
    """1 for 'Image 1 is better than Image 2', 0 for the converse, 0.5 for 'Both images are equally good'; so too for videos.

    Raises `Unreadable` where both are named, where a verdict is denied, where another clause says otherwise ('Image 2 wins'),
    where it is of one respect only ('Image 1 is better aligned'), and where it is not the judge's own (`counting`).
    """
    text = re.sub(r"[*`]", "", text)
    chosen = read_choice(text, _VERDICTS)
    value = _SIDES[str(chosen["choice"])]
    if any(_favours_first(one) != value for one in _SIDE.finditer(text)):
        raise Unreadable("ambiguous", f"there are verdicts that contradict each other in {shown(text)}")
    own = counting(text, _WHOLE_VERDICT)
    if not own:
        raise Unreadable("no_choice", f"there is no verdict of the judge's own in {shown(text)}")
    if not all(_stands(text, one.end()) for one in own):
        raise Unreadable("ambiguous", f"the verdict is taken back, or said to be somebody else's, in {shown(text)}")
    return value


def _stands(text: str, end: int) -> bool:
    """Whether neither the line of a verdict, which ends at `end`, nor what follows takes it back."""
    line, _, rest = text[end:].partition("\n")
    return left_as_it_is(line, 0) and not takes_back(rest)


def _favours_first(side: re.Match[str]) -> float:
    """What a clause about one of the two is worth as a verdict: 1 or 0."""
    if side["preferred"]:
        return float(side["preferred"] == "1")
    return float((side["which"] == "1") == bool(side["wins"] or side["up"]))
