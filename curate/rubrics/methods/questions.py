"""Multiple-choice questions that a judge answers from a response: what can be answered from a description shows how good it is.

CapRL (arXiv 2509.22647): a model that sees only the caption answers questions about the picture; options are shuffled anew for
each question, with one more for those that the caption does not answer. Vision-SR1 (arXiv 2508.19652) asks so of reasoning
texts, and the listener of arXiv 2506.22832 reads the probability of the right choice instead of a letter.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Literal

from pydantic import Field, model_validator

from curate.cards import CardFile
from curate.errors import CardError
from curate.raters import Value
from curate.records import Status, canonical_json
from curate.rubrics.calling import Asking, Question, all_heard, check_judges_samples, detail_of, mass_of, seed_of
from curate.rubrics.case import Case, Conversation, NoJudgementError
from curate.rubrics.lookup import of_meta
from curate.rubrics.messages import Names
from curate.rubrics.reads import FormatSpec, Labels, LabelSpec, Reads
from curate.rubrics.spec import Call, Common, Message
from curate.strict import Strict

QUESTION, OPTIONS = "question", "options"
"""The places of a question and of its options in the messages."""

MOST_QUESTIONS = 100

MOST_OPTIONS = 20

ACCURACY = "accuracy"


class QuestionsArguments(Common):
    """The `args` of a card with `rubric: questions`."""

    rubric: Literal["questions"]
    asked: str
    """Where the sample's JSON has the questions: a list of objects with `question`, `options` (a list, or a mapping from letters)
    and `answer` (one of the options, or its letter)."""
    messages: tuple[Message, ...] = Field(min_length=1)
    """With `{question}` and `{options}`: a line for each, 'A. …'."""
    reads: Literal["letter", "probability"] = "probability"
    """The letter that is written, or how probable the right one is among all."""
    unknown: str | None = None
    """One more option, for what cannot be told; it is never right."""
    shuffled: bool = True
    """Whether options stand in an order of their own for each sample and question, so that no place is right more often."""
    most: int | None = Field(default=None, ge=1)
    """The most questions of a sample, chosen by chance; all where not said."""
    least_mass: float = Field(default=0.5, ge=0, lt=1)
    """Where the letters together are less probable, there is no value."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=16, ge=1)

    @model_validator(mode="after")
    def _holds_together(self) -> QuestionsArguments:
        if self.reads == "probability" and self.temperature:
            raise ValueError("probabilities are read, nothing is sampled: leave temperature out")
        return self


class Item(Strict):
    """A question with its options."""

    question: str = Field(min_length=1)
    options: tuple[str, ...] = Field(min_length=2, max_length=MOST_OPTIONS)
    answer: int = Field(ge=0)
    """The position of the right option."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A question as it is put: its options in their order, and the letter of the right one."""

    question: str
    options: Sequence[str]
    right: str


