"""Pointwise judging by one or more calls: their replies are read, and arithmetic makes values of what they say.

Calls whose messages need nothing of each other are asked at the same time, the others as soon as what they need is there. With
`passes` everything is asked several times with other seeds (Luo et al., EditScore, 2025). All passes are needed, since the mean
of fewer is another measure; how they become one value: `curate.rubrics.values`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import Field, model_validator

from curate.cards import CardFile
from curate.raters import Value
from curate.records import Status
from curate.rubrics.calling import Asking, Heard, Question, check_judges_samples, detail_of, hear, rationale_of, worst_of
from curate.rubrics.case import Case, Conversation, NoJudgementError
from curate.rubrics.messages import Names
from curate.rubrics.spec import Common, NamedCall, Passes, unique
from curate.rubrics.values import Measured, Values


class CallsArguments(Common):
    """The `args` of a card with `rubric: calls`."""

    rubric: Literal["calls"]
    calls: tuple[NamedCall, ...] = Field(min_length=1)
    values: Mapping[str, str]
    """For each dimension, arithmetic over what was read (`curate.rubrics.arithmetic`). Names that are no dimension are steps on
    the way; a value may use those above it."""
    passes: Passes | None = None

    @model_validator(mode="after")
    def _holds_together(self) -> CallsArguments:
        unique((call.name for call in self.calls), "calls")
        if any(call.name == "meta" for call in self.calls):
            raise ValueError("a call cannot be called 'meta', which stands for the sample's JSON")
        if self.passes is not None:
            for call in self.calls:
                if call.reads.labels is not None:
                    raise ValueError(
                        f"passes are for replies that are sampled, and '{call.name}' reads labels, the same each time"
                    )
        return self


class Calls:
    """The method `calls`."""

    Arguments = CallsArguments

    def __init__(self, arguments: CallsArguments, file: CardFile) -> None:
        check_judges_samples(file)
        self.pictures = arguments.pictures
        self._arguments = arguments
        self._dimensions = tuple(file.card.dimensions)
        self._calls: dict[str, Asking] = {}
        texts: list[str] = []
        for position, call in enumerate(arguments.calls):
            names = Names.of(file.card, texts=texts)
            asking = Asking(call, names, name=call.name, where=file.where, field=f"args.calls.{position}")
            self._calls[call.name] = asking
            texts.extend(f"{call.name}.{output}" for output in asking.reader.texts)
        self._needs = {name: self._earlier(asking.messages.texts) for name, asking in self._calls.items()}
        self._stages = _stages(self._needs)
        known = {name: asking.reader.outputs for name, asking in self._calls.items()}
        self._values = Values(arguments.values, known, dimensions=self._dimensions, where=file.where)
        self.shown = frozenset(role for asking in self._calls.values() for role in asking.messages.shown)
        self.reads_labels = any(asking.reader.labels for asking in self._calls.values())

    def converse(self, case: Case) -> Conversation:
        """All calls about one case, and the values that they give; see `Method`."""
        passes = self._arguments.passes
        heard: list[dict[str, Heard]] = [{} for _ in range(passes.count if passes else 1)]
        for stage in self._stages:
            asked = [(number, name) for number in range(len(heard)) for name in stage]
            questions = [self._question(name, case, number, heard[number]) for number, name in asked]
            outcomes = yield from hear(questions, attempts=self._arguments.attempts)
            _check(outcomes, [number for number, _ in asked], len(heard))
            for (number, name), outcome in zip(asked, outcomes, strict=True):
                if isinstance(outcome, Heard):
                    heard[number][name] = outcome
        read = [{call: one.outputs for call, one in each.items()} for each in heard]
        measured = self._values.over(read, passes)
        return {name: self._value(name, measured[name], heard) for name in self._dimensions}

    def _question(self, name: str, case: Case, number: int, heard: Mapping[str, Heard]) -> Question:
        data = {
            f"{call}.{output}": said
            for call in self._needs[name]
            for output, said in heard[call].outputs.items()
            if isinstance(said, str)
        }
        passes = self._arguments.passes
        return self._calls[name].about(case, seed=(number,), temperature=passes.temperature if passes else None, data=data)

    def _value(self, name: str, measured: Measured | NoJudgementError, heard: Sequence[Mapping[str, Heard]]) -> Value:
        """One dimension: its value, or a status of its own where arithmetic has no answer, and what the judge said for it."""
        if isinstance(measured, NoJudgementError):
            return Value(status=measured.status, detail=measured.detail)
        calls = self._calls_behind(name)
        kept = {
            _kept_name(call, output, position, len(heard)): text
            for position, each in enumerate(heard)
            for call, one in each.items()
            if call in calls
            for output, text in one.kept.items()
        }
        notes = (note for each in heard for one in each.values() for note in one.notes)
        return Value(value=measured.value, spread=measured.spread, detail=detail_of(notes), rationale=rationale_of(kept))

    def _earlier(self, texts: Iterable[str]) -> frozenset[str]:
        """The calls whose texts are among the places of a message."""
        return frozenset(call for text in texts if "." in text and (call := text.partition(".")[0]) in self._calls)

    def _calls_behind(self, name: str) -> set[str]:
        """All calls that a value depends on, also through messages that hold what a call said."""
        waiting = set(self._values.calls_behind(name))
        behind: set[str] = set()
        while waiting:
            call = waiting.pop()
            behind.add(call)
            waiting |= self._needs[call] - behind
        return behind


def _kept_name(call: str, output: str, position: int, passes: int) -> str:
    return f"{call}.{output}" if passes == 1 else f"pass {position + 1}: {call}.{output}"


def _stages(needs: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """Calls that can be asked at the same time, in the order in which that can be done; a call needs only earlier ones."""
    stage: dict[str, int] = {}
    for name, needed in needs.items():
        stage[name] = max((stage[one] + 1 for one in needed), default=0)
    return [[name for name, own in stage.items() if own == number] for number in range(max(stage.values()) + 1)]


def _check(outcomes: Sequence[Heard | NoJudgementError], passes: Sequence[int], count: int) -> None:
    """Raises the failure that says most, where there is one; with several passes it says how many are lost."""
    worst = worst_of(outcomes)
    if worst is None:
        return
    lost = {number for number, outcome in zip(passes, outcomes, strict=True) if isinstance(outcome, NoJudgementError)}
    if count == 1 or worst.status is Status.PENDING:
        raise worst
    raise NoJudgementError(worst.status, f"{worst.detail} ({len(lost)} of {count} passes have no value)")
