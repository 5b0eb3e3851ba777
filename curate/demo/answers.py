"""The answer key, and what it says of the pairs: which are the right way round, and which are worth showing."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from curate.demo.ladder import DEFECTS
from curate.demo.sheet import Side, Tile

ANSWERS = "answers.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a candidate was made."""

    photo: str
    defect: str
    severity: int
    credit: str
    """Who made the photograph, and its licence."""

    @property
    def words(self) -> str:
        return "the photograph itself" if self.severity == 0 else f"{self.defect}, severity {self.severity}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPair:
    """A row of the exported dataset, and how its two responses were made."""

    prompt: str
    margin: float
    images: tuple[bytes, bytes]
    """Chosen and rejected, as they stand in the dataset; so are the next two."""
    values: tuple[float, float]
    answers: tuple[Answer, Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How many pairs are the right way round."""

    right: int
    """The chosen response is the less degraded one."""
    wrong: int
    undecided: int
    """Both are equally degraded, so either way round is right."""

    @property
    def share(self) -> float:
        """Of the pairs that have a right way round; 0 where there is none."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 0.0


def digest(image: bytes) -> str:
    """By which a candidate is known in the answer key."""
    return hashlib.sha256(image).hexdigest()


def write_answers(answers: Mapping[str, Answer], folder: Path) -> None:
    """Write the answer key, by digest, into a folder."""
    rows = {name: asdict(answer) for name, answer in answers.items()}
    (folder / ANSWERS).write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")


def read_pairs(dataset: Path, shards: Path) -> list[JudgedPair]:
    """The pairs as a trainer reads them, each side found in the answer key by its bytes: an export keeps them as they were."""
    from pyarrow import parquet

    rows = json.loads((shards / ANSWERS).read_text(encoding="utf-8"))
    answers = {name: Answer(**row) for name, row in rows.items()}
    return [
        JudgedPair(
            prompt=row["caption"],
            margin=row["margin"],
            images=(row["jpg_0"], row["jpg_1"]),
            values=(row["chosen_value"], row["rejected_value"]),
            answers=(answers[digest(row["jpg_0"])], answers[digest(row["jpg_1"])]),
        )
        for file in sorted(dataset.rglob("*.parquet"))
        for row in parquet.read_table(file).to_pylist()
    ]


def judge(pairs: Sequence[JudgedPair]) -> Verdict:
    """Count the pairs by whether the chosen response is the less degraded one."""
    differences = [rejected.severity - chosen.severity for chosen, rejected in (pair.answers for pair in pairs)]
    return Verdict(
        right=sum(difference > 0 for difference in differences),
        wrong=sum(difference < 0 for difference in differences),
        undecided=sum(difference == 0 for difference in differences),
    )


def worth_showing(pairs: Sequence[JudgedPair], photos: Sequence[str], most: int) -> list[Tile]:
    """One pair from each of the first `most` photographs, with a different defect on the rejected side each time."""
    groups: dict[str, list[JudgedPair]] = defaultdict(list)
    for pair in pairs:
        groups[pair.answers[0].photo].append(pair)
    defects = list(DEFECTS)
    shown = []
    for number, photo in enumerate([photo for photo in photos if photo in groups][:most]):
        wanted = defects[number % len(defects)]
        matching = [pair for pair in groups[photo] if pair.answers[1].defect == wanted]
        shown.append(max(matching or groups[photo], key=lambda pair: pair.margin))
    return [_tile(pair) for pair in shown]


def _tile(pair: JudgedPair) -> Tile:
    chosen, rejected = (
        Side(data=image, caption=f"{answer.words} · signal {value:.3f}")
        for image, answer, value in zip(pair.images, pair.answers, pair.values, strict=True)
    )
    return Tile(prompt=pair.prompt, chosen=chosen, rejected=rejected, margin=pair.margin)
