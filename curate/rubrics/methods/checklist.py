"""Many small questions about one sample, a request each, and the weighted share of those answered well.

The questions stand in the card, or in the sample's own JSON (test points, as in UniGenBench of Pref-GRPO, arXiv 2508.20751), or
the JSON names which of the card's questions go with its prompt (key points, as in PromptEnhancer, arXiv 2509.04545). All of
those asked have to be answered, since the mean of some is another measure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from curate.cards import CardFile
from curate.errors import CardError
from curate.raters import Value
from curate.records import Status, canonical_json
from curate.rubrics.calling import Asking, all_heard, check_judges_samples, detail_of, mass_of
from curate.rubrics.case import Case, Conversation, NoJudgementError
from curate.rubrics.lookup import of_meta
from curate.rubrics.messages import Names
from curate.rubrics.readers import SINGLE
from curate.rubrics.spec import NAME, Call, Common, Strict, unique

QUESTION = "question"
"""The place of a question in the messages."""

MOST_QUESTIONS = 200

PASSED = 0.5
"""A gate is passed from here on."""


class Point(Strict):
    """One question, to be answered with how far it is so, 0 to 1."""

    name: str = ""
    text: str = Field(min_length=1)
    dimension: Annotated[str, Field(pattern=NAME)] | None = None
    """Which of the card's dimensions it belongs to, besides the main one."""
    weight: float = Field(default=1.0, gt=0)
    gate: bool = False
    """Whether a no makes everything 0; a gate counts for nothing else."""


class ChecklistArguments(Common):
    """The `args` of a card with `rubric: checklist`."""

    rubric: Literal["checklist"]
    call: Call
    """Asked for each question, which stands at `{question}`; gives a `value` from 0 to 1."""
    questions: tuple[Point, ...] | None = None
    """Those of the card; None takes them from the sample."""
    asked: str | None = None
    """Where the sample's JSON says what to ask: names of the card's `questions`; without these, texts or objects like them."""

    @model_validator(mode="after")
    def _has_questions(self) -> ChecklistArguments:
        if self.questions is None and self.asked is None:
            raise ValueError("say the questions, or in 'asked' where the sample's JSON has them")
        if self.questions is not None:
            if not self.questions:
                raise ValueError("there are no questions")
            unique((point.name for point in self.questions), "questions")
        return self


