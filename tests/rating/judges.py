"""Raters that answer as their cards tell them to, most of them of pairs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from curate.batch_raters import BatchRater
from curate.cards import CardFile
from curate.rater_settings import Settings
from curate.raters import Item, Judgement, Place, Preparation, Value, failure
from curate.records import Status


class ToldJudge(BatchRater):
    """Gives every pair the `value` and the `bias` of its card's arguments."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        self.dimensions = tuple(file.card.dimensions)
        self._value = Value(value=file.card.args["value"], orders_agree=False, position_bias=file.card.args.get("bias"))

    def judge_batch(self, batch: Sequence[Item]) -> Sequence[Judgement]:
        return [Judgement(item=item.number, values=dict.fromkeys(self.dimensions, self._value)) for item in batch]


class OrderJudge:
    """Prefers the sample with the larger id, always right; those that the file `answers` does not name are pending.

    The file is a list of pairs of ids; without one every pair is answered. Pairs of which both ids begin with a letter of the
    argument `refused` are refused.
    """

    place: Place = "main"
    wants_bytes = False
    preparations: tuple[Preparation, ...] = ()
    batch_size = 4

    def __init__(self, file: CardFile, settings: Settings) -> None:
        self.dimensions = tuple(file.card.dimensions)
        self._answers = file.card.args.get("answers")
        self._refused = str(file.card.args.get("refused", ""))

    def judge(self, items: Iterable[Item]) -> Iterator[Judgement]:
        answered = None if self._answers is None else json.loads(Path(self._answers).read_text())
        for item in items:
            ids = [sample.id for sample in item.samples]
            if answered is not None and ids not in answered:
                value = Value(status=Status.PENDING)
            elif all(one[0] in self._refused for one in ids):
                value = Value(status=Status.REFUSED)
            else:
                value = Value(value=float(ids[0] > ids[1]))
            yield Judgement(item=item.number, values=dict.fromkeys(self.dimensions, value))

    def close(self) -> None:
        return None


class OneWordRater(BatchRater):
    """Judges what has a prompt of one word, on its first dimension; other prompts it says nothing of."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        self.dimensions = tuple(file.card.dimensions)

    def judge_batch(self, batch: Sequence[Item]) -> Sequence[Judgement]:
        return [Judgement(item=item.number, values=self._values((item.samples[0].prompt or "").split())) for item in batch]

    def _values(self, words: list[str]) -> dict[str, Value]:
        first, *others = self.dimensions
        if len(words) > 1:
            return failure(self.dimensions, Status.NOT_APPLICABLE, "the prompt has several words")
        return {first: Value(value=1.0), **failure(others, Status.NOT_APPLICABLE, "nobody asked")}


class WaitingRater(BatchRater):
    """Judges nothing until the file `until` of its card's arguments is there."""

    batch_size = 1

    def __init__(self, file: CardFile, settings: Settings) -> None:
        self.dimensions = tuple(file.card.dimensions)
        self._until = Path(file.card.args["until"])

    def judge_batch(self, batch: Sequence[Item]) -> Sequence[Judgement]:
        while not self._until.exists():
            time.sleep(0.01)
        return [Judgement(item=item.number, values={name: Value(value=0.5) for name in self.dimensions}) for item in batch]