class Questions:
    """The method `questions`: gives `accuracy`, the share that is answered right, or the mean probability of the right answer."""

    Arguments = QuestionsArguments

    def __init__(self, arguments: QuestionsArguments, file: CardFile) -> None:
        check_judges_samples(file)
        if set(file.card.dimensions) != {ACCURACY}:
            raise CardError(f"{file.where}: 'rubric: questions' gives one dimension, {ACCURACY}")
        self.pictures = arguments.pictures
        self._arguments = arguments
        self.reads_labels = arguments.reads == "probability"
        self._card = file
        self._askings: dict[int, Asking] = {}
        fewest = self._of_options(2)
        for place in (QUESTION, OPTIONS):
            if place not in fewest.messages.texts:
                raise CardError(f"{file.where}, field 'args.messages': there is no place {{{place}}}")
        self.shown = fewest.messages.shown

    def converse(self, case: Case) -> Conversation:
        """All questions at the same time; see `Method`."""
        put = [self._put(case, number, item) for number, item in self._chosen(case)]
        heard = yield from all_heard([self._question(case, one) for one in put], attempts=self._arguments.attempts)
        shares = [float(said.outputs[f"p_{one.right}"]) for one, said in zip(put, heard, strict=True)]  # type: ignore[arg-type]
        each = [[one.question, one.right, round(share, 4)] for one, share in zip(put, shares, strict=True)]
        found = canonical_json({"answers": each, **(mass_of(heard) if self.reads_labels else {})})
        detail = detail_of(note for one in heard for note in one.notes)
        spread = statistics.pstdev(shares) if len(shares) > 1 else None
        return {ACCURACY: Value(value=statistics.fmean(shares), spread=spread, detail=detail, rationale=found)}

    def _chosen(self, case: Case) -> list[tuple[int, Item]]:
        """The questions of a case with their places in its list, in that order."""
        items = list(enumerate(_items(case, self._arguments.asked)))
        most = self._arguments.most
        if most is None or most >= len(items):
            return items
        return sorted(random.Random(seed_of(case.key, "questions")).sample(items, most), key=lambda one: one[0])

    def _put(self, case: Case, number: int, item: Item) -> _Asked:
        options = list(enumerate(item.options))
        if self._arguments.unknown is not None:
            options.append((-1, self._arguments.unknown))
        if self._arguments.shuffled:
            random.Random(seed_of(case.key, "options", number)).shuffle(options)
        right = next(letter for letter, (position, _) in zip(ascii_uppercase, options, strict=False) if position == item.answer)
        return _Asked(question=item.question, options=[text for _, text in options], right=right)

    def _question(self, case: Case, one: _Asked) -> Question:
        letters = ascii_uppercase[: len(one.options)]
        lines = "\n".join(f"{letter}. {text}" for letter, text in zip(letters, one.options, strict=True))
        asking = self._of_options(len(one.options))
        return asking.about(case, seed=(one.question, *one.options), data={QUESTION: one.question, OPTIONS: lines})

    def _of_options(self, count: int) -> Asking:
        """The call for questions of so many options."""
        if count not in self._askings:
            arguments = self._arguments
            call = Call(
                messages=arguments.messages,
                reads=_reads(count, arguments),
                max_tokens=None if self.reads_labels else arguments.max_tokens,
                temperature=arguments.temperature,
                may_be_cut=True,  # what follows the letter does not matter
            )
            names = Names.of(self._card.card, texts=(QUESTION, OPTIONS))
            self._askings[count] = Asking(call, names, name=QUESTION, where=self._card.where, field="args")
        return self._askings[count]


def _reads(count: int, arguments: QuestionsArguments) -> Reads:
    """How one letter of so many is read."""
    if arguments.reads == "letter":
        return Reads(format=FormatSpec(name="letter", params={"letters": count}))
    labels = tuple(LabelSpec(name=letter, value=0.0, spellings=(letter, f" {letter}")) for letter in ascii_uppercase[:count])
    return Reads(labels=Labels(labels=labels, least_mass=arguments.least_mass))


def _items(case: Case, path: str) -> list[Item]:
    """The questions of a case; raises `NoJudgementError` where its JSON has none that hold together."""
    listed = of_meta(case.meta, path)
    if not isinstance(listed, Sequence) or isinstance(listed, str) or not 0 < len(listed) <= MOST_QUESTIONS:
        raise NoJudgementError(Status.NOT_APPLICABLE, f"no_questions: '{path}' is no list of 1 to {MOST_QUESTIONS} questions")
    return [_item(given, f"{path}.{number}") for number, given in enumerate(listed)]


def _item(given: Any, where: str) -> Item:
    """A question of a sample's JSON, with its answer as a position.

    The answer is the text of an option or its letter. Where it is one option's text and another's letter, or stands in several
    options, nobody can tell which is right.
    """
    try:
        options, answer = given["options"], given["answer"]
        if isinstance(options, Mapping):
            letters, texts = [str(letter) for letter in options], list(options.values())
        else:
            letters, texts = list(ascii_uppercase[: len(options)]), list(options)
        right = {position for names in (texts, letters) for position, name in enumerate(names) if name == answer}
        # An option with the text of the right one is right too.
        (position,) = {position for position, text in enumerate(texts) if any(text == texts[one] for one in right)}
        return Item(question=given["question"], options=tuple(texts), answer=position)
    except (KeyError, TypeError, ValueError, IndexError):
        detail = f"no_questions: '{where}' has not a question, options and an answer that is one of them, and only one"
        raise NoJudgementError(Status.NOT_APPLICABLE, detail) from None