class Checklist:
    """The method `checklist`."""

    Arguments = ChecklistArguments

    def __init__(self, arguments: ChecklistArguments, file: CardFile) -> None:
        check_judges_samples(file)
        self.pictures = arguments.pictures
        self._arguments = arguments
        self._main = file.card.main
        self._others = tuple(name for name in file.card.dimensions if name != file.card.main)
        names = Names.of(file.card, texts=(QUESTION,))
        self._asking = Asking(arguments.call, names, name=QUESTION, where=file.where, field="args.call")
        if self._asking.reader.outputs.get("value") != SINGLE:
            raise CardError(f"{file.where}, field 'args.call.reads': a checklist needs a way of reading that gives one value")
        if QUESTION not in self._asking.messages.texts:
            raise CardError(f"{file.where}, field 'args.call.messages': the question has no place; write {{{QUESTION}}}")
        for point in arguments.questions or ():
            if point.dimension is not None and point.dimension not in file.card.dimensions:
                raise CardError(f"{file.where}, field 'args.questions': the card has no dimension '{point.dimension}'")
        self.shown = self._asking.messages.shown
        self.reads_labels = bool(self._asking.reader.labels)

    def converse(self, case: Case) -> Conversation:
        """All questions at the same time; see `Method`."""
        points = self._points(case)
        questions = [self._question(case, point) for point in points]
        heard = yield from all_heard(questions, attempts=self._arguments.attempts)
        answers = [_share(one.outputs["value"]) for one in heard]
        detail = detail_of(note for one in heard for note in one.notes)
        each = [[point.name or point.text, round(answer, 4)] for point, answer in zip(points, answers, strict=True)]
        found = canonical_json({"answers": each, **(mass_of(heard) if self.reads_labels else {})})
        values = {self._main: Value(value=score(points, answers), detail=detail, rationale=found)}
        for name in self._others:
            own = [number for number, point in enumerate(points) if point.dimension == name]
            values[name] = self._of_dimension(name, [points[number] for number in own], [answers[number] for number in own])
        return values

    def _question(self, case: Case, point: Point) -> Any:
        # A question of the card is trusted, one of the sample is data.
        place = {QUESTION: point.text}
        trusted = self._arguments.questions is not None
        return self._asking.about(
            case, seed=(point.name, point.text), own=place if trusted else None, data=None if trusted else place
        )

    def _of_dimension(self, name: str, points: Sequence[Point], answers: Sequence[float]) -> Value:
        if not points:
            return Value(status=Status.NOT_APPLICABLE, detail=f"not_asked: no question about '{name}' goes with this sample")
        return Value(value=score(points, answers))

    def _points(self, case: Case) -> Sequence[Point]:
        """What is asked about a case; raises `NoJudgementError` where its JSON does not say."""
        own, asked = self._arguments.questions, self._arguments.asked
        if asked is None:
            assert own is not None, "checked when read"
            return own
        listed = of_meta(case.meta, asked)
        if not isinstance(listed, Sequence) or isinstance(listed, str) or not 0 < len(listed) <= MOST_QUESTIONS:
            raise NoJudgementError(
                Status.NOT_APPLICABLE, f"no_questions: '{asked}' is no list of 1 to {MOST_QUESTIONS} questions"
            )
        if own is None:
            return [_point(one, asked) for one in listed]
        by_name = {point.name: point for point in own}
        unknown = next((name for name in listed if not isinstance(name, str) or name not in by_name), None)
        if unknown is not None:
            raise NoJudgementError(Status.NOT_APPLICABLE, f"no_questions: the card has no question {str(unknown)[:40]!r}")
        return [by_name[name] for name in dict.fromkeys(listed)]


def score(points: Sequence[Point], answers: Sequence[float]) -> float:
    """The weighted mean of the answers; 0 where a gate is not passed, and 1 where there are only gates and all are."""
    if any(point.gate and answer < PASSED for point, answer in zip(points, answers, strict=True)):
        return 0.0
    counted = [(point.weight, answer) for point, answer in zip(points, answers, strict=True) if not point.gate]
    if not counted:
        return 1.0
    # By a power of two, which changes no digit: else the sum of weights could be too large for a float.
    _, exponent = math.frexp(max(weight for weight, _ in counted))
    shares = [(math.ldexp(weight, -exponent), answer) for weight, answer in counted]
    return math.fsum(share * answer for share, answer in shares) / math.fsum(share for share, _ in shares)


def _point(given: Any, where: str) -> Point:
    """A question of a sample: a text, or an object that is read as those of a card are."""
    try:
        return Point(text=given) if isinstance(given, str) else Point.model_validate(_known(given))
    except ValidationError as problem:
        detail = f"no_questions: one of '{where}' is no question ({problem.errors()[0]['msg']})"
        raise NoJudgementError(Status.NOT_APPLICABLE, detail) from None


def _known(given: Any) -> Any:
    """What counts of an object in a sample's JSON, which may say more; `question` and `description` are texts too."""
    if not isinstance(given, Mapping):
        return given
    fields = {name: given[name] for name in Point.model_fields if name in given}
    text = next((given[name] for name in ("text", "question", "description") if name in given), None)
    return fields | {"text": text}


def _share(output: Any) -> float:
    if not isinstance(output, float | int) or not 0 <= output <= 1:
        raise NoJudgementError(Status.PARSE_ERROR, f"out_of_range: {output} is no answer between 0 and 1")
    return float(output)
